"""`optax-cycles sweep`: grids and points of one optimizer or of several."""

import json
import os
import shutil

import numpy as np
import pytest
import xarray as xr
from scipy.stats import qmc

import optax_cycles as oc

TINY = ("sweep", "--problem", "tiny:task", "--batch-size", 8, "--steps", 20)
SEEDS = (
    *(*TINY, "--optimizer", "sgd", "--seeds", 2, "--keep-state"),
    *("--space", "learning_rate=log:0.01:100:5"),
)
PARABOLA = ("sweep", "--problem", "tiny:parabola", "--steps", 6)


def content_of(folder):
    return json.loads((folder / "sweep.json").read_text())


def left(rate, steps, momentum=0.0):
    """The loss that SGD leaves of the parabola, step by step in float64."""
    x, trace = 1.0, 0.0
    for _ in range(steps):
        trace = momentum * trace + x
        x -= rate * trace
    return 4 * x**2 / 2


@pytest.fixture(scope="module")
def swept(in_folder):
    """A grid of rates times seeds that has been run."""
    return in_folder(*SEEDS)


def test_the_best_has_the_best_median_over_seeds(swept):
    content = content_of(swept.folder)
    assert content["complete"] is True
    with xr.open_dataset(swept.folder / "sweep.nc", engine="h5netcdf") as file:
        losses = file["validation_loss"].to_numpy()[..., -1]
        rates = file["learning_rate"].to_numpy()
    assert losses.shape == (5, 2)
    medians = np.median(np.where(np.isfinite(losses), losses, np.inf), axis=1)
    np.testing.assert_allclose(rates, 10.0 ** np.arange(-2, 3), rtol=1e-12)
    best = content["best"]
    assert best == {
        "optimizer": "sgd",
        "learning_rate": rates[medians.argmin()],
        "loss": pytest.approx(medians.min(), rel=1e-6),
    }
    ended = [row for row in content["leaderboard"] if row["updates"] == 20]
    np.testing.assert_allclose(
        [row["loss"] for row in ended],
        np.sort(medians)[: len(ended)],
        rtol=1e-6,
    )
    assert content["members"] == 10


def test_it_prints_the_leaderboard_the_time_and_the_files(swept):
    out = " ".join(swept.out.split())
    assert "The best points by loss (min), after 20 updates, medians of 2 seeds" in out
    best = content_of(swept.folder)["best"]
    assert f"│ 1 │ {best['loss']:.4g} │" in out
    for words in ("diverged", "Where the time went"):
        assert words in out
    assert "In found/: sweep.nc, sweep.png, state, sweep.json" in out
    assert (swept.folder / "sweep.png").read_bytes().startswith(b"\x89PNG")
    assert max(map(len, swept.out.splitlines())) <= 80


def test_a_state_that_was_kept_can_be_started_from(swept, command, folder):
    """With a rate of nearly nothing the loss stays where the best had left it."""
    shutil.copytree(swept.folder, folder / "found")
    words = ("--optimizer", "sgd", "--space", "learning_rate=1e-20,2e-20")
    code, _, err = command(*TINY, *words, "--from-checkpoint", "found", "--out", "on")
    assert (code, err) == (0, "")
    losses = [row["loss"] for row in content_of(folder / "on")["leaderboard"]]
    with xr.open_dataset(folder / "found/sweep.nc", engine="h5netcdf") as file:
        before = file["validation_loss"].to_numpy()[..., -1]
    np.testing.assert_allclose(losses, np.nanmin(before), rtol=1e-6)


def test_points_are_drawn_evenly(command, folder):
    words = ("--points", 8, "--sample", "sobol", "--key", 3, "--optimizer", "momentum")
    spaces = ("--space", "learning_rate=log:0.01:1", "--space", "momentum=lin:0:0.8")
    code, _, err = command(*PARABOLA, *words, *spaces)
    assert (code, err) == (0, "")
    result = oc.sweep.SweepResult.load(folder / "optax-cycles-sweep/sweep.nc")
    members = result.space.members()
    shares = qmc.Sobol(2, rng=np.random.default_rng(3)).random(8)
    expected = {"learning_rate": 0.01 ** (1 - shares[:, 0])}
    expected["momentum"] = 0.8 * shares[:, 1]
    for name, values in expected.items():
        np.testing.assert_allclose(members[name], values, rtol=1e-6)
    losses = [left(r, 6, m) for r, m in zip(*expected.values(), strict=True)]
    np.testing.assert_allclose(result.validation["loss"][:, -1], losses, rtol=1e-5)


def test_several_optimizers_and_batch_sizes_are_compared(command, folder):
    """Momentum belongs to one of them; the data make no difference here."""
    code, out, err = command(
        *(*PARABOLA, "--optimizer", "sgd", "--optimizer", "momentum", "--out", "both"),
        *("--space", "learning_rate=0.1,0.5", "--space", "batch_size=4,8"),
        *("--space", "momentum.momentum=0.2,0.4"),
    )
    assert (code, err) == (0, "")
    labels = [f"-{o}-{size}" for o in ("momentum", "sgd") for size in (4, 8)]
    names = {f"sweep{label}.{end}" for label in labels for end in ("nc", "png")}
    assert set(os.listdir(folder / "both")) == names | {"sweep.json", "sweep.png"}
    rows = content_of(folder / "both")["leaderboard"]
    assert len(rows) == 2 * (2 + 4)
    for row in rows:
        assert ("momentum" in row) == (row["optimizer"] == "momentum")
        expected = left(row["learning_rate"], 6, row.get("momentum", 0.0))
        assert row["loss"] == pytest.approx(expected, rel=1e-5)
    losses = [row["loss"] for row in rows]
    assert losses == sorted(losses)
    assert {row["batch_size"] for row in rows} == {4, 8}
    assert max(len(line) for line in out.splitlines() if "│" in line) <= 80


def test_optimizers_can_be_compared_at_constant_hyperparameters(command, folder):
    words = ("--optimizer", "sgd", "--optimizer", "momentum", "--seeds", 2)
    constants = ("--constant", "sgd.learning_rate=.5")
    constants += ("--constant", "momentum.learning_rate=.25")
    code, _, err = command(*PARABOLA, *words, *constants, "--out", "two")
    assert (code, err) == (0, "")
    found = {row["optimizer"]: row for row in content_of(folder / "two")["leaderboard"]}
    assert found["sgd"]["loss"] == pytest.approx(left(0.5, 6), rel=1e-5)
    assert found["momentum"]["loss"] == pytest.approx(left(0.25, 6, 0.9), rel=1e-5)


def test_a_sweep_without_a_finite_loss_has_no_best(command, folder):
    words = ["tiny:nan_task" if word == "tiny:task" else word for word in SEEDS]
    code, out, _ = command(*words, "--out", "nan")
    assert code == 1
    assert "No best point: no member ended with a finite loss" in out
    content = content_of(folder / "nan")
    assert (content["best"], content["complete"]) == (None, True)
    assert not (folder / "nan/state").exists()


@pytest.fixture
def copied(folder, swept):
    """A complete sweep's folder, by the name of `found`."""
    shutil.copytree(swept.folder, folder / "found")
    return folder / "found"


def test_a_complete_sweep_is_shown_again_without_training(command, copied, progress):
    code, out, err = command(*SEEDS, "--out", "found", "--devices", 1)
    assert (code, err, progress) == (0, "", [])
    assert out.startswith("Complete already: nothing is trained (--overwrite does)\n")
    assert "The best points by loss" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("--seeds", 3, "--optimizer", "momentum"),
            "a sweep with --optimizer sgd (now sgd,momentum), --space "
            "learning_rate=log:0.01:100:5 (now ",
        ),
        (("--points", 4), "must have no number of values"),
        (("--key", 2), "a sweep with --key 0 (now 2): give another --out, or start an"),
    ],
)
def test_another_sweep_with_the_same_out_is_refused(command, copied, words, said):
    before = content_of(copied)
    code, out, err = command(*SEEDS, *words, "--out", "found")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert said in err
    assert content_of(copied) == before


def test_the_folder_of_another_command_is_refused_or_overwritten(command, copied):
    search = ("search", *SEEDS[1:-2], "--space", "learning_rate=log:0.01:1")
    search += ("--points", 3, "--out", "found")
    code, _, err = command(*search)
    assert (code, err.count("\n")) == (2, 1)
    assert "--out: found/ holds a sweep (sweep.json): give another --out, or" in err
    code, _, err = command(*search, "--overwrite")
    assert (code, err) == (0, "")
    assert sorted(os.listdir(copied)) == [
        "search.json",
        "search.nc",
        "search.png",
        "state",
    ]


def test_control_c_keeps_what_has_been_computed_and_the_command_goes_on(
    command, folder, progress, swept
):
    progress.interrupt("sweep", 10 * 10)
    code, out, err = command(*SEEDS, "--out", "cut")
    assert (code, err.count("\n")) == (1, 1)
    assert "error: interrupted; the same command goes on from what cut/ has" in err
    assert "(incomplete)" in out
    assert "The best points" not in out
    cut = content_of(folder / "cut")
    assert (cut["complete"], cut["best"]) == (False, None)
    losses = oc.sweep.SweepResult.load(folder / "cut/sweep.nc").train["loss"]
    assert np.all(np.isfinite(losses[0, :, :10]))
    assert np.all(np.isnan(losses[0, :, 10:]))

    progress.clear()
    code, _, err = command(*SEEDS, "--out", "cut")
    assert (code, err) == (0, "")
    assert progress[1] == ("sweep", 10 * 10)
    found, expected = content_of(folder / "cut"), content_of(swept.folder)
    assert found["leaderboard"] == expected["leaderboard"]
    assert sorted(os.listdir(folder / "cut")) == sorted(os.listdir(swept.folder))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--space learning_rate=log:1:0.1:5", "argument --space: must rise: 1 is not"),
        ("--space learning_rate=log:0:1", "must begin above 0 on a logarithmic axis"),
        ("--space learning_rate=exp:1:2", "must be written log:LOW:HIGH[:NUM]"),
        ("--space momentum=.5,.9", "--space: the learning_rate is needed too: --space"),
        ("--space learning_rte=1,2", "(did you mean 'learning_rate'?)"),
        ("--space learning_rate --space weight_decay", "; sgdw and adamw take it"),
        ("--space learning_rate --space learning_rate", "rate is given twice"),
        ("--space learning_rate --constant learning_rate=1", "rate is given twice"),
        ("--space adamw.learning_rate", "is of another optimizer than --optimizer mom"),
        ("--space batch_size=int:8:16 --space learning_rate", "must be a list of posi"),
        ("--space batch_size=.5,1 --space learning_rate", "must be a list of positive"),
        (
            "--space batch_size=8,16 --space learning_rate --batch-size 8",
            "--batch-size can't be given besides --space batch_size",
        ),
        (
            "--space batch_size=8,800 --space learning_rate=.1,.2",
            "batch_size must be at most the number of examples (48), got 800",
        ),
        ("--optimizer sgd --optimizer sgd", "--optimizer: one is given twice"),
        (
            "--optimizer sgdw --optimizer adamw --space learning_rate --space eps",
            "--space: eps is a hyperparameter of adamw only: write adamw.eps=...",
        ),
        (
            "--optimizer sgdw --optimizer sgd --space sgd.learning_rate",
            "the learning_rate of sgdw is needed too: --space sgdw.learning_rate, or",
        ),
        ("--constant sgdw.momentum=0.9", "--constant: sgdw.momentum is of another opt"),
        ("--sample sobol", "--sample sobol needs --points, how many to draw"),
        ("--points 3 --space learning_rate=log:1:2:3", "must have no number of values"),
        ("--points 3 --constant learning_rate=1", "--space: there is nothing to draw"),
        ("--metric accuracy", "--mode is needed with --metric accuracy: max where"),
        (
            "--metric accuracy --mode max",
            "--metric must be one of loss, got 'accuracy'",
        ),
        ("--problem tiny:uneven_task", "run: validation must be a pytree of arrays"),
        ("--problem tiny:vector_task", "the loss must be a floating-point scalar"),
        ("--restart-optimizer", "--restart-optimizer needs --from-checkpoint"),
        ("--out tiny.py/x", "--out: can't write to 'tiny.py/x'"),
    ],
)
def test_bad_input_is_one_clear_line(command, folder, words, message):
    code, out, err = command("sweep", "--problem", "tiny:task", *words.split())
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
    assert sorted(os.listdir(folder)) in (["tiny.py"], ["__pycache__", "tiny.py"])
