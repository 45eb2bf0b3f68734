"""`run`: the host loop around the engine, with evaluation and progress."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from optax_cycles import _checks
from optax_cycles._typing import Batch, Key, PyTree
from optax_cycles.sweep.batches import ArrayBatches, examples
from optax_cycles.sweep.check import check_trainable
from optax_cycles.sweep.checkpoint import CheckpointError
from optax_cycles.sweep.checkpoint_shared import open_checkpoints
from optax_cycles.sweep.divergence import NON_FINITE, Divergence
from optax_cycles.sweep.engine import Engine, build
from optax_cycles.sweep.fingerprint import digest_of, problem_digest
from optax_cycles.sweep.measure import fastest
from optax_cycles.sweep.placement import Placement, resolve_placement
from optax_cycles.sweep.record import Record
from optax_cycles.sweep.result import RESERVED, SweepResult
from optax_cycles.sweep.space import Space, as_space, check_seeds
from optax_cycles.sweep.streams import DataError, StreamBatches, is_stream
from optax_cycles.sweep.trainable import Trainable
from optax_cycles.sweep.training import Progress, Training, as_source

SEGMENTS = 20
SHORTEST_SEGMENT = 10
LONGEST_SEGMENT = 500


class SweepError(RuntimeError):
    """What stopped a sweep, as its cause; `result` holds what had been computed."""

    def __init__(self, message: str, result: Any) -> None:
        """Keep the incomplete result."""
        super().__init__(f"{message}; .result holds what had been computed")
        self.result = result


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
    batch_size: int | None = None,
    order: str = "seed",
    validation: Batch | None = None,
    horizons: Sequence[int] | None = None,
    placement: Placement | str = "auto",
    devices: Sequence[jax.Device] | None = None,
    mesh: jax.sharding.Mesh | None = None,
    chunk: int | str = "auto",
    segment: int | None = None,
    divergence: Divergence = NON_FINITE,
    keep_state: bool = False,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: float = 60.0,
    progress: Callable[[Progress], None] | None = None,
) -> SweepResult:
    """Train every member of a space and record what happens.

    Args:
      trainable: one member's training; see `oc.trainable`.
      space: a `Space` from `grid` or `zip`, or a dict of equally long arrays. The
        hyperparameter `seed`, an integer, is the engine's own: members of one seed
        share initial parameters, data order and random numbers.
      data: pytree of arrays, examples along the first axis, which stay on the device;
        or any iterable of batches (a generator, a PyTorch `DataLoader`, a
        `tf.data.Dataset`, `iter(list)`), each of which all members read. A thread reads
        ahead; an iterable that ends is started again, an iterator is not.
      steps: updates to make.
      key: the key of all randomness.
      batch_size: examples in each update's batch, 32 by default; not for an iterable,
        which has its own.
      order: whether members of one `"seed"` read the data in one order (compared in
        pairs), or each `"member"` in one of its own.
      validation: one batch to evaluate every member on, as a whole; a pytree of
        the structure of `data`.
      horizons: numbers of updates after which to evaluate, increasing, 0 to
        `steps`; by default `[steps]`.
      placement: see `build`; or `"measure"`, which times members one after another,
        side by side, and side by side in small chunks (where `chunk` leaves that
        open) on the sweep's first updates, and takes the fastest. That compiles more
        programs, and pays for long sweeps. The result's `measured` holds the times.
      devices: see `build`.
      mesh: see `build`. The size of its axis `data` divides `batch_size`.
      chunk: members trained at a time; by default all of them, or as many as fit into
        the free memory. A larger population takes several rounds, with the same
        results; if an allocation fails all the same, the chunks are halved.
      segment: updates in one compiled program; between programs the host reports
        progress and can be interrupted. By default a twentieth of `steps`,
        but 10 to 500.
      divergence: when a member is stopped.
      keep_state: whether the result holds every member's final state.
      checkpoint: a folder to save the sweep in after segments. The same call goes on
        from there, bit for bit, after whatever stopped the process. Of many processes
        the first writes it, and all read it.
      checkpoint_every: least seconds from one checkpoint to the next.
      progress: called with a `Progress` at the start and after each segment; of many
        processes, on the first only.

    Returns:
      A `SweepResult`.

    Raises:
      TypeError, ValueError: for arguments that make no sense, and where
        `check_trainable` finds the trainable wrong.
      Interrupted: on Ctrl-C, with the incomplete result.
      SweepError: where an iterable of batches fails or ends too early, or a checkpoint
        can't be written, with the incomplete result and the reason as its cause.

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
    if chunk != "auto":
        _checks.integer("run", "chunk", chunk, minimum=1)
    _checks.real("run", "checkpoint_every", checkpoint_every, minimum=0)
    if segment is None:
        segment = min(max(-(-steps // SEGMENTS), SHORTEST_SEGMENT), LONGEST_SEGMENT)
    _checks.integer("run", "segment", segment, minimum=1)
    init_key, data_key = jax.random.split(_check_key(key))
    _checks.choice("run", "order", order, ("seed", "member"))
    batches = _source(data, batch_size, steps, order, data_key)
    measures = placement == "measure"
    layout = _layout(placement, devices, mesh)
    layout.check_batch("run", jax.tree.leaves(batches.example)[0].shape[0])
    engine = _engine(trainable, layout, divergence)
    _check_validation(data, validation)
    example = _example(space), batches.example, validation
    with layout.tracing():
        check_trainable(trainable, *example)
    checkpoints = None
    processes = engine.processes
    if checkpoint is not None or processes.many:
        with layout.tracing():
            problem = problem_digest(trainable, *example)
        setting = {
            "problem": problem,
            "space": _space_digest(space),
            "data": batches.digest,
            "validation": digest_of(validation),
            "key": digest_of(key),
            "steps": str(steps),
            "horizons": str(horizons),
            "segment": str(segment),
            "order": order,
            "divergence": str(divergence),
            "placement": "measure" if measures else engine.placement.inside,
            "mesh": str(dict(engine.placement.mesh.shape)),
            "keep_state": str(keep_state),
            "jax": jax.__version__,
        }
        others = {"chunk": str(chunk), "checkpoint": str(checkpoint is not None)}
        processes.check_same("run", setting | others)
        if checkpoint is not None:
            checkpoints = open_checkpoints(
                processes, checkpoint, setting, checkpoint_every
            )
    as_source(batches, engine)
    record = Record(space, steps, horizons)
    training = Training(
        engine=engine,
        key=init_key,
        hparams=space.members(),
        batches=batches,
        validation=engine.place(validation),
        record=record,
        chunk=chunk,
        segment=segment,
        order=order,
        keep_state=keep_state,
        progress=progress,
        checkpoints=checkpoints,
    )
    try:
        if measures:
            training = fastest(
                training, lambda other: _engine(trainable, other, divergence)
            )
        training.prepare()
        training.run()
    except KeyboardInterrupt:
        raise Interrupted(record.result(complete=False)) from None
    except (DataError, CheckpointError) as error:
        raise SweepError(str(error), record.result(complete=False)) from error
    finally:
        if isinstance(batches, StreamBatches):
            batches.close()
    return record.result(complete=True)


def _layout(
    placement: Placement | str,
    devices: Sequence[jax.Device] | None,
    mesh: jax.sharding.Mesh | None,
) -> Placement:
    if not isinstance(placement, Placement):
        known = ("auto", "map", "vmap", "measure")
        _checks.choice("run", "placement", placement, known)
    measures = placement == "measure"
    return resolve_placement("auto" if measures else placement, devices, mesh)


def _engine(
    trainable: Trainable, placement: Placement, divergence: Divergence
) -> Engine:
    """The engine of the last such sweep, with its programs, or a new one."""
    try:
        return _last_engines(trainable, placement, divergence)
    except TypeError:  # something that has no hash
        return build(trainable, placement=placement, divergence=divergence)


@functools.lru_cache(maxsize=4)
def _last_engines(
    trainable: Trainable, placement: Placement, divergence: Divergence
) -> Engine:
    return build(trainable, placement=placement, divergence=divergence)


def _source(
    data: Any, batch_size: int | None, steps: int, order: str, key: Key
) -> ArrayBatches | StreamBatches:
    if not is_stream(data):
        return ArrayBatches(data, 32 if batch_size is None else batch_size, key)
    if batch_size is not None:
        expected = "None for an iterable of batches, which has its own"
        _checks.fail("run", "batch_size", expected, batch_size)
    if order != "seed":
        expected = "'seed' for an iterable of batches, which all members read alike"
        _checks.fail("run", "order", expected, order)
    return StreamBatches(data, steps)


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
    if is_stream(data):
        return
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


def _example(space: Space) -> dict[str, Any]:
    """One member's hyperparameters, as the trainable sees them."""
    first = {name: jnp.asarray(v[0]) for name, v in space.members().items()}
    first.pop("seed", None)
    return first


def _space_digest(space: Space) -> str:
    return digest_of([(dict(axis.values), axis.size) for axis in space.axes])
