"""Searches decide the same on several devices, and after whatever stopped them."""

import functools
import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import jax
import numpy as np
import pytest
from judged_searches import (
    SEARCHES,
    arrays_of,
    assert_same,
)

import optax_cycles as oc
from optax_cycles.sweep import Interrupted, SweepError

pytestmark = pytest.mark.slow

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
def test_devices_that_share_batches_decide_the_same(name):
    devices = np.array(jax.devices()).reshape(1, 2)
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
@pytest.mark.parametrize(
    "options", [{}, pytest.param({"chunk": 4}, marks=pytest.mark.slow)], ids=str
)
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
