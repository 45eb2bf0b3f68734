"""What is asked of a parallel range test: the best along an axis, or of all."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from optax_cycles import _checks
from optax_cycles.range_test.best import RangeSuggestion, range_best
from optax_cycles.range_test.horizon import HorizonSuggestion, horizon_best
from optax_cycles.range_test.joint import JointSuggestion, Profile, joint_best, profile
from optax_cycles.range_test.over import BATCH_SIZE
from optax_cycles.range_test.suggest import NoSuggestionError

SIGNS = {"min": 1.0, "max": -1.0}
ON = ("validation", "train")


@dataclasses.dataclass(frozen=True, eq=False)
class Question:
    """A metric at a horizon, in which the least is best.

    Attributes:
      axes: dict from axis to its values.
      losses: `[*axes, seeds]`; the negative of a metric whose largest value is best.
      untrained: `[*axes, seeds]`, the same before training.
      diverged: bool `[*axes, seeds]`.
      max_diverged: the largest share of failed seeds that a point may have.
      sign: 1, or -1 where losses are the negative.
      label: what the losses are, in words; nothing for the validation loss.
    """

    axes: Mapping[str, np.ndarray]
    losses: np.ndarray
    untrained: np.ndarray
    diverged: np.ndarray
    max_diverged: float
    sign: float
    label: str

    def along(self, name: str, at: Mapping[str, float]) -> RangeSuggestion:
        """The range along one axis, at given values of others or the joint best."""
        line = self.line(name, at)
        try:
            found = range_best(
                self.axes[name],
                self.losses[line],
                untrained=self.untrained[line],
                diverged=self.diverged[line],
                max_diverged=self.max_diverged,
                ends=self._ends(name),
            )
        except NoSuggestionError as refusal:
            if self._is_best_at_zero(name, line):
                raise NoSuggestionError(
                    f"suggest: the loss is lowest at {name} 0; no range starts below"
                ) from None
            if len(self.axes) == 1:
                raise
            raise NoSuggestionError(f"suggest: along {name}: {refusal}") from None
        loss, reason = self.sign * found.loss, self._named(found.reason)
        return found._replace(loss=loss, reason=reason)

    def _ends(self, name: str) -> str:
        """As the joint best has it."""
        if name == BATCH_SIZE:
            return "allow"
        return "inner" if len(self.axes) > 1 else "refuse"

    def _is_best_at_zero(self, name: str, line: tuple[Any, ...]) -> bool:
        values = self.axes[name]
        if values[0] != 0:
            return False
        try:
            found = joint_best(
                {name: values},
                self.losses[line],
                untrained=self.untrained[line],
                diverged=self.diverged[line],
                max_diverged=self.max_diverged,
            )
        except NoSuggestionError:
            return False
        return found.best[name] == 0

    def line(self, name: str, at: Mapping[str, float]) -> tuple[Any, ...]:
        """The index of what lies along an axis, at a point of the others."""
        others = [other for other in self.axes if other != name]
        for other in at:
            if other not in others:
                expected = f"of {others}" if others else "empty, there is no other axis"
                _checks.fail("suggest", "at", expected, other)
        point = dict(at)
        if set(others) - set(at):
            point = {**self.joint().best, **at}
        return tuple(
            slice(None)
            if other == name
            else place_of("suggest", other, values, point[other])
            for other, values in self.axes.items()
        )

    def joint(self) -> JointSuggestion:
        """The best point of all axes."""
        found = joint_best(
            self.axes,
            self.losses,
            untrained=self.untrained,
            diverged=self.diverged,
            max_diverged=self.max_diverged,
            choices=(BATCH_SIZE,),
        )
        loss, reason = self.sign * found.loss, self._named(found.reason)
        return found._replace(loss=loss, reason=reason)

    def profile(self, name: str) -> Profile:
        """The best of the other axes, along one."""
        found = profile(
            name,
            self.axes,
            self.losses,
            untrained=self.untrained,
            diverged=self.diverged,
            max_diverged=self.max_diverged,
            choices=(BATCH_SIZE,),
        )
        return found._replace(losses=self.sign * found.losses)

    def _named(self, reason: str) -> str:
        return f"by {self.label}: {reason}" if self.label else reason


def label_of(on: str, metric: str, mode: str) -> str:
    """What a suggestion is made from, in words; nothing for the validation loss."""
    if (on, metric, mode) == ("validation", "loss", "min"):
        return ""
    return f"{'the negative of ' if mode == 'max' else ''}{on} {metric}"


def place_of(function: str, name: str, values: np.ndarray, value: float) -> int:
    """The index of a value of an axis: the nearest, which may differ by rounding."""
    _checks.real(function, f"at[{name!r}]", value)
    nearest = int(np.abs(values - value).argmin())
    if not np.isclose(values[nearest], value, rtol=1e-6, atol=0.0):
        expected = f"one of {values.tolist()}"
        _checks.fail(function, f"at[{name!r}]", expected, value)
    return nearest


def drift_along(
    questions: Mapping[int, Question], name: str, at: Mapping[str, float], updates: int
) -> HorizonSuggestion:
    """Where the best value along an axis goes when training is longer.

    Args:
      questions: the same one at each horizon, increasing.
      name: the axis.
      at: values of other axes; the joint best of the last horizon where not given.
      updates: the length of the training to come.
    """
    last = list(questions.values())[-1]
    line = last.line(name, at)
    return horizon_best(
        last.axes[name],
        np.stack([each.losses[line] for each in questions.values()]),
        list(questions),
        updates=updates,
        untrained=last.untrained[line],
        diverged=np.stack([each.diverged[line] for each in questions.values()]),
        max_diverged=last.max_diverged,
    )
