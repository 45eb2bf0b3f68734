"""`run`: the host loop around the engine, with evaluation and progress."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax

from optax_cycles import _checks
from optax_cycles._typing import Batch, Key, PyTree
from optax_cycles.sweep.arguments import (
    check_horizons,
    check_key,
    check_lengths,
    check_names,
    layout,
    source,
    validation_batch,
)
from optax_cycles.sweep.check import check_trainable
from optax_cycles.sweep.checkpoint import CheckpointError, RefusedError
from optax_cycles.sweep.checkpoint_shared import open_checkpoints
from optax_cycles.sweep.divergence import NON_FINITE, Divergence
from optax_cycles.sweep.engine import Engine, build
from optax_cycles.sweep.fingerprint import one_of, setting_of
from optax_cycles.sweep.judge import Judge, check_judge
from optax_cycles.sweep.measure import fastest
from optax_cycles.sweep.origin import explained
from optax_cycles.sweep.placement import Placement
from optax_cycles.sweep.reads import refusing_unread_once
from optax_cycles.sweep.record import Record
from optax_cycles.sweep.result import SweepResult
from optax_cycles.sweep.space import Space, as_space
from optax_cycles.sweep.streams import DataError, StreamBatches
from optax_cycles.sweep.trainable import Trainable
from optax_cycles.sweep.training import Progress, TooLargeError, Training, as_source


class SweepError(RuntimeError):
    """An exception stopped a sweep: its cause. `result` is what had been computed."""

    def __init__(self, message: str, result: Any, saved: str = "") -> None:
        """Keep the incomplete result, and say what was saved where."""
        super().__init__(f"{message}; .result holds what had been computed{saved}")
        self.message, self.result, self.saved = message, result, saved

    def __reduce__(self) -> tuple[Any, ...]:
        """So that it comes back from another process."""
        return type(self), (self.message, self.result, self.saved)


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during a sweep; `result` holds what had been computed."""

    def __init__(self, result: Any, saved: str = "") -> None:
        """Keep the incomplete result, and say what was saved where."""
        super().__init__(f"interrupted; .result holds what had been computed{saved}")
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
    judge: Judge | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> SweepResult:
    """Train every member of a space and record what happens.

    Args:
      trainable: one member's training; see `oc.trainable`.
      space: a `Space` from `grid` or `zip`, or a dict of equally long arrays. The
        hyperparameter `seed`, an integer, is the engine's own: members of one seed
        share initial parameters, data order and random numbers.
      data: pytree of arrays (or of what NumPy makes arrays of, such as tensors of
        PyTorch), examples along the first axis, which stay on the device;
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
      judge: who decides, at some of the horizons, which members go on, with whose
        state and with which hyperparameters; see `Judge`. The result's `lineage` has
        what was decided. Searches are made of it.
      progress: called with a `Progress` at the start and after each segment; of many
        processes, on the first only.

    Returns:
      A `SweepResult`.

    Raises:
      TypeError, ValueError: for arguments that make no sense, where
        `check_trainable` finds the trainable wrong, and for a hyperparameter that
        nothing reads.
      RefusedError: a `ValueError`, if `checkpoint` holds another sweep, or one that
        this process can't go on from; the message says what differs.
      Interrupted: on Ctrl-C, with the incomplete result.
      SweepError: on any exception once members are in training (an iterable of
        batches that fails or ends too early, a checkpoint that can't be written, memory
        that is not enough for the smallest chunk, `progress`), with the incomplete
        result, and the exception as its cause.

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
    check_names(space)
    segment = check_lengths(steps, segment, chunk, checkpoint_every)
    steps, chunk = int(steps), chunk if chunk == "auto" else int(chunk)
    horizons = check_horizons(steps, horizons, validation)
    verdicts = check_judge(judge, horizons, steps)
    init_key, data_key = jax.random.split(check_key(key))
    _checks.choice("run", "order", order, ("seed", "member"))
    batches = source(data, batch_size, steps, order, data_key)
    measures = placement == "measure"
    engine = _engine(trainable, layout(placement, devices, mesh), divergence)
    engine.check_kind(init_key)
    batch_size = jax.tree.leaves(batches.example)[0].shape[0]
    engine.placement.check_batch("run", batch_size)
    validation = validation_batch(data, validation)
    judged = refusing_unread_once("run", trainable)
    with engine.placement.tracing():
        check_trainable(judged, one_of(space), batches.example, validation)
    checkpoints, processes = None, engine.processes
    if checkpoint is not None or processes.many:
        setting = setting_of(
            engine,
            space,
            batches,
            validation,
            key=key,
            batch_size=batch_size,
            steps=steps,
            horizons=horizons,
            segment=segment,
            order=order,
            placement="measure" if measures else engine.placement.inside,
            keep_state=keep_state,
            judge=judge and judge.setting,
        )
        others = {
            "chunk": str(chunk),
            "checkpoint": str(checkpoint is not None),
            "devices": str(dict(engine.placement.mesh.shape)),
        }
        processes.check_same("run", setting | others)
        if checkpoint is not None:
            checkpoints = open_checkpoints(
                processes, checkpoint, setting, checkpoint_every
            )
    as_source(batches, engine)
    training = Training(
        engine=engine,
        key=init_key,
        hparams=space.members(),
        batches=batches,
        validation=engine.place(validation),
        record=Record(space, steps, horizons, verdicts),
        chunk=chunk,
        segment=segment,
        order=order,
        keep_state=keep_state,
        progress=progress,
        checkpoints=checkpoints,
        judge=judge,
    )
    try:
        return _carried_out(training, measures)
    finally:
        if isinstance(batches, StreamBatches):
            batches.close()


def _carried_out(training: Training, measures: bool) -> SweepResult:
    """Train to the end; what stops it has the result so far, the rest is saved."""
    record = training.record
    cause: BaseException
    try:
        if measures:
            engine = training.engine
            training = fastest(
                training,
                lambda other: _engine(engine.trainable, other, engine.divergence),
            )
        training.prepare()
        training.run()
        return record.result(complete=True)
    except RefusedError:
        raise
    except (Exception, KeyboardInterrupt) as error:
        cause = error
    raise _stopped(training, cause)


def _stopped(training: Training, cause: BaseException) -> Interrupted | SweepError:
    """What says that a sweep was stopped, after what can still be saved has been."""
    result = training.record.result(complete=training.is_done)
    unsaved = None
    try:
        if not isinstance(cause, CheckpointError):
            training.save_rest()
    except (Exception, KeyboardInterrupt) as error:
        unsaved = f"run: not all of it could be saved, {explained(error)}"
    stop: Interrupted | SweepError
    if isinstance(cause, KeyboardInterrupt):
        stop = Interrupted(result, training.where_saved)
    else:
        known = isinstance(cause, DataError | CheckpointError | TooLargeError)
        message = str(cause) if known else f"run: stopped by {explained(cause)}"
        stop = SweepError(message, result, training.where_saved)
        stop.__cause__ = cause
    if unsaved:
        stop.add_note(unsaved)
    return stop


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


def check_options(function: str, options: Mapping[str, Any]) -> None:
    """Raise where a function passes on to `run` what that does not take."""
    for option in options:
        known = set(inspect.signature(run).parameters) - {"trainable", "space", "data"}
        if option not in known:
            expected = _checks.near(option, known)
            raise TypeError(f"{function}: an option must be {expected}, got {option!r}")
