"""What a parallel range test has measured."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from optax_cycles import _checks
from optax_cycles.range_test.failures import failed
from optax_cycles.range_test.over import BATCH_SIZE, WINDOW, batch_sizes, window
from optax_cycles.range_test.runs import updates_at
from optax_cycles.range_test.suggest import NoSuggestionError
from optax_cycles.sweep.result import SweepResult
from optax_cycles.sweep.space import Axis


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class ParallelRecord:
    """The losses of a parallel range test, at its horizons.

    Arrays have the tested axes first, in their order, then the seeds.

    Attributes:
      over: the names of the tested axes.
      horizons: the numbers of updates at which losses are known, increasing. With a
        budget of examples they are updates of the smallest batch size.
      sweep: the runs behind it; its axes are the constants, those tested, and `seed`.
      budget: `"updates"` or `"examples"`; see `parallel_range_test`.
    """

    over: tuple[str, ...]
    horizons: tuple[int, ...]
    sweep: SweepResult
    budget: str = "updates"

    def __repr__(self) -> str:
        """The axes, and how far it came."""
        shape = [f"{name}: {len(values)}" for name, values in self.axes.items()]
        steps = f"{self.sweep.steps} updates{'' if self.complete else ', incomplete'}"
        return f"ParallelTest({', '.join(shape)}, seed: {self.seeds}; {steps})"

    @property
    def axes(self) -> dict[str, np.ndarray]:
        """The tested values of each axis, those of its first hyperparameter."""
        return {axis.name: next(iter(axis.values.values())) for axis in self._axes()}

    def _axes(self) -> list[Axis]:
        return [axis for axis in self.sweep.space.axes if axis.name in self.over]

    @property
    def name(self) -> str:
        """The axis of a test that has only one."""
        if len(self.over) > 1:
            raise ValueError(f"name: the test has several axes, {list(self.over)}")
        return self.over[0]

    @property
    def values(self) -> np.ndarray:
        """`[values]`: the tested values of a test that has one axis."""
        return self.axes[self.name]

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
        reached = set(self.horizons)
        for size, part in self._parts():
            reached &= {h for h in reached if self._has_reached(part, h, size)}
        return tuple(sorted(reached))

    def _has_reached(self, part: Any, horizon: int, size: int | None) -> bool:
        """Whether a batch size's members have made and shown all of a horizon."""
        diverged, updates = part(self.sweep.diverged), part(self.sweep.updates)
        # A member that was not begun yet has made no update and has not diverged.
        came = np.where(diverged, np.inf, updates).min()
        losses = part(self.sweep.validation["loss"])[..., 1:]
        evaluated = np.isfinite(losses).any(axis=tuple(range(losses.ndim - 1)))
        due = evaluated[self.sweep.horizons[1:] <= horizon]
        return bool(self._updates_at(horizon, size) <= came and np.all(due))

    def _parts(self) -> list[tuple[int | None, Callable[[np.ndarray], np.ndarray]]]:
        """Each batch size, with what takes its part of an array of all members."""
        if BATCH_SIZE not in self.over:
            return [(None, lambda values: values)]
        axis = self.sweep.space.names.index(BATCH_SIZE)
        sizes = batch_sizes(self.sweep.space).tolist()
        return [
            (size, functools.partial(np.take, indices=index, axis=axis))
            for index, size in enumerate(sizes)
        ]

    def _updates_at(self, horizon: int, size: int | None) -> int:
        if size is None:
            return horizon
        smallest = int(batch_sizes(self.sweep.space)[0])
        return updates_at(horizon, self.budget, size, smallest)

    def updates_at(self, horizon: int) -> dict[int, int]:
        """The updates that each batch size has made at a horizon.

        Raises:
          ValueError: if batch sizes are not what was tested.
        """
        if BATCH_SIZE not in self.over:
            _checks.fail("updates_at", "over", "with a batch_size", list(self.over))
        sizes = batch_sizes(self.sweep.space).tolist()
        return {size: self._updates_at(horizon, size) for size in sizes}

    def _known(self, function: str, horizon: int | None) -> int:
        if not self.reached:
            raise NoSuggestionError(f"{function}: the test stopped before any horizon")
        if horizon is None:
            return self.reached[-1]
        if horizon not in self.reached:
            expected = f"one of {list(self.reached)}"
            _checks.fail(function, "horizon", expected, horizon)
        return horizon

    def _shaped(self, values: np.ndarray) -> np.ndarray:
        """Without the axes of constants, which have one value."""
        return values.reshape(*map(len, self.axes.values()), self.seeds)

    def validation(
        self, metric: str = "loss", horizon: int | None = None
    ) -> np.ndarray:
        """`[*axes, seeds]`: a validation metric after `horizon` updates.

        One number is the mean over up to 5 evaluations in the last tenth before the
        horizon, because a single update's weights are noisy at large rates. NaN for
        members that diverged.

        Raises:
          ValueError: if the metric or horizon was not recorded.
        """
        horizon = self._known("validation", horizon)
        _checks.choice("validation", "metric", metric, self.sweep.validation)
        steps = self.sweep.horizons.tolist()
        at = [steps.index(step) for step in window(horizon)]
        values = self.sweep.validation[metric][..., at]
        return self._shaped(values.mean(-1, dtype=np.float64))

    def train(self, metric: str = "loss", horizon: int | None = None) -> np.ndarray:
        """`[*axes, seeds]`: mean of a training metric over the last tenth of a horizon.

        Raises:
          ValueError: if the metric or horizon was not recorded.
        """
        horizon = self._known("train", horizon)
        _checks.choice("train", "metric", metric, self.sweep.train)
        means = []
        for size, part in self._parts():
            last = self._updates_at(horizon, size)
            first = last - max(1, int(WINDOW * last))
            values = part(self.sweep.train[metric])[..., first:last]
            means.append(values.mean(-1, dtype=np.float64))
        if BATCH_SIZE not in self.over:
            return self._shaped(means[0])
        return self._shaped(np.stack(means, self.sweep.space.names.index(BATCH_SIZE)))

    def untrained(self, metric: str = "loss") -> np.ndarray:
        """`[*axes, seeds]`: a validation metric before the first update.

        Raises:
          ValueError: if the metric was not recorded.
        """
        _checks.choice("untrained", "metric", metric, self.sweep.validation)
        return self._shaped(self.sweep.validation[metric][..., 0])

    def diverged(self, horizon: int | None = None) -> np.ndarray:
        """bool `[*axes, seeds]`: the members that failed at a horizon.

        A member failed if its training loss is not finite. It also failed if both its
        training and its validation loss have, as `parallel_best` says it: an explosion
        may end in a finite loss that no longer moves, while one that only overfits has
        learned what it was trained on. In a grid this is asked along each axis but the
        batch size, on the lines whose best loss has come a fifth of the way from the
        untrained loss to the best of all.
        """
        horizon = self._known("diverged", horizon)
        train, losses = self.train("loss", horizon), self.validation("loss", horizon)
        found = failed(self.axes, train, self._first("loss"))
        found &= failed(self.axes, losses, self.untrained())
        # The last update of a horizon may explode: its training loss is the next one.
        stopped = self._shaped(self.sweep.diverged) & ~np.isfinite(losses)
        return found | ~np.isfinite(train) | stopped

    def _first(self, metric: str) -> np.ndarray:
        """`[*axes, seeds]`: a training metric on the first batch, before its update."""
        return self._shaped(self.sweep.train[metric][..., 0])
