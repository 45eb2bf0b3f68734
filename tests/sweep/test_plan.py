"""Chunks of members, and their rows on the devices."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from optax_cycles.sweep.plan import chunks_of, dealt


@given(st.integers(0, 300), st.integers(1, 100))
def test_chunks_are_as_few_as_can_be_and_equal_but_for_one_member(members, size):
    chunks = chunks_of(np.arange(members), size)
    assert [i for chunk in chunks for i in chunk] == list(range(members))
    lengths = [len(chunk) for chunk in chunks]
    assert len(lengths) == -(-members // size)
    assert not lengths or max(lengths) <= size
    assert not lengths or max(lengths) - min(lengths) <= 1


@given(st.integers(1, 60), st.integers(1, 8))
def test_any_run_of_neighbours_is_spread_over_the_parts_of_the_devices(members, parts):
    """In whole rows; then the last part may also have padding."""
    members = parts * members
    rows = dealt(np.arange(members), parts).reshape(parts, -1)
    assert sorted(rows.ravel()) == list(range(members))
    for stop in range(members + 1):
        running = (rows < stop).sum(axis=1)
        assert running.max() - running.min() <= 1
