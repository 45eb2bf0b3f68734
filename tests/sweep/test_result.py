import dataclasses

import numpy as np
import pytest

import optax_cycles as oc
from optax_cycles.sweep import Status, SweepResult

NAN, INF = float("nan"), float("inf")
RATES, MOMENTA, SEEDS = [0.1, 1.0, 10.0], [0.9, 0.8, 0.7], [0, 4]
HORIZONS = [0, 2, 3]


def make_result(**changes):
    """3 rates (with a momentum each) by 2 seeds by 1 decay, 3 steps; one diverged."""
    space = oc.sweep.grid(
        oc.sweep.zip(learning_rate=RATES, momentum=MOMENTA), decay=[0.5], seed=SEEDS
    )
    rng = np.random.default_rng(0)
    train = rng.normal(size=(3, 1, 2, 3)).astype(np.float32)
    validation = rng.normal(size=(3, 1, 2, 3)).astype(np.float32)
    status = np.zeros((3, 1, 2), np.int32)
    train[2, 0, 1, 2:] = validation[2, 0, 1, 1:] = NAN
    status[2, 0, 1] = Status.DIVERGED
    result = SweepResult(
        space=space,
        steps=3,
        train={"loss": train, "grad/norm": 2 * train},
        validation={"loss": validation, "accuracy": -validation},
        horizons=np.array(HORIZONS, np.int64),
        status=status,
        updates=np.where(status == Status.DIVERGED, 2, 3).astype(np.int32),
        complete=True,
        seconds={"train": 1.5, "compile": 0.25},
        versions={"jax": "0.10.2"},
    )
    return dataclasses.replace(result, **changes)


def with_last(values):
    """A result whose last validation losses are `values`, in order of the members."""
    validation = np.zeros((3, 1, 2, 3), np.float32)
    validation[..., -1] = np.reshape(values, (3, 1, 2))
    return make_result(validation={"loss": validation})


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
        ValueError, match=r"load: .*foreign\.nc must hold 'optax_cycles.*'other/3'"
    ):
        SweepResult.load(tmp_path / "foreign.nc")
    (tmp_path / "text.nc").write_text("not a netCDF file")
    with pytest.raises(OSError, match="file signature not found"):
        SweepResult.load(tmp_path / "text.nc")
    with pytest.raises(FileNotFoundError):
        SweepResult.load(tmp_path / "missing.nc")


def test_a_foreign_dataset_is_refused():
    dataset = make_result().to_xarray().drop_attrs()
    with pytest.raises(ValueError, match="from_xarray: format must be 'optax_cycles"):
        SweepResult.from_xarray(dataset)


def test_a_dataframe_has_a_row_for_each_member_and_horizon():
    result = make_result()
    frame = result.to_dataframe()
    assert len(frame) == 3 * 1 * 2 * 3
    assert {"learning_rate", "momentum", "decay", "seed", "horizon"} <= set(frame)
    assert not [name for name in frame if name.startswith("train_")]
    for i, rate in enumerate(RATES):
        for j, seed in enumerate(SEEDS):
            for k, horizon in enumerate(HORIZONS):
                here = frame[
                    (frame.learning_rate == rate)
                    & (frame.seed == seed)
                    & (frame.horizon == horizon)
                ]
                assert here.momentum.tolist() == [MOMENTA[i]]
                assert here.status.tolist() == [result.status[i, 0, j]]
                np.testing.assert_array_equal(
                    here.validation_loss, [result.validation["loss"][i, 0, j, k]]
                )


def test_a_dataframe_without_validation_has_a_row_for_each_member():
    result = make_result(validation={}, horizons=np.array([], np.int64))
    frame = result.to_dataframe()
    assert len(frame) == 6
    assert frame["updates"].tolist() == [3, 3, 3, 3, 3, 2]


def test_diverged_members_are_marked():
    assert make_result().diverged.ravel().tolist() == [False] * 5 + [True]


def test_a_score_is_infinite_where_there_is_no_number():
    result = with_last([3.0, NAN, INF, -INF, -2.0, 0.0])
    assert result.score().ravel().tolist() == [3.0, INF, INF, INF, -2.0, 0.0]
    assert result.score(horizon=2).ravel().tolist() == [0.0] * 6
    assert result.score().shape == (3, 1, 2)


def test_a_score_names_what_was_not_recorded():
    result = make_result()
    with pytest.raises(ValueError, match="score: metric must be one of accuracy, loss"):
        result.score("los")
    with pytest.raises(ValueError, match=r"horizon must be one of \[0, 2, 3\], got 1"):
        result.score(horizon=1)


@pytest.mark.parametrize(
    ("last", "mode", "rate", "seed"),
    [
        ([3.0, 2.0, NAN, 1.0, 5.0, INF], "min", 1.0, 4),
        ([3.0, 2.0, NAN, 1.0, 5.0, INF], "max", 10.0, 0),
        ([3.0, -INF, NAN, 4.0, 5.0, INF], "min", 0.1, 0),
        ([NAN, NAN, NAN, NAN, NAN, 7.0], "min", 10.0, 4),
        ([1.0] * 6, "min", 0.1, 0),
    ],
)
def test_the_best_member_has_the_best_finite_number(last, mode, rate, seed):
    assert with_last(last).best(mode=mode) == {
        "learning_rate": rate,
        "momentum": MOMENTA[RATES.index(rate)],
        "decay": 0.5,
        "seed": seed,
    }


def test_there_is_no_best_member_where_all_failed():
    with pytest.raises(ValueError, match="best: no member has a finite loss"):
        with_last([NAN, INF, -INF, NAN, NAN, NAN]).best()
    with pytest.raises(ValueError, match="best: mode must be one of max, min"):
        make_result().best(mode="least")
    with pytest.raises(ValueError, match="best: metric must be one of"):
        make_result().best("f1")
