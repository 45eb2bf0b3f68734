"""What a ramp has found out."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from optax_cycles import _checks
from optax_cycles.range_test.curve import smooth
from optax_cycles.range_test.question import place_of
from optax_cycles.range_test.stored import read_note
from optax_cycles.range_test.suggest import Suggestion
from optax_cycles.range_test.tables import axes_rows, table
from optax_cycles.sweep.result import SweepResult


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
        rule: Callable[[Any, Any], Suggestion],
        *,
        at: Mapping[str, float] | None = None,
        on: str = "train",
        beta: float = 0.98,
    ) -> list[Suggestion]:
        """What a rule says of each seed's curve.

        The curve is the smoothed training loss. As in fastai, its first tenth, where
        the average starts, and the last 5 points before it stopped, where it explodes,
        are left out. The validation loss is neither smoothed nor trimmed.

        Args:
          rule: a function `rule(values, losses) -> Suggestion`.
          at: dict from each axis of `over` to one of its values.
          on: `"train"` or `"validation"`.
          beta: decay of the moving average.

        Returns:
          One `Suggestion` a seed; `index` counts from the first point of `values`, or
          of `validated`.

        Raises:
          NoSuggestionError: if the rule finds no answer for a seed.
          ValueError: if too few points are left for the rule, or `at` is not a point of
            the grid.
        """
        _checks.choice("suggest", "on", on, ("train", "validation"))
        place = self._place(at or {})
        if on == "validation":
            curves = self.validation()[place]
            return [rule(self.validated, losses) for losses in curves]
        suggestions = []
        for losses in self.smoothed(beta)[place]:
            finite = np.isfinite(losses)
            count = len(losses) if finite.all() else int(np.argmin(finite))
            kept = slice(count // 10, max(count - 5, 0))
            found = rule(self.values[kept], losses[kept])
            suggestions.append(
                dataclasses.replace(found, index=found.index + count // 10)
            )
        return suggestions

    def _place(self, at: Mapping[str, float]) -> tuple[int, ...]:
        for name in (*at, *self.over):
            if name not in at or name not in self.over:
                expected = f"a value for each of {list(self.over)}"
                _checks.fail("suggest", "at", expected, dict(at))
        return tuple(place_of(name, v, at[name]) for name, v in self.axes.items())

    def _repr_html_(self) -> str:
        """A small table for notebooks: what climbed, the axes, what became of them."""
        climbed = f"{self.values[0]:.6g} to {self.values[-1]:.6g}"
        rows = [(self.name, f"climbs, {climbed}")]
        rows += [
            (name, f"moves, {values[0]:.6g} to {values[-1]:.6g}")
            for name, values in self.moving.items()
        ]
        rows += [*axes_rows(self.axes), ("seeds", f"{self.seeds}")]
        rows.append(("diverged", f"{self.sweep.diverged.mean():.1%} of the runs"))
        return table(repr(self), rows)

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
