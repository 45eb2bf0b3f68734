"""What `range-test` found: its files."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from itertools import product
from typing import Any

import numpy as np

from optax_cycles.cli.found import Found
from optax_cycles.cli.optimizers import RATE
from optax_cycles.cli.question import PARALLEL
from optax_cycles.cli.training import NAMES
from optax_cycles.range_test import (
    CycleSuggestion,
    JointSuggestion,
    NoSuggestionError,
    ParallelTest,
    RampTest,
    RangeSuggestion,
    RuleComparison,
)
from optax_cycles.sweep.result import SweepResult

# Smith's rule of thumb for where a cycle starts.
BASE_BELOW_PEAK = 10.0


@dataclasses.dataclass
class Findings(Found):
    """What has been found so far; fields stay empty where work has not come."""

    parallel: ParallelTest | None = None
    ramp: RampTest | None = None
    rules: list[tuple[dict[str, float], RuleComparison]] = dataclasses.field(
        default_factory=list
    )
    joint: JointSuggestion | None = None
    suggestion: RangeSuggestion | None = None
    suggests: dict[str, str] = dataclasses.field(default_factory=dict)
    training: SweepResult | None = None

    def ask_ramp(self) -> None:
        """Take in what all rules say of the ramp, at each point of the grid."""
        assert self.ramp is not None
        for point in product(*self.ramp.axes.values()):
            at = dict(zip(self.ramp.axes, map(float, point), strict=True))
            self.rules.append((at, self.ramp.compare(at=at)))

    def suggest(self, rule: str) -> None:
        """Take in the suggestion of a rule.

        Raises:
          NoSuggestionError: if it makes none.
        """
        if self.parallel is not None and len(self.parallel.over) > 1:
            self.joint = self.parallel.joint()
        if rule != PARALLEL:
            self._suggest_by(rule)
        elif self.parallel is not None:
            axes = self.parallel.axes
            name = RATE if RATE in axes else next(iter(axes))
            if len(axes[name]) > 2:
                self.suggestion = self.parallel.suggest(name=name)
                self.suggests = {"name": name, "rule": rule}

    def _suggest_by(self, rule: str) -> None:
        """What a rule says of the ramp, at the best point of the grid or the first."""
        assert self.ramp is not None
        best = self.joint.best if self.joint is not None else self.rules[0][0]
        at = {name: best[name] for name in self.ramp.over}
        (answers,) = [found[rule] for point, found in self.rules if _near(point, at)]
        if answers.median is None:
            raise NoSuggestionError(f"{rule}: {answers.refusals[0]}")
        base, reason = answers.median / BASE_BELOW_PEAK, "a tenth of the peak"
        bases = self._bases(rule, at)
        if bases:
            base, reason = float(np.median(bases)), "where the loss starts to fall"
        self.suggestion = RangeSuggestion(
            base=base,
            best=answers.median,
            peak=answers.median,
            interval=(min(answers.answers), max(answers.answers)),
            within_noise=(answers.median,),
            loss=float("nan"),
            reason=reason,
        )
        self.suggests = {"name": self.ramp.name, "rule": rule}

    def _bases(self, rule: str, at: Mapping[str, float]) -> list[float]:
        """The bases of a rule that suggests a range, if all seeds have an answer."""
        assert self.ramp is not None
        try:
            answers = self.ramp.suggest(rule, at=at)
        except NoSuggestionError:
            return []
        return [one.base for one in answers if isinstance(one, CycleSuggestion)]

    def trainings(self) -> dict[str, dict[str, list[float]]]:
        """Final validation metrics of each training, a value for each seed."""
        if self.training is None:
            return {}
        return {
            name: {
                metric: values[index, :, -1].tolist()
                for metric, values in self.training.validation.items()
            }
            for index, name in enumerate(NAMES)
        }

    def curve(self) -> dict[str, Any] | None:
        """The parallel test at its last horizon, over the values of its axes."""
        if self.parallel is None or not self.parallel.reached:
            return None
        losses = self.parallel.validation()
        losses = np.where(np.isfinite(losses), losses, np.inf)
        return {
            **{name: values.tolist() for name, values in self.parallel.axes.items()},
            "median_loss": np.median(losses, axis=-1).tolist(),
            "share_diverged": self.parallel.diverged().mean(axis=-1).tolist(),
        }

    def content(self) -> dict[str, Any]:
        """All of it but the curves, as JSON has it."""
        suggestion = None
        if self.suggestion is not None:
            suggestion = self.suggests | self.suggestion._asdict()
        return self.around(
            {
                "suggestion": suggestion,
                "joint": self.joint and self.joint._asdict(),
                "refusal": self.refusal,
                "curve": self.curve(),
                "ramp_rules": [{"at": at, **r.to_dict()} for at, r in self.rules],
                "trainings": self.trainings(),
            }
        )


def _near(point: Mapping[str, float], other: Mapping[str, float]) -> bool:
    return all(np.isclose(point[name], other[name], rtol=1e-6) for name in point)
