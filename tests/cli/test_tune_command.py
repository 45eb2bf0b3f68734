"""`optax-cycles tune`: from a task that is named to a recipe in files."""

import dataclasses
import io
import json
import os
import re
import shutil
import sys
from types import ModuleType

import jax
import numpy as np
import optax
import pytest
from rich.console import Console as RichConsole

import optax_cycles as oc
from optax_cycles.cli import tune as options
from optax_cycles.cli import tuning
from optax_cycles.cli.console import Console
from optax_cycles.tuning import TuneProgress
from optax_cycles.tuning.family import NAMED

from .conftest import TASK

STEPS = 20
QUICK = ("tune", "--problem", "shared:task", "--steps", STEPS, "--batch-size", 8)
NEVER = ("tune", "--problem", "shared:never", "--steps", STEPS, "--rates", "1e-3:1")
FILES = ["recipe.json", "recipe.py", "report.html", "tune.json"]


@pytest.fixture(scope="module", autouse=True)
def shared():
    """A module of tasks that stays what it is, so that its programs are kept."""
    module = ModuleType("shared")
    exec(TASK, vars(module))
    module.never = module.nan_task()
    sys.modules["shared"] = module
    yield module
    del sys.modules["shared"]


@pytest.fixture(scope="module")
def tuned(in_folder, shared):
    """A task that has been tuned."""
    return in_folder(*QUICK)


def content_of(folder):
    return json.loads((folder / "tune.json").read_text())


def recipe_in(folder):
    return oc.Recipe.load(folder / "recipe.json")


def test_the_recipe_is_that_of_the_call_in_python(tuned, shared):
    expected = oc.tune(
        shared.task.problem,
        shared.task.train,
        validation=shared.task.validation,
        key=jax.random.key(0),
        steps=STEPS,
        batch_size=8,
    )
    found = recipe_in(tuned.folder)
    assert found.complete
    assert found.to_python() == expected.to_python()
    assert found.scores == expected.scores
    assert [step.rows for step in found.evidence] == [
        step.rows for step in expected.evidence
    ]


def test_the_code_in_recipe_py_trains_as_it_says(tuned, shared):
    made = {}
    exec((tuned.folder / "recipe.py").read_text(), made)
    x, y = shared.task.train
    losses = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        params = np.zeros(4, np.float32)
        state = made["optimizer"].init(params)
        # Each example once before any comes again.
        order = np.concatenate([rng.permutation(len(x)) for _ in range(STEPS)])
        for step in range(STEPS):
            rows = order[8 * step : 8 * (step + 1)]
            grads = 2 * x[rows].T @ (x[rows] @ params - y[rows]) / 8
            updates, state = made["optimizer"].update(grads, state, params)
            params = optax.apply_updates(params, updates)
        inputs, targets = shared.task.validation
        losses.append(np.mean((inputs @ params - targets) ** 2))
    # Other batches than tuning has drawn; without training it is 30.
    assert 0.3 < np.median(losses) / content_of(tuned.folder)["score"]["median"] < 3


def test_the_json_file_has_the_recipe_and_what_it_rests_on(tuned):
    content, recipe = content_of(tuned.folder), recipe_in(tuned.folder)
    said = content["recipe"]
    for name in ("schedule", "steps", "batch_size", "learning_rate", "weight_decay"):
        assert said[name] == getattr(recipe, name)
    assert content["complete"]
    assert content["refusal"] is content["stopped"] is None
    assert content["score"]["seeds"] == list(recipe.scores)
    assert content["score"]["median"] == pytest.approx(np.median(recipe.scores))
    assert content["runner_up"]["median"] >= content["score"]["median"]
    updates = [step["updates"] for step in content["steps"]]
    assert content["updates"] == {"spent": sum(updates), "asked": 120 * STEPS}
    assert sum(updates) == pytest.approx(120 * STEPS, rel=0.1)
    assert content["code"] == recipe.to_python()
    assert content["settings"]["batch_size"] == [8]
    assert sorted(os.listdir(tuned.folder)) == FILES
    page = (tuned.folder / "report.html").read_text()
    assert "oc.inject(" in page


def test_it_prints_the_steps_the_recipe_and_the_code(tuned):
    content = content_of(tuned.folder)
    tables = tuned.out.replace(content["code"], "")
    assert max(map(len, tables.splitlines())) <= 80
    for step in content["steps"]:
        assert f"│ {step['name']} " in tuned.out
        assert f"{step['best']['score']:.4g} " in tuned.out
    seeds = np.array(content["score"]["seeds"])
    score = f"median {np.median(seeds):.4g}, mean {seeds.mean():.4g} ± "
    assert f"{score}{seeds.std(ddof=1):.2g}, {len(seeds)} new seeds" in tuned.out
    assert f"median {content['runner_up']['median']:.4g}, mean" in tuned.out
    assert f"\n{content['code']}\n" in tuned.out
    assert "│ tuning " in tuned.out
    assert "In found/: recipe.json, recipe.py, report.html, tune.json" in tuned.out


@pytest.mark.slow
def test_ctrl_c_leaves_the_best_so_far_and_the_command_goes_on(
    command, folder, progress, tuned
):
    """Before there is a recipe, then in a later step, then not at all."""
    progress.interrupt("learning rate", 1)
    code, out, err = command(*QUICK, "--out", "cut")
    assert (code, err.count("\n")) == (1, 1)
    assert "interrupted; the same command goes on from what cut/ has kept" in err
    assert "In cut/ (incomplete): tune.json" in out
    assert content_of(folder / "cut")["recipe"] is None

    progress.clear()
    progress.interrupt("final", 1)
    code, out, err = command(*QUICK, "--out", "cut")
    assert (code, err.count("\n")) == (1, 1)
    assert "The best recipe so far" in out
    assert "no final trainings yet" in out
    content, kept = content_of(folder / "cut"), recipe_in(folder / "cut")
    assert (content["complete"], kept.complete) == (False, False)
    assert [step.name for step in kept.evidence][-1] == "schedule"
    assert content["stopped"] == "interrupted"
    assert content["score"] is content["runner_up"] is None
    assert {*FILES, "checkpoints"} == {*os.listdir(folder / "cut")}

    # Stopped in an earlier step, it forgets nothing.
    progress.clear()
    progress.interrupt("learning rate", 0)
    assert command(*QUICK, "--out", "cut")[0] == 1
    assert recipe_in(folder / "cut") == kept

    progress.clear()
    code, _, err = command(*QUICK, "--out", "cut")
    assert (code, err) == (0, "")
    found, expected = recipe_in(folder / "cut"), recipe_in(tuned.folder)
    assert found.to_python() == expected.to_python()
    assert found.scores == expected.scores
    assert found.budget["updates"] == expected.budget["updates"]
    assert sorted(os.listdir(folder / "cut")) == FILES


def test_a_complete_tuning_is_shown_again_and_no_other(
    command, folder, progress, tuned
):
    shutil.copytree(tuned.folder, folder / "found")
    code, out, err = command(*QUICK, "--out", "found")
    assert (code, err, progress) == (0, "", [])
    assert "Complete already" in out
    # But where the time went, which was not now.
    tables, _, files = tuned.out.partition("Where the time")
    assert out.partition("\n")[2] == tables + files[files.index("In found/") :]
    code, _, err = command(*QUICK, "--momenta", "0.9,0.85:0.95", "--out", "found")
    assert (code, err.count("\n")) == (2, 1)
    assert "--out: found/ holds a tuning with no --momenta (now 0.9,0.85:0.95)" in err
    code, _, err = command("sweep", "--out", "found")
    assert code == 2
    assert "--out: found/ holds a tuning (tune.json): give another" in err


def test_a_time_that_runs_out_before_the_final_is_said_and_is_not_complete(
    command, folder, tuned, monkeypatch
):
    whole = recipe_in(tuned.folder)
    cut = dataclasses.replace(
        whole,
        complete=False,
        scores=(),
        diagnosis=None,
        evidence=whole.evidence[:-1],
        budget={**whole.budget, "asked": "40s"},
    )
    calls = []
    monkeypatch.setattr(tuning, "tune", lambda *_, **given: calls.append(given) or cut)
    for count in (1, 2):  # it goes on, when none of the time is left
        code, out, err = command(*QUICK, "--budget", "40s")
        assert (code, err, len(calls)) == (1, "", count)
        assert calls[-1]["checkpoint"].parts[:2] == ("optax-cycles-tune", "checkpoints")
        assert "Complete already" not in out
        (said,) = re.findall("^Not complete: (.*)$", out, re.M)
        assert said.startswith("the budget of 40s was used up before the final")
        assert "--budget" in said
        assert "The best recipe so far" in out
        found = folder / "optax-cycles-tune"
        content = content_of(found)
        assert (content["complete"], recipe_in(found).complete) == (False, False)
        assert (content["stopped"], content["score"]) == (said, None)
        assert content["recipe"]["learning_rate"] == cut.learning_rate
    monkeypatch.setattr(tuning, "tune", lambda *_, **__: whole)
    assert command(*QUICK, "--budget", "80s", "--overwrite")[0] == 0
    assert content_of(found)["complete"]


def test_a_problem_that_never_trains_is_one_line_and_what_was_tried(command, folder):
    code, out, err = command(*NEVER, "--batch-size", 8)
    assert (code, err) == (1, "")
    expected = "No recipe: tune: of 24 learning rates from 0.001 to 1 none can be "
    assert expected in out
    assert "the loss is finite at none: look at the data" in out.replace("\n", " ")
    content = content_of(folder / "optax-cycles-tune")
    assert (content["complete"], content["recipe"]) == (True, None)
    assert content["refusal"] in out
    rates = sorted(row["learning_rate"] for row in content["tried"])
    np.testing.assert_allclose(rates, np.geomspace(1e-3, 1, len(rates)), rtol=5e-3)
    assert {row["score"] for row in content["tried"]} == {None}
    assert os.listdir(folder / "optax-cycles-tune") == ["tune.json"]


def test_so_are_batch_sizes_none_of_which_trains(command, folder):
    code, out, err = command(*NEVER, "--batch-size", "8,16")
    assert (code, err) == (1, "")
    assert "No recipe: tune: at no batch size any rate trained" in out
    tried = content_of(folder / "optax-cycles-tune")["tried"]
    assert [(row["batch_size"], row["score"]) for row in tried] == [
        (8, None),
        (16, None),
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--optimizer sgdv", "argument --optimizer: invalid choice: 'sgdv'"),
        ("--budget 0", "must be a number of updates, or a time like 90s, 5min or 1h"),
        ("--budget soon", "must be a number of updates, or a time like 90s, 5min"),
        ("--budget 5mins", "tune: budget must be a number of updates, or a time"),
        ("--budget 100", "tune: budget must be enough for 480 updates, got '100'"),
        ("--budget 9s --distributed", "--budget 9s: of several processes each has its"),
        ("--batch-size 8,none", "--batch-size: must be a positive integer, got 'none'"),
        ("--batch-size 16,8", "tune: batch_size must be increasing integers"),
        ("--batch-size 99", "batch_size must be at most the number of examples"),
        ("--rates 0.1", "--rates: must be two numbers LOW:HIGH, got '0.1'"),
        ("--rates 1:0.1", "tune: rates must be a pair (low, high) with 2 low <= high"),
        ("--momenta 0.9,", "must be numbers and pairs LOW:HIGH like 0.9,0.85:0.95"),
        ("--momenta 1", "tune: momenta must be"),
        ("--weight-decays inf", "--weight-decays: must be numbers like 0,1e-4, got"),
        (
            "--optimizer sgd --weight-decays 0,1e-4",
            "tune: weight_decays must be None, as the optimizer takes no weight_decay",
        ),
        ("--metric accuracy", "--mode is needed with --metric accuracy"),
        ("--metric accuracy --mode max", "tune: metric must be one of loss"),
        ("--steps 3", "tune: steps must be an integer of at least 8, got 3"),
        ("--problem shared:unvalidated", "tune: validation data are needed"),
        ("--mesh members=2 --devices 1", "--devices can't be given besides --mesh"),
    ],
)
def test_bad_input_is_one_clear_line(command, folder, shared, words, message):
    shared.unvalidated = shared.task._replace(validation=None)
    code, out, err = command(*QUICK, *words.split())
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
    assert not (folder / "optax-cycles-tune").exists()


def test_the_optimizers_are_those_that_tune_knows():
    assert tuple(NAMED) == options.OPTIMIZERS


def test_one_bar_names_the_step_and_the_time_that_is_left():
    console, said = Console(), io.StringIO()
    console.err = RichConsole(file=said, force_terminal=True, width=80)
    with console.bars("tuning", steps=["momentum and decay"]) as reports:
        report = reports["tuning"]
        report(TuneProgress("timing", 0, 0))
        report(TuneProgress("momentum and decay", 5_000, 36_000))
        report(TuneProgress("final", 35_900, 36_000))
    plain = re.sub(r"\x1b\[[?0-9;]*[a-zA-Z]", "", said.getvalue())
    *_, last = filter(None, map(str.strip, plain.splitlines()))
    assert len(last) <= 80
    assert re.match(r"final  .* 100% +35,900 updates 0:00:\d\d 0:00:00$", last)
