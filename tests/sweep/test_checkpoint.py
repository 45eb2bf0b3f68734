"""A sweep that is stopped goes on where it was, bit for bit."""

import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import jax
import numpy as np
import optax
import pytest
from linear import DATA, PROBLEM, SPACE, STEPS, VALIDATION, assert_same, sweep
from test_streams import endless

import optax_cycles as oc
from optax_cycles.sweep import Engine, Interrupted, RefusedError, SweepError
from optax_cycles.sweep.program import Program

OPTIONS = {"chunk": 4, "segment": 7, "horizons": [0, 5, STEPS]}


class StoppedError(Exception):
    pass


def stop_after(updates):
    def progress(now):
        if now.done >= updates:
            raise StoppedError

    return progress


def stopped(folder, updates, **options):
    with pytest.raises(SweepError):
        sweep(
            checkpoint=folder,
            checkpoint_every=0.0,
            progress=stop_after(updates),
            **OPTIONS | options,
        )


@pytest.fixture(scope="module")
def straight():
    return sweep(**OPTIONS)


@pytest.fixture(scope="module")
def halfway(tmp_path_factory):
    """A folder with checkpoints of a sweep that was stopped twice."""
    folder = tmp_path_factory.mktemp("checkpoints")
    for updates in (60, 200):
        stopped(folder, updates)
    return folder


@pytest.fixture
def folder(halfway, tmp_path):
    import shutil

    return Path(shutil.copytree(halfway, tmp_path / "copy"))


def numbered(folder):
    """The checkpoints in a folder, the oldest first."""
    return sorted(path for path in folder.iterdir() if path.name.isdecimal())


def test_it_goes_on_bit_for_bit(folder, straight):
    seen = []
    result = sweep(
        checkpoint=folder, progress=lambda now: seen.append(now.done), **OPTIONS
    )
    assert_same(result, straight)
    assert seen[-1] == SPACE.size * STEPS
    # It began where it had been stopped, not at the beginning.
    assert min(seen[1:]) >= 160


def test_a_complete_sweep_is_read_back(folder, straight):
    sweep(checkpoint=folder, **OPTIONS)
    seen = []
    again = sweep(
        checkpoint=folder, progress=lambda now: seen.append(now.done), **OPTIONS
    )
    assert_same(again, straight)
    assert set(seen[1:]) == {SPACE.size * STEPS}


def test_a_complete_sweep_is_read_back_without_compiling(folder, monkeypatch):
    first = sweep(checkpoint=folder, **OPTIONS)
    monkeypatch.setattr(Program, "compile", lambda _: pytest.fail("it compiled"))
    # Another object, for which no programs are kept.
    train = oc.trainable(PROBLEM, lambda hp: optax.adam(hp["learning_rate"]))
    again = sweep(checkpoint=folder, trainable=train, **OPTIONS)
    assert_same(again, first)
    assert again.seconds["compile"] == first.seconds["compile"]


@pytest.mark.parametrize("placement", ["map", "vmap"])
def test_it_goes_on_with_other_devices(tmp_path, placement):
    """Three members to a chunk: two devices pad them, one does not; and back."""
    one, both = jax.devices()[:1], jax.devices()
    options = OPTIONS | {"chunk": 3, "placement": placement}
    expected = sweep(devices=both, **options)
    for updates, devices in ((60, both), (140, one), (300, both)):
        with pytest.raises(SweepError):
            sweep(
                checkpoint=tmp_path,
                checkpoint_every=0.0,
                progress=stop_after(updates),
                devices=devices,
                **options,
            )
    seen = []
    result = sweep(
        checkpoint=tmp_path,
        devices=one,
        progress=lambda now: seen.append(now.done),
        **options,
    )
    assert seen[1] >= 300
    assert_same(result, expected)


def test_a_stream_in_several_chunks_goes_on_with_other_devices(tmp_path):
    """All chunks are half done at once, those that wait on the host too."""
    expected = sweep(endless(), **OPTIONS | {"chunk": 3})
    stopped(tmp_path, 130, data=endless(), chunk=3)
    devices = jax.devices()[:1]
    options = OPTIONS | {"chunk": 3, "devices": devices}
    assert_same(sweep(endless(), checkpoint=tmp_path, **options), expected)


def test_only_the_last_two_are_kept(folder):
    names = sorted(path.name for path in folder.iterdir())
    assert len(names) == 2
    assert not any("partial" in name for name in names)


def test_a_stream_is_read_up_to_where_it_was(tmp_path):
    expected = sweep(endless(), **OPTIONS)
    stopped(tmp_path, 200, data=endless())
    assert_same(sweep(endless(), checkpoint=tmp_path, **OPTIONS), expected)


def test_chunks_that_were_halved_go_on_as_they_were(tmp_path, straight, monkeypatch):
    advance = Engine.advance

    def limited(engine, members, segment):
        # From the second chunk of four on, only two members fit.
        if int(np.asarray(members.ident)[0]) >= 4 and len(members.status) > 2:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")
        return advance(engine, members, segment)

    monkeypatch.setattr(Engine, "advance", limited)
    with pytest.warns(UserWarning, match="4 members at a time .* going on with 2"):
        stopped(tmp_path, 300)
    result = sweep(checkpoint=tmp_path, **OPTIONS)
    assert_same(result, straight)


def test_it_is_saved_when_it_is_due_and_when_it_stops(tmp_path):
    saved = []

    def progress(now):
        saved.append(len(list(tmp_path.iterdir())))
        stop_after(200)(now)

    with pytest.raises(SweepError):
        sweep(checkpoint=tmp_path, progress=progress, **OPTIONS)
    assert set(saved) == {0}
    assert len(numbered(tmp_path)) == 1
    seen = []
    sweep(checkpoint=tmp_path, progress=lambda now: seen.append(now.done), **OPTIONS)
    assert seen[1] >= 200


def test_what_stops_a_sweep_says_where_it_was_saved(tmp_path):
    saved = f"; 160 of 400 updates of all members are saved in {tmp_path}, from which"
    with pytest.raises(SweepError, match=saved):
        sweep(checkpoint=tmp_path, progress=stop_after(160), **OPTIONS)

    def interrupted(now):
        if now.done > 160:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted, match=rf"interrupted; .* in {tmp_path}"):
        sweep(checkpoint=tmp_path, progress=interrupted, **OPTIONS)
    with pytest.raises(SweepError, match=r"had been computed$"):
        sweep(progress=stop_after(160), **OPTIONS)


def test_what_is_damaged_is_set_aside(folder):
    last = numbered(folder)[-1]
    (last / "manifest.json").unlink()
    with pytest.warns(UserWarning, match=f"{last} is damaged"):
        sweep(checkpoint=folder, **OPTIONS)
    assert last.with_suffix(".damaged") in folder.iterdir()
    assert len(numbered(folder)) == 2


def test_what_is_left_of_a_killed_write_is_ignored(folder, straight):
    partial = folder / "000000099.partial"
    partial.mkdir()
    (partial / "manifest.json").write_text("{")
    assert_same(sweep(checkpoint=folder, **OPTIONS), straight)
    assert not partial.exists()


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"data": DATA + 1.0}, "data"),
        ({"space": oc.sweep.grid(learning_rate=[0.1], seed=[0, 1])}, "space"),
        ({"validation": VALIDATION + 1.0}, "validation"),
        ({"segment": 9}, r"segment 7 \(now 9\)"),
        ({"order": "member"}, r"order seed \(now member\)"),
        ({"horizons": [5, 40]}, r"horizons \[0, 5, 40\] \(now \[5, 40\]\)"),
        ({"batch_size": 16}, r"batch_size 32 \(now 16\)"),
        ({"keep_state": False}, r"keep_state True \(now False\)"),
        (
            {
                "trainable": oc.trainable(
                    PROBLEM, lambda hp: optax.sgd(hp["learning_rate"])
                )
            },
            "problem",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_another_sweep_is_refused_by_name(folder, change, names):
    message = f"another sweep, which differs in {names}: take"
    with pytest.raises(RefusedError, match=message):
        sweep(checkpoint=folder, **OPTIONS | change)


def test_a_stream_of_other_batches_is_refused_by_their_size(tmp_path):
    stopped(tmp_path, 200, data=endless())
    halves = (batch[:4] for batch in endless())
    with pytest.raises(RefusedError, match=r"differs in batch_size 8 \(now 4\): take"):
        sweep(halves, checkpoint=tmp_path, **OPTIONS)


def test_another_format_is_refused_by_name(folder):
    manifest = numbered(folder)[-1] / "manifest.json"
    content = json.loads(manifest.read_text())
    manifest.write_text(json.dumps(content | {"format": "optax_cycles.Checkpoint/0"}))
    with pytest.raises(
        ValueError, match=r"differs in format optax_cycles.Checkpoint/0 .now"
    ):
        sweep(checkpoint=folder, **OPTIONS)


def test_a_constant_in_a_closure_belongs_to_the_problem(tmp_path):
    def train(scale):
        target = np.full(4, scale, np.float32)
        problem = oc.problem_from_loss(
            lambda key: target, lambda params, batch, key: (params**2).sum()
        )
        return oc.trainable(problem, lambda hp: optax.sgd(hp["learning_rate"]))

    stopped(tmp_path, 100, trainable=train(1.0))
    with pytest.raises(ValueError, match="which differs in problem: take"):
        sweep(checkpoint=tmp_path, trainable=train(2.0), **OPTIONS)


SCRIPT = """
    import sys, numpy as np
    sys.path.insert(0, {tests!r})
    import optax_cycles as oc
    oc.sweep.use_cpu_devices(2)
    from linear import sweep
    options = {{"checkpoint": sys.argv[1], "checkpoint_every": 0.0}}
    result = sweep(steps=400, chunk=4, segment=10, **options,
                   progress=lambda now: print(now.done, flush=True))
    np.savez(sys.argv[2], loss=result.train["loss"], x=result.state.params)
"""


@pytest.mark.slow
def test_killed_at_any_moment_it_ends_with_the_same_bits(tmp_path):
    rng = random.Random(0)
    script = textwrap.dedent(SCRIPT).format(tests=str(Path(__file__).parent))
    command = [sys.executable, "-c", script, tmp_path / "saved", tmp_path / "out.npz"]
    kills = 0
    while not (tmp_path / "out.npz").exists():
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(rng.uniform(0.5, 3.0))
        if kills < 5 and process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
        process.wait()
        process.stdout.close()
    assert kills >= 3
    expected = sweep(steps=400, chunk=4, segment=10)
    found = np.load(tmp_path / "out.npz")
    np.testing.assert_array_equal(found["loss"], expected.train["loss"])
    np.testing.assert_array_equal(found["x"], expected.state.params)
