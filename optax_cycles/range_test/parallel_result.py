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
from optax_cycles.range_test.best import RangeSuggestion, parallel_best
from optax_cycles.range_test.joint import (
    JointSuggestion,
    Profile,
    joint_best,
    profile,
)
from optax_cycles.range_test.over import BATCH_SIZE, WINDOW, batch_sizes, window
from optax_cycles.range_test.runs import updates_at
from optax_cycles.range_test.stored import read_note
from optax_cycles.range_test.suggest import NoSuggestionError
from optax_cycles.sweep.result import SweepResult
from optax_cycles.sweep.space import Axis

NO_GAIN = 0.2
SIGNS = {"min": 1.0, "max": -1.0}


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
        losses = self.validation("loss", horizon)
        untrained = self.untrained()
        finite = np.isfinite(losses)
        medians = np.median(np.where(finite, losses, np.inf), axis=-1)
        best = np.unravel_index(np.argmin(medians), medians.shape)
        if not np.isfinite(medians[best]):
            return ~finite
        tiny = np.finfo(np.float32).tiny
        most = np.maximum(untrained - medians[best], tiny)
        gain = untrained - np.where(finite, losses, 0.0)
        failed = ~finite
        for axis, name in enumerate(self.over):
            if name == BATCH_SIZE:
                continue
            least = medians.min(axis, keepdims=True)[..., None]
            line = np.maximum(untrained - least, tiny)
            at = medians.argmin(axis)
            above = np.arange(medians.shape[axis]).reshape(
                [-1 if a == axis else 1 for a in range(medians.ndim)]
            ) > np.expand_dims(at, axis)
            trained = np.isfinite(least) & (line >= NO_GAIN * most)
            failed |= above[..., None] & trained & (gain < NO_GAIN * line)
        return failed

    def _question(
        self, on: str, metric: str, horizon: int, mode: str
    ) -> tuple[np.ndarray, np.ndarray]:
        """What a suggestion is made from: losses, and those before training."""
        _checks.choice("suggest", "on", on, ("validation", "train"))
        _checks.choice("suggest", "mode", mode, SIGNS)
        if on == "train":
            losses = self.train(metric, horizon)
            untrained = self._shaped(self.sweep.train[metric][..., 0])
        else:
            losses = self.validation(metric, horizon)
            untrained = self.untrained(metric)
        return SIGNS[mode] * losses, SIGNS[mode] * untrained

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
        horizon = self._known("suggest", horizon)
        name = self._axis_of("suggest", name)
        asked = {"metric": metric, "mode": mode, "on": on}
        losses, untrained = self._question(on, metric, horizon, mode)
        others = self._others(name, at, horizon, asked, max_diverged)
        line = (*others, slice(None))
        diverged = self.diverged(horizon)[line]
        try:
            found = parallel_best(
                self.axes[name],
                losses[line],
                untrained=untrained[line],
                diverged=diverged,
                max_diverged=max_diverged,
            )
        except NoSuggestionError as refusal:
            if len(self.over) == 1:
                raise
            raise NoSuggestionError(f"suggest: along {name}: {refusal}") from None
        return found._replace(
            loss=SIGNS[mode] * found.loss, reason=_reason(found.reason, **asked)
        )

    def _axis_of(self, function: str, name: str | None) -> str:
        if name is None and len(self.over) == 1:
            return self.name
        if name not in self.over:
            expected = f"{_checks.near(str(name), self.over)} (joint() is of all)"
            _checks.fail(function, "name", expected, name)
        return name

    def _others(
        self,
        name: str,
        at: Mapping[str, float] | None,
        horizon: int,
        asked: Mapping[str, str],
        max_diverged: float,
    ) -> tuple[Any, ...]:
        """The index of the line along an axis, from the values of the others."""
        at = dict(at or {})
        others = [other for other in self.over if other != name]
        for other in at:
            _checks.choice("suggest", "at", other, others)
        if set(others) - set(at):
            best = self._joint(horizon, asked, max_diverged).best
            at = {other: at.get(other, best[other]) for other in others}
        return tuple(
            slice(None) if other == name else _place(other, values, at[other])
            for other, values in self.axes.items()
        )

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
        horizon = self._known("joint", horizon)
        asked = {"metric": metric, "mode": mode, "on": on}
        found = self._joint(horizon, asked, max_diverged)
        return found._replace(
            best=self._hyperparameters(found.best),
            within_noise=tuple(map(self._hyperparameters, found.within_noise)),
            loss=SIGNS[mode] * found.loss,
            reason=_reason(found.reason, **asked),
        )

    def _joint(
        self, horizon: int, asked: Mapping[str, str], max_diverged: float
    ) -> JointSuggestion:
        losses, untrained = self._question(horizon=horizon, **asked)
        return joint_best(
            self.axes,
            losses,
            untrained=untrained,
            diverged=self.diverged(horizon),
            max_diverged=max_diverged,
            choices=(BATCH_SIZE,),
        )

    def _hyperparameters(self, point: Mapping[str, float]) -> dict[str, float]:
        found: dict[str, float] = {}
        for axis, values in zip(self._axes(), self.axes.values(), strict=True):
            index = _place(axis.name, values, point[axis.name])
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
        horizon = self._known("best_along", horizon)
        _checks.choice("best_along", "name", name, self.over)
        if len(self.over) == 1:
            raise ValueError(f"best_along: there is no axis but {name!r}")
        losses, untrained = self._question(on, metric, horizon, mode)
        found = profile(
            name,
            self.axes,
            losses,
            untrained=untrained,
            diverged=self.diverged(horizon),
            max_diverged=max_diverged,
            choices=(BATCH_SIZE,),
        )
        return found._replace(losses=SIGNS[mode] * found.losses)

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


def _place(name: str, values: np.ndarray, value: float) -> int:
    near = np.flatnonzero(np.isclose(values, value, rtol=1e-6, atol=0.0))
    if not len(near):
        expected = f"one of the values of {name}, {values.tolist()}"
        _checks.fail("suggest", f"at[{name!r}]", expected, value)
    return int(near[0])


def _reason(reason: str, metric: str, mode: str, on: str) -> str:
    if (metric, mode, on) == ("loss", "min", "validation"):
        return reason
    sign = "the negative of " if mode == "max" else ""
    return f"by {sign}{on} {metric}: {reason}"
