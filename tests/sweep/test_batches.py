import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
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


@settings(max_examples=20)  # Each compiles a program.
@given(counts_and_batch_sizes(), st.integers(0, 2**31 - 1))
def test_each_epoch_holds_every_example_once_across_borders_too(sizes, seed):
    count, batch_size = sizes
    # As many updates as the batch size has examples make `batch_size` whole epochs.
    indices = batches_of(count, batch_size).indices(np.array([seed]), 0, count)
    assert indices.shape == (1, count, batch_size)
    assert indices.dtype == np.int32
    for epoch in indices.reshape(batch_size, count):
        assert sorted(epoch.tolist()) == list(range(count))


@settings(max_examples=10)
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


def chi_square(counts, expected):
    """By how many standard deviations the sum is off its mean."""
    counts = np.asarray(counts, float)
    freedom = counts.size - 1
    return (np.sum((counts - expected) ** 2 / expected) - freedom) / np.sqrt(
        2 * freedom
    )


@pytest.mark.parametrize(("seeds", "epochs"), [(400, 100), (4, 10_000)])
@pytest.mark.parametrize("count", [2, 3, 4, 5])
def test_orders_are_uniform_over_permutations(count, seeds, epochs):
    batches = batches_of(count, count)
    orders = batches.indices(np.arange(seeds), 0, epochs).reshape(-1, count)
    found, counts = np.unique(orders, axis=0, return_counts=True)
    assert len(found) == math.factorial(count)
    assert abs(chi_square(counts, len(orders) / len(found))) < 4


def test_long_orders_are_random_in_their_places_neighbours_and_inversions():
    count = 50
    orders = batches_of(count, count).indices(np.arange(2000), 0, 10)
    orders = orders.reshape(-1, count)
    where = orders[:, :, None] == np.arange(count)
    assert abs(chi_square(where.sum(0), len(orders) / count)) < 4
    neighbours = orders[:, 0] * count + orders[:, 1]
    _, counts = np.unique(neighbours, return_counts=True)
    pairs = count * (count - 1)
    assert len(counts) == pairs
    assert abs(chi_square(counts, len(orders) / pairs)) < 4
    first, second = np.triu_indices(count, 1)
    inversions = np.sum(orders[:4000, first] > orders[:4000, second], axis=1)
    # Their mean and variance over all permutations.
    mean, variance = pairs / 4, pairs * (2 * count + 5) / 72
    assert abs(inversions.mean() - mean) < 4 * np.sqrt(variance / 4000)
    assert abs(inversions.var() / variance - 1) < 4 * np.sqrt(2 / 4000)


def test_successive_epochs_and_neighbouring_seeds_share_as_much_as_chance_has_it():
    count = 200
    orders = batches_of(count, count).indices(np.arange(60), 0, 60)
    for other in (orders[1:] == orders[:-1], orders[:, 1:] == orders[:, :-1]):
        # A random permutation has one fixed point on average, with variance one.
        fixed = other.sum(-1)
        assert abs(fixed.mean() - 1) < 4 / np.sqrt(fixed.size)


def test_a_large_set_of_examples_is_read_once_in_an_epoch():
    count = 100_003
    orders = batches_of(count, 1).indices(np.array([1]), count, count)
    np.testing.assert_array_equal(np.sort(orders.ravel()), np.arange(count))


@pytest.mark.parametrize("impl", ["rbg", "unsafe_rbg"])
def test_keys_of_other_kinds_order_a_seed_the_same_among_others(impl):
    batches = batches_of(20, 20, jax.random.key(5, impl=impl))
    together = batches.indices(SEEDS, 0, 3)
    np.testing.assert_array_equal(batches.indices(SEEDS[1:2], 0, 3)[0], together[1])


def test_no_host_array_grows_with_the_examples_or_the_updates():
    segment = batches_of(100_000, 64).segment(SEEDS, 0, 500, 500)
    assert segment.shape == (500, 64)
    rest = segment._replace(data=None)
    assert sum(np.size(leaf) for leaf in jax.tree.leaves(rest)) < 20


def test_a_member_reads_the_batch_of_its_seed():
    data = {"inputs": np.arange(20.0).reshape(10, 2), "labels": np.arange(10)}
    batches = ArrayBatches(data, 4, KEY)
    segment = batches.segment(SEEDS, 2, 3, 2)
    assert int(segment.length) == 2
    read = jax.jit(lambda segment, *place: batch_at(segment.drawn(), *place))
    for row, seed in enumerate(SEEDS):
        for position in range(3):
            rows = batches.indices(SEEDS, 2, 3)[row, position]
            batch = read(segment, jnp.int32(seed), jnp.int32(position))
            np.testing.assert_array_equal(batch["labels"], rows)
            np.testing.assert_array_equal(batch["inputs"], data["inputs"][rows])


def test_seeds_may_be_repeated_to_fill_a_segment_up():
    batches = batches_of(10, 4)
    segment = batches.segment(np.array([1, 7, 7]), 0, 2, 2)
    batch = batch_at(segment.drawn(), jnp.int32(7), jnp.int32(1))
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
