import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optax_cycles.sweep import ArrayBatches
from optax_cycles.sweep.batches import batch_at

KEY = jax.random.key(5)
SEEDS = np.array([0, 3, 2**31 - 1])


def batches_of(count, batch_size, key=KEY):
    return ArrayBatches(np.arange(count), batch_size, key)


@st.composite
def counts_and_batch_sizes(draw):
    count = draw(st.integers(1, 30))
    return count, draw(st.integers(1, count))


@given(counts_and_batch_sizes(), st.integers(0, 2**31 - 1))
def test_each_epoch_holds_every_example_once_across_borders_too(sizes, seed):
    count, batch_size = sizes
    # As many updates as the batch size has examples make `batch_size` whole epochs.
    indices = batches_of(count, batch_size).indices(np.array([seed]), 0, count)
    assert indices.shape == (1, count, batch_size)
    assert indices.dtype == np.int32
    for epoch in indices.reshape(batch_size, count):
        assert sorted(epoch.tolist()) == list(range(count))


@given(counts_and_batch_sizes(), st.integers(0, 20), st.integers(1, 20))
def test_the_order_does_not_depend_on_how_updates_are_cut_up(sizes, first, second):
    batches = batches_of(*sizes)
    whole = batches.indices(SEEDS, 0, first + second)
    np.testing.assert_array_equal(
        batches.indices(SEEDS, first, second), whole[:, first:]
    )


def test_the_order_does_not_depend_on_the_batch_size():
    single = batches_of(12, 1).indices(SEEDS, 0, 60).reshape(3, 60)
    in_fives = batches_of(12, 5).indices(SEEDS, 0, 12).reshape(3, 60)
    np.testing.assert_array_equal(single, in_fives)


def test_the_order_does_not_depend_on_the_other_seeds():
    batches = batches_of(20, 3)
    together = batches.indices(SEEDS, 4, 9)
    for row, seed in enumerate(SEEDS):
        alone = batches.indices(np.array([seed]), 4, 9)
        np.testing.assert_array_equal(alone[0], together[row])


def test_keys_seeds_and_epochs_are_ordered_differently():
    orders = [
        batches_of(20, 20, key).indices(SEEDS, 0, 2).reshape(-1, 20)
        for key in (KEY, jax.random.key(6))
    ]
    assert len(np.unique(np.concatenate(orders), axis=0)) == 2 * 3 * 2


def test_a_seeds_order_is_uniform_over_permutations():
    """Chi-square over the 6 orders of 3 examples; its 99.9 % quantile is 20.5."""
    orders = batches_of(3, 3).indices(np.arange(600), 0, 10).reshape(-1, 3)
    _, counts = np.unique(orders, axis=0, return_counts=True)
    assert len(counts) == 6
    assert np.sum((counts - 1000) ** 2 / 1000) < 20.5


def test_a_member_reads_the_batch_of_its_seed():
    data = {"inputs": np.arange(20.0).reshape(10, 2), "labels": np.arange(10)}
    batches = ArrayBatches(data, 4, KEY)
    segment = batches.segment(SEEDS, 2, 3, 2)
    assert int(segment.length) == 2
    read = jax.jit(batch_at)
    for row, seed in enumerate(SEEDS):
        for position in range(3):
            rows = batches.indices(SEEDS, 2, 3)[row, position]
            batch = read(segment, jnp.int32(seed), jnp.int32(position))
            np.testing.assert_array_equal(batch["labels"], rows)
            np.testing.assert_array_equal(batch["inputs"], data["inputs"][rows])


def test_seeds_may_be_repeated_to_fill_a_segment_up():
    batches = batches_of(10, 4)
    segment = batches.segment(np.array([1, 7, 7]), 0, 2, 2)
    batch = batch_at(segment, jnp.int32(7), jnp.int32(1))
    np.testing.assert_array_equal(batch, batches.indices(np.array([7]), 0, 2)[0, 1])


@pytest.mark.parametrize(
    ("data", "batch_size", "error", "message"),
    [
        (np.arange(4), 0, ValueError, "batch_size must be a positive integer, got 0"),
        (np.arange(4), 2.0, TypeError, "batch_size must be a positive integer, got 2"),
        (np.arange(4), 5, ValueError, r"batch_size must be at most .* \(4\), got 5"),
        (np.zeros((0, 3)), 1, ValueError, "data must be data with at least one exam"),
        ((np.zeros(3), np.zeros(4)), 1, ValueError, "data must be a pytree of arrays"),
        ((np.zeros(3), np.float32(1)), 1, ValueError, "data must be a pytree of arra"),
        ((), 1, ValueError, "data must be a pytree of arrays"),
        (None, 1, ValueError, "data must be a pytree of arrays"),
    ],
)
def test_data_that_can_not_be_cut_into_batches_is_refused(
    data, batch_size, error, message
):
    with pytest.raises(error, match=f"^ArrayBatches: {message}"):
        ArrayBatches(data, batch_size, KEY)


def test_a_segment_refuses_unsorted_seeds_and_no_steps():
    batches = batches_of(4, 2)
    with pytest.raises(ValueError, match="segment: orders must be increasing"):
        batches.segment(np.array([3, 0]), 0, 2, 2)
    with pytest.raises(ValueError, match="segment: steps must be a positive integer"):
        batches.segment(SEEDS, 0, 0, 0)
