"""Results as datasets and as files."""

import builtins
import functools
import pickle
import resource

import numpy as np
import pytest
from test_result import (
    MOMENTA,
    RATES,
    make_result,
)

from optax_cycles.sweep import SweepResult


def assert_same(one, other):
    assert one.space.names == other.space.names
    assert one.space.shape == other.space.shape
    pairs = [(one.space.members(), other.space.members())]
    pairs += [(one.train, other.train), (one.validation, other.validation)]
    for these, those in pairs:
        assert set(these) == set(those)
        for name, array in these.items():
            assert array.dtype == those[name].dtype
            np.testing.assert_array_equal(array, those[name])
    for name in ("horizons", "status", "updates"):
        array = getattr(other, name)
        assert getattr(one, name).dtype == array.dtype
        np.testing.assert_array_equal(getattr(one, name), array)
    for name in ("steps", "complete", "seconds", "versions"):
        assert getattr(one, name) == getattr(other, name)


def test_an_xarray_dataset_names_axes_and_hyperparameters():
    result = make_result()
    dataset = result.to_xarray()
    assert dict(dataset.sizes) == {
        "learning_rate+momentum": 3,
        "decay": 1,
        "seed": 2,
        "step": 3,
        "horizon": 3,
    }
    axes = ("learning_rate+momentum", "decay", "seed")
    assert dataset["train_loss"].dims == (*axes, "step")
    assert dataset["validation_accuracy"].dims == (*axes, "horizon")
    assert dataset["status"].dims == dataset["updates"].dims == axes
    assert dataset["learning_rate"].dims == ("learning_rate+momentum",)
    assert dataset["learning_rate"].values.tolist() == RATES
    assert dataset["momentum"].values.tolist() == MOMENTA
    assert dataset["step"].values.tolist() == [0, 1, 2]
    chosen = dataset["validation_loss"].sel(decay=0.5, seed=4, horizon=2)
    np.testing.assert_array_equal(chosen, result.validation["loss"][:, 0, 1, 1])


def test_a_saved_result_is_loaded_as_it_was(tmp_path):
    result = make_result()
    result.save(tmp_path / "sweep.nc")
    assert_same(SweepResult.load(tmp_path / "sweep.nc"), result)
    assert_same(SweepResult.load(str(tmp_path / "sweep.nc")), result)


def test_a_result_may_be_incomplete_and_without_validation(tmp_path):
    result = make_result(
        complete=False, validation={}, horizons=np.array([], np.int64), train={}
    )
    result.save(tmp_path / "sweep.nc")
    assert_same(SweepResult.load(tmp_path / "sweep.nc"), result)


def test_any_netcdf_reader_can_read_a_saved_result(tmp_path):
    import h5py

    make_result().save(tmp_path / "sweep.nc")
    with h5py.File(tmp_path / "sweep.nc") as file:
        assert file["validation_loss"].shape == (3, 1, 2, 3)
        assert "train_grad%2Fnorm" in file


def test_a_foreign_file_is_refused_by_name(tmp_path):
    foreign = make_result(train={}).to_xarray().assign_attrs(format="other/3")
    foreign.to_netcdf(tmp_path / "foreign.nc", engine="h5netcdf")
    with pytest.raises(
        ValueError, match=r"load: format must be 'optax_cycles.*/1', got 'other/3'"
    ):
        SweepResult.load(tmp_path / "foreign.nc")
    (tmp_path / "text.nc").write_text("not a netCDF file")
    with pytest.raises(OSError, match=r"load: .*text.nc can't be read, .*signature"):
        SweepResult.load(tmp_path / "text.nc")
    with pytest.raises(FileNotFoundError):
        SweepResult.load(tmp_path / "missing.nc")


def test_what_is_missing_from_a_dataset_is_named():
    dataset = make_result().to_xarray().drop_vars("status")
    del dataset.attrs["axes"]
    with pytest.raises(ValueError, match="the dataset has no axes, status"):
        SweepResult.from_xarray(dataset)


def test_a_flipped_bit_or_a_lost_end_of_a_file_is_noticed(tmp_path):
    result, path = make_result(), tmp_path / "sweep.nc"
    result.save(path)
    whole = path.read_bytes()
    # Where the array lies in the file, which is not compressed.
    at = whole.index(result.train["loss"].tobytes())
    for damaged in (
        whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :],
        whole[: len(whole) // 2],
    ):
        path.write_bytes(damaged)
        with pytest.raises(OSError, match=r"load: .*sweep\.nc can't be read"):
            SweepResult.load(path)


def test_what_was_saved_before_stays_where_saving_fails(tmp_path):
    path = tmp_path / "sweep.nc"
    make_result().save(path)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(OSError, match=r"sweep.nc can't be .*File too large"):
            make_result(complete=False).save(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert_same(SweepResult.load(path), make_result())
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("where", "reason"),
    [("no/sweep.nc", "No such file"), ("file/sweep.nc", "Not a directory")],
)
def test_a_path_that_cant_be_written_is_named(tmp_path, where, reason):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=rf"save: .*{where} can't be written \({reason}"):
        make_result().save(tmp_path / where)


class Bomb:
    """Unpickling it ends the test."""

    def __reduce__(self):
        return pytest.fail, ("the file was executed",)


@pytest.mark.parametrize("where", ["axes", "seconds", "versions", "format"])
def test_nothing_in_a_file_is_executed(tmp_path, where, monkeypatch):
    """Attributes and variables may hold code and pickles: they are text or refused."""
    for module, name in [(pickle, "loads"), (builtins, "eval"), (builtins, "exec")]:
        stop = functools.partial(pytest.fail, f"{name} was called")
        monkeypatch.setattr(module, name, stop)
    path, pickled = tmp_path / "sweep.nc", np.frombuffer(pickle.dumps(Bomb()), np.uint8)
    code = "__import__('pytest').fail('the file was executed')"
    dataset = make_result(train={}).to_xarray().assign(train_bomb=("byte", pickled))
    dataset = dataset.assign_attrs({where: code, "note": pickled})
    dataset.to_netcdf(path, engine="h5netcdf")
    with pytest.raises(ValueError, match=r"format must be|JSON, got Expecting"):
        SweepResult.load(path)


def test_a_foreign_dataset_is_refused():
    dataset = make_result().to_xarray().drop_attrs()
    with pytest.raises(ValueError, match="from_xarray: format must be 'optax_cycles"):
        SweepResult.from_xarray(dataset)
