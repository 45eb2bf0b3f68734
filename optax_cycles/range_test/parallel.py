"""The parallel range test: many constant values, each a short training of its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from optax_cycles import _checks
from optax_cycles._typing import Batch, Key, PyTree
from optax_cycles.range_test.best import RangeSuggestion, parallel_best
from optax_cycles.range_test.suggest import NoSuggestionError
from optax_cycles.sweep.loop import Interrupted, check_options, run
from optax_cycles.sweep.result import SweepResult
from optax_cycles.sweep.space import constant_space, grid, log_space, with_seeds
from optax_cycles.sweep.trainable import Trainable

EVALUATIONS = 5
WINDOW = 0.1
NO_GAIN = 0.2


def evaluation_steps(horizons: Sequence[int]) -> list[int]:
    """The updates at which to evaluate: 0, and a few just before each horizon."""
    steps = {0}
    for horizon in horizons:
        steps.update(_window(horizon))
    return sorted(steps)


def _window(horizon: int) -> list[int]:
    """Up to `EVALUATIONS` updates in the last tenth before a horizon."""
    back = np.linspace(0, WINDOW * horizon, EVALUATIONS, endpoint=False)
    return sorted({horizon - int(b) for b in back})


@dataclasses.dataclass(frozen=True, eq=False)
class ParallelTest:
    """The outcome of `parallel_range_test`.

    Attributes:
      name: the hyperparameter that was tested.
      horizons: the numbers of updates at which losses are known, increasing.
      sweep: the runs behind it, with the axes `[values, seed]` last.
    """

    name: str
    horizons: tuple[int, ...]
    sweep: SweepResult

    @property
    def values(self) -> np.ndarray:
        """`[values]`: the tested values of the hyperparameter."""
        return self.sweep.space.axes[-2].values[self.name]

    @property
    def seeds(self) -> int:
        """How many seeds each value was trained with."""
        return self.sweep.space.shape[-1]

    @property
    def complete(self) -> bool:
        """False where the test was interrupted."""
        return self.sweep.complete

    @property
    def reached(self) -> tuple[int, ...]:
        """The horizons whose evaluations are there: all, unless interrupted."""
        if self.complete:
            return self.horizons
        if "loss" not in self.sweep.validation:
            return ()
        # A member that was not begun yet has made no update and has not diverged.
        came = np.where(self.sweep.diverged, np.inf, self.sweep.updates).min()
        losses = self.sweep.validation["loss"][..., 1:]
        evaluated = np.isfinite(losses).any(axis=tuple(range(losses.ndim - 1)))
        steps = self.sweep.horizons[1:]
        return tuple(
            h for h in self.horizons if h <= came and np.all(evaluated[steps <= h])
        )

    def _known(self, function: str, horizon: int | None) -> int:
        if not self.reached:
            raise NoSuggestionError(f"{function}: the test stopped before any horizon")
        if horizon is None:
            return self.reached[-1]
        if horizon not in self.reached:
            expected = f"one of {list(self.reached)}"
            _checks.fail(function, "horizon", expected, horizon)
        return horizon

    def validation(
        self, metric: str = "loss", horizon: int | None = None
    ) -> np.ndarray:
        """`[values, seeds]`: a validation metric after `horizon` updates.

        One number is the mean over up to 5 evaluations in the last tenth before the
        horizon, because a single update's weights are noisy at large rates. NaN for
        members that diverged.

        Raises:
          ValueError: if the metric or horizon was not recorded.
        """
        horizon = self._known("validation", horizon)
        _checks.choice("validation", "metric", metric, self.sweep.validation)
        steps = self.sweep.horizons.tolist()
        at = [steps.index(step) for step in _window(horizon)]
        values = self.sweep.validation[metric][..., at]
        mean = values.mean(-1, dtype=np.float64)
        return mean.reshape(len(self.values), self.seeds)

    def untrained(self, metric: str = "loss") -> np.ndarray:
        """`[values, seeds]`: a validation metric before the first update."""
        values = self.sweep.validation[metric][..., 0]
        return values.reshape(len(self.values), self.seeds)

    def train_loss(self, horizon: int | None = None) -> np.ndarray:
        """`[values, seeds]`: mean training loss over the last tenth of a horizon."""
        horizon = self._known("train_loss", horizon)
        first = horizon - max(1, int(WINDOW * horizon))
        losses = self.sweep.train["loss"][..., first:horizon]
        mean = losses.mean(-1, dtype=np.float64)
        return mean.reshape(len(self.values), self.seeds)

    def diverged(self, horizon: int | None = None) -> np.ndarray:
        """bool `[values, seeds]`: the members that failed at a horizon.

        A member failed if its validation loss is not finite or, at a value above
        the best one, has come less than a fifth of the way from the untrained loss
        to the best loss: an explosion may end in a finite loss that no longer moves.
        """
        losses = self.validation("loss", horizon)
        finite = np.isfinite(losses)
        medians = np.median(np.where(finite, losses, np.inf), axis=1)
        best = int(np.argmin(medians))
        untrained = self.untrained()
        if not np.isfinite(medians[best]):
            return ~finite
        gain = untrained - np.where(finite, losses, 0.0)
        most = np.maximum(untrained - medians[best], np.finfo(np.float32).tiny)
        above = np.arange(len(medians)) > best
        return ~finite | (above[:, None] & (gain < NO_GAIN * most))

    def suggest(
        self, horizon: int | None = None, *, max_diverged: float = 0.2
    ) -> RangeSuggestion:
        """The range to train in, from the losses at a horizon; see `parallel_best`.

        Args:
          horizon: the updates after which to compare; the longest by default.
          max_diverged: the largest share of failed seeds that a value may have.

        Raises:
          NoSuggestionError: if there is no trustworthy answer.
          ValueError: if the horizon was not recorded.
        """
        horizon = self._known("suggest", horizon)
        return parallel_best(
            self.values,
            self.validation("loss", horizon),
            untrained=self.untrained(),
            diverged=self.diverged(horizon),
            max_diverged=max_diverged,
        )


def parallel_range_test(
    trainable: Trainable,
    data: PyTree,
    validation: Batch,
    *,
    name: str = "learning_rate",
    values: Any = None,
    seeds: int | Sequence[int] = 5,
    steps: int = 300,
    horizons: Sequence[int] | None = None,
    constants: Mapping[str, float] | None = None,
    key: Key | None = None,
    **options: Any,
) -> ParallelTest:
    """Train with many constant values of a hyperparameter at once, and compare.

    Every value is an independent short training; the values share initial
    parameters and data order seed by seed, so that they are compared in pairs. All
    of them are one population of one compiled program. The caller's model,
    optimizer and data are not touched.

    Args:
      trainable: what to train; see `oc.trainable`. Its optimizer reads
        `hparams[name]`.
      data: pytree of training arrays, examples along the first axis.
      validation: one validation batch of the same structure.
      name: the hyperparameter to test.
      values: increasing positive values to test; by default 64 from 1e-5 to 10 in
        equal ratios.
      seeds: how many trainings of each value, or the seeds themselves; they differ
        in initial parameters, data order and random numbers.
      steps: updates of each training.
      horizons: numbers of updates at which to compare; by default an eighth, a
        quarter, a half and all of `steps`.
      constants: further hyperparameters, the same for all members.
      key: the key of all randomness; `jax.random.key(0)` by default.
      **options: further arguments of `oc.sweep.run` (`batch_size`, `placement`,
        `devices`, `chunk`, `progress`, ...).

    Returns:
      A `ParallelTest`.

    Raises:
      ValueError, TypeError: for arguments that make no sense.
      Interrupted: on Ctrl-C, with an incomplete `ParallelTest` as its `result`.

    Examples:
      >>> import jax.numpy as jnp, optax, optax_cycles as oc
      >>> problem = oc.problem_from_loss(
      ...     lambda key: jnp.ones(2), lambda p, batch, key: jnp.mean((batch @ p) ** 2)
      ... )
      >>> train = oc.trainable(problem, lambda hp: optax.sgd(hp["learning_rate"]))
      >>> test = oc.parallel_range_test(
      ...     train, jnp.eye(2), jnp.eye(2), batch_size=2, steps=20,
      ...     values=oc.sweep.log_space(1e-3, 10.0, 9),
      ... )
      >>> round(test.suggest().best, 3)
      1.0
    """
    if not isinstance(trainable, Trainable):
        _checks.fail_type("parallel_range_test", "trainable", "a Trainable", trainable)
    check_options("parallel_range_test", options)
    values = _check_values(log_space(1e-5, 10.0, 64) if values is None else values)
    _checks.integer("parallel_range_test", "steps", steps, minimum=1)
    horizons = _check_horizons(steps, horizons)
    fixed = constant_space("parallel_range_test", constants)
    space = grid(fixed, **{name: values})
    space = with_seeds("parallel_range_test", space, seeds)
    try:
        sweep = run(
            trainable,
            space,
            data,
            steps,
            key=jax.random.key(0) if key is None else key,
            validation=validation,
            horizons=evaluation_steps(horizons),
            **options,
        )
    except Interrupted as stop:
        raise Interrupted(ParallelTest(name, horizons, stop.result)) from None
    return ParallelTest(name, horizons, sweep)


def _check_values(values: Any) -> np.ndarray:
    array = np.asarray(values, np.float64)
    if array.ndim != 1 or len(array) < 3 or np.any(np.diff(array) <= 0):
        expected = "at least 3 increasing values"
        _checks.fail("parallel_range_test", "values", expected, values)
    if not np.all(np.isfinite(array)) or array[0] <= 0:
        _checks.fail("parallel_range_test", "values", "positive and finite", values)
    return array


def _check_horizons(steps: int, horizons: Sequence[int] | None) -> tuple[int, ...]:
    if horizons is None:
        return tuple(sorted({max(1, steps // part) for part in (8, 4, 2, 1)}))
    for horizon in horizons:
        _checks.integer("parallel_range_test", "horizons", horizon, minimum=1)
    kept = tuple(int(horizon) for horizon in horizons)
    if not kept or list(kept) != sorted(set(kept)) or kept[-1] > steps:
        expected = f"increasing integers from 1 to steps ({steps})"
        _checks.fail("parallel_range_test", "horizons", expected, horizons)
    return kept
