"""Many processes that share one population, each with some of its devices.

All of them make the same calls in the same order. What a process holds only a part of
is gathered before the host reads it, and what depends on a clock, on memory or on a
disk is decided by all of them together.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, Sharding
from jax.sharding import PartitionSpec as P

from optax_cycles import _checks
from optax_cycles._typing import PyTree

T = TypeVar("T")


class Processes:
    """The processes that some devices belong to.

    Attributes:
      many: whether there are several.
      indices: their numbers, increasing.
      is_first: whether this one is the first, which writes files and reports.
      local_devices: those of the devices that are this process's.
    """

    def __init__(self, devices: Sequence[jax.Device]) -> None:
        """Find the processes.

        Raises:
          ValueError: if none of the devices belongs to this process.
        """
        one_each = {device.process_index: device for device in reversed(devices)}
        self.indices = sorted(one_each)
        this = jax.process_index()
        if this not in one_each:
            wanted = f"devices of which process {this}, which calls, has some"
            _checks.fail("build", "devices", wanted, list(devices))
        self.many = len(self.indices) > 1
        self.is_first = self.indices[0] == this
        self.local_devices = tuple(d for d in devices if d.process_index == this)
        self._speakers = np.array([one_each[index] for index in self.indices])

    def each(self, value: Any) -> np.ndarray:
        """What every process says, `[processes, ...]`; all must call this."""
        said = np.asarray(value)[None]
        if not self.many:
            return said
        sharding = NamedSharding(Mesh(self._speakers, ("processes",)), P("processes"))
        shape = (len(self.indices), *said.shape[1:])
        said = said.astype(jax.dtypes.canonicalize_dtype(said.dtype))
        return whole(jax.make_array_from_callback(shape, sharding, lambda _: said))

    def first(self, value: Any) -> Any:
        """What the first process says."""
        return self.each(value)[0]

    def on_first(self, action: Callable[[], T], problem: Exception) -> T | None:
        """Do something on the first process; where it fails there, all fail.

        Args:
          action: what to do.
          problem: what the other processes raise then.

        Returns:
          What `action` returned, or None on the other processes.
        """
        made, error = None, None
        if self.is_first:
            try:
                made = action()
            except Exception as caught:
                error = caught
        if self.first(error is not None):
            raise error or problem
        return made

    def check_same(self, function: str, said: Mapping[str, str]) -> None:
        """Check that all processes make the same call.

        Args:
          function: what is called.
          said: digests of the arguments, by name.

        Raises:
          ValueError: on all processes, naming the arguments that differ.
        """
        if not self.many:
            return
        digests = [hashlib.blake2b(s.encode(), digest_size=8) for s in said.values()]
        own = np.array([list(found.digest()) for found in digests], np.uint8)
        votes = self.each(own)
        differ = (votes != votes[0]).any(axis=(0, 2))
        names = [name for name, other in zip(said, differ, strict=True) if other]
        if names:
            raise ValueError(
                f"{function}: the processes differ in {', '.join(names)}; each must "
                "make the same call with the same values"
            )


def whole(leaf: Any) -> Any:
    """All of an array, also where other processes hold some of it.

    An array that this process holds is returned as it is; another one is gathered,
    for which every process must call this.
    """
    if not isinstance(leaf, jax.Array) or leaf.is_fully_addressable:
        return leaf
    if _is_key(leaf):
        numbers = whole(jax.random.key_data(leaf))
        return jax.random.wrap_key_data(numbers, impl=jax.random.key_impl(leaf))
    if leaf.is_fully_replicated:
        return np.asarray(leaf.addressable_data(0))
    return multihost_utils.process_allgather(leaf, tiled=True)


def put(tree: PyTree, shardings: PyTree) -> PyTree:
    """A pytree laid out over devices; what lies there already is not copied.

    Args:
      tree: arrays, the same on every process.
      shardings: a sharding for all of them, or one each.
    """
    if isinstance(shardings, Sharding):
        sharding = shardings
        shardings = jax.tree.map(lambda _: sharding, tree)
    if all(s.is_fully_addressable for s in jax.tree.leaves(shardings)):
        return jax.device_put(tree, shardings)
    return jax.tree.map(_put_own_part, tree, shardings)


def _put_own_part(leaf: Any, sharding: Sharding) -> Any:
    """A leaf of which this process puts its own part; the values are not compared."""
    if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable:
        return jax.device_put(leaf, sharding)
    if _is_key(leaf):
        numbers = _put_own_part(jax.random.key_data(leaf), sharding)
        return jax.random.wrap_key_data(numbers, impl=jax.random.key_impl(leaf))
    array = np.asarray(leaf)
    array = array.astype(jax.dtypes.canonicalize_dtype(array.dtype), copy=False)
    return jax.make_array_from_callback(array.shape, sharding, array.__getitem__)


def _is_key(leaf: Any) -> bool:
    dtype = getattr(leaf, "dtype", None)
    return dtype is not None and jnp.issubdtype(dtype, jax.dtypes.prng_key)
