"""`run`: the host loop around the engine, with evaluation and progress."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from optax_cycles import _checks
from optax_cycles._typing import Batch, Key, PyTree
from optax_cycles.sweep.batches import ArrayBatches, examples
from optax_cycles.sweep.check import check_trainable
from optax_cycles.sweep.divergence import NON_FINITE, Divergence
from optax_cycles.sweep.engine import Engine, build
from optax_cycles.sweep.members import Members
from optax_cycles.sweep.placement import Placement
from optax_cycles.sweep.record import Record, Timed
from optax_cycles.sweep.result import RESERVED, SweepResult
from optax_cycles.sweep.space import Space, as_space, check_seeds
from optax_cycles.sweep.trainable import Trainable

SEGMENTS = 20
SHORTEST_SEGMENT = 10
LONGEST_SEGMENT = 500


class Progress(NamedTuple):
    """How far a sweep has come, in updates summed over its members."""

    done: int
    total: int


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during a sweep; `result` holds what had been computed."""

    def __init__(self, result: Any) -> None:
        """Keep the incomplete result."""
        super().__init__("interrupted; .result holds what had been computed")
        self.result = result


def run(
    trainable: Trainable,
    space: Space | Mapping[str, Any],
    data: PyTree,
    steps: int,
    *,
    key: Key,
    batch_size: int = 32,
    validation: Batch | None = None,
    horizons: Sequence[int] | None = None,
    placement: Placement | str = "auto",
    devices: Sequence[jax.Device] | None = None,
    chunk: int | None = None,
    segment: int | None = None,
    divergence: Divergence = NON_FINITE,
    keep_state: bool = False,
    progress: Callable[[Progress], None] | None = None,
) -> SweepResult:
    """Train every member of a space and record what happens.

    Args:
      trainable: one member's training; see `oc.trainable`.
      space: a `Space` from `grid` or `zip`, or a dict of equally long arrays. The
        hyperparameter `seed`, an integer, is the engine's own: members of one seed
        share initial parameters, data order and random numbers.
      data: pytree of arrays, examples along the first axis; they stay on the device.
      steps: updates to make.
      key: the key of all randomness.
      batch_size: examples in each update's batch.
      validation: one batch to evaluate every member on, as a whole; a pytree of
        the structure of `data`.
      horizons: numbers of updates after which to evaluate, increasing, 0 to
        `steps`; by default `[steps]`.
      placement: see `build`.
      devices: see `build`.
      chunk: members trained at a time; by default all of them. A larger population
        takes several rounds, with the same results.
      segment: updates in one compiled program; between programs the host reports
        progress and can be interrupted. By default a twentieth of `steps`,
        but 10 to 500.
      divergence: when a member is stopped.
      keep_state: whether the result holds every member's final state.
      progress: called with a `Progress` at the start and after each segment.

    Returns:
      A `SweepResult`.

    Raises:
      TypeError, ValueError: for arguments that make no sense, and where
        `check_trainable` finds the trainable wrong.
      Interrupted: on Ctrl-C, with the incomplete result.

    Examples:
      >>> import jax, jax.numpy as jnp, optax, optax_cycles as oc
      >>> problem = oc.problem_from_loss(
      ...     lambda key: jnp.ones(2), lambda p, batch, key: jnp.mean((batch @ p) ** 2)
      ... )
      >>> train = oc.trainable(problem, lambda hp: optax.sgd(hp["learning_rate"]))
      >>> result = oc.sweep.run(
      ...     train, oc.sweep.grid(learning_rate=[0.1, 0.5, 1e9]), jnp.eye(2), 40,
      ...     key=jax.random.key(0), batch_size=2, validation=jnp.eye(2),
      ... )
      >>> result.best(), result.diverged.tolist()
      ({'learning_rate': 0.5}, [False, False, True])
    """
    space = as_space("run", space)
    _check_names(space)
    _checks.integer("run", "steps", steps, minimum=1)
    horizons = _check_horizons(steps, horizons, validation)
    if chunk is not None:
        _checks.integer("run", "chunk", chunk, minimum=1)
    if segment is None:
        segment = min(max(-(-steps // SEGMENTS), SHORTEST_SEGMENT), LONGEST_SEGMENT)
    _checks.integer("run", "segment", segment, minimum=1)
    init_key, data_key = jax.random.split(_check_key(key))
    batches = ArrayBatches(data, batch_size, data_key)
    engine = build(
        trainable, placement=placement, devices=devices, divergence=divergence
    )
    _check_validation(data, validation)
    _check(trainable, space, batches, validation)
    loop = _Loop(
        engine=engine,
        key=init_key,
        hparams=space.members(),
        batches=batches,
        validation=engine.place(validation),
        record=Record(space, steps, horizons),
        segment=segment,
        size=_rows(engine, space, chunk),
        progress=progress,
    )
    batches.data = engine.place(batches.data)
    try:
        chunks = _chunks(space, chunk)
        loop.prepare(chunks[0][1])
        for rows, seeds in chunks:
            members = loop.chunk(rows, seeds)
            if keep_state:
                loop.record.keep_state(rows, members)
    except KeyboardInterrupt:
        raise Interrupted(loop.record.result(complete=False)) from None
    return loop.record.result(complete=True)


def check_options(function: str, options: Mapping[str, Any]) -> None:
    """Raise where a function passes on to `run` what that does not take."""
    for option in options:
        known = set(inspect.signature(run).parameters) - {"trainable", "space", "data"}
        if option not in known:
            expected = _checks.near(option, known)
            raise TypeError(f"{function}: an option must be {expected}, got {option!r}")


def _check_validation(data: PyTree, validation: Batch | None) -> None:
    if validation is None:
        return
    examples("run", "validation", validation)
    known: list[Any] = [jax.tree.structure(data), jax.tree.structure(validation)]
    if known[0] != known[1]:
        expected = f"of the same structure as the data, {known[0]}"
        raise ValueError(f"run: validation must be {expected}, got {known[1]}")


def _check_names(space: Space) -> None:
    for name, values in space.members().items():
        if name in RESERVED:
            raise ValueError(f"run: {name!r} can't be the name of a hyperparameter")
        if name == "seed":
            check_seeds("run", name, values)


def _check_key(key: Any) -> Key:
    if not (
        isinstance(key, jax.Array)
        and jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
        and key.shape == ()
    ):
        _checks.fail_type("run", "key", "a key from jax.random.key", key)
    return key


def _check_horizons(
    steps: int, horizons: Sequence[int] | None, validation: Batch | None
) -> list[int]:
    if validation is None:
        if horizons is not None:
            raise ValueError("run: horizons need validation data, got none")
        return []
    if horizons is None:
        return [steps]
    expected = f"increasing integers from 0 to steps ({steps})"
    for horizon in horizons:
        _checks.integer("run", "horizons", horizon, minimum=0)
    kept = [int(horizon) for horizon in horizons]
    if not kept or kept != sorted(set(kept)) or kept[-1] > steps:
        _checks.fail("run", "horizons", expected, horizons)
    return kept


def _check(
    trainable: Trainable, space: Space, batches: ArrayBatches, validation: Any
) -> None:
    first = {name: jnp.asarray(v[0]) for name, v in space.members().items()}
    first.pop("seed", None)
    batch = jax.tree.map(
        lambda a: jax.ShapeDtypeStruct(
            (batches.batch_size, *np.shape(a)[1:]), jnp.asarray(a).dtype
        ),
        batches.data,
    )
    check_trainable(trainable, first, batch, validation)


def _chunks(space: Space, chunk: int | None) -> list[tuple[slice, np.ndarray]]:
    """The rows of each chunk, and its seeds: as many for all, the last one repeated."""
    of_member = space.members().get("seed", np.zeros(space.size, np.int32))
    step = space.size if chunk is None else chunk
    chunks = [
        slice(start, min(start + step, space.size))
        for start in range(0, space.size, step)
    ]
    seeds = [np.unique(of_member[rows]) for rows in chunks]
    most = max(map(len, seeds))
    return [
        (rows, np.pad(known, (0, most - len(known)), "edge"))
        for rows, known in zip(chunks, seeds, strict=True)
    ]


def _rows(engine: Engine, space: Space, chunk: int | None) -> int:
    """Rows of one chunk: all chunks have this size, so one program serves all."""
    devices = len(engine.placement.devices)
    size = space.size if chunk is None else min(chunk, space.size)
    return devices * -(-size // devices)


class _Loop(NamedTuple):
    """Takes one chunk of members after another through all updates."""

    engine: Engine
    key: Key
    hparams: Mapping[str, np.ndarray]
    batches: ArrayBatches
    validation: Batch | None
    record: Record
    segment: int
    size: int
    progress: Callable[[Progress], None] | None

    def prepare(self, seeds: np.ndarray) -> None:
        """Compile everything, for as many seeds as a chunk has."""
        if self.progress is not None:
            self.progress(Progress(0, self.record.space.size * self.record.steps))
        with Timed(self.record.seconds, "compile"):
            hparams = {name: v[: self.size] for name, v in self.hparams.items()}
            batches = self.batches.segment(seeds, 0, self.segment, 1)
            validation = self.validation if self.record.horizons else None
            self.engine.prepare(self.key, hparams, batches, validation, size=self.size)

    def chunk(self, rows: slice, seeds: np.ndarray) -> Members:
        """Train the members `rows` of the space."""
        hparams = {name: v[rows] for name, v in self.hparams.items()}
        with Timed(self.record.seconds, "init"):
            members = self.engine.init(
                self.key, hparams, size=self.size, first_ident=rows.start
            )
            jax.block_until_ready(members)
        at = 0
        stops = sorted({*self.record.horizons, self.record.steps})
        for stop in stops:
            while at < stop:
                length = min(self.segment, stop - at)
                members = self._segment(members, rows, seeds, at, length)
                at += length
            if stop in self.record.horizons:
                with Timed(self.record.seconds, "evaluate"):
                    metrics = self.engine.evaluate(members, self.validation)
                    self.record.evaluated(rows, stop, metrics)
        return members

    def _segment(
        self, members: Members, rows: slice, seeds: np.ndarray, at: int, length: int
    ) -> Members:
        with Timed(self.record.seconds, "train"):
            batches = self.batches.segment(seeds, at, self.segment, length)
            members, metrics = self.engine.advance(members, batches)
            self.record.trained(rows, at, length, metrics)
            self.record.reached(rows, members)
        if self.progress is not None:
            steps, total = self.record.steps, len(self.record.status)
            done = rows.start * steps + (rows.stop - rows.start) * (at + length)
            self.progress(Progress(done, total * steps))
        return members
