"""Random orders of the examples, drawn inside the compiled program."""

from __future__ import annotations

import dataclasses
import functools
import hashlib

import jax
import jax.numpy as jnp
import numpy as np

from optax_cycles._typing import Array, Key

# Each round moves an example with probability 1/2: one never moved has 2^-32.
ROUNDS = 32
# The golden ratio's bits: its multiples lie far apart.
STRIDE = np.uint32(0x9E3779B9)


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=["seed", "epoch", "offset"],
    meta_fields=["count", "steps", "batch_size"],
)
@dataclasses.dataclass(frozen=True)
class Shuffle:
    """The examples of consecutive updates, as numbers that a program draws itself.

    An order is one random permutation of the examples after another, cut into
    batches. It is a function of its place: nothing is sorted, stored or sent to the
    device, however many examples and orders there are.

    Attributes:
      seed: uint32 `[2]`, that of all orders; see `order_seed`.
      epoch: int32 scalar, the permutation in which the first update begins.
      offset: int32 scalar, how many of its examples have been read.
      count: examples in each permutation.
      steps: updates.
      batch_size: examples of an update.
    """

    seed: Array | np.ndarray
    epoch: Array | np.ndarray
    offset: Array | np.ndarray
    count: int
    steps: int
    batch_size: int

    def indices(self, orders: Array) -> Array:
        """int32 `[orders, steps, batch]`: the examples that each order has."""
        # Unsigned, as an offset below 2^31 and what is read may be above that together.
        read = jnp.arange(self.steps * self.batch_size, dtype=jnp.uint32)
        place = jnp.asarray(self.offset, jnp.uint32) + read[None]
        epoch = jnp.asarray(self.epoch, jnp.uint32) + place // np.uint32(self.count)
        order = jnp.asarray(orders, jnp.uint32)[:, None]
        first, second = (jnp.asarray(word) for word in self.seed)
        streams = _chained(first, order, epoch), _chained(second, epoch, order)
        found = _permuted(place % np.uint32(self.count), self.count, streams)
        return found.reshape(-1, self.steps, self.batch_size)


def order_seed(key: Key) -> np.ndarray:
    """The seed of `Shuffle` for a key of any kind."""
    words = np.asarray(jax.random.key_data(key)).tobytes()
    return np.frombuffer(hashlib.blake2b(words, digest_size=8).digest(), np.uint32)


def _permuted(place: Array, count: int, streams: tuple[Array, Array]) -> Array:
    """Where a permutation of `count` has each place: "swap or not".

    In each round a place and its mirror image about a random point are swapped or not,
    by a bit of the larger one's hash. V. T. Hoang, B. Morris and P. Rogaway, "An
    enciphering scheme based on a card shuffle" (2012), figure 1.
    """
    size = np.uint32(count)

    def swap_or_not(number: Array, x: Array) -> Array:
        away = number.astype(jnp.uint32) * STRIDE
        mirror, salt = (_hash(stream + away) for stream in streams)
        mirror = mirror % size
        partner = jnp.where(mirror >= x, mirror - x, mirror + (size - x))
        swaps = _hash(jnp.maximum(x, partner) ^ salt) >> 31 == 1
        return jnp.where(swaps, partner, x)

    start = jnp.broadcast_to(place, streams[0].shape)
    return jax.lax.fori_loop(0, ROUNDS, swap_or_not, start).astype(jnp.int32)


def _chained(seed: Array, *numbers: Array) -> Array:
    """A hash of all of them, and of their order."""
    for number in numbers:
        seed = _hash(seed ^ number) + STRIDE
    return seed


def _hash(x: Array) -> Array:
    """32 bits that each depend on all bits of `x`.

    C. Wellons' "lowbias32", the least biased of its form that his search found.
    """
    x = (x ^ (x >> 16)) * np.uint32(0x7FEB352D)
    x = (x ^ (x >> 15)) * np.uint32(0x846CA68B)
    return x ^ (x >> 16)
