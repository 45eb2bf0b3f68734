"""What a ramp has found out."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from optax_cycles import _checks
from optax_cycles.range_test.compare import RuleComparison, compare_rules
from optax_cycles.range_test.curve import smooth
from optax_cycles.range_test.question import ON, place_of
from optax_cycles.range_test.rules import RULES
from optax_cycles.range_test.stored import read_note
from optax_cycles.range_test.suggest import NoSuggestionError, Rule, Suggestion
from optax_cycles.range_test.tables import ramp_table
from optax_cycles.sweep.result import SweepResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class RampTest:
    """The outcome of `ramp_range_test`.

    Arrays have the axes of `over` first, in their order, then the seeds.

    Attributes:
      name: the hyperparameter that climbed.
      values: float64 `[steps]`, its value at each update.
      sweep: the runs behind it; its axes are the constants, those of `over`, `seed`.
      over: the names of the axes of further hyperparameters.
      moving: dict from hyperparameter that moved meanwhile to its values `[steps]`.
    """

    name: str
    values: np.ndarray
    sweep: SweepResult
    over: tuple[str, ...] = ()
    moving: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)

    def __repr__(self) -> str:
        """What climbed, the axes, and how far it came."""
        shape = [f"{name}: {len(values)}" for name, values in self.axes.items()]
        axes = ", ".join([*shape, f"seed: {self.seeds}"])
        steps = f"{self.sweep.steps} updates{'' if self.complete else ', incomplete'}"
        return f"RampTest({self.name}; {axes}; {steps})"

    @property
    def axes(self) -> dict[str, np.ndarray]:
        """The values of each further axis, those of its first hyperparameter."""
        axes = [axis for axis in self.sweep.space.axes if axis.name in self.over]
        return {axis.name: next(iter(axis.values.values())) for axis in axes}

    @property
    def seeds(self) -> int:
        """How many runs each point of the grid had."""
        return self.sweep.space.shape[-1]

    def _shaped(self, values: np.ndarray) -> np.ndarray:
        """Without the axes of constants, which have one value."""
        shape = (*map(len, self.axes.values()), self.seeds, values.shape[-1])
        return values.reshape(shape)

    @property
    def losses(self) -> np.ndarray:
        """`[*axes, seeds, steps]`: the raw training loss, NaN after a run stopped."""
        return self.train()

    def train(self, metric: str = "loss") -> np.ndarray:
        """`[*axes, seeds, steps]`: a raw metric of training, NaN after a run stopped.

        Raises:
          ValueError: if the metric was not recorded.
        """
        _checks.choice("train", "metric", metric, self.sweep.train)
        return self._shaped(self.sweep.train[metric])

    def smoothed(self, beta: float = 0.98) -> np.ndarray:
        """`[*axes, seeds, steps]`: the debiased moving average of the losses."""
        return smooth(self.losses, beta)

    def validation(self, metric: str = "loss") -> np.ndarray:
        """`[*axes, seeds, evaluations]`: a validation metric along the ramp.

        Raises:
          ValueError: if the metric was not recorded.
        """
        _checks.choice("validation", "metric", metric, self.sweep.validation)
        return self._shaped(self.sweep.validation[metric])

    @property
    def validated(self) -> np.ndarray:
        """`[evaluations]`: the value of the last update before each evaluation."""
        return self.values[self.sweep.horizons - 1]

    @property
    def complete(self) -> bool:
        """False where the test was interrupted."""
        return self.sweep.complete

    def suggest(
        self,
        rule: str | Rule,
        *,
        at: Mapping[str, float] | None = None,
        on: str = "train",
        beta: float = 0.98,
    ) -> list[Suggestion]:
        """What a rule says of each seed's curve.

        The curve is the smoothed training loss, or the validation loss as it is. Values
        that are not positive, which rules can't place on their logarithmic axis, are
        left out.

        Args:
          rule: a name in `oc.RULES`, which leave out the points that their libraries
            leave out; or a function `rule(values, losses) -> Suggestion`, which is
            given the whole curve.
          at: dict from each axis of `over` to one of its values.
          on: `"train"` or `"validation"`.
          beta: decay of the moving average.

        Returns:
          One `Suggestion` a seed; `index` counts from the first point of `values`, or
          of `validated`.

        Raises:
          NoSuggestionError: if the rule finds no answer for a seed, or one was
            interrupted.
          ValueError: if there is no such rule, or `at` is not a point of the grid.
        """
        if isinstance(rule, str):
            _checks.choice("suggest", "rule", rule, RULES)
            rule = RULES[rule]
        values, curves, first = self._curves("suggest", at, on, beta)
        found = [rule(values, losses) for losses in curves]
        return [dataclasses.replace(one, index=one.index + first) for one in found]

    def compare(
        self,
        rules: Mapping[str, Rule] = RULES,
        *,
        at: Mapping[str, float] | None = None,
        on: str = "train",
        beta: float = 0.98,
    ) -> RuleComparison:
        """What all rules say of all seeds' curves; see `compare_rules` and `suggest`.

        Raises:
          ValueError: as `compare_rules` and `suggest`.
        """
        values, curves, _ = self._curves("compare", at, on, beta)
        return compare_rules(values, curves, rules)

    def _curves(
        self, function: str, at: Mapping[str, float] | None, on: str, beta: float
    ) -> tuple[np.ndarray, np.ndarray, int]:
        """Values, curves of the seeds, and how many points were left out before."""
        _checks.choice(function, "on", on, ON)
        place = self._place(function, at or {})
        self._refuse_cut(function, place)
        if on == "train":
            values, curves = self.values, self.smoothed(beta)[place]
        else:
            values, curves = self.validated, self.validation()[place]
        first = int(np.sum(values <= 0))
        return values[first:], curves[:, first:], first

    def _refuse_cut(self, function: str, place: tuple[int, ...]) -> None:
        """A curve that was cut short looks like one that diverged."""
        shape = (*map(len, self.axes.values()), self.seeds)
        updates = self.sweep.updates.reshape(shape)[place]
        diverged = self.sweep.diverged.reshape(shape)[place]
        cut = (updates < self.sweep.steps) & ~diverged
        if self.complete or not cut.any():
            return
        raise NoSuggestionError(
            f"{function}: the ramp was interrupted: {int(cut.sum())} of {self.seeds} "
            f"seed(s) came to update {int(updates[cut].min())} of {self.sweep.steps} "
            "and did not diverge; run it to its end"
        )

    def _place(self, function: str, at: Mapping[str, float]) -> tuple[int, ...]:
        for name in (*at, *self.over):
            if name not in at or name not in self.over:
                expected = f"a value for each of {list(self.over)}"
                _checks.fail(function, "at", expected, dict(at))
        return tuple(
            place_of(function, name, v, at[name]) for name, v in self.axes.items()
        )

    def plot(self, ax: Axes | None = None) -> Axes | Figure:
        """Draw the ramp, with what some rules say of it.

        Args:
          ax: matplotlib axes to draw on; by default a figure of its own.

        Returns:
          `ax`, or the figure.
        """
        from optax_cycles.range_test.drawing import drawn_ramp  # imports this

        return drawn_ramp(self, ax)

    def _repr_html_(self) -> str:
        """A small table for notebooks: what climbed, the axes, what became of them."""
        return ramp_table(self)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write all but final states to a netCDF file, with the values at each `step`.

        `SweepResult.load` reads it, too. Needs the extra `sweep`.
        """
        moved = {name: ("step", values) for name, values in self.moving.items()}
        note = {"name": self.name, "over": self.over, "moving": list(self.moving)}
        self.sweep.save(
            path,
            **{self.name: ("step", self.values)},
            **moved,
            ramp_range_test=json.dumps(note),
        )

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> RampTest:
        """Read what `save` wrote.

        Raises:
          ValueError: if the file holds no ramp.
        """
        note, found = read_note(path, "ramp_range_test")
        moving = {name: found[name].to_numpy() for name in note["moving"]}
        values, over = found[note["name"]].to_numpy(), tuple(note["over"])
        return cls(note["name"], values, SweepResult.load(path), over, moving)
