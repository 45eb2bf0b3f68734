"""`optax-cycles range-test` stops at any moment, and the same command goes on."""

import json
import os
import resource
import shutil
import sys
import warnings
from pathlib import Path

import jax
import numpy as np
import pytest

import optax_cycles as oc
from optax_cycles.sweep.engine import Engine


def content_of(folder):
    return json.loads((folder / "range_test.json").read_text())


@pytest.fixture
def copied(folder, once):
    """A complete test's folder, by the name of `found`."""
    shutil.copytree(once.folder, folder / "found")
    return folder / "found"


def test_control_c_keeps_what_has_been_computed_and_the_command_goes_on(
    command, quick, progress, once, same_curves
):
    """Ctrl-C in the middle of the range test, after 10 of 20 updates."""
    progress.interrupt("range test", 10 * 16)
    code, out, err = command(*quick, "--out", "cut")
    assert code == 1
    assert err.count("\n") == 1
    assert "error: interrupted; the same command goes on from what cut/ has" in err
    assert "(incomplete)" in out
    content = content_of(Path("cut"))
    assert content["complete"] is False
    assert content["suggestion"] is None
    result = oc.sweep.SweepResult.load(Path("cut/parallel.nc"))
    assert result.complete is False
    assert np.all(result.updates[:4] == 10)
    losses = result.train["loss"]
    assert np.all(np.isfinite(losses[:4, :, :10]))
    assert np.all(np.isnan(losses[..., 10:]))

    progress.clear()
    code, out, err = command(*quick, "--devices", 1, "--out", "cut")
    assert (code, err) == (0, "")
    # It says so before it compiles, and then from where it goes on.
    assert progress[:2] == [("range test", 0), ("range test", 10 * 16)]
    same_curves(Path("cut"), once.folder)
    assert sorted(os.listdir(Path("cut"))) == sorted(os.listdir(once.folder))


@pytest.mark.slow
def test_control_c_in_a_later_part_keeps_the_earlier_ones(
    command, quick, progress, once, same_curves
):
    progress.interrupt("training", 1)
    assert command(*quick, "--out", "cut")[0] == 1
    content = content_of(Path("cut"))
    assert (content["complete"], content["trainings"]) == (False, {})
    expected = content_of(once.folder)
    assert content["suggestion"] == expected["suggestion"]
    assert content["ramp_rules"] == expected["ramp_rules"]

    progress.clear()
    assert command(*quick, "--out", "cut")[0] == 0
    assert ("range test", 20 * 16) in progress[:2]
    same_curves(Path("cut"), once.folder)


def test_a_complete_test_is_shown_again_without_training(
    command, copied, quick, progress
):
    before = {file.name: file.stat().st_mtime_ns for file in copied.iterdir()}
    code, out, err = command(*quick, "--out", "found")
    assert (code, err) == (0, "")
    assert progress == []
    assert out.startswith("Complete already: nothing is trained (--overwrite does)\n")
    table = out.partition("parallel_best suggests")[2].partition("Where the time")[0]
    content = content_of(copied)
    for name in ("peak", "best", "base"):
        assert f"{content['suggestion'][name]:.3g} " in table
    for metrics in content["trainings"].values():
        assert f"{np.mean(metrics['loss']):.4g} ± " in table
    after = {file.name: file.stat().st_mtime_ns for file in copied.iterdir()}
    assert after == before


def test_overwrite_starts_anew(command, copied, narrow, progress):
    code, _, err = command(*narrow, "--out", "found")
    before, now = (f"learning_rate=log:0.01:{high}:8" for high in (100, 0.05))
    assert (code, f"--over {before} (now {now})" in err) == (2, True), err
    code, out, _ = command(*narrow, "--out", "found", "--overwrite")
    assert code == 1
    assert "No suggestion" in out
    assert ("range test", 0) in progress
    # Those of the earlier test are gone.
    assert "training.nc" not in out
    assert not (copied / "training.nc").exists()
    assert not (copied / "state").exists()


def test_a_refusal_is_shown_again_with_its_exit_code(command, copied, quick):
    file = copied / "range_test.json"
    content = content_of(copied) | {"suggestion": None, "refusal": "it is too flat"}
    file.write_text(json.dumps(content))
    code, out, _ = command(*quick, "--out", "found")
    assert code == 1
    assert "No suggestion: it is too flat" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--steps 30", "--steps 20 (now 30)"),
        ("--optimizer adam", "--optimizer sgd (now adam)"),
        ("--seeds 3 --key 2", "--seeds 2 (now 3), --key 0 (now 2)"),
        (
            "--optimizer momentum --constant momentum=0.5",
            "--optimizer sgd (now momentum), no --constant (now momentum=0.5)",
        ),
        ("--mesh members=1,data=2", "no --mesh (now members=1,data=2)"),
    ],
)
def test_another_command_with_the_same_out_is_refused(
    command, copied, quick, words, said
):
    text = (copied / "range_test.json").read_text()
    code, out, err = command(*quick, *words.split(), "--out", "found")
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert (
        f"--out: found/ holds a test with {said}: give another --out, or start" in err
    )
    assert (copied / "range_test.json").read_text() == text


def test_it_is_refused_before_the_first_is_complete_too(command, copied, quick):
    content = content_of(copied) | {"complete": False}
    (copied / "range_test.json").write_text(json.dumps(content))
    code, _, err = command(*quick, "--steps", 30, "--out", "found")
    assert code == 2
    assert "--steps 20 (now 30)" in err


def test_what_changes_no_number_may_differ(command, copied, quick):
    words = ("--chunk", 3, "--checkpoint-every", 5, "--devices", 1)
    code, out, err = command(*quick, *words, "--out", "found")
    assert (code, err) == (0, "")
    assert "Complete already" in out


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("** 2", "** 4.0"), "of another problem:"),
        (("default_rng(0)", "default_rng(12)"), "of other data:"),
    ],
)
def test_a_complete_test_of_another_task_is_not_shown(
    command, copied, quick, change, said
):
    task = copied.parent / "tiny.py"
    task.write_text(task.read_text().replace(*change))
    code, out, err = command(*quick, "--out", "found")
    assert (code, out) == (2, "")
    assert f"--out: found/ holds a test {said} give another --out" in err


def test_an_interrupted_test_does_not_go_on_with_another_task(
    command, folder, quick, progress
):
    progress.interrupt("range test", 1)
    command(*quick, "--out", "cut")
    before = content_of(folder / "cut")
    sys.modules.pop("tiny")
    task = (folder / "tiny.py").read_text()
    (folder / "tiny.py").write_text(task.replace("** 2", "** 4.0"))
    code, _, err = command(*quick, "--out", "cut")
    assert code == 2
    assert err.count("\n") == 1
    assert "is of another sweep, which differs in problem" in err
    assert "or start anew with --overwrite" in err
    assert content_of(folder / "cut") == before


@pytest.mark.parametrize("text", ["", "[]", "{", '{"format": "optax_cycles.plan/1"}'])
def test_a_file_that_is_no_tests_is_not_replaced(command, folder, quick, text):
    (folder / "found").mkdir()
    (folder / "found/range_test.json").write_text(text)
    code, _, err = command(*quick, "--out", "found")
    assert code == 2
    assert "range_test.json is not what this command writes" in err
    assert (folder / "found/range_test.json").read_text() == text


def limit_files(size):
    """As a disk that is full: what is written beyond so many bytes fails."""
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, most))


def test_a_full_disk_is_one_line_and_what_had_been_computed_is_kept(
    command, folder, quick, once, same_curves
):
    """Here checkpoints fit, the files with the curves don't."""
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    limit_files(8192)
    try:
        code, out, err = command(*quick, "--out", "full")
    finally:
        limit_files(most)
    assert code == 1
    assert err.count("\n") == 1
    assert "can't write to full/ (save: full/" in err
    assert "File too large" in err
    assert "best constant" in out
    assert content_of(folder / "full")["complete"] is False
    assert not (folder / "full/parallel.nc").exists()

    code, _, err = command(*quick, "--out", "full")
    assert (code, err) == (0, "")
    same_curves(folder / "full", once.folder)


def test_memory_that_is_not_enough_is_one_line_and_the_command_goes_on(
    command, quick, once, monkeypatch, same_curves
):
    advance, calls = Engine.advance, []

    def full(engine, members, segment):
        calls.append(len(members.status))
        if len(calls) > 1:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")
        return advance(engine, members, segment)

    with monkeypatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("always")
        patch.setattr(Engine, "advance", full)
        code, _, err = command(*quick, "--chunk", 8, "--out", "full")
    assert code == 1
    *notes, line = err.splitlines()
    assert notes
    assert all(note.startswith("note: run: ") for note in notes)
    assert "RESOURCE_EXHAUSTED: Out of memory" in line or "memory" in line
    assert "Traceback" not in err
    assert content_of(Path("full"))["complete"] is False

    code, _, err = command(*quick, "--chunk", 8, "--out", "full")
    assert (code, err) == (0, "")
    same_curves(Path("full"), once.folder)
