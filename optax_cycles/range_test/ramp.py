"""The ramp: one run per seed whose hyperparameter climbs from low to high."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from optax_cycles import _checks
from optax_cycles._typing import Array, Batch, Hparams, Key, Metrics, PyTree, State
from optax_cycles.range_test.curve import smooth
from optax_cycles.range_test.suggest import Suggestion
from optax_cycles.sweep.divergence import Divergence
from optax_cycles.sweep.loop import Interrupted, check_options, run
from optax_cycles.sweep.result import SweepResult
from optax_cycles.sweep.space import constant_space, with_seeds
from optax_cycles.sweep.trainable import Trainable

# The range of float32, in which rates are trained with.
TINY, HUGE = float(np.finfo(np.float32).tiny), float(np.finfo(np.float32).max)
EXPLOSION = Divergence(factor=4.0)


class RampState(NamedTuple):
    """The state of a member under a ramp."""

    update: Array
    inner: State


def ramped(
    trainable: Trainable, name: str, low: float, high: float, steps: int
) -> Trainable:
    """A trainable whose hyperparameter `name` climbs exponentially.

    Update i of n uses `low (high / low)^(i / n)`: the first one uses `low`.
    """

    def value(update: Array) -> Array:
        done = update.astype(jnp.float32) / steps
        # From the nearer end, so that neither factor overflows.
        climb = math.log(high) - math.log(low)
        rising = low * jnp.exp(climb * jnp.minimum(done, 0.5))
        return rising * jnp.exp(climb * jnp.maximum(done - 0.5, 0.0))

    def init(key: Key, hparams: Hparams) -> RampState:
        start = {**hparams, name: jnp.float32(low)}
        return RampState(jnp.int32(0), trainable.init(key, start))

    def step(
        state: RampState, hparams: Hparams, batch: Batch, key: Key
    ) -> tuple[RampState, Metrics]:
        now = {**hparams, name: value(state.update)}
        inner, metrics = trainable.step(state.inner, now, batch, key)
        return RampState(state.update + 1, inner), metrics

    return Trainable(init, step)


@dataclasses.dataclass(frozen=True, eq=False)
class RampTest:
    """The outcome of `ramp_range_test`.

    Attributes:
      name: the hyperparameter that climbed.
      values: float64 `[steps]`, its value at each update.
      sweep: the runs behind it; its last axis is `seed`.
    """

    name: str
    values: np.ndarray
    sweep: SweepResult

    @property
    def losses(self) -> np.ndarray:
        """`[seeds, steps]`: the raw training loss, NaN after a run has stopped."""
        return self.sweep.train["loss"].reshape(-1, self.sweep.steps)

    def smoothed(self, beta: float = 0.98) -> np.ndarray:
        """`[seeds, steps]`: the debiased moving average of the losses."""
        return smooth(self.losses, beta)

    @property
    def complete(self) -> bool:
        """False where the test was interrupted."""
        return self.sweep.complete

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the sweep to a netCDF file, with the value at each `step`."""
        self.sweep.save(path, **{self.name: ("step", self.values)})

    def suggest(
        self, rule: Callable[[Any, Any], Suggestion], *, beta: float = 0.98
    ) -> list[Suggestion]:
        """What a rule says of each seed's smoothed curve.

        As in fastai, the first tenth of a curve, where the average starts, and the
        last 5 points before it stopped, where it explodes, are left out.

        Args:
          rule: a function `rule(values, losses) -> Suggestion`.
          beta: decay of the moving average.

        Returns:
          One `Suggestion` a seed; `index` counts from the ramp's first update.

        Raises:
          NoSuggestionError: if the rule finds no answer for a seed.
          ValueError: if too few updates are left for the rule.
        """
        suggestions = []
        for losses in self.smoothed(beta):
            finite = np.isfinite(losses)
            count = len(losses) if finite.all() else int(np.argmin(finite))
            kept = slice(count // 10, max(count - 5, 0))
            found = rule(self.values[kept], losses[kept])
            suggestions.append(
                dataclasses.replace(found, index=found.index + count // 10)
            )
        return suggestions


def ramp_range_test(
    trainable: Trainable,
    data: PyTree,
    *,
    name: str = "learning_rate",
    low: float = 1e-5,
    high: float = 10.0,
    steps: int = 300,
    seeds: int | Sequence[int] = 1,
    constants: Mapping[str, float] | None = None,
    divergence: Divergence = EXPLOSION,
    key: Key | None = None,
    **options: Any,
) -> RampTest:
    """Train while one hyperparameter climbs from `low` to `high`.

    Update i of n uses `low (high / low)^(i / n)`, the convention of fastai; the
    runs of all seeds are one compiled program. The caller's model, optimizer and
    data are not touched: the test trains members of its own.

    Args:
      trainable: what to train; see `oc.trainable`. Its optimizer reads
        `hparams[name]`.
      data: pytree of arrays, examples along the first axis.
      name: the hyperparameter that climbs.
      low: its first value, > 0.
      high: the value that it climbs towards.
      steps: updates n of the ramp.
      seeds: how many runs, or the seeds themselves; they differ in initial
        parameters, data order and random numbers.
      constants: further hyperparameters, the same throughout.
      divergence: when a run is stopped.
      key: the key of all randomness; `jax.random.key(0)` by default.
      **options: further arguments of `oc.sweep.run` (`batch_size`, `placement`,
        `devices`, `progress`, ...).

    Returns:
      A `RampTest`.

    Raises:
      ValueError, TypeError: for arguments that make no sense.
      Interrupted: on Ctrl-C, with an incomplete `RampTest` as its `result`.

    L. Smith, "Cyclical learning rates for training neural networks" (2017),
    section 3.3, and "A disciplined approach to neural network hyper-parameters"
    (2018), section 4.1.

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
    _checks.real("ramp_range_test", "low", low, above=0)
    _checks.real("ramp_range_test", "low", low, minimum=TINY)
    _checks.real("ramp_range_test", "high", high, maximum=HUGE)
    if low >= high:
        _checks.fail("ramp_range_test", "low", f"below high ({high!r})", low)
    _checks.integer("ramp_range_test", "steps", steps, minimum=1)
    if not isinstance(trainable, Trainable):
        _checks.fail_type("ramp_range_test", "trainable", "a Trainable", trainable)
    check_options("ramp_range_test", options)
    if name in (constants or {}):
        raise ValueError(f"ramp_range_test: hyperparameter {name!r} is given twice")
    space = constant_space("ramp_range_test", constants)
    space = with_seeds("ramp_range_test", space, seeds)
    climb = math.log(high) - math.log(low)
    values = low * np.exp(climb * (np.arange(steps) / steps))
    try:
        sweep = run(
            ramped(trainable, name, low, high, steps),
            space,
            data,
            steps,
            key=jax.random.key(0) if key is None else key,
            divergence=divergence,
            **options,
        )
    except Interrupted as stop:
        raise Interrupted(RampTest(name, values, stop.result)) from None
    return RampTest(name, values, sweep)
