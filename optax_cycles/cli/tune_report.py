"""What `tune` found: the recipe, its report, and the JSON file."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from optax_cycles.cli.folder import Folder
from optax_cycles.cli.found import Found
from optax_cycles.range_test import NoSuggestionError
from optax_cycles.tuning import Recipe

_RECIPE = "recipe.json"


@dataclasses.dataclass
class Tuned(Found):
    """What has been found so far.

    Attributes:
      recipe: the best so far; None where there is none.
      tried: where nothing trains, the settings that were tried.
    """

    recipe: Recipe | None = None
    tried: list[Mapping[str, Any]] = dataclasses.field(default_factory=list)

    def keep(self, recipe: Recipe | None) -> None:
        """Keep a recipe, unless the one there is knows more."""
        known = self.recipe
        if recipe and (not known or len(recipe.evidence) >= len(known.evidence)):
            self.recipe = recipe

    def ended(self, recipe: Recipe) -> None:
        """Keep what tuning returned; where it is incomplete, a time ran out."""
        self.recipe = recipe
        if not recipe.complete:
            self.stopped = (
                f"the budget of {recipe.budget['asked']} was used up before the final "
                "trainings were done: this is the best so far; a larger --budget, with "
                "--overwrite, gives them time"
            )

    def refuse(self, refusal: NoSuggestionError) -> None:
        """Say so where nothing trains, and what was tried."""
        self.refusal = str(refusal)
        self.tried = getattr(refusal, "rows", [])

    def content(self) -> dict[str, Any]:
        """All of it but the evidence, as JSON has it."""
        own: dict[str, Any] = {
            "stopped": self.stopped,
            "recipe": None,
            "refusal": self.refusal,
        }
        if self.tried:
            own["tried"] = self.tried
        recipe = self.recipe
        if recipe is not None:
            own |= {
                "recipe": _settings(recipe),
                "score": _score(recipe),
                "runner_up": _runner_up(recipe),
                "steps": [
                    _step(recipe, place) for place in range(len(recipe.evidence))
                ],
                "updates": {
                    "spent": recipe.budget["updates"],
                    "asked": recipe.budget["asked"],
                },
                "code": recipe.to_python(),
            }
        return self.around(own)


def _settings(recipe: Recipe) -> dict[str, Any]:
    return {
        "optimizer": recipe.family.name,
        "schedule": recipe.schedule,
        "steps": recipe.steps,
        "batch_size": recipe.batch_size,
        "learning_rate": recipe.learning_rate,
        "momentum": recipe.momentum,
        "weight_decay": recipe.weight_decay,
    }


def _final(recipe: Recipe) -> tuple[Mapping[str, Any], ...]:
    """The rows of the final trainings, the best first."""
    last = recipe.evidence[-1] if recipe.evidence else None
    return last.rows if last is not None and last.name == "final" else ()


def _score(recipe: Recipe) -> dict[str, Any] | None:
    rows = _final(recipe)
    if not rows:
        return None
    return {**_scores(rows[0]), "diagnosis": recipe.diagnosis}


def _scores(row: Mapping[str, Any]) -> dict[str, Any]:
    """The metric of each seed, and the median, which decides."""
    return {"seeds": row["scores"], "median": row["score"]}


def _runner_up(recipe: Recipe) -> dict[str, Any] | None:
    rows = _final(recipe)
    if len(rows) < 2:
        return None
    own = {"length", "score", "scores"}
    settings = {name: value for name, value in rows[1].items() if name not in own}
    return {**settings, **_scores(rows[1])}


def _step(recipe: Recipe, place: int) -> dict[str, Any]:
    step = recipe.evidence[place]
    return {
        "name": step.name,
        "learned": step.learned,
        "best": step.rows[0],
        "tried": len(step.rows),
        "updates": step.updates,
        "seconds": step.seconds,
    }


def kept_in(folder: Folder) -> Recipe | None:
    """The recipe that the same command left where it was stopped."""
    path = folder.path / _RECIPE
    return None if folder.is_new or not path.exists() else Recipe.load(path)


def write(found: Tuned, folder: Folder) -> None:
    """Write the recipe, its code, its report, and last the JSON file."""
    writers: dict[str, Callable[[Path], None]] = {}
    recipe = found.recipe
    if recipe is not None:
        code = recipe.to_python()
        writers = {
            _RECIPE: recipe.save,
            "recipe.py": lambda path: _write_text(path, code),
            "report.html": recipe.report,
        }
    folder.write(found.content(), writers)


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
