"""What `sweep` and `search` found: the JSON file and the others."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from optax_cycles._figures import save_figure
from optax_cycles.cli.folder import STATE, Folder
from optax_cycles.cli.found import Found
from optax_cycles.cli.snapshot import write_snapshot
from optax_cycles.search.result import SearchResult
from optax_cycles.search.static_result import StaticResult

# Of a large search netCDF has the rest.
MOST_ROWS = 100


@dataclasses.dataclass
class Searched(Found):
    """What has been found so far; `result` is None where work has not come to it.

    Attributes:
      result: all searches, one for each optimizer and batch size.
      method: how they searched.
    """

    result: StaticResult | None = None
    method: str = ""

    def content(self) -> dict[str, Any]:
        """All of it but the curves, as JSON has it."""
        own: dict[str, Any] = {"best": None, "refusal": self.refusal}
        result = self.result
        if result is not None:
            own["best"] = self._best(result)
            own["leaderboard"] = result.leaderboard(MOST_ROWS)
            sweeps = [one.sweep for one in result.results]
            own["members"] = sum(sweep.space.size for sweep in sweeps)
            full = sum(sweep.space.size * sweep.steps for sweep in sweeps)
            own["updates"] = {"spent": result.updates, "full": full}
            if self.method == "population":
                own["history"] = own["best"] and _history(result.best_result)
        return self.around(own)

    def _best(self, result: StaticResult) -> dict[str, Any] | None:
        if not np.isfinite(result.scores).any():
            return None
        return {**result.best(), result.metric: result.best_score}

    def refuse(self) -> None:
        """Say so where a complete search has no best."""
        result = self.result
        if result is not None and self._best(result) is None:
            self.refusal = f"no member ended with a finite {result.metric}"


def _history(result: SearchResult) -> dict[str, Any]:
    """The best member's numbers, from each of `steps` on."""
    lineage = result.sweep.lineage
    steps = [] if lineage is None else lineage.steps.tolist()
    history = result.history()
    history.pop("seed", None)
    return {"steps": [0, *steps], **{n: v.tolist() for n, v in history.items()}}


def write(found: Searched, folder: Folder) -> None:
    """Write the curves, the figures, the state and last the JSON file."""
    writers: dict[str, Callable[[Path], None]] = {}
    result = found.result
    name = folder.main.removesuffix(".json")
    if result is not None:
        several = len(result.points) > 1
        for point, one in zip(result.points, result.results, strict=False):
            label = f"-{'-'.join(map(str, point.values()))}" if several else ""
            writers[f"{name}{label}.nc"] = one.sweep.save
            writers[f"{name}{label}.png"] = _drawing(one)
        if several:
            writers[f"{name}.png"] = _drawing(result)
        if found.settings["keep_state"] and found.complete and not found.refusal:
            writers[STATE] = lambda path: write_snapshot(path, result.best_state())
    folder.write(found.content(), writers)


def _drawing(result: SearchResult | StaticResult) -> Callable[[Path], None]:
    def draw(path: Path) -> None:
        figure: Any = result.plot()
        save_figure(figure, path)

    return draw
