"""`optax-cycles range-test` on a tiny task: results, files, refusals, interruption."""

import json
import os
import re
import sys

import numpy as np
import pytest
import xarray as xr

import optax_cycles as oc

FILES = [
    *("parallel.nc", "ramp.nc", "range_test.json", "range_test.png", "state"),
    "training.nc",
]


def test_it_leaves_the_figure_and_the_results(once):
    assert sorted(os.listdir(once.folder)) == FILES
    content = json.loads((once.folder / "range_test.json").read_text())
    assert content["complete"] is True
    assert content["refusal"] is None
    suggestion = content["suggestion"]
    assert 0.01 <= suggestion["base"] <= suggestion["best"] <= suggestion["peak"] < 100
    low, high = suggestion["interval"]
    assert low <= high
    assert set(content["trainings"]) == {"1cycle", "constant"}
    assert len(content["trainings"]["1cycle"]["loss"]) == 2
    assert content["settings"]["optimizer"] == "sgd"
    assert content["seconds"]["range test"] > 0
    assert (once.folder / "range_test.png").read_bytes().startswith(b"\x89PNG")


def test_the_curves_can_be_read_back(once):
    result = oc.sweep.SweepResult.load(once.folder / "parallel.nc")
    assert result.space.names == ("learning_rate", "seed")
    assert result.train["loss"].shape == (8, 2, 20)
    content = json.loads((once.folder / "range_test.json").read_text())
    training = oc.sweep.SweepResult.load(once.folder / "training.nc")
    np.testing.assert_allclose(
        training.validation["loss"][0, :, -1],
        content["trainings"]["1cycle"]["loss"],
        rtol=1e-6,
    )


def test_it_prints_the_suggestion_both_trainings_and_the_time(once):
    for words in ("peak", "best constant", "base", *oc.RULES):
        assert words in once.out
    assert "Their medians lie within a factor of" in once.out
    assert "1cycle" in once.out
    assert "constant" in once.out
    assert "Where the time went" in once.out
    assert re.search(r"1cycle +│ +[\d.e-]+ ± [\d.e-]+ │", once.out)


def test_the_suggested_rate_trains_a_quadratic(once):
    """The least-squares loss has curvature near 2, so rates near 1/2 are best."""
    content = json.loads((once.folder / "range_test.json").read_text())
    assert 0.05 < content["suggestion"]["best"] < 1.0


def test_a_loss_that_never_falls_is_refused(command, folder, quick):
    words = [w if w != "tiny:task" else "tiny:flat_task" for w in quick]
    code, out, _ = command(*words, "--out", "flat")
    assert code == 1
    assert "No suggestion: parallel_best: no value improves" in " ".join(out.split())
    content = json.loads((folder / "flat/range_test.json").read_text())
    assert content["suggestion"] is None
    assert "no value improves" in content["refusal"]


def test_a_range_that_ends_too_early_is_refused(command, narrow):
    code, out, _ = command(*narrow, "--out", "short")
    assert code == 1
    assert "raise the end of the range" in " ".join(out.split())


def test_a_loss_that_is_never_finite_is_refused(command, folder, quick):
    words = [w if w != "tiny:task" else "tiny:nan_task" for w in quick]
    code, out, _ = command(*words, "--out", "nan")
    assert code == 1
    assert "training failed at every value" in " ".join(out.split())
    content = json.loads((folder / "nan/range_test.json").read_text())
    assert "training failed at every value" in content["refusal"]
    assert content["curve"]["share_diverged"] == [1.0] * 8
    assert (folder / "nan/range_test.png").exists()


def test_bad_input_leaves_no_folder_behind(command, folder):
    command("range-test", "--problem", "tiny:vector_task", "--batch-size", 8)
    command("range-test", "--problem", "tiny:nothing")
    assert not (folder / "optax-cycles-out").exists()


def test_the_files_describe_themselves(once):
    with xr.open_dataset(once.folder / "ramp.nc", engine="h5netcdf") as ramp:
        rates = ramp["learning_rate"].to_numpy()
        assert ramp["learning_rate"].dims == ("step",)
    np.testing.assert_allclose(rates, 0.01 * 1e4 ** (np.arange(20) / 20), rtol=1e-12)
    with xr.open_dataset(once.folder / "training.nc", engine="h5netcdf") as training:
        assert training["training"].to_numpy().tolist() == ["1cycle", "constant"]
        codes = json.loads(training["status"].attrs["codes"])
    expected = {"running": 0, "diverged": 1, "padding": 2, "dropped": 3}
    assert codes == expected
    curve = json.loads((once.folder / "range_test.json").read_text())["curve"]
    result = oc.sweep.SweepResult.load(once.folder / "parallel.nc")
    rates = result.space.axes[0].values["learning_rate"]
    np.testing.assert_array_equal(curve["learning_rate"], rates)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("range-test --out=", "--out must be a folder's name, got ''"),
        (
            "range-test --problem tiny:uneven_task --batch-size 8",
            "run: validation must be a pytree of arrays with equally many examples",
        ),
        (
            "range-test --problem tiny:needy_task",
            "--problem: tiny:needy_task must take no arguments (missing a required",
        ),
        ("range-test --optimizer adm", "argument --optimizer: invalid choice: 'adm'"),
        ("range-test --model rnn", "argument --model: invalid choice: 'rnn'"),
        ("range-test --speed 3", "unrecognized arguments: --speed 3"),
        ("range-test --steps 0", "--steps: must be a positive integer, got '0'"),
        ("range-test --seeds two", "--seeds: must be a positive integer, got 'two'"),
        ("range-test --problem tiny", "--problem must be written module:attribute"),
        ("range-test --problem nowhere:x", "--problem: there is no module 'nowhere'"),
        (
            "range-test --problem tiny:taks",
            "module 'tiny' has no attribute 'taks', only one of",
        ),
        (
            "range-test --problem tiny:not_a_task",
            "--problem must name an optax_cycles.problems.Task",
        ),
        (
            "range-test --problem tiny:vector_task --batch-size 8",
            "the loss must be a floating-point scalar, got float32[8]",
        ),
        (
            "range-test --problem tiny:task --batch-size 100",
            "batch_size must be at most the number of examples (48), got 100",
        ),
        ("range-test --out tiny.py/x", "--out: can't write to 'tiny.py/x'"),
        ("range-tset", "invalid choice: 'range-tset'"),
        ("", "the following arguments are required: COMMAND"),
    ],
)
def test_bad_input_is_one_clear_line(command, words, message):
    code, out, err = command(*words.split())
    assert code == 2
    assert message in err
    assert err.count("\n") == 1
    assert "Traceback" not in out + err


def test_near_matches_of_an_attribute_are_listed(command):
    _, _, err = command("range-test", "--problem", "tiny:taks")
    assert "did you mean 'task'" in err


def test_a_mistake_in_the_users_own_code_keeps_its_traceback(command):
    with pytest.raises(RuntimeError, match="the user's own mistake"):
        command("range-test", "--problem", "tiny:broken_task", "--batch-size", 8)


@pytest.mark.parametrize(
    ("missing", "extra"), [("rich", "sweep"), ("sklearn", "problems")]
)
def test_a_missing_extra_is_named(command, monkeypatch, missing, extra):
    for name in [n for n in sys.modules if n.split(".")[0] == missing]:
        monkeypatch.delitem(sys.modules, name)

    finders = list(sys.meta_path)

    class Without:
        """An import system that does not have the package."""

        def find_spec(self, name, path=None, target=None):
            if name.split(".")[0] != missing:
                found = (finder.find_spec(name, path, target) for finder in finders)
                return next(filter(None, found), None)

    monkeypatch.setattr(sys, "meta_path", [Without()])
    code, _, err = command("range-test", "--out", "x")
    assert code == 2
    assert f'pip install "optax-cycles[{extra}]"' in err
    assert err.count("\n") == 1


def test_help_shows_examples_and_documents_the_files(command):
    code, out, _ = command("range-test", "--help")
    assert code == 0
    assert "examples:" in out
    for file in ("range_test.png", "range_test.json", "parallel.nc"):
        assert file in out


def test_version(command):
    code, out, _ = command("--version")
    assert (code, out.strip()) == (0, f"optax-cycles {oc.__version__}")


@pytest.mark.slow
def test_the_digits_get_a_rate_that_trains_and_one_cycle_holds_up(command, folder):
    """The command as the README has it: 64 rates, 5 seeds, 300 updates."""
    code, _, err = command("range-test")
    assert code == 0, err
    content = json.loads((folder / "optax-cycles-out/range_test.json").read_text())
    suggestion = content["suggestion"]
    # Momentum SGD on this problem explodes at .3 and has hardly moved at .001.
    assert 0.005 < suggestion["best"] <= suggestion["peak"] < 0.2
    losses = np.array(content["curve"]["median_loss"], float)  # None is NaN
    assert suggestion["loss"] <= 1.05 * np.nanmin(losses)
    assert content["curve"]["share_diverged"][-1] == 1.0
    accuracy = {
        name: np.mean(metrics["accuracy"])
        for name, metrics in content["trainings"].items()
    }
    assert min(accuracy.values()) > 0.96
    # A standard error of the difference of five seeds each is near .004.
    assert accuracy["1cycle"] > accuracy["constant"] - 0.004
