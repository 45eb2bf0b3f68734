"""Where members run: on which devices, and how inside each."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import PartitionSpec as P

from optax_cycles import _checks
from optax_cycles._typing import Batch, PyTree

Inside = Literal["map", "vmap"]
# The axes of a mesh that the engine knows: members share out the one, the examples of
# each batch the other.
MEMBERS, DATA = "members", "data"


class Placement(NamedTuple):
    """How a population is laid out.

    Attributes:
      inside: `"map"` trains the members of a device one after another, so that one
        member's weights stay in a core's cache; `"vmap"` trains them side by side,
        which is what fills a GPU or a TPU.
      devices: the devices that share the population.
      grid: the mesh of these devices, where a member spans several of them; by
        default each device trains members of its own.
    """

    inside: Inside
    devices: tuple[jax.Device, ...]
    grid: jax.sharding.Mesh | None = None

    @property
    def mesh(self) -> jax.sharding.Mesh:
        """The mesh of the devices; one of its axes is `members`."""
        if self.grid is not None:
            return self.grid
        return jax.sharding.Mesh(np.array(self.devices), (MEMBERS,))

    @property
    def parts(self) -> int:
        """Parts that a population is divided into."""
        return int(self.mesh.shape[MEMBERS])

    @property
    def batch_parts(self) -> int:
        """Parts that each batch is divided into."""
        return int(self.mesh.shape.get(DATA, 1))

    @property
    def inner(self) -> dict[str, int]:
        """The axes that a member spans, with their sizes, on which rounding depends."""
        shape = self.mesh.shape
        return {name: int(shape[name]) for name in shape if name != MEMBERS}

    @property
    def splits_state(self) -> bool:
        """Whether there are axes over which a trainable may lay out its state."""
        return not {MEMBERS, DATA}.issuperset(self.mesh.axis_names)

    def split(self, batch: Batch) -> Batch:
        """A traced batch, its examples shared out over the `data` axis."""
        if DATA not in self.mesh.axis_names:
            return batch
        return lax.with_sharding_constraint(batch, P(DATA))

    def check_batch(self, function: str, size: int) -> None:
        """Check that batches of this size can be divided."""
        if size % self.batch_parts:
            expected = f"a multiple of {self.batch_parts}, the mesh's data axis"
            _checks.fail(function, "batch_size", expected, size)

    def tracing(self) -> contextlib.AbstractContextManager[Any]:
        """Where functions that name the mesh's axes can be traced."""
        if self.grid is None:
            return contextlib.nullcontext()
        return jax.sharding.use_abstract_mesh(self.grid.abstract_mesh)


def resolve_placement(
    placement: Placement | str,
    devices: Sequence[jax.Device] | None = None,
    mesh: jax.sharding.Mesh | None = None,
) -> Placement:
    """The placement that `placement` names.

    Args:
      placement: `"auto"`, `"map"`, `"vmap"`, or a `Placement`. `"auto"` takes
        `"map"` on a CPU and `"vmap"` elsewhere.
      devices: the devices to use; all those of all processes by default.
      mesh: a mesh of devices with an axis `members`, instead of `devices`.

    Raises:
      ValueError: for another name, an empty list of devices, a mesh without
        `members`, or if the devices are given twice, by two of the arguments;
        for `"measure"`, which is `run`'s own.
      TypeError: if `mesh` is not a mesh.
    """
    if mesh is not None:
        return _over_mesh(placement, devices, mesh)
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
    chosen = tuple(jax.devices() if devices is None else devices)
    if not chosen:
        _checks.fail("build", "devices", "a non-empty sequence of devices", devices)
    return Placement(_inside(placement, chosen[0]), chosen)


def _inside(placement: str, device: jax.Device) -> Inside:
    if placement == "auto":
        return "map" if device.platform == "cpu" else "vmap"
    return "map" if placement == "map" else "vmap"


def _over_mesh(
    placement: Placement | str,
    devices: Sequence[jax.Device] | None,
    mesh: jax.sharding.Mesh,
) -> Placement:
    if not isinstance(mesh, jax.sharding.Mesh):
        _checks.fail_type("build", "mesh", "a jax.sharding.Mesh", mesh)
    for name, is_given in (
        ("devices", devices is not None),
        ("a Placement", isinstance(placement, Placement)),
    ):
        if is_given:
            raise ValueError(
                f"build: {name} can't be given besides a mesh, which has"
                " devices of its own"
            )
    if MEMBERS not in mesh.axis_names:
        expected = "a mesh with an axis named 'members'"
        _checks.fail("build", "mesh", expected, mesh.axis_names)
    _checks.choice("build", "placement", placement, ("auto", "map", "vmap"))
    # All axes but `members` are the compiler's, however the mesh was made.
    mesh = jax.sharding.Mesh(mesh.devices, mesh.axis_names)
    chosen = tuple(mesh.devices.flat)
    return Placement(_inside(str(placement), chosen[0]), chosen, mesh)


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
