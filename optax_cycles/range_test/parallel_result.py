"""What a parallel range test has found out."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from optax_cycles import _checks
from optax_cycles.range_test.best import RangeSuggestion
from optax_cycles.range_test.joint import JointSuggestion, Profile
from optax_cycles.range_test.over import BATCH_SIZE, WINDOW, batch_sizes, window
from optax_cycles.range_test.question import (
    ON,
    SIGNS,
    Question,
    failed,
    label_of,
    place_of,
)
from optax_cycles.range_test.runs import updates_at
from optax_cycles.range_test.stored import read_note
from optax_cycles.range_test.suggest import NoSuggestionError
from optax_cycles.range_test.tables import parallel_table
from optax_cycles.sweep.result import SweepResult
from optax_cycles.sweep.space import Axis


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class ParallelTest:
    """The outcome of `parallel_range_test`.

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

        A member failed if its validation loss is not finite. It also failed if, at a
        value above the best one, it has come less than a fifth of the way from the
        untrained loss to the best loss: an explosion may end in a finite loss that no
        longer moves. In a grid this is asked along each axis but the batch size, on
        the lines whose best loss is itself a fifth of the way to the best of all.
        """
        return failed(self.axes, self.validation("loss", horizon), self.untrained())

    def _question(
        self,
        function: str,
        horizon: int | None,
        *,
        metric: str,
        mode: str,
        on: str,
        max_diverged: float,
    ) -> Question:
        horizon = self._known(function, horizon)
        _checks.choice(function, "on", on, ON)
        _checks.choice(function, "mode", mode, SIGNS)
        _checks.choice(function, "metric", metric, getattr(self.sweep, on))
        if on == "train":
            losses = self.train(metric, horizon)
            untrained = self._shaped(self.sweep.train[metric][..., 0])
        else:
            losses = self.validation(metric, horizon)
            untrained = self.untrained(metric)
        sign = SIGNS[mode]
        return Question(
            axes=self.axes,
            losses=sign * losses,
            untrained=sign * untrained,
            diverged=self.diverged(horizon),
            max_diverged=max_diverged,
            sign=sign,
            label=label_of(on, metric, mode),
        )

    def suggest(
        self,
        horizon: int | None = None,
        *,
        name: str | None = None,
        at: Mapping[str, float] | None = None,
        metric: str = "loss",
        mode: str = "min",
        on: str = "validation",
        max_diverged: float = 0.2,
    ) -> RangeSuggestion:
        """The range to train in along one axis; see `parallel_best`.

        Args:
          horizon: the updates after which to compare; the longest by default.
          name: the axis; needed where there are several.
          at: dict from other axes to the values to stay at; by default, and where an
            axis is not in it, that of the joint best.
          metric: what to compare.
          mode: whether its `"min"` or its `"max"` is best.
          on: `"validation"`, or `"train"` for the metric in training.
          max_diverged: the largest share of failed seeds that a value may have.

        Raises:
          NoSuggestionError: if there is no trustworthy answer.
          ValueError: if the horizon or metric was not recorded, or the axis or value
            not tested.
        """
        if name is None and len(self.over) == 1:
            name = self.name
        if name not in self.over:
            expected = f"{_checks.near(str(name), self.over)} (joint() is of all)"
            _checks.fail("suggest", "name", expected, name)
        if len(self.axes[name]) < 3:
            expected = "an axis of at least 3 values"
            _checks.fail("suggest", "name", expected, name)
        asked = self._question(
            "suggest",
            horizon,
            metric=metric,
            mode=mode,
            on=on,
            max_diverged=max_diverged,
        )
        return asked.along(name, at or {})

    def joint(
        self,
        horizon: int | None = None,
        *,
        metric: str = "loss",
        mode: str = "min",
        on: str = "validation",
        max_diverged: float = 0.2,
    ) -> JointSuggestion:
        """The best point of all axes together; see `joint_best`.

        Takes the arguments of `suggest`. Its `best` has all hyperparameters, also those
        that move together along an axis.

        Raises:
          NoSuggestionError: if there is no trustworthy answer.
          ValueError: if the horizon or metric was not recorded.
        """
        asked = self._question(
            "joint",
            horizon,
            metric=metric,
            mode=mode,
            on=on,
            max_diverged=max_diverged,
        )
        found = asked.joint()
        return found._replace(
            best=self._hyperparameters(found.best),
            within_noise=tuple(map(self._hyperparameters, found.within_noise)),
        )

    def _hyperparameters(self, point: Mapping[str, float]) -> dict[str, float]:
        found: dict[str, float] = {}
        for axis, values in zip(self._axes(), self.axes.values(), strict=True):
            index = place_of(axis.name, values, point[axis.name])
            found |= {name: v[index].item() for name, v in axis.values.items()}
        return found

    def best_along(
        self,
        name: str,
        horizon: int | None = None,
        *,
        metric: str = "loss",
        mode: str = "min",
        on: str = "validation",
        max_diverged: float = 0.2,
    ) -> Profile:
        """The best values of the other axes, for each value along one.

        Where these stay the same, the valley is aligned with the axes: the one
        hyperparameter can be tuned without the other.

        Args:
          name: the axis to go along, of a test with two axes or more.
          horizon: as for `suggest`, like the other arguments.
          metric: what to compare.
          mode: whether its `"min"` or its `"max"` is best.
          on: `"validation"` or `"train"`.
          max_diverged: the largest share of failed seeds that a value may have.

        Raises:
          ValueError: if there is no other axis, or for what was not recorded.
        """
        _checks.choice("best_along", "name", name, self.over)
        if len(self.over) == 1:
            raise ValueError(f"best_along: there is no axis but {name!r}")
        asked = self._question(
            "best_along",
            horizon,
            metric=metric,
            mode=mode,
            on=on,
            max_diverged=max_diverged,
        )
        return asked.profile(name)

    def _repr_html_(self) -> str:
        """A small table for notebooks: the axes, and the suggestion or why not."""
        return parallel_table(self)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write all but final states to a netCDF file, which `SweepResult.load` reads
        too. Needs the extra `sweep`.
        """
        note = {"over": self.over, "horizons": self.horizons, "budget": self.budget}
        self.sweep.save(path, parallel_range_test=json.dumps(note))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> ParallelTest:
        """Read what `save` wrote.

        Raises:
          ValueError: if the file holds no parallel range test.
        """
        note, _ = read_note(path, "parallel_range_test")
        over, horizons = tuple(note["over"]), tuple(note["horizons"])
        return cls(over, horizons, SweepResult.load(path), note["budget"])
