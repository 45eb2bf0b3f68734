"""What became of the points of a search, as its figures and tables show it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from optax_cycles._figures import WIDE
from optax_cycles.search.points import medians, points_of
from optax_cycles.search.result import SIGNS, SearchResult
from optax_cycles.sweep.members import Status

# What is this many times as far from the best as three quarters are is not drawn.
FAR = 3.0


class Outcomes(NamedTuple):
    """The points of a search; each is one member, or one a seed.

    Attributes:
      members: int `[points, seeds]`, places along the flattened axes.
      leaders: int `[points]`, the best seed of each, in the same places.
      hparams: dict from hyperparameter to `[points]`, with which each ended.
      history: `[points, seeds, horizons]`, the metric at each horizon.
      last: `[points, seeds]`, the last that is known of the metric, NaN if nothing.
      medians: `[points]`, the score of each: the median over its seeds, of which
        those that failed count as the worst; NaN where those are most.
      updates: int `[points]`, updates made by the best seed.
      ended: bool `[points]`, whether the median over its seeds is of the last update.
      diverged: bool `[points]`, whether most of its seeds did.
      dropped: bool `[points]`, whether most of its seeds were.
      order: int `[points]`, the best first.
    """

    members: np.ndarray
    leaders: np.ndarray
    hparams: dict[str, np.ndarray]
    history: np.ndarray
    last: np.ndarray
    medians: np.ndarray
    updates: np.ndarray
    ended: np.ndarray
    diverged: np.ndarray
    dropped: np.ndarray
    order: np.ndarray

    @property
    def best(self) -> int | None:
        """The best point, or so far; None if nothing is known of any."""
        first = int(self.order[0])
        return first if np.isfinite(self.medians[first]) else None

    @property
    def varying(self) -> list[str]:
        """The hyperparameters in which points differ; all, if they differ in none."""
        names = [n for n, v in self.hparams.items() if len(np.unique(v)) > 1]
        return names or list(self.hparams)

    @property
    def constants(self) -> dict[str, float]:
        """The other hyperparameters."""
        left = self.hparams.keys() - set(self.varying)
        return {n: v[0].item() for n, v in self.hparams.items() if n in left}


def outcomes(found: SearchResult) -> Outcomes:
    """What became of the points of a search."""
    sweep = found.sweep
    points = points_of(sweep.space)
    members = np.argsort(points, kind="stable").reshape(points.max() + 1, -1)
    rows = [row for _, row in found.ranked()]
    leaders = np.array([row["member"] for row in rows])
    order = points[leaders]
    back = np.argsort(order)
    status = sweep.status.reshape(-1)[members]
    scores = np.array([row[found.metric] for row in rows])[back]
    history = history_of(found)[members]
    return Outcomes(
        members=members,
        leaders=leaders[back],
        hparams=_hparams(found, leaders[back]),
        history=history,
        last=_last(history),
        medians=np.where(np.isfinite(scores), scores, np.nan),
        updates=np.array([row["updates"] for row in rows])[back],
        ended=np.isfinite(medians(found.scores, points)),
        diverged=(status == Status.DIVERGED).mean(axis=1) > 0.5,
        dropped=(status == Status.DROPPED).mean(axis=1) > 0.5,
        order=order,
    )


def curves(known: Outcomes) -> np.ndarray:
    """`[points, horizons]`: medians over seeds, NaN where most have no number."""
    found: np.ndarray = np.median(np.nan_to_num(known.history, nan=np.inf), axis=1)
    return np.where(np.isfinite(found), found, np.nan)


def history_of(found: SearchResult) -> np.ndarray:
    """`[members, horizons]`: the metric, NaN where it is not finite."""
    sweep = found.sweep
    if found.metric not in sweep.validation:  # stopped before there was one
        return np.full((sweep.space.size, len(sweep.horizons)), np.nan)
    known = sweep.validation[found.metric].reshape(sweep.space.size, -1)
    return np.where(np.isfinite(known), known, np.nan).astype(np.float64)


def _last(history: np.ndarray) -> np.ndarray:
    """The last finite value along the last axis, NaN where there is none."""
    known = np.isfinite(history)
    if not known.shape[-1]:
        return np.full(known.shape[:-1], np.nan)
    place = known.shape[-1] - 1 - known[..., ::-1].argmax(axis=-1)
    last: np.ndarray = np.take_along_axis(history, place[..., None], axis=-1)[..., 0]
    return last


def _hparams(found: SearchResult, members: np.ndarray) -> dict[str, np.ndarray]:
    """Each hyperparameter but the seed, with which each of some members ended."""
    lineage = found.sweep.lineage
    if lineage is None:
        ends = found.sweep.space.members()
    else:
        ends = {name: values[:, -1] for name, values in lineage.hparams.items()}
    return {name: v[members] for name, v in ends.items() if name != "seed"}


def scale_by(values: np.ndarray) -> str:
    """The scale on which values are spread most evenly.

    Returns:
      `"log"` for values over more than a factor of `WIDE` that are more likely drawn
      from a log-uniform than from a uniform distribution over their range; `"symlog"`
      if there are zeros besides; or `"linear"`.
    """
    values = np.asarray(values, np.float64)
    values = values[np.isfinite(values)]
    positive = values[values > 0]
    if not positive.size or values.min() < 0:
        return "linear"
    low, high = positive.min(), positive.max()
    if high <= WIDE * low:
        return "linear"
    # The mean log-likelihoods, -log(high - low) and -log(x log(high / low)).
    even = np.log(high - low)
    in_ratios = np.log(positive).mean() + np.log(np.log(high / low))
    if in_ratios > even:
        return "linear"
    return "log" if len(positive) == len(values) else "symlog"


def limits_by(values: np.ndarray, mode: str) -> tuple[float, float]:
    """Least and largest value to draw: those far worse than most are beyond.

    Args:
      values: metrics, some of them finite.
      mode: whether the `"min"` or the `"max"` is best.
    """
    known = np.sort(SIGNS[mode] * values[np.isfinite(values)])
    ratios = known[0] > 0 and known[-1] > WIDE * known[0]
    scaled = np.log(known) if ratios else known
    apart = float(np.quantile(scaled, 0.75)) - scaled[0]
    inside = known[scaled <= scaled[0] + FAR * apart] if apart > 0 else known
    low, high = sorted((SIGNS[mode] * inside[0], SIGNS[mode] * inside[-1]))
    return float(low), float(high)
