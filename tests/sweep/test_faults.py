"""Whatever goes wrong, what was computed is kept: all faults, tried and counted.

Each fault is provoked in a sweep that goes on from a checkpoint. What the caller is
handed then is part of an undisturbed sweep, bit for bit, and the same call, with the
fault gone, ends as that one does and trains nothing twice that was handed over.
"""

import re
import shutil
from collections import Counter
from pathlib import Path

import jax
import numpy as np
import pytest
from faults import OPTIONS, SAVED, Scene
from faults_of_machines import FAULTS as OF_MACHINES
from faults_of_users import FAULTS as OF_USERS
from linear import STEPS, assert_same, sweep
from test_checkpoint import stop_after

from optax_cycles.sweep import SweepError

FAULTS = OF_USERS | OF_MACHINES
KINDS = {
    "NaN members": 4,
    "exception in the user's code while it is traced": 6,
    "iterator": 4,
    "Ctrl-C": 5,
    "kill": 1,
    "out of memory": 4,
    "corrupted file": 7,
    "unwritable folder": 5,
    "full disk": 2,
    "exception while it runs": 3,
}


@pytest.fixture(scope="module")
def straight():
    return sweep(**OPTIONS)


@pytest.fixture(scope="module")
def halfway(tmp_path_factory):
    """A folder with the checkpoints of a sweep that was stopped."""
    folder = tmp_path_factory.mktemp("checkpoints")
    with pytest.raises(SweepError):
        sweep(checkpoint=folder, progress=stop_after(SAVED), **OPTIONS)
    return folder


@pytest.fixture
def scene(halfway, straight, tmp_path, monkeypatch):
    folder = Path(shutil.copytree(halfway, tmp_path / "copy"))
    with monkeypatch.context() as patch:
        yield Scene(folder, straight, patch)


def assert_part_of(kept, straight):
    """What there is of a result is that of an undisturbed sweep, bit for bit."""
    made = np.arange(kept.steps) < kept.updates[..., None]
    for name, values in kept.train.items():
        np.testing.assert_array_equal(values[made], straight.train[name][made])
        assert np.isnan(values[~made]).all()
    for name, values in kept.validation.items():
        evaluated = np.asarray(kept.horizons) <= kept.updates[..., None]
        known = straight.validation[name][evaluated]
        np.testing.assert_array_equal(values[evaluated], known)
    if kept.state_members is not None:
        finished = (kept.updates == STEPS) | kept.diverged
        assert kept.state_members.tolist() == np.flatnonzero(finished).tolist()
        expected = jax.tree.map(lambda s: s[kept.state_members], straight.state)
        jax.tree.map(np.testing.assert_array_equal, kept.state, expected)


@pytest.mark.parametrize("name", FAULTS)
def test_nothing_is_lost(name, scene):
    found = FAULTS[name].provoke(scene)
    assert re.search(FAULTS[name].says, found.said), found.said
    if found.kept is not None:
        assert_part_of(found.kept, found.straight)
    seen = []
    again = found.call(progress=lambda now: seen.append(now.done), checkpoint_every=1e9)
    assert_same(again, found.straight)
    assert again.complete
    # The first call is made before the checkpoint is read.
    assert seen[1] >= found.floor
    if found.kept is not None:
        assert seen[1] >= found.kept.updates.sum() - found.redone


def test_every_kind_of_fault_is_tried():
    assert Counter(fault.kind for fault in FAULTS.values()) == KINDS
