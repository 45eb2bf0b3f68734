"""Batches from any iterable, read once for all members, the next while the last run."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import repeat
from typing import Any

import jax
import numpy as np

from optax_cycles import _checks
from optax_cycles._typing import Batch, PyTree
from optax_cycles.sweep.batches import Segment
from optax_cycles.sweep.origin import explained

_SHORTER = (
    "; a last batch of fewer examples is left out by drop_last=True of a DataLoader, "
    "drop_remainder=True of tf.data"
)


class DataError(ValueError):
    """The iterable of batches failed, ended too early, or changed its shapes."""


def is_stream(data: Any) -> bool:
    """Whether `data` is an iterable of batches, and not a pytree of arrays."""
    alone = jax.tree_util.all_leaves([data])
    return alone and hasattr(data, "__iter__") and not hasattr(data, "shape")


class StreamBatches:
    """Batches of an iterable, stacked into segments on the host.

    A list-like source (a `DataLoader`, a `tf.data.Dataset`, anything that starts anew
    with `iter`) is read again when it ends; an iterator (a generator) is read once.
    A thread reads the batches of the next segment while the last one is trained.
    """

    def __init__(self, data: Iterable[Batch], steps: int) -> None:
        """Read the first batch.

        Args:
          data: the batches, pytrees of arrays or of what NumPy makes arrays of.
          steps: how many will be read at most.

        Raises:
          DataError: if there is none.
        """
        self._source, self._iterator = data, iter(data)
        self._again = self._iterator is not data
        self._steps, self._read, self._in_pass = steps, 0, 0
        self._ready: deque[Batch] = deque()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="batches")
        self._coming: Future[None] | None = None
        self._failed: Exception | None = None
        self._held: tuple[int, Segment] | None = None
        self._used = 0  # batches that were handed out, or skipped
        self._need(1)
        self.example = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), self._ready[0]
        )

    def segment(self, orders: Any, start: int, steps: int, length: int) -> Segment:
        """A segment of `steps` updates, the first `length` of which are made.

        Args:
          orders: ignored: all members read the same batches.
          start: updates made before the segment; segments follow one another, the
            last one may be asked for again, and those that nobody needed are skipped.
          steps: updates of the segment, what a program is compiled for.
          length: updates to make, at most `steps`.

        Raises:
          DataError: if there are not enough batches, or one has other shapes.
        """
        del orders
        if self._held is None or self._held[0] != start:
            self.skip(start - self._used)
            self._held = (start, self._stacked(steps, length))
        return self._held[1]

    def rest(self, steps: int) -> Segment | None:
        """What was read before a failure, for fewer updates than were asked for."""
        return self._stacked(steps, len(self._ready)) if self._ready else None

    def sample(self, steps: int) -> PyTree:
        """The shapes of a segment of `steps` updates, without reading any."""
        size = _batch_size(self.example)
        data = jax.tree.map(
            lambda leaf: np.zeros((steps * size, *leaf.shape[1:]), leaf.dtype),
            self.example,
        )
        return _segment(data, steps, size, 1)

    def first_again(self, steps: int) -> StreamBatches:
        """The first batch so many times, in place of what is still to be read."""
        return StreamBatches(repeat(self._ready[0]), steps)

    @property
    def digest(self) -> str:
        """What is known of the batches before they are read, but for their size."""
        return _one_described(self.example)

    def skip(self, count: int) -> None:
        """Read `count` batches that are not needed again."""
        while count > 0:
            some = min(count, 64)
            self._take(some)
            count -= some

    def close(self) -> None:
        """Stop reading ahead."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _stacked(self, steps: int, length: int) -> Segment:
        batches = self._take(length)
        size = _batch_size(self.example)

        def stack(*leaves: np.ndarray) -> np.ndarray:
            rows = np.zeros((steps * size, *leaves[0].shape[1:]), leaves[0].dtype)
            np.concatenate(leaves, out=rows[: length * size])
            return rows

        data = jax.tree.map(stack, *batches)
        self._coming = self._thread.submit(self._fetch, steps)
        return _segment(data, steps, size, length)

    def _take(self, count: int) -> list[Batch]:
        if self._coming is not None:
            coming, self._coming = self._coming, None
            coming.result()
        self._need(count)
        self._used += count
        return [self._ready.popleft() for _ in range(count)]

    def _need(self, count: int) -> None:
        """Have `count` batches ready, or raise what kept them from being read."""
        self._fetch(count)
        if self._failed is not None and len(self._ready) < count:
            raise self._failed

    def _fetch(self, count: int) -> None:
        """Have `count` batches ready, or all that will be needed or can be read.

        A failure waits until the batches before it have been used.
        """
        while len(self._ready) < count and self._read < self._steps:
            if self._failed is not None:
                return
            try:
                self._ready.append(self._checked(self._next()))
            except Exception as error:
                self._failed = error
            else:
                self._read += 1

    def _next(self) -> Batch:
        try:
            batch = next(self._iterator)
        except StopIteration:
            if not self._again or not self._in_pass:
                ends = f"ended after {self._read} batches"
                raise DataError(f"run: data {ends}, {self._steps} are needed") from None
            self._iterator, self._in_pass = self._start_again(), 0
            return self._next()
        except Exception as error:
            raise self._failure(error) from error
        self._in_pass += 1
        return batch

    def _start_again(self) -> Iterator[Batch]:
        try:
            return iter(self._source)
        except Exception as error:
            raise self._failure(error) from error

    def _failure(self, error: Exception) -> DataError:
        what = explained(error)
        return DataError(f"run: data failed at batch {self._read}, with {what}")

    def _checked(self, batch: Batch) -> Batch:
        arrays = jax.tree.map(_copied, batch)
        if self._read == 0:
            _batch_size(arrays)
            return arrays
        known, found = _described(self.example), _described(arrays)
        if known != found:
            expected = f"like the first, {known}"
            hint = _SHORTER if _is_shorter(arrays, self.example) else ""
            raise DataError(
                f"run: batch {self._read} must be {expected}, got {found}{hint}"
            )
        return arrays


def _copied(leaf: Any) -> np.ndarray:
    """An array that stays as it is: many iterables fill one buffer again and again."""
    array = np.asarray(leaf)
    return array if isinstance(leaf, jax.Array) else array.copy()


def _segment(data: PyTree, steps: int, size: int, length: int) -> Segment:
    rows = np.arange(steps * size, dtype=np.int32).reshape(1, steps, size)
    return Segment(data, rows, np.zeros(1, np.int32), np.asarray(length, np.int32))


def _is_shorter(batch: Batch, first: Batch) -> bool:
    """Whether a batch has fewer examples than the first, but is like it otherwise."""
    if _one_described(batch) != _one_described(first):
        return False
    pairs = zip(jax.tree.leaves(batch), jax.tree.leaves(first), strict=True)
    return all(leaf.shape < other.shape for leaf, other in pairs)


def _batch_size(batch: PyTree) -> int:
    sizes = {leaf.shape[0] if leaf.ndim else 0 for leaf in jax.tree.leaves(batch)}
    if len(sizes) != 1 or 0 in sizes:
        expected = "arrays with equally many examples along the first axis"
        _checks.fail("run", "a batch of data", expected, _described(batch))
    return int(sizes.pop())


def _described(batch: PyTree) -> str:
    return str(jax.tree.map(lambda leaf: f"{leaf.dtype}{list(leaf.shape)}", batch))


def _one_described(batch: PyTree) -> str:
    """What one example of a batch is."""

    def one(leaf: Any) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype)

    return _described(jax.tree.map(one, batch))
