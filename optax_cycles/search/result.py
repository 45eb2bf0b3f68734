"""What a search found: the members in order, and the history of the best."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from optax_cycles import _checks
from optax_cycles._typing import PyTree, Schedule
from optax_cycles.schedules import piecewise_constant
from optax_cycles.search.points import medians, points_of
from optax_cycles.sweep.members import Status
from optax_cycles.sweep.result import SweepResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# What rows of a leaderboard say besides the metric and the hyperparameters.
ROW = ("rank", "member", "updates", "status")
SIGNS = {"min": 1.0, "max": -1.0}


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class SearchResult:
    """The outcome of a search.

    Attributes:
      method: what searched.
      sweep: the runs behind it; its `lineage` has all that was decided.
      metric: the validation metric that was compared.
      mode: whether its `"min"` or its `"max"` is best.
    """

    method: str
    sweep: SweepResult
    metric: str
    mode: str

    def __repr__(self) -> str:
        """The method, its size, and the best score."""
        members, spent = self.sweep.space.size, self.updates
        text = f"SearchResult({self.method}; {members} members, {spent} updates"
        best = f"; best {self.metric} {self.best_of_points * SIGNS[self.mode]:.4g}"
        return text + (best if np.isfinite(self.best_of_points) else "") + ")"

    @property
    def updates(self) -> int:
        """Updates made by all members together: what the search cost."""
        return int(self.sweep.updates.sum())

    @property
    def scores(self) -> np.ndarray:
        """`[members]`: the metric after the last update, the lower the better.

        +inf for members that did not train to the end; with `mode="max"` it is the
        negative of the metric.
        """
        if self.metric not in self.sweep.validation:  # stopped before there was one
            return np.full(self.sweep.space.size, np.inf)
        last = self.sweep.validation[self.metric][..., -1].reshape(-1)
        ended = self.sweep.updates.reshape(-1) == self.sweep.steps
        return np.where(np.isfinite(last) & ended, SIGNS[self.mode] * last, np.inf)

    @property
    def best_of_points(self) -> float:
        """The best median of `scores` over seeds; +inf if no point ended."""
        return float(medians(self.scores, points_of(self.sweep.space)).min())

    @property
    def best_member(self) -> int:
        """The place of the best member along the flattened axes.

        With an axis `seed` in the space, it is the best seed of the point with the best
        median over its seeds, so that a lucky seed does not choose the point.

        Raises:
          ValueError: if no point trained to the end with a finite metric.
        """
        points = points_of(self.sweep.space)
        of_points = medians(self.scores, points)
        if not np.isfinite(of_points).any():
            raise ValueError(
                f"best_member: no member ended with a finite {self.metric}"
            )
        of_best = points == of_points.argmin()
        return int(np.where(of_best, self.scores, np.inf).argmin())

    @property
    def best_score(self) -> float:
        """The best point's metric, its median over seeds."""
        best = self.best_of_points
        if not np.isfinite(best):
            raise ValueError(f"best_score: no member ended with a finite {self.metric}")
        return float(SIGNS[self.mode] * best)

    def best(self) -> dict[str, float]:
        """The hyperparameters with which the best member ended.

        Where the space has an axis `seed`, they are those of the point, without it.
        """
        found = self.at_end(self.best_member)
        return {n: v for n, v in found.items() if n not in self._over}

    @property
    def _over(self) -> tuple[str, ...]:
        """The axis over which points have a median."""
        return ("seed",) if "seed" in self.sweep.space.names else ()

    def at_end(self, member: int) -> dict[str, float]:
        """The hyperparameters with which a member ended."""
        history = self.history(member)
        return {name: values[-1].item() for name, values in history.items()}

    def best_state(self) -> PyTree:
        """The best member's final state, of a search with `keep_state=True`.

        Raises:
          ValueError: if states were not kept.
        """
        return self.sweep.state_of("best_state", self.best_member)

    def history(self, member: int | None = None) -> dict[str, np.ndarray]:
        """Each hyperparameter `[stretches]` along the line that led to a member.

        Args:
          member: its place along the flattened axes; the best by default.
        """
        member = self.best_member if member is None else member
        _checks.integer("history", "member", member, minimum=0)
        if member >= self.sweep.space.size:
            _checks.fail("history", "member", f"below {self.sweep.space.size}", member)
        if self.sweep.lineage is None:
            flat = self.sweep.space.members()
            return {name: values[member : member + 1] for name, values in flat.items()}
        return self.sweep.lineage.history(member)

    def policy(self, member: int | None = None) -> dict[str, Schedule]:
        """A member's history as schedules, which replay its training.

        Where all members have one seed, as they do by default, a training with these
        schedules, the same key and the same data is the member's, to rounding.

        Args:
          member: its place along the flattened axes; the best by default.

        Returns:
          A dict from hyperparameter to schedule, without `seed`: a policy for
          `oc.inject`.
        """
        history = self.history(member)
        history.pop("seed", None)
        lineage = self.sweep.lineage
        steps = [] if lineage is None else lineage.steps.tolist()
        return {name: _piecewise(values, steps) for name, values in history.items()}

    def leaderboard(self, count: int | None = 10) -> list[dict[str, Any]]:
        """The points in order of their last score; those that ended first.

        Points that were dropped follow by how far they came, then by their score. With
        an axis `seed` in the space, scores are medians over the seeds, and what else is
        said is of the best of them; else each member is a point.

        Args:
          count: how many; None for all.

        Returns:
          Dicts with `rank`, `member`, the metric, `updates`, `status` (`"ended"`,
          `"dropped"`, `"diverged"`, or `"stopped"` with the whole search), and the
          hyperparameters with which each ended.
        """
        board = [row for _, row in self.ranked()[:count]]
        for rank, row in enumerate(board, 1):
            row["rank"] = rank
        return board

    def ranked(self) -> list[tuple[tuple[bool, float, float], dict[str, Any]]]:
        """The leaderboard's rows in order, each after what orders it.

        That is whether it failed to end, the negative share of the updates that it
        made, and its score, the lower the better: searches of other lengths can be
        merged by it.
        """
        sweep, points = self.sweep, points_of(self.sweep.space)
        updates, status = sweep.updates.reshape(-1), sweep.status.reshape(-1)
        last, ended = self._last(), medians(self.scores, points)
        scores = np.where(np.isfinite(ended), ended, medians(last, points))
        # The last of them is compared first.
        keys = np.stack([last, self.scores, -updates])
        rows = []
        for point, score in enumerate(scores):
            members = np.flatnonzero(points == point)
            best = int(members[np.lexsort(keys[:, members])[0]])
            failed = not np.isfinite(ended[point])
            row = {
                "rank": 0,
                "member": best,
                self.metric: float(SIGNS[self.mode] * score),
                "updates": int(updates[best]),
                "status": _status(status[best], updates[best] == sweep.steps),
                **self.at_end(best),
            }
            rows.append(((failed, -updates[best] / sweep.steps, float(score)), row))
        return sorted(rows, key=lambda row: row[0])

    def _last(self) -> np.ndarray:
        """`[members]`: the last evaluation that each came to, the lower the better."""
        known = self.sweep.validation.get(self.metric)
        if known is None:  # stopped before there was one
            return np.full(self.sweep.space.size, np.inf)
        rows = SIGNS[self.mode] * known.reshape(self.sweep.space.size, -1)
        return np.array([_last_finite(row) for row in rows])

    def plot(
        self, ax: Axes | None = None, *, kind: str | None = None, **options: Any
    ) -> Axes | Figure:
        """Draw the search.

        Kinds:

        - `"leaderboard"`: the best points as dots on an axis of their scores, with the
          range over seeds, beside their hyperparameters.
        - `"parallel"`: every point as a line over an axis for each hyperparameter, to
          its score.
        - `"rungs"`: scores over updates, to where each point was dropped, where members
          only go on or not.
        - `"lineage"`: hyperparameters and scores over updates, and who copied whom.

        Args:
          ax: matplotlib axes to draw on; by default a figure of its own, in which a
            lineage has a panel for each hyperparameter, and one for the score.
          kind: see above; by default the rungs of a halving or Hyperband, the lineage
            of a population, and parallel coordinates of others.
          **options: `count` of the points of a leaderboard, 10 by default or None for
            all; `name` of the one hyperparameter of a lineage, with `ax` the first by
            default.

        Returns:
          `ax`, or the figure.

        Raises:
          ValueError: if there is no such kind, or nothing that it could show.
          TypeError: for options that the kind doesn't take.
        """
        from optax_cycles.search.drawing import drawn_search  # imports this

        return drawn_search(self, ax, kind, **options)

    def _repr_html_(self) -> str:
        """A small table for notebooks: method, cost, the best, and who follows it."""
        from optax_cycles.search.tables import search_table  # imports this

        return search_table(self)


def _last_finite(row: np.ndarray) -> float:
    finite = row[np.isfinite(row)]
    return float(finite[-1]) if finite.size else np.inf


def _piecewise(values: np.ndarray, steps: list[int]) -> Schedule:
    """A constant, or the constants from step to step."""
    kept = [0, *(i for i in range(1, len(values)) if values[i] != values[i - 1])]
    return piecewise_constant(
        [steps[i - 1] for i in kept[1:]], [float(values[i]) for i in kept]
    )


def _status(status: int, ended: bool) -> str:
    """What became of a member that no longer runs."""
    if status != Status.RUNNING:
        return Status(status).name.lower()
    return "ended" if ended else "stopped"
