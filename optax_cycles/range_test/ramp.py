"""The ramp: one run per seed whose hyperparameter climbs from low to high."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from optax_cycles import _checks
from optax_cycles._typing import Array, Batch, Hparams, Key, Metrics, PyTree, State
from optax_cycles.range_test.over import (
    BATCH_SIZE,
    Over,
    check_batches,
    check_names,
    members_space,
    over_space,
)
from optax_cycles.range_test.ramp_result import RampTest
from optax_cycles.range_test.runs import run_over
from optax_cycles.sweep.divergence import Divergence
from optax_cycles.sweep.loop import check_options
from optax_cycles.sweep.reads import refusing_unread
from optax_cycles.sweep.snapshot import started_from
from optax_cycles.sweep.space import Space
from optax_cycles.sweep.trainable import Trainable

# The range of float32, in which rates are trained with.
TINY, HUGE = float(np.finfo(np.float32).tiny), float(np.finfo(np.float32).max)
EXPLOSION = Divergence(factor=4.0)
RAMPS = ("exponential", "linear")
EVALUATIONS = 20
Climb = Callable[[Array], Array]


class RampState(NamedTuple):
    """The state of a member under a ramp."""

    update: Array
    inner: State


def exponential(low: float, high: float) -> Climb:
    """`low (high / low)^x` of the share x of the ramp, in single precision."""
    climb = math.log(high) - math.log(low)

    def value(done: Array) -> Array:
        # From the nearer end, so that neither factor overflows.
        rising = low * jnp.exp(climb * jnp.minimum(done, 0.5))
        return rising * jnp.exp(climb * jnp.maximum(done - 0.5, 0.0))

    return value


def linear(low: float, high: float) -> Climb:
    """`low + (high - low) x` of the share x of the ramp, in single precision."""
    return lambda done: jnp.float32(low) + jnp.float32(high - low) * done


def ramped(trainable: Trainable, climbs: Mapping[str, Climb], steps: int) -> Trainable:
    """A trainable some of whose hyperparameters move: update i of n is at i / n."""

    def now(hparams: Hparams, update: Array) -> Hparams:
        done = update.astype(jnp.float32) / steps
        return {**hparams, **{name: value(done) for name, value in climbs.items()}}

    def init(key: Key, hparams: Hparams) -> RampState:
        start = jnp.int32(0)
        return RampState(start, trainable.init(key, now(hparams, start)))

    def step(
        state: RampState, hparams: Hparams, batch: Batch, key: Key
    ) -> tuple[RampState, Metrics]:
        moving = now(hparams, state.update)
        inner, metrics = trainable.step(state.inner, moving, batch, key)
        return RampState(state.update + 1, inner), metrics

    if trainable.evaluate is None:
        return Trainable(init, step)
    evaluate = trainable.evaluate
    return Trainable(init, step, lambda state, batch: evaluate(state.inner, batch))


def ramp_range_test(
    trainable: Trainable,
    data: PyTree,
    validation: Batch | None = None,
    *,
    name: str = "learning_rate",
    low: float = 1e-5,
    high: float = 10.0,
    ramp: str = "exponential",
    moving: Mapping[str, tuple[float, float]] | None = None,
    over: Over | None = None,
    steps: int = 300,
    validate_every: int | None = None,
    seeds: int | Sequence[int] = 1,
    constants: Mapping[str, float] | None = None,
    start: PyTree = None,
    divergence: Divergence = EXPLOSION,
    key: Key | None = None,
    **options: Any,
) -> RampTest:
    """Train while one hyperparameter climbs from `low` to `high`.

    Update i of n uses `low (high / low)^(i / n)`, the convention of fastai, or on a
    linear ramp `low + (high - low) i / n`. The runs of all seeds, and of a grid of
    further hyperparameters, are one compiled program. The caller's model, optimizer,
    data and random states are not touched: the test trains members of its own.

    Args:
      trainable: what to train; see `oc.trainable`. Its optimizer reads
        `hparams[name]`.
      data: pytree of arrays, examples along the first axis, or an iterable of batches;
        see `oc.sweep.run`.
      validation: one batch to evaluate on along the ramp.
      name: the hyperparameter that climbs.
      low: its first value; > 0 on an exponential ramp.
      high: the value that it climbs towards.
      ramp: `"exponential"` or `"linear"`.
      moving: dict from further hyperparameter to `(first, last)`, between which it
        moves linearly meanwhile, up or down: `{"momentum": (0.95, 0.85)}`.
      over: further hyperparameters, each ramp once for every point of their grid: a
        dict from hyperparameter to its increasing values, or a `Space`. `"batch_size"`
        may be one, a program for each size.
      steps: updates n of the ramp, less than an epoch of the data or more.
      validate_every: updates from one evaluation to the next, the last one after all;
        by default a twentieth of `steps`.
      seeds: how many runs, or the seeds themselves; they differ in initial
        parameters, data order and random numbers.
      constants: further hyperparameters, the same throughout.
      start: a snapshot from which all runs start; see `oc.sweep.started_from`.
      divergence: when a run is stopped.
      key: the key of all randomness; `jax.random.key(0)` by default.
      **options: further arguments of `oc.sweep.run` (`batch_size`, `placement`,
        `devices`, `progress`, ...).

    Returns:
      A `RampTest`.

    Raises:
      ValueError, TypeError: for arguments that make no sense, a hyperparameter that
        nothing reads, and a snapshot of another model.
      Interrupted: on Ctrl-C, with an incomplete `RampTest` as its `result`.
      SweepError: see `oc.sweep.run`; its `result` is an incomplete `RampTest`.

    L. Smith, "Cyclical learning rates for training neural networks" (2017),
    section 3.3, and "A disciplined approach to neural network hyper-parameters"
    (2018), sections 4.1, 4.3 (momentum) and 4.4 (weight decay).

    Examples:
      >>> import jax.numpy as jnp, optax, optax_cycles as oc
      >>> problem = oc.problem_from_loss(
      ...     lambda key: jnp.ones(2), lambda p, batch, key: jnp.mean((batch @ p) ** 2)
      ... )
      >>> train = oc.trainable(problem, lambda hp: optax.sgd(hp["learning_rate"]))
      >>> test = oc.ramp_range_test(train, jnp.eye(2), batch_size=2, steps=60)
      >>> float(test.values[0]), test.suggest(oc.valley)[0].value > 1e-3
      (1e-05, True)
    """
    function = "ramp_range_test"
    if not isinstance(trainable, Trainable):
        _checks.fail_type(function, "trainable", "a Trainable", trainable)
    check_options(function, options)
    _checks.integer(function, "steps", steps, minimum=1)
    _check_ends(low, high, ramp)
    moving = _check_moving(moving)
    axes = Space(()) if over is None else over_space(function, over)
    _check_once(name, moving, axes, constants)
    check_names(function, [name, *moving])
    check_batches(function, axes, data, options)
    space = members_space(function, axes, constants, seeds)
    horizons = _evaluations(steps, validation, validate_every)
    made = refusing_unread(function, trainable)
    if start is not None:
        made = started_from(made, start)
    climb = exponential(low, high) if ramp == "exponential" else linear(low, high)
    climbs = {name: climb} | {other: linear(*ends) for other, ends in moving.items()}
    values = _values(low, high, ramp, steps)
    moved = {other: _values(*ends, "linear", steps) for other, ends in moving.items()}
    test: RampTest = run_over(
        ramped(made, climbs, steps),
        space,
        data,
        steps,
        finish=lambda sweep: RampTest(name, values, sweep, axes.names, moved),
        horizons=horizons,
        key=jax.random.key(0) if key is None else key,
        validation=validation,
        divergence=divergence,
        **options,
    )
    return test


def _values(low: float, high: float, ramp: str, steps: int) -> np.ndarray:
    """float64 `[steps]`: the value of each update."""
    done = np.arange(steps) / steps
    if ramp == "linear":
        return low + (high - low) * done
    return np.asarray(low * np.exp((math.log(high) - math.log(low)) * done))


def _check_ends(low: float, high: float, ramp: str) -> None:
    _checks.choice("ramp_range_test", "ramp", ramp, RAMPS)
    if ramp == "exponential":
        _checks.real("ramp_range_test", "low", low, above=0)
        _checks.real("ramp_range_test", "low", low, minimum=TINY)
    _checks.real("ramp_range_test", "low", low, minimum=-HUGE)
    _checks.real("ramp_range_test", "high", high, maximum=HUGE)
    if low >= high:
        _checks.fail("ramp_range_test", "low", f"below high ({high!r})", low)


def _check_moving(moving: Any) -> dict[str, tuple[float, float]]:
    if not isinstance(moving or {}, Mapping):
        expected = "a dict from hyperparameter to (first, last)"
        _checks.fail_type("ramp_range_test", "moving", expected, moving)
    for name, ends in (moving or {}).items():
        if not isinstance(ends, tuple | list) or len(ends) != 2:
            expected = "a pair (first, last)"
            _checks.fail("ramp_range_test", f"moving[{name!r}]", expected, ends)
        for end in ends:
            _checks.real("ramp_range_test", f"moving[{name!r}]", end)
    return {name: (first, last) for name, (first, last) in (moving or {}).items()}


def _check_once(
    name: str, moving: Mapping[str, Any], axes: Space, constants: Any
) -> None:
    """Raise where a hyperparameter climbs and is something else, too."""
    along = [n for axis in axes.axes for n in axis.values]
    names = [name, *moving, *along, *(constants or {})]
    for each in names:
        if names.count(each) > 1:
            raise ValueError(f"ramp_range_test: hyperparameter {each!r} is given twice")
    if BATCH_SIZE in (name, *moving):
        raise ValueError(
            "ramp_range_test: a batch_size can't climb, over= takes its values"
        )


def _evaluations(
    steps: int, validation: Batch | None, every: int | None
) -> list[int] | None:
    if validation is None:
        if every is not None:
            raise ValueError(
                "ramp_range_test: validate_every needs validation, got none"
            )
        return None
    if every is None:
        every = max(1, steps // EVALUATIONS)
    _checks.integer("ramp_range_test", "validate_every", every, minimum=1)
    if every > steps:
        expected = f"at most steps ({steps})"
        _checks.fail("ramp_range_test", "validate_every", expected, every)
    return sorted({*range(every, steps + 1, every), steps})
