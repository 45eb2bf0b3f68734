"""What a parallel range test has found out."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from optax_cycles import _checks
from optax_cycles.range_test.best import RangeSuggestion
from optax_cycles.range_test.failures import failed
from optax_cycles.range_test.horizon import moved
from optax_cycles.range_test.joint import JointSuggestion, Profile
from optax_cycles.range_test.parallel_record import ParallelRecord
from optax_cycles.range_test.question import (
    ON,
    SIGNS,
    Question,
    drift_along,
    label_of,
    place_of,
)
from optax_cycles.range_test.stored import read_note
from optax_cycles.range_test.suggest import NoSuggestionError
from optax_cycles.range_test.tables import parallel_table
from optax_cycles.sweep.result import SweepResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class ParallelTest(ParallelRecord):
    """The outcome of `parallel_range_test`.

    Arrays have the tested axes first, in their order, then the seeds.

    Attributes:
      over: the names of the tested axes.
      horizons: the numbers of updates at which losses are known, increasing. With a
        budget of examples they are updates of the smallest batch size.
      sweep: the runs behind it; its axes are the constants, those tested, and `seed`.
      budget: `"updates"` or `"examples"`; see `parallel_range_test`.
    """

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
            losses, untrained = self.train(metric, horizon), self._first(metric)
        else:
            losses = self.validation(metric, horizon)
            untrained = self.untrained(metric)
        diverged = self.diverged(horizon)
        if not np.isfinite(losses).any() and not diverged.all():
            raise NoSuggestionError(
                f"{function}: the {on} {metric} is not finite at any point, though "
                f"training did not diverge; look at the {on} data"
            )
        sign = SIGNS[mode]
        losses, untrained = sign * losses, sign * untrained
        # What overflowed before training, any number improves on.
        untrained = np.where(np.isnan(untrained), np.inf, untrained)
        return Question(
            axes=self.axes,
            losses=losses,
            untrained=untrained,
            diverged=diverged | failed(self.axes, losses, untrained),
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
        updates: int | None = None,
    ) -> RangeSuggestion:
        """The range to train in along one axis; see `parallel_best`.

        The longer the training, the smaller the best constant rate often is. With
        `updates`, the length of the training to come, the range is moved by the drift
        over the horizons up to this one; see `horizon_best`.

        Args:
          horizon: the updates after which to compare; the longest by default.
          name: the axis; needed where there are several.
          at: dict from other axes to the values to stay at; by default, and where an
            axis is not in it, that of the joint best.
          metric: what to compare.
          mode: whether its `"min"` or its `"max"` is best.
          on: `"validation"`, or `"train"` for the metric in training.
          max_diverged: the largest share of failed seeds that a value may have.
          updates: of the training to come, at least as many as the horizon.

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
        horizon = self._known("suggest", horizon)
        horizons = [h for h in self.reached if h <= horizon]
        how: Any = {
            "metric": metric,
            "mode": mode,
            "on": on,
            "max_diverged": max_diverged,
        }
        asked = {h: self._question("suggest", h, **how) for h in horizons}
        found = asked[horizon].along(name, at or {})
        if updates is None:
            return found
        return moved(found, drift_along(asked, name, at or {}, updates))

    def plot(self, ax: Axes | None = None, **options: Any) -> Axes | Figure:
        """Draw the test: the loss over the values, or a heat map of two axes.

        Args:
          ax: matplotlib axes to draw on; by default a figure of its own, which also has
            the share that failed, or all horizons of a grid.
          **options: `metric`, its `mode`, `on`, and others of
            `optax_cycles.plot.plot_parallel`, `plot_heat_map`, or (without `ax`)
            `grid_figure`.

        Returns:
          `ax`, or the figure.

        Raises:
          NoSuggestionError: if the test stopped before any horizon.
        """
        from optax_cycles.range_test.drawing import drawn_test  # imports this

        self._known("plot", None)
        return drawn_test(self, ax, **options)

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
            index = place_of("joint", axis.name, values, point[axis.name])
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
