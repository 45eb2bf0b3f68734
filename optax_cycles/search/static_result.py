"""What searches over different programs found, together."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from optax_cycles import _checks
from optax_cycles._typing import PyTree
from optax_cycles.search.result import SIGNS, SearchResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class StaticResult:
    """The outcome of `over_static`.

    Attributes:
      points: the combinations of static choices, in order.
      results: the searches at the first points, as many as were made; the last may be
        incomplete.
      metric: the validation metric that was compared.
      mode: whether its `"min"` or its `"max"` is best.
    """

    points: tuple[dict[str, Any], ...]
    results: tuple[SearchResult, ...]
    metric: str
    mode: str

    def __repr__(self) -> str:
        """How many points, what it cost, and the best score."""
        made = f"{len(self.results)} of {len(self.points)}"
        text = f"StaticResult({made} points; {self.updates} updates"
        best = np.min(self.scores, initial=np.inf)
        if np.isfinite(best):
            text += f"; best {self.metric} {SIGNS[self.mode] * best:.4g}"
        return text + ")"

    @property
    def updates(self) -> int:
        """Updates made by all members of all searches: what they cost."""
        return sum(result.updates for result in self.results)

    @property
    def scores(self) -> np.ndarray:
        """`[results]`: each search's best score, the lower the better.

        +inf where no member ended with a finite metric; with `mode="max"` it is the
        negative of the metric.
        """
        return np.array([result.best_of_points for result in self.results])

    @property
    def best_place(self) -> int:
        """The place of the best search in `points` and `results`.

        Raises:
          ValueError: if no member of any ended with a finite metric.
        """
        scores = self.scores
        if not np.isfinite(scores).any():
            raise ValueError(f"best_place: no member ended with a finite {self.metric}")
        return int(scores.argmin())

    @property
    def best_result(self) -> SearchResult:
        """The search that found the best."""
        return self.results[self.best_place]

    @property
    def best_score(self) -> float:
        """The best point's metric."""
        return self.best_result.best_score

    def best(self) -> dict[str, Any]:
        """The static choices of the best, and the hyperparameters it ended with."""
        return {**self.points[self.best_place], **self.best_result.best()}

    def best_state(self) -> PyTree:
        """The best member's final state, of a search with `keep_state=True`.

        Raises:
          ValueError: if states were not kept.
        """
        return self.best_result.best_state()

    def at(self, **point: Any) -> SearchResult:
        """The search at one point.

        Args:
          **point: its static choices; those of which all points have one may be left
            out.

        Raises:
          ValueError: if no point or more than one has these choices, or its search was
            not made.
        """
        for name in point:
            _checks.choice("at", "a static axis", name, self.points[0])
        found = [
            place
            for place, one in enumerate(self.points)
            if all(one[name] == value for name, value in point.items())
        ]
        if len(found) != 1:
            raise ValueError(f"at: {len(found)} points have {point}, not 1")
        if found[0] >= len(self.results):
            raise ValueError(f"at: it was stopped before {self.points[found[0]]}")
        return self.results[found[0]]

    def leaderboard(self, count: int | None = 10) -> list[dict[str, Any]]:
        """The points of all searches in order, those that ended first.

        Args:
          count: how many; None for all.

        Returns:
          Rows as of `SearchResult.leaderboard`, with the static choices before the
          hyperparameters. `updates` are compared as shares of what each search's
          members were to make.
        """
        rows = [
            (key, {"rank": 0, **point, **row})
            for point, result in zip(self.points, self.results, strict=False)
            for key, row in result.ranked()
        ]
        rows.sort(key=lambda row: row[0])
        board = [row for _, row in rows[:count]]
        for rank, row in enumerate(board, 1):
            row["rank"] = rank
        return board

    def plot(self, ax: Axes | None = None) -> Axes | Figure:
        """Draw the scores at each static point, a row each, and the best of each.

        Args:
          ax: matplotlib axes to draw on; by default a figure of its own.

        Returns:
          `ax`, or the figure.
        """
        from optax_cycles.search.static_figures import drawn_static  # imports this

        return drawn_static(self, ax)

    def _repr_html_(self) -> str:
        """A small table for notebooks: static points, cost, and the best of all."""
        from optax_cycles.search.tables import static_table  # imports this

        return static_table(self)
