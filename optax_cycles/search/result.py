"""What a search found: the members in order, and the history of the best."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from optax_cycles import _checks
from optax_cycles._typing import PyTree, Schedule
from optax_cycles.schedules import piecewise_constant
from optax_cycles.sweep.members import Status
from optax_cycles.sweep.result import SweepResult

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
        best = f"; best {self.metric} {self.scores.min() * SIGNS[self.mode]:.4g}"
        return text + (best if np.isfinite(self.scores).any() else "") + ")"

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
    def best_member(self) -> int:
        """The place of the best member along the flattened axes.

        Raises:
          ValueError: if no member trained to the end with a finite metric.
        """
        if not np.isfinite(self.scores).any():
            raise ValueError(
                f"best_member: no member ended with a finite {self.metric}"
            )
        return int(self.scores.argmin())

    @property
    def best_score(self) -> float:
        """The best member's metric."""
        return float(SIGNS[self.mode] * self.scores[self.best_member])

    def best(self) -> dict[str, float]:
        """The hyperparameters with which the best member ended."""
        return self.at_end(self.best_member)

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
        """The members in order of their last score; those that ended first.

        Members that were dropped follow by how far they came, then by their score.

        Args:
          count: how many; None for all.

        Returns:
          Dicts with `rank`, `member`, the metric, `updates`, `status`, and the
          hyperparameters with which each ended.
        """
        sweep = self.sweep
        updates, status = sweep.updates.reshape(-1), sweep.status.reshape(-1)
        known = SIGNS[self.mode] * sweep.validation[self.metric].reshape(
            len(updates), -1
        )
        # The last evaluation that each member came to.
        last = np.array([_last_finite(row) for row in known])
        order = np.lexsort((last, -updates))
        return [
            {
                "rank": rank,
                "member": int(member),
                self.metric: float(SIGNS[self.mode] * last[member]),
                "updates": int(updates[member]),
                "status": Status(status[member]).name.lower(),
                **self.at_end(int(member)),
            }
            for rank, member in enumerate(order[:count], 1)
        ]


def _last_finite(row: np.ndarray) -> float:
    finite = row[np.isfinite(row)]
    return float(finite[-1]) if finite.size else np.inf


def _piecewise(values: np.ndarray, steps: list[int]) -> Schedule:
    """A constant, or the constants from step to step."""
    kept = [0, *(i for i in range(1, len(values)) if values[i] != values[i - 1])]
    return piecewise_constant(
        [steps[i - 1] for i in kept[1:]], [float(values[i]) for i in kept]
    )
