"""Data for a population: segments of batches, read by all members."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from optax_cycles import _checks
from optax_cycles._typing import Array, Batch, Key, PyTree
from optax_cycles.sweep.fingerprint import digest_of


class Segment(NamedTuple):
    """The batches of a run of consecutive updates.

    Attributes:
      data: pytree of arrays with the examples along the first axis.
      indices: int32 `[orders, steps, batch]`, the examples of each update.
      orders: int32 `[orders]`, increasing: what members call each of the orders.
      length: int32 scalar, how many of the `steps` are to be made.
    """

    data: PyTree
    indices: Array | np.ndarray
    orders: Array | np.ndarray
    length: Array | np.ndarray


def batch_at(segment: Segment, order: Array, position: Array) -> Batch:
    """The batch that a member with this order reads at `position` of the segment."""
    row = jnp.searchsorted(jnp.asarray(segment.orders), order)
    rows = segment.indices[row, position]
    return jax.tree.map(lambda array: array[rows], segment.data)


def examples(function: str, argument: str, data: Any) -> int:
    """The number of examples in a pytree of arrays with one first axis."""
    leaves = jax.tree.leaves(data)
    sizes = [np.shape(leaf)[0] if np.ndim(leaf) else None for leaf in leaves]
    if not leaves or None in sizes or len(set(sizes)) > 1:
        _checks.fail(
            function,
            argument,
            "a pytree of arrays with equally many examples along the first axis",
            jax.tree.map(np.shape, data),
        )
    if not sizes[0]:
        _checks.fail(function, argument, "data with at least one example", sizes[0])
    return int(sizes[0])


class ArrayBatches:
    """Batches drawn from arrays that stay on the device.

    Each seed sees its own order: one random permutation of the examples after
    another, cut into batches. No example is dropped: a batch may end one epoch
    and begin the next. The order depends only on the key, the seed and the epoch.
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
          TypeError: if `batch_size` is not an integer.
        """
        _checks.integer("ArrayBatches", "batch_size", batch_size, minimum=1)
        self.data = data
        self.count = examples("ArrayBatches", "data", data)
        if batch_size > self.count:
            _checks.fail(
                "ArrayBatches",
                "batch_size",
                f"at most the number of examples ({self.count})",
                batch_size,
            )
        self.batch_size = batch_size
        self.example = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(
                (batch_size, *np.shape(leaf)[1:]), jnp.result_type(leaf)
            ),
            data,
        )
        self._entropy = [int(word) for word in np.ravel(jax.random.key_data(key))]

    @property
    def digest(self) -> str:
        """A digest of the data and of how they are read."""
        return digest_of((self.data, self.batch_size, self._entropy))

    def _stream(self, order: int, start: int, stop: int) -> np.ndarray:
        """Examples `start` to `stop` of the endless stream of one order."""
        epochs = range(start // self.count, (stop - 1) // self.count + 1)
        stream = np.concatenate(
            [
                np.random.default_rng([*self._entropy, order, epoch]).permutation(
                    self.count
                )
                for epoch in epochs
            ]
        )
        offset = epochs.start * self.count
        return stream[start - offset : stop - offset]

    def indices(self, orders: np.ndarray, start: int, steps: int) -> np.ndarray:
        """int32 `[orders, steps, batch]`: the examples of `steps` updates."""
        rows = [
            self._stream(
                int(order), start * self.batch_size, (start + steps) * self.batch_size
            )
            for order in orders
        ]
        shape = (len(orders), steps, self.batch_size)
        return np.stack(rows).reshape(shape).astype(np.int32)

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
        return Segment(
            self.data,
            self.indices(orders, start, steps),
            np.asarray(orders, np.int32),
            np.asarray(length, np.int32),
        )
