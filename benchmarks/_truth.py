"""What a rate is worth: its loss after a long training, against that of the best rate.

A training that fails, or ends above the loss it began with, counts as not trained at
all, which bounds a regret: nobody would use what came out of it.

The least of many noisy medians is too low, and a regret against it too high. So the
best rate is picked on one half of the seeds, and compared on the other half; a regret
is the mean over all such halves. Picked on half of the seeds it is not quite the best
one, so that a regret may come out slightly below 0.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
from _curves import Curves


class Regret(NamedTuple):
    """How much worse than the best rate.

    Attributes:
      relative: the loss over that of the best rate, less 1.
      share: the excess as a share of the way from the untrained to the best loss.
      in_sample: `relative`, the best rate picked on the seeds that it is compared on.
    """

    relative: float
    share: float
    in_sample: float


class Truth:
    """The fine grid of one task.

    Attributes:
      rates: `[rates]`, increasing.
      losses: `[rates, seeds]`, at most the untrained loss.
      untrained: median loss before training.
      best: index of the rate with the least smoothed median.
    """

    def __init__(self, curves: Curves) -> None:
        """Take the losses at the end, and the halves of the seeds."""
        start, ends = curves["truth"][..., 0], curves["truth"][..., 1:]
        found = ends.mean(-1, dtype=np.float64)
        self.rates = curves["rates"]
        self.losses = np.where(found < start, found, start)
        self.untrained = float(np.median(start))
        self.medians = np.median(self.losses, axis=1)
        self.best = int(np.argmin(_smoothed(np.log(self.medians))))
        seeds = range(self.losses.shape[1])
        halves = list(itertools.combinations(seeds, len(seeds) // 2))
        picked = [list(half) for half in halves]
        others = [sorted({*seeds} - {*half}) for half in halves]
        self._curves = [np.log(np.median(self.losses[:, o], axis=1)) for o in others]
        self._best = [
            int(np.argmin(_smoothed(np.log(np.median(self.losses[:, p], axis=1)))))
            for p in picked
        ]

    @property
    def margin(self) -> int:
        """Grid steps from the best rate to the nearer end of the grid."""
        return min(self.best, len(self.rates) - 1 - self.best)

    def regret(self, rate: float) -> Regret:
        """The regret of a rate, between those of the grid; beyond them, the ends'."""
        relative, share = [], []
        for curve, best in zip(self._curves, self._best, strict=True):
            loss, least = np.exp(self._at(rate, curve)), np.exp(curve[best])
            relative.append(loss / least - 1)
            share.append((loss - least) / (self.untrained - least))
        everyone = np.log(self.medians)
        in_sample = np.exp(self._at(rate, everyone) - everyone.min()) - 1
        return Regret(float(np.mean(relative)), float(np.mean(share)), float(in_sample))

    def _at(self, rate: float, curve: np.ndarray) -> float:
        return float(np.interp(np.log(rate), np.log(self.rates), curve))

    def interpolation_error(self) -> float:
        """Error of every other rate from its neighbours, near the best: the median.

        These are twice as far apart as those that regrets are interpolated between.
        """
        logs = np.log(self.medians)
        middle = (logs[:-2] + logs[2:]) / 2
        near = np.abs(np.arange(1, len(logs) - 1) - self.best) <= len(logs) // 6
        return float(np.median(np.abs(np.exp(middle - logs[1:-1]) - 1)[near]))


def _smoothed(curve: np.ndarray) -> np.ndarray:
    padded = np.pad(curve, 1, mode="edge")
    smoothed: np.ndarray = (padded[:-2] + 2 * curve + padded[2:]) / 4
    return smoothed
