"""Where members run: on which devices, and how inside each."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from optax_cycles import _checks
from optax_cycles._typing import PyTree

Inside = Literal["map", "vmap"]


class Placement(NamedTuple):
    """How a population is laid out.

    Attributes:
      inside: `"map"` trains the members of a device one after another, so that one
        member's weights stay in a core's cache; `"vmap"` trains them side by side,
        which is what fills a GPU or a TPU.
      devices: the devices that share the population, one part each.
    """

    inside: Inside
    devices: tuple[jax.Device, ...]

    @property
    def mesh(self) -> jax.sharding.Mesh:
        """The mesh with one axis, `members`."""
        return jax.sharding.Mesh(np.array(self.devices), ("members",))


def resolve_placement(
    placement: Placement | str, devices: Sequence[jax.Device] | None = None
) -> Placement:
    """The placement that `placement` names.

    Args:
      placement: `"auto"`, `"map"`, `"vmap"`, or a `Placement`. `"auto"` takes
        `"map"` on a CPU and `"vmap"` elsewhere.
      devices: the devices to use; all of this process's by default.

    Raises:
      ValueError: for another name, an empty list of devices, or `devices` beside a
        `Placement`, which has its own; for `"measure"`, which is `run`'s own.
    """
    if isinstance(placement, Placement):
        if devices is not None:
            raise ValueError("build: devices are given twice, the placement has some")
        return placement
    if placement == "measure":
        raise ValueError(
            "build: placement 'measure' needs data to train on, which only run has; "
            "its result's `measured` says which to take here"
        )
    _checks.choice("build", "placement", placement, ("auto", "map", "vmap"))
    chosen = tuple(jax.local_devices() if devices is None else devices)
    if not chosen:
        _checks.fail("build", "devices", "a non-empty sequence of devices", devices)
    if placement == "auto":
        placement = "map" if chosen[0].platform == "cpu" else "vmap"
    return Placement("map" if placement == "map" else "vmap", chosen)


def over_members(inside: Inside) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A transformation of a one-member function into one over a leading axis."""
    if inside == "vmap":
        return jax.vmap
    return lambda one: lambda *args: jax.lax.map(lambda packed: one(*packed), args)


def update_members(
    inside: Inside,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """`over_members` for `one(member) -> (member, more)`, which reuses its input.

    `lax.map` stacks its results in new arrays, so that a donated population would
    be held twice and copied whole three times more.
    """
    if inside == "vmap":
        return jax.vmap

    def over(one: Callable[..., Any]) -> Callable[..., Any]:
        def update(members: PyTree, index: Any) -> tuple[PyTree, PyTree]:
            member = jax.tree.map(
                lambda rows: lax.dynamic_index_in_dim(rows, index, keepdims=False),
                members,
            )
            member, more = one(member)
            members = jax.tree.map(
                lambda rows, row: lax.dynamic_update_index_in_dim(rows, row, index, 0),
                members,
                member,
            )
            return members, more

        def update_all(members: PyTree) -> tuple[PyTree, PyTree]:
            count = len(jax.tree.leaves(members)[0])
            return lax.scan(update, members, jnp.arange(count))

        return update_all

    return over


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def use_cpu_devices(count: int | None = None) -> int:
    """Make the CPU's cores into JAX devices, one member at a time on each.

    On a CPU a population trains fastest with one device per core. JAX fixes the
    number of its devices when it first uses one, so call this before anything else.

    Args:
      count: devices to make; by default the cores that this process may use.

    Returns:
      The number of CPU devices.

    Raises:
      ValueError: if `count` is not positive.
      RuntimeError: if JAX has already started with another number of devices.
    """
    if count is None:
        count = _usable_cores()
    _checks.integer("use_cpu_devices", "count", count, minimum=1)
    try:
        jax.config.update("jax_num_cpu_devices", count)
    except RuntimeError as error:
        have = len(jax.devices("cpu"))
        if have != count:
            raise RuntimeError(
                f"use_cpu_devices: JAX has already started with {have} CPU device(s); "
                f"call use_cpu_devices({count}) before anything uses JAX"
            ) from error
    return count
