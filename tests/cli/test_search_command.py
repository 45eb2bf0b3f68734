"""`optax-cycles search`: halving, Hyperband, populations and Optuna's samplers."""

import json
import os
import shutil
import signal
import sys

import numpy as np
import optuna
import pytest

import optax_cycles as oc

SGD = ("--optimizer", "sgd", "--space", "learning_rate=log:0.01:1")
PARABOLA = ("search", "--problem", "tiny:parabola", "--steps", 18, *SGD)
HALVING = (*PARABOLA, "--points", 9, "--first", 2)
POPULATION = (*PARABOLA, "--method", "population", "--members", 8, "--interval", 4)
TRIALS = (*PARABOLA, "--method", "optuna", "--trials", 12, "--batch", 4)


def content_of(folder):
    return json.loads((folder / "search.json").read_text())


def curves_of(folder):
    return oc.sweep.SweepResult.load(folder / "search.nc")


def left(rates):
    """The loss that gradient descent leaves of the parabola, from 1 in 4 dimensions."""
    return 2 * np.prod((1 - np.asarray(rates, np.float64)) ** 2)


@pytest.fixture(scope="module")
def halved(in_folder):
    """A halving that has been run."""
    return in_folder(*HALVING)


def test_halving_keeps_the_best_third(halved):
    """Of points whose losses after any number of updates are known."""
    result = curves_of(halved.folder)
    rates = result.space.members()["learning_rate"]
    drawn = 0.01 ** (1 - np.random.default_rng(0).random(9))
    np.testing.assert_allclose(rates, drawn, rtol=1e-6)
    # At all rates below 1 the larger one is ahead, however long it trains.
    places = np.argsort(np.argsort(-rates))
    expected = np.where(places < 1, 18, np.where(places < 3, 6, 2))
    np.testing.assert_array_equal(result.updates, expected)
    content = content_of(halved.folder)
    assert content["best"] == {
        "optimizer": "sgd",
        "learning_rate": pytest.approx(rates.max(), rel=1e-6),
        "loss": pytest.approx(left([rates.max()] * 18), rel=1e-4),
    }
    assert content["updates"] == {"spent": expected.sum(), "full": 9 * 18}
    assert content["settings"]["eta"] == 3
    assert content["refusal"] is None


def test_it_prints_who_was_dropped_and_what_was_spent(halved):
    out = " ".join(halved.out.split())
    assert "The best points by loss (min), after 18 updates" in out
    assert "│ 18 │ ended │" in out
    assert out.count("dropped") == 8
    assert "9 members, 42 of 162 updates (26%)" in out
    assert "In found/: search.nc, search.png, search.json" in out


def test_seeds_are_compared_by_their_median(command, folder):
    words = ("search", "--problem", "tiny:task", "--steps", 9, "--batch-size", 8, *SGD)
    words += ("--points", 4, "--seeds", 3, "--sample", "sobol", "--eta", 2)
    code, out, err = command(*words, "--first", 9, "--out", "seeds")
    assert (code, err) == (0, "")
    assert "medians of 3 seeds" in out
    result = curves_of(folder / "seeds")
    assert result.space.names == ("point", "seed")
    medians = np.median(result.validation["loss"][..., -1], axis=1)
    content = content_of(folder / "seeds")
    rates = result.space.axes[0].values["learning_rate"]
    assert content["best"]["learning_rate"] == rates[medians.argmin()]
    losses = [row["loss"] for row in content["leaderboard"]]
    np.testing.assert_allclose(losses, np.sort(medians), rtol=1e-6)


def test_hyperband_has_several_mixtures(command, folder):
    """R = 9 and eta = 3: 9, 5 and 3 points, by table 1 of its paper."""
    words = ("--method", "hyperband", "--first", 2)
    code, _, err = command(*PARABOLA, *words, "--out", "band")
    assert (code, err) == (0, "")
    result = curves_of(folder / "band")
    assert result.space.size == 9 + 5 + 3
    reached = [sorted(part) for part in np.split(result.updates, [9, 14])]
    assert reached == [[*[2] * 6, 6, 6, 18], [6, 6, 6, 6, 18], [18, 18, 18]]
    best = content_of(folder / "band")["best"]
    expected = left([best["learning_rate"]] * 18)
    assert best["loss"] == pytest.approx(expected, rel=1e-4)


@pytest.fixture(scope="module")
def population(in_folder):
    """A population that has been trained."""
    return in_folder(*POPULATION, "--share", 0.25, "--keep-state")


def test_the_history_of_a_population_is_the_best_members_schedule(population):
    """Replayed by its formula it leaves the loss that is said."""
    content = content_of(population.folder)
    history = content["history"]
    assert history["steps"] == [0, 4, 8, 12, 16]
    lengths = np.diff([*history["steps"], 18])
    rates = np.repeat(history["learning_rate"], lengths)
    best = content["best"]
    assert best["loss"] == pytest.approx(left(rates), rel=1e-4)
    assert best["learning_rate"] == rates[-1]
    assert "The schedule of the best member" in population.out
    assert content["updates"]["spent"] == 8 * 18
    files = ["search.json", "search.nc", "search.png", "state"]
    assert sorted(os.listdir(population.folder)) == files


@pytest.fixture(scope="module")
def tried(in_folder):
    """Trials that Optuna asked for."""
    return in_folder(*TRIALS)


def study_in(folder):
    """What Optuna itself reads."""
    storage = f"sqlite:///{folder / 'study.db'}"
    (name,) = optuna.get_all_study_names(storage)
    return optuna.load_study(study_name=name, storage=storage)


def test_optunas_own_storage_has_the_trials(tried):
    study = study_in(tried.folder)
    assert len(study.trials) == 12
    rates = [trial.params["learning_rate"] for trial in study.trials]
    for trial, rate in zip(study.trials, rates, strict=True):
        assert trial.value == pytest.approx(left([rate] * 18), rel=1e-4, abs=1e-30)
    content = content_of(tried.folder)
    assert content["best"]["loss"] == study.best_value
    assert content["best"]["learning_rate"] == pytest.approx(max(rates), rel=1e-6)
    result = curves_of(tried.folder)
    np.testing.assert_allclose(result.space.members()["learning_rate"], rates)
    files = ["search.json", "search.nc", "search.png", "study.db"]
    assert sorted(os.listdir(tried.folder)) == files


def test_trials_go_on_from_the_batches_that_are_told(command, folder, progress, tried):
    """Ctrl-C in the second batch: the first is kept, the sampler draws the same."""
    progress.interrupt("search", 5 * 18)
    code, out, err = command(*TRIALS, "--out", "cut")
    assert (code, err.count("\n")) == (1, 1)
    assert "(incomplete)" in out
    cut = content_of(folder / "cut")
    assert (cut["complete"], cut["members"]) == (False, 8)
    assert cut["best"]["loss"] >= content_of(tried.folder)["best"]["loss"]

    progress.clear()
    code, _, err = command(*TRIALS, "--out", "cut")
    assert (code, err) == (0, "")
    found, expected = content_of(folder / "cut"), content_of(tried.folder)
    assert found["leaderboard"] == expected["leaderboard"]
    states = [trial.state.name for trial in study_in(folder / "cut").trials]
    assert states.count("COMPLETE") == 12
    assert states.count("FAIL") == 4


def test_ctrl_c_while_a_batch_is_kept_loses_none_of_it(
    command, folder, progress, tried, monkeypatch
):
    """The study knows of it by then, and would ask for another one in its place."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    save = oc.sweep.SweepResult.save

    def pressed(result, path):
        monkeypatch.setattr(oc.sweep.SweepResult, "save", save)
        signal.raise_signal(signal.SIGINT)
        save(result, path)

    monkeypatch.setattr(oc.sweep.SweepResult, "save", pressed)
    try:
        code, _, _ = command(*TRIALS, "--out", "cut")
    finally:
        signal.signal(signal.SIGINT, before)
    cut = content_of(folder / "cut")
    assert (code, cut["complete"], cut["members"]) == (1, False, 4)
    assert command(*TRIALS, "--out", "cut")[0] == 0
    expected = content_of(tried.folder)
    assert content_of(folder / "cut")["leaderboard"] == expected["leaderboard"]
    assert len(study_in(folder / "cut").trials) == 12


def test_ctrl_c_before_the_first_update_writes_what_there_is(command, folder, progress):
    progress.interrupt("search", 0)
    code, _, err = command(*POPULATION, "--out", "cut")
    assert (code, err.count("\n")) == (1, 1)
    assert "error: interrupted; the same command goes on" in err
    assert (folder / "cut/search.png").exists()


def test_a_study_of_another_space_is_refused(command, folder, tried):
    study = folder / "study.db"
    shutil.copy(tried.folder / "study.db", study)
    narrow = ["learning_rate=lin:0.01:1" if "=" in str(w) else w for w in TRIALS]
    code, out, err = command(*narrow, "--study", study, "--out", "other")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "optuna: study must be of the space {'learning_rate': Uniform(" in err
    assert not (folder / "other").exists()
    best = study_in(folder).best_trial
    code, _, err = command(*TRIALS, "--study", study, "--key", 1, "--out", "same")
    assert (code, err) == (0, "")
    assert len(study_in(folder).trials) == 24
    assert study_in(folder).best_value <= best.value
    assert not (folder / "same/study.db").exists()


def test_halving_goes_on_from_where_it_was_stopped(command, folder, progress, halved):
    progress.interrupt("search", 9 * 2 + 1)
    code, _, err = command(*HALVING, "--out", "cut")
    assert (code, err.count("\n")) == (1, 1)
    assert "interrupted; the same command goes on" in err
    assert content_of(folder / "cut")["complete"] is False

    progress.clear()
    code, _, err = command(*HALVING, "--out", "cut", "--devices", 1)
    assert (code, err) == (0, "")
    assert progress[1][1] > 0
    found, expected = content_of(folder / "cut"), content_of(halved.folder)
    for name in ("leaderboard", "best", "updates"):
        assert found[name] == expected[name]
    result, whole = curves_of(folder / "cut"), curves_of(halved.folder)
    np.testing.assert_array_equal(result.train["loss"], whole.train["loss"])


def test_a_complete_search_is_shown_again_and_no_other(
    command, folder, progress, halved
):
    shutil.copytree(halved.folder, folder / "found")
    code, out, err = command(*HALVING, "--out", "found")
    assert (code, err, progress) == (0, "", [])
    assert "Complete already" in out
    code, _, err = command(*HALVING, "--eta", 2, "--out", "found")
    assert (code, err.count("\n")) == (2, 1)
    assert "--out: found/ holds a search with --eta 3 (now 2): give another" in err
    code, _, err = command(*POPULATION, "--out", "found")
    assert code == 2
    assert "--method halving (now population)" in err


def test_several_optimizers_are_searched(command, folder):
    words = ("search", "--problem", "tiny:parabola", "--steps", 6, "--points", 4)
    code, out, err = command(
        *(*words, "--first", 2, "--out", "both", "--optimizer", "sgd"),
        *("--optimizer", "adam", "--space", "sgd.learning_rate=log:0.01:1"),
        *("--space", "adam.learning_rate=log:1e-4:1e-2"),
    )
    assert (code, err) == (0, "")
    rows = content_of(folder / "both")["leaderboard"]
    assert len(rows) == 8
    for row in rows:
        bounds = {"sgd": (0.01, 1), "adam": (1e-4, 1e-2)}[row["optimizer"]]
        assert bounds[0] <= row["learning_rate"] <= bounds[1]
    assert "optimizer" in out
    assert content_of(folder / "both")["best"]["optimizer"] == "sgd"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--method halvin", "argument --method: invalid choice: 'halvin'"),
        ("--eta 1", "argument --eta: must be a number above 1, got '1'"),
        ("--eta inf", "argument --eta: must be a number above 1, got 'inf'"),
        ("--method population --members 3", "must be an integer from 4 on, got '3'"),
        ("--method population --share .6", "above 0 and at most 0.5, got '.6'"),
        ("--method population --share .1 --members 5", "share must be at least one"),
        ("--method population --interval 30", "before the last update (20), got (30,"),
        (
            "--method population --points 3",
            "--points makes no sense with --method population, which has --members, "
            "--interval, --burn-in, --share",
        ),
        ("--burn-in 3", "--burn-in makes no sense with --method halving"),
        ("--method hyperband --seeds 2", "--seeds makes no sense with --method hyperb"),
        ("--study x.db", "--study makes no sense with --method halving"),
        ("--method optuna --study nowhere://x", "can't be used as a storage (Can't"),
        ("--method optuna --distributed", "--method optuna runs in one process, not"),
        ("--method optuna --keep-state", "--method optuna keeps no states"),
        ("--first 30", "first must be at most steps (20), got 30"),
        ("--key -1", "random: seed must be a non-negative integer, got -1"),
        (
            "--metric accuracy --mode max",
            "--metric must be one of loss, got 'accuracy'",
        ),
        ("--space learning_rate=log:0.1:1:9", "must have no number of values: points"),
        ("--space momentum", "--space: the learning_rate is needed too"),
        ("--constant learning_rate=1", "--space: there is nothing to draw"),
        ("--space seed=1,2", "must be a hyperparameter (--seeds says how many"),
    ],
)
def test_bad_input_is_one_clear_line(command, folder, words, message):
    given = ("search", "--problem", "tiny:task", "--steps", "20", *words.split())
    code, out, err = command(*given)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
    assert not (folder / "optax-cycles-search").exists()


def test_a_missing_extra_is_named(command, monkeypatch):
    for name in [n for n in sys.modules if n.split(".")[0] == "optuna"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "optuna", None)
    code, _, err = command(*TRIALS)
    assert (code, err.count("\n")) == (2, 1)
    assert 'pip install "optax-cycles[optuna]"' in err
