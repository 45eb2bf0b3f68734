"""The engine: many members of one population in one compiled program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from optax_cycles import _checks
from optax_cycles._typing import Batch, Key, Metrics, PyTree
from optax_cycles.sweep.batches import Segment
from optax_cycles.sweep.divergence import NON_FINITE, Divergence, check_divergence
from optax_cycles.sweep.member import Member
from optax_cycles.sweep.members import Members, starts_of, taken
from optax_cycles.sweep.memory import bytes_needed
from optax_cycles.sweep.placement import (
    Placement,
    over_members,
    resolve_placement,
    update_members,
)
from optax_cycles.sweep.processes import Processes, put
from optax_cycles.sweep.program import Program, compile_together
from optax_cycles.sweep.space import Space
from optax_cycles.sweep.trainable import Trainable


class Engine:
    """Trains populations of one `Trainable`; made by `build`.

    Attributes:
      trainable: what is trained.
      placement: how members are laid out over devices.
      divergence: when a member is stopped.
      processes: the processes that the devices belong to.
    """

    def __init__(
        self, trainable: Trainable, placement: Placement, divergence: Divergence
    ) -> None:
        """Use `build`, which checks its arguments."""
        one = Member(trainable, placement, divergence)
        self.trainable = trainable
        self.placement = placement
        self.divergence = divergence
        self.processes = Processes(placement.devices)
        mesh = placement.mesh
        self.each = NamedSharding(mesh, P("members"))
        self._all = NamedSharding(mesh, P())
        # How members lie between programs; see `_find_layout`.
        self._layout: PyTree = self.each

        def program(over: Any, function: Any, pin: Any, **how: Any) -> Program:
            def local(members: PyTree, shared: PyTree) -> PyTree:
                if isinstance(shared, Segment):
                    shared = shared.drawn()
                return over(lambda member: function(member, shared))(members)

            mapped = jax.shard_map(
                local,
                mesh=mesh,
                in_specs=(P("members"), P()),
                out_specs=P("members"),
                axis_names={"members"},
                # Members never exchange anything, so nothing needs tracking.
                check_vma=False,
            )
            return Program(lambda *args: pin(mapped(*args)), **how)

        each = over_members(placement.inside)
        update = update_members(placement.inside)
        # Initialisation runs once; on a CPU most of its time would be compilation.
        on_cpu = placement.devices[0].platform == "cpu"
        options = {"xla_backend_optimization_level": 1} if on_cpu else {}
        self._init = program(each, one.init, self._pin_new, options=options)
        self._advance = program(update, one.advance, self._pin_advanced, donate=(0,))
        self._evaluate = program(each, one.evaluate, self._pin)

    def _pin(self, out: PyTree, layout: PyTree = None) -> PyTree:
        """What a program returns, laid out as the next one takes it.

        Along all axes but `members` the compiler would choose.
        """
        if self.placement.grid is None:
            return out
        layout = self.each if layout is None else layout
        return jax.lax.with_sharding_constraint(out, layout)

    def _pin_new(self, members: Members) -> Members:
        if self.placement.splits_state:
            pinned: Members = self._pin(members._replace(state=None))
            return pinned._replace(state=members.state)
        return self._pin(members)

    def _pin_advanced(self, out: tuple[Members, Metrics]) -> tuple[Members, Metrics]:
        members, metrics = out
        return self._pin(members, self._layout), self._pin(metrics)

    def _find_layout(self) -> None:
        """Lay states out as initialisation leaves them, where that is up to it."""
        if self.placement.splits_state and self._layout is self.each:
            self._init.compile()
            self._layout = next(iter(self._init.compiled.values())).output_shardings

    @property
    def compiles(self) -> dict[str, int]:
        """How many programs have been compiled, by what they do."""
        return {name: len(p.compiled) for name, p in self._programs().items()}

    @property
    def compile_seconds(self) -> dict[str, float]:
        """Time spent on tracing and compiling, by what the programs do."""
        return {name: p.compile_seconds for name, p in self._programs().items()}

    def _programs(self) -> dict[str, Program]:
        return {
            "init": self._init,
            "advance": self._advance,
            "evaluate": self._evaluate,
        }

    def init(
        self,
        key: Key,
        hparams: Space | Mapping[str, Any],
        *,
        size: int | None = None,
        idents: np.ndarray | None = None,
        order: str = "seed",
    ) -> Members:
        """Start a population.

        Args:
          key: the population's random key. A member's own stream is
            `fold_in(key, seed)`, whatever its place, its chunk or its neighbours.
          hparams: a `Space`, or a dict of arrays of shape `[members]`. The name
            `seed` is the engine's own (0 for all members where it is missing).
          size: rows to make; by default the members, rounded up to a multiple of
            the devices. Rows beyond the members are padding (`ident` is -1).
          idents: the members' numbers, int `[members]`; 0, 1, 2, ... by default.
          order: whether members of one `"seed"` read the data in one order, or each
            `"member"` in an order of its own, that of its number.

        Returns:
          `Members`, laid out over the devices.

        Raises:
          ValueError: if `size` is too small or not a multiple of the devices, or
            `order` is unknown.
        """
        self.check_kind(key)
        start = self._starts(hparams, size=size, idents=idents, order=order)
        members: Members = self._init(start, self.place(key))
        self._find_layout()
        return members

    def prepare(
        self,
        key: Key,
        hparams: Space | Mapping[str, Any],
        segment: Segment,
        batch: Batch | None = None,
        *,
        size: int | None = None,
    ) -> Members:
        """Compile all programs for such arguments, side by side.

        Calling this is never needed, but faster than to compile one program after
        another as they are first used.

        Args:
          key: as for `init`.
          hparams: as for `init`.
          segment: as for `advance`.
          batch: as for `evaluate`, where that is to be called.
          size: as for `init`.

        Returns:
          The shapes and dtypes of the population.
        """
        self.check_kind(key)
        shapes: Members = self._init.lower(
            self._starts(hparams, size=size), self.place(key)
        )
        self._find_layout()
        members = self._on_members(shapes)
        self._advance.lower(members, self.place(segment))
        if batch is not None:
            self._evaluate.lower(members, self.place(batch))
        # Processes may exchange what they compile, so they keep to one order.
        at_once = 1 if self.processes.many else len(self._programs())
        compile_together(list(self._programs().values()), at_once)
        return shapes

    def shapes(
        self, key: Key, hparams: Space | Mapping[str, Any], size: int | None = None
    ) -> Members:
        """What `init` would return, as shapes and dtypes; compiles nothing."""
        start = self._starts(hparams, size=size)
        shapes: Members = self._init.shapes(start, self.place(key))
        return shapes

    @property
    def bytes_needed(self) -> int:
        """Bytes on each device that the largest of the last programs needs."""
        last = [list(p.compiled.values())[-1:] for p in self._programs().values()]
        return max((bytes_needed(c) for found in last for c in found), default=0)

    def _on_members(self, shapes: PyTree) -> PyTree:
        """The shapes, laid out as members are."""

        def placed(sharding: Any, below: PyTree) -> PyTree:
            return jax.tree.map(
                lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=sharding),
                below,
            )

        return jax.tree.map(placed, self._layout, shapes)

    def check_kind(self, key: Key) -> None:
        """Raise for keys whose numbers depend on the neighbours, side by side.

        Members of one seed would differ, and with chunks and devices so would all.
        """
        kind = str(jax.random.key_impl(key))
        if self.placement.inside == "vmap" and "rbg" in kind:
            expected = (
                "of a kind whose numbers don't depend on members beside it, such as "
                "jax.random.key(0, impl='threefry2x32')"
            )
            _checks.fail("init", "key", expected, kind)

    def _starts(self, hparams: Space | Mapping[str, Any], **how: Any) -> dict[str, Any]:
        """What `init` starts from, laid out over the devices."""
        return put(starts_of(hparams, self.placement.parts, **how), self.each)

    def take(self, members: Members, rows: np.ndarray, size: int) -> Members:
        """A smaller population of some of the members.

        Args:
          members: a population.
          rows: which of its rows to take.
          size: rows to make, a multiple of the devices; those beyond are padding.
        """
        some = np.resize(rows, size).astype(np.int32)
        padding = np.arange(size) >= len(rows)
        members = put(members, self._layout)
        smaller: Members = jax.jit(taken, out_shardings=self._layout)(
            members, some, padding
        )
        return smaller

    def advance(self, members: Members, segment: Segment) -> tuple[Members, Metrics]:
        """Make one segment of updates on every running member.

        Args:
          members: a population. Its buffers are taken over: don't use it again.
          segment: the batches, from `ArrayBatches.segment`.

        Returns:
          The population, and the metrics as float arrays `[members, steps]`, NaN
          where no update was made (beyond `segment.length`, after divergence, in
          padding).
        """
        self.placement.check_batch("advance", segment.shape[1])
        members = put(members, self._layout)
        out: tuple[Members, Metrics] = self._advance(members, self.place(segment))
        return out

    def place(self, data: PyTree) -> PyTree:
        """`data` on every device; nothing is copied that is there already."""
        return put(data, self._all)

    def evaluate(self, members: Members, batch: Batch) -> Metrics:
        """Evaluate every member on one batch.

        Returns:
          The metrics as float arrays `[members]`, NaN for diverged members and
          padding.

        Raises:
          ValueError: if the trainable has no `evaluate`.
        """
        if self.trainable.evaluate is None:
            raise ValueError("evaluate: the trainable has no evaluate function")
        members = put(members, self._layout)
        out: Metrics = self._evaluate(members, self.place(batch))
        return out


def build(
    trainable: Trainable,
    *,
    placement: Placement | str = "auto",
    devices: Sequence[jax.Device] | None = None,
    mesh: jax.sharding.Mesh | None = None,
    divergence: Divergence = NON_FINITE,
) -> Engine:
    """Make an engine for a trainable.

    Args:
      trainable: one member's training; see `oc.trainable`.
      placement: `"auto"` (members one after another on each CPU device, side by
        side on a GPU or TPU), `"map"`, `"vmap"`, or a `Placement`.
      devices: the devices that share a population; by default all of them, those of
        other processes included.
      mesh: instead of `devices`, a mesh of them with an axis `members`, so that a
        member spans several devices. An axis `data` shares out the examples of each
        batch. Any other is the trainable's, which lays out its state and its
        activations over it with `jax.lax.with_sharding_constraint`.
      divergence: when a member is stopped; see `Divergence`.

    Returns:
      An `Engine` with `init`, `advance` and `evaluate`.

    Raises:
      TypeError: if `trainable` is not a `Trainable`, or `mesh` not a mesh.
      ValueError: if the placement is unknown, the mesh has no axis `members`, devices
        are given twice, or the rule's numbers make no sense.

    Examples:
      >>> import jax, jax.numpy as jnp, optax, optax_cycles as oc
      >>> problem = oc.problem_from_loss(
      ...     lambda key: jnp.ones(2), lambda p, batch, key: jnp.mean((batch @ p) ** 2)
      ... )
      >>> engine = oc.sweep.build(
      ...     oc.trainable(problem, lambda hp: optax.sgd(hp["learning_rate"]))
      ... )
      >>> key = jax.random.key(0)
      >>> members = engine.init(key, {"learning_rate": [0.1, 0.2]})
      >>> data = oc.sweep.ArrayBatches(jnp.eye(2), 2, key)
      >>> members, metrics = engine.advance(members, data.segment([0], 0, 3, 3))
      >>> metrics["loss"].shape
      (2, 3)
    """
    if not isinstance(trainable, Trainable):
        _checks.fail_type("build", "trainable", "a Trainable", trainable)
    check_divergence("build", divergence)
    return Engine(trainable, resolve_placement(placement, devices, mesh), divergence)
