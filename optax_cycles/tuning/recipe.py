"""A recipe: the settings that were found, the evidence, and the code."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax

from optax_cycles import _checks
from optax_cycles._typing import Schedule
from optax_cycles.tuning.candidate import Candidate, optimizer_of, policy_of
from optax_cycles.tuning.code import python_of
from optax_cycles.tuning.family import DECAY, NAMED, RATE, Family, family_of

FORMAT = "optax_cycles.recipe/1"


@dataclasses.dataclass(frozen=True)
class Evidence:
    """What one step of tuning tried, and what came of it.

    Attributes:
      name: the step: `"batch size"`, `"learning rate"`, `"momentum and decay"`,
        `"schedule"` or `"final"`.
      learned: what it learned, in a sentence.
      rows: a dict for each setting that was tried: its hyperparameters, `length` (the
        updates of its trainings), `scores` (the metric of each seed, None where it
        diverged) and `score` (their median), the best first.
      updates: what it cost, in updates of all members together.
      seconds: what it cost in time.
      curves: of the last step, what figures are drawn from.
    """

    name: str
    learned: str
    rows: tuple[Mapping[str, Any], ...]
    updates: int
    seconds: float
    curves: Mapping[str, Any] | None = None


@dataclasses.dataclass(frozen=True, repr=False)
class Recipe:
    """Settings that work, and why they were chosen; made by `oc.tune`.

    Attributes:
      family: the optimizer.
      schedule: the schedule's name, as in `oc.tuning.SCHEDULES`.
      steps: updates of a training.
      batch_size: examples in each update; None where the data bring their own batches.
      learning_rate: its peak.
      momentum: a constant, a pair (low, high) that moves against the rate, or None for
        an optimizer without one.
      weight_decay: None for an optimizer without one.
      metric: the validation metric by which it was chosen.
      mode: whether its `"min"` or its `"max"` is best.
      scores: the metric of the final trainings, one a seed; empty before they ran.
      diagnosis: `oc.diagnose` of them: `verdict`, `reason`, `advice`; None where there
        was none.
      evidence: what each step tried and learned.
      budget: what might be spent (`asked`), and what was (`updates`, `seconds`).
      versions: of the packages that it depends on.
      complete: False where tuning was stopped; it is the best that was known then.
    """

    family: Family
    schedule: str
    steps: int
    batch_size: int | None
    learning_rate: float
    momentum: float | tuple[float, float] | None
    weight_decay: float | None
    metric: str
    mode: str
    scores: tuple[float, ...]
    diagnosis: Mapping[str, Any] | None
    evidence: tuple[Evidence, ...]
    budget: Mapping[str, Any]
    versions: Mapping[str, str]
    complete: bool

    def __repr__(self) -> str:
        """The settings in one line."""
        known = f"{self.family.label}, {self.schedule} of {self.steps} updates"
        said = ", ".join([known, *self._settings()])
        return f"Recipe({said}{'' if self.complete else '; incomplete'})"

    def __str__(self) -> str:
        """The settings, the score, the cost, and whether tuning came to its end."""
        spent, seconds = self.budget["updates"], self.budget["seconds"]
        lines = [
            f"{self.family.label}, {self.schedule} of {self.steps:,} updates",
            f"  {', '.join(self._settings())}",
            f"  {self._scored()}",
            f"  cost: {spent:,} updates of all members together, {seconds:.3g} s",
        ]
        if not self.complete:
            done = ", ".join(step.name for step in self.evidence)
            lines.append(f"  incomplete: tuning was stopped after {done or 'nothing'}")
        return "\n".join(lines)

    def _settings(self) -> list[str]:
        words = [f"learning_rate {self.learning_rate:g}"]
        if self.momentum is not None:
            words.append(f"{self.family.momentum_name} {self.momentum}")
        if self.weight_decay is not None:
            words.append(f"{DECAY} {self.weight_decay:g}")
        if self.batch_size is not None:
            words.append(f"batch_size {self.batch_size}")
        return words

    def _scored(self) -> str:
        """The metric of the final trainings in words."""
        name = f"validation {self.metric}"
        if not self.scores:
            return f"{name}: not known, no final training with fresh seeds"
        # Those that diverged are in the evidence only.
        rows = self.evidence[-1].rows if self.evidence else ()
        diverged = list(rows[0]["scores"]).count(None) if rows else 0
        scores = sorted(self.scores, reverse=self.mode == "max")
        seeds = len(scores) + diverged
        if seeds == 1:
            return f"{name}: {scores[0]:.4g} (one seed)"
        worst = np.inf if self.mode == "min" else -np.inf
        middle = np.median([*scores, *[worst] * diverged])
        said = f"{name}: {middle:.4g}, the median of {seeds} seeds"
        spread = f"{scores[0]:.4g} to {scores[-1]:.4g}"
        return f"{said} ({spread}{f', {diverged} diverged' if diverged else ''})"

    def policy(self) -> dict[str, Schedule]:
        """The schedules, by the names of the optimizer's arguments, for `oc.inject`."""
        pair = self.momentum
        if pair is not None and not isinstance(pair, tuple):
            pair = (pair, pair)
        return policy_of(
            self.family, self.schedule, self.steps, self.learning_rate, pair
        )

    def optimizer(self) -> optax.GradientTransformationExtraArgs:
        """The optimizer, for `nnx.Optimizer`, Flax's `TrainState` or a loop."""
        return optimizer_of(
            self.family, self.policy(), self.learning_rate, self.weight_decay
        )

    def to_python(self) -> str:
        """The same optimizer as a few lines of Python that run as they are."""
        return python_of(self)

    def report(self, path: str | os.PathLike[str]) -> None:
        """Write the report: one HTML page that needs no network.

        It has the settings and the code, figures, the evidence of each choice, what was
        rejected and by how much, and what it cost. Needs the extra `sweep`.

        Raises:
          OSError: if it can't be written; FileNotFoundError if there is no such folder.
        """
        _check_place("report", path)
        from optax_cycles.tuning.report import write_report

        write_report(self, path)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the recipe as JSON.

        Raises:
          OSError: if it can't be written; FileNotFoundError if there is no such folder.
        """
        _check_place("save", path)
        content = {"format": FORMAT} | dataclasses.asdict(self)
        content["family"] = self.family.name
        text = json.dumps(content, indent=2, allow_nan=False, default=_plain)
        Path(path).write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        factory: Callable[..., optax.GradientTransformation] | None = None,
    ) -> Recipe:
        """Read what `save` wrote. Nothing in the file is executed.

        Args:
          path: the file.
          factory: the optimizer's factory, needed where it is not one of the known
            names.

        Raises:
          ValueError: if the file is no recipe of this format, or of another factory.
          OSError: if it can't be read.
        """
        content = _read(path)
        name = content.pop("family")
        if name not in NAMED and factory is None:
            raise ValueError(
                f"load: the recipe is of {name!r}: give that function as factory="
            )
        family = family_of("load", name if name in NAMED else factory)
        if family.name != name:
            _checks.fail(
                "load", "factory", f"{name}, of which the recipe is", family.name
            )
        evidence = [
            Evidence(**{**step, "rows": tuple(step["rows"])})
            for step in content.pop("evidence")
        ]
        momentum = content.pop("momentum")
        return cls(
            family=family,
            momentum=tuple(momentum) if isinstance(momentum, list) else momentum,
            scores=tuple(content.pop("scores")),
            evidence=tuple(evidence),
            **content,
        )


def _check_place(function: str, path: str | os.PathLike[str]) -> None:
    """A file can be there: said before anything is drawn."""
    if not Path(path).parent.is_dir():
        raise FileNotFoundError(
            f"{function}: the folder of path must exist, got {os.fspath(path)!r}"
        )


def _plain(value: Any) -> Any:
    """A scalar of NumPy or JAX as JSON knows it."""
    if isinstance(value, np.ndarray | np.generic | jax.Array) and np.ndim(value) == 0:
        return np.asarray(value).item()
    raise TypeError(f"save: {value!r} is not a plain value")


def _read(path: str | os.PathLike[str]) -> dict[str, Any]:
    text = Path(path).read_text(encoding="utf-8")
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"load: {os.fspath(path)!r} is not JSON ({error})") from error
    if not isinstance(content, dict) or content.pop("format", None) != FORMAT:
        raise ValueError(f"load: {os.fspath(path)!r} is no recipe of {FORMAT}")
    wanted = {field.name for field in dataclasses.fields(Recipe)}
    if set(content) != wanted:
        odd = sorted(set(content) ^ wanted)
        raise ValueError(f"load: {os.fspath(path)!r} is no whole recipe: {odd}")
    return content


def recipe_of(candidate: Candidate, family: Family, **others: Any) -> Recipe:
    """The recipe of a candidate."""
    said = candidate.described()
    momentum = said.get("momentum")
    return Recipe(
        family=family,
        schedule=candidate.schedule,
        learning_rate=said[RATE],
        momentum=tuple(momentum) if isinstance(momentum, list) else momentum,
        weight_decay=candidate.weight_decay,
        **others,
    )
