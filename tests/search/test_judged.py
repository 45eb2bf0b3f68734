"""Searches on several devices, after a kill, and how often they compile."""

import functools
import json
import logging
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import jax
import numpy as np
import optax
import pytest
from judged_searches import (
    OPTIONS,
    SEARCHES,
    SPACE,
    arrays_of,
    assert_same,
    population,
)
from linear import DATA, PROBLEM

import optax_cycles as oc
from optax_cycles.sweep import Engine, Interrupted, SweepError
from optax_cycles.sweep.training import Training

JUDGED = ["hyperband", "population"]
EVERY = pytest.mark.parametrize("name", SEARCHES)


@functools.cache
def straight(name, placement="map"):
    return SEARCHES[name](placement=placement, devices=tuple(jax.devices()[:1]))


@EVERY
@pytest.mark.parametrize("placement", ["map", "vmap"])
def test_two_devices_decide_what_one_does_bit_for_bit(name, placement):
    both = SEARCHES[name](placement=placement, devices=jax.devices())
    assert_same(both, straight(name, placement))
    # Somebody was dropped, or copied.
    parents = both.sweep.lineage.parents
    assert np.any(parents != np.arange(len(parents))[:, None])


@EVERY
@pytest.mark.parametrize("shape", [(1, 2), (2, 1)])
def test_devices_that_share_batches_decide_the_same(name, shape):
    devices = np.array(jax.devices()).reshape(shape)
    mesh = jax.sharding.Mesh(devices, ("members", "data"))
    found = SEARCHES[name](mesh=mesh)
    # Sums over the examples of a batch are rounded in another order.
    assert_same(found, straight(name), rtol=2e-5)


@EVERY
def test_chunks_on_two_devices_decide_the_same(name):
    found = SEARCHES[name](chunk=3, devices=jax.devices())
    assert_same(found, straight(name))


def stop_at(updates, error=RuntimeError):
    def progress(now):
        if now.done >= updates:
            raise error

    return progress


@pytest.mark.parametrize("name", JUDGED)
@pytest.mark.parametrize("options", [{}, {"chunk": 4}], ids=str)
def test_what_was_stopped_again_and_again_goes_on_bit_for_bit(name, options, tmp_path):
    """On one device and on both, in turn, around the verdicts."""
    search, members = SEARCHES[name], straight(name).sweep.space.size
    for turn, updates in enumerate((4, 12, 15)):
        error, raised = [(RuntimeError, SweepError), (KeyboardInterrupt, Interrupted)][
            turn % 2
        ]
        with pytest.raises(raised) as caught:
            search(
                checkpoint=tmp_path, checkpoint_every=0.0,
                devices=jax.devices()[: 1 + turn % 2],
                progress=stop_at(updates * members, error), **options,
            )  # fmt: skip
        assert isinstance(caught.value.result, oc.search.SearchResult)
        assert not caught.value.result.sweep.complete
    seen = []
    found = search(
        checkpoint=tmp_path, progress=lambda now: seen.append(now.done), **options
    )
    assert seen[1] >= 15 * members
    assert_same(found, straight(name))


SCRIPT = """
    import sys, json
    sys.path[:0] = json.loads(sys.argv[4])
    import numpy as np
    import optax_cycles as oc
    oc.sweep.use_cpu_devices(2)
    from judged_searches import SEARCHES, arrays_of
    found = SEARCHES[sys.argv[1]](
        steps=180, checkpoint=sys.argv[2], checkpoint_every=0.0,
        progress=lambda now: print(now.done / now.total, flush=True))
    np.savez(sys.argv[3], **arrays_of(found))
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", JUDGED)
def test_a_search_that_is_killed_twice_ends_with_the_same_bits(name, tmp_path):
    tests = Path(__file__).parents[1]
    folders = json.dumps([str(tests / "search"), str(tests / "sweep")])
    out = tmp_path / "out.npz"
    code, saved = textwrap.dedent(SCRIPT), str(tmp_path / "saved")
    command = [sys.executable, "-c", code, name, saved, str(out), folders]
    begun = []
    for share in (0.2, 0.6):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        lines = [float(line) for line in iter_until(process, share)]
        begun.append(lines[1])
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    assert not out.exists()
    assert begun[0] < 0.1
    assert begun[1] > 0.15
    subprocess.run(command, check=True, capture_output=True)
    found = np.load(out)
    for key, values in arrays_of(SEARCHES[name](steps=180)).items():
        np.testing.assert_array_equal(found[key], values, err_msg=key)


def iter_until(process, share):
    """The lines up to the first that says as much."""
    for line in iter(process.stdout.readline, ""):
        yield line
        if float(line) >= share:
            return


@pytest.fixture
def compiled(caplog):
    """What JAX says that it compiles, with the shapes of all arguments."""

    def said():
        lines = [r.getMessage() for r in caplog.records if r.name.startswith("jax")]
        return [line for line in lines if line.startswith("Compiling")]

    with jax.log_compiles(), caplog.at_level(logging.WARNING, "jax"):
        yield said


@pytest.mark.parametrize("name", JUDGED)
@pytest.mark.parametrize("placement", ["map", "vmap"])
def test_one_segment_program_for_each_size_of_population(
    name, placement, compiled, monkeypatch
):
    """However many rungs there are; and nothing for more updates or other points."""
    sizes = set()
    advance = Engine.advance

    def watched(engine, members, segment):
        sizes.add(len(members.status))
        return advance(engine, members, segment)

    monkeypatch.setattr(Engine, "advance", watched)
    # Side by side, a half of the rows is left out as soon as it is not needed.
    monkeypatch.setattr(Training, "_pays", lambda *_: placement == "vmap")
    train = oc.trainable(PROBLEM, lambda hp: optax.adam(hp["learning_rate"]))
    devices = jax.devices()[:1]
    search = functools.partial(
        SEARCHES[name], train, placement=placement, devices=devices
    )
    assert len(search().sweep.lineage.steps) >= 2
    # Bracket by bracket 9, 5, 3 of 17 begin; 8 of them are left after 12 updates.
    shrinks = name == "hyperband" and placement == "vmap"
    assert sizes == ({17, 8} if shrinks else {17 if name == "hyperband" else 7})
    programs = compiled()
    # No other program reads the training data.
    assert sum("float32[64,4]" in line for line in programs) == len(sizes)
    search(points=5)
    search(steps=72)
    assert compiled() == programs


def test_any_number_of_verdicts_is_one_program(compiled):
    train = oc.trainable(PROBLEM, lambda hp: optax.adam(hp["learning_rate"]))
    population(train)
    programs = compiled()
    found = population(train, steps=360, horizons=[5, 50, 359])
    assert len(found.sweep.lineage.steps) == 8
    more = oc.search.population(
        train, SPACE, DATA, 72, members=7, interval=2, share=0.3, **OPTIONS
    )
    assert len(more.sweep.lineage.steps) == 35
    assert compiled() == programs
