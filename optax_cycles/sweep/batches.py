"""Data for a population: segments of batches, read by all members."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from optax_cycles import _checks
from optax_cycles._typing import Array, Batch, Key, PyTree
from optax_cycles.sweep.fingerprint import digest_of
from optax_cycles.sweep.given import as_arrays, described
from optax_cycles.sweep.shuffle import ROUNDS, Shuffle, order_seed


class Segment(NamedTuple):
    """The batches of a run of consecutive updates.

    Attributes:
      data: pytree of arrays with the examples along the first axis.
      indices: int32 `[orders, steps, batch]`, the examples of each update; or how to
        draw them.
      orders: int32 `[orders]`, increasing: what members call each of the orders.
      length: int32 scalar, how many of the `steps` are to be made.
    """

    data: PyTree
    indices: Array | np.ndarray | Shuffle
    orders: Array | np.ndarray
    length: Array | np.ndarray

    @property
    def shape(self) -> tuple[int, int]:
        """The numbers of updates, and of examples in a batch."""
        if isinstance(self.indices, Shuffle):
            return self.indices.steps, self.indices.batch_size
        _, steps, batch_size = self.indices.shape
        return steps, batch_size

    def drawn(self) -> Segment:
        """The same with the indices as an array; cheap once, not for each member."""
        if not isinstance(self.indices, Shuffle):
            return self
        return self._replace(indices=self.indices.indices(jnp.asarray(self.orders)))


def batch_at(segment: Segment, order: Array, position: Array) -> Batch:
    """The batch that a member with this order reads at `position` of the segment."""
    assert not isinstance(segment.indices, Shuffle), "to be drawn before"
    row = jnp.searchsorted(jnp.asarray(segment.orders), order)
    rows = segment.indices[row, position]
    return jax.tree.map(lambda array: array[rows], segment.data)


def examples(function: str, argument: str, data: Any) -> int:
    """The number of examples in a pytree of arrays with one first axis."""
    leaves = jax.tree.leaves(data)
    sizes = [np.shape(leaf)[0] if np.ndim(leaf) else None for leaf in leaves]
    if not leaves or None in sizes or len(set(sizes)) > 1:
        raise ValueError(
            f"{function}: {argument} must be a pytree of arrays with equally many "
            f"examples along the first axis, got {described(data)}"
        )
    if not sizes[0]:
        _checks.fail(function, argument, "data with at least one example", sizes[0])
    return int(sizes[0])


def check_batch_size(function: str, count: int, batch_size: int) -> None:
    """Check that a batch of so many can be drawn from so many examples."""
    _checks.integer(function, "batch_size", batch_size, minimum=1)
    if batch_size > count:
        expected = f"at most the number of examples ({count})"
        _checks.fail(function, "batch_size", expected, batch_size)


class ArrayBatches:
    """Batches drawn from arrays that stay on the device.

    Each seed sees its own order: one random permutation of the examples after
    another, cut into batches. No example is dropped: a batch may end one epoch
    and begin the next. The order depends only on the key, the seed and the epoch.
    Programs draw it themselves; see `Shuffle`.
    """

    def __init__(self, data: PyTree, batch_size: int, key: Key) -> None:
        """Take the data in.

        Args:
          data: pytree of arrays with the examples along the first axis.
          batch_size: examples in each update's batch.
          key: the key that orders the examples.

        Raises:
          ValueError: if the arrays differ in length, or hold fewer examples than
            a batch.
          TypeError: if `batch_size` is not an integer, or a leaf not an array.
        """
        self.data = as_arrays("ArrayBatches", "data", data)
        self.count = examples("ArrayBatches", "data", data)
        check_batch_size("ArrayBatches", self.count, batch_size)
        self.batch_size = batch_size = int(batch_size)
        self.example = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(
                (batch_size, *np.shape(leaf)[1:]), jnp.result_type(leaf)
            ),
            self.data,
        )
        self._seed = order_seed(key)

    @property
    def digest(self) -> str:
        """A digest of the data and of how they are ordered."""
        return digest_of((self.data, f"swap or not, {ROUNDS} rounds", self._seed))

    def indices(self, orders: np.ndarray, start: int, steps: int) -> np.ndarray:
        """int32 `[orders, steps, batch]`: the examples of `steps` updates."""
        shuffle = self._shuffle(start, steps)
        return np.asarray(_indices(shuffle, np.asarray(orders, np.int32)))

    def _shuffle(self, start: int, steps: int) -> Shuffle:
        epoch, offset = divmod(int(start) * self.batch_size, self.count)
        return Shuffle(
            self._seed,
            np.asarray(epoch, np.int32),
            np.asarray(offset, np.int32),
            self.count,
            int(steps),
            self.batch_size,
        )

    def segment(
        self, orders: np.ndarray, start: int, steps: int, length: int
    ) -> Segment:
        """A segment of `steps` updates, the first `length` of which are made.

        Args:
          orders: int `[orders]`, increasing: the seeds, or other numbers, to make an
            order for.
          start: updates made before the segment.
          steps: updates of the segment, what a program is compiled for.
          length: updates to make, at most `steps`.

        Raises:
          ValueError: if the orders don't increase, or there are no steps.
        """
        _checks.integer("segment", "steps", steps, minimum=1)
        if np.any(np.diff(orders) < 0):
            _checks.fail("segment", "orders", "increasing", orders)
        if length > steps:
            _checks.fail("segment", "length", f"at most steps ({steps})", length)
        return Segment(
            self.data,
            self._shuffle(start, steps),
            np.asarray(orders, np.int32),
            np.asarray(length, np.int32),
        )


_indices = jax.jit(Shuffle.indices)
