"""What `which_learning_rate.py` makes of its runs: valleys, and what they show."""

import csv
from pathlib import Path
from typing import NamedTuple

import numpy as np

# The optimizers whose working ranges he compares with Adam's.
ADAPTIVE = ("Adagrad", "RMSProp")


def steps_to(accuracy, horizons, target):
    """Updates until an accuracy is first reached, +inf where it is not.

    Args:
      accuracy: `[..., horizons]`; NaN does not reach anything.
      horizons: `[horizons]`, updates made before each.
      target: the accuracy.
    """
    reached = np.nan_to_num(accuracy, nan=-1.0) >= target
    first = np.asarray(horizons, float)[reached.argmax(-1)]
    return np.where(reached.any(-1), first, np.inf)


class Valley(NamedTuple):
    """What one optimizer takes to the target, over rates.

    Attributes:
      rates: `[rates]`, increasing.
      steps: `[rates, seeds]`, updates (or seconds) to the target; +inf without.
    """

    rates: np.ndarray
    steps: np.ndarray

    @property
    def medians(self):
        """`[rates]`: over seeds; +inf where half of the seeds or more fail."""
        ordered = np.sort(self.steps, axis=1)
        return ordered[:, self.steps.shape[1] // 2]

    @property
    def works(self):
        """`[rates]`: whether most seeds reach the target."""
        return np.isfinite(self.medians)

    @property
    def range(self):
        """The least and the largest rate that works, or None."""
        working = self.rates[self.works]
        return (working[0], working[-1]) if len(working) else None

    @property
    def decades(self):
        """How wide that range is, in powers of ten."""
        return np.log10(self.range[1] / self.range[0]) if self.range else 0.0

    @property
    def best(self):
        """The place of the rate with the fewest steps, or None.

        The median over seeds decides, then the mean, then the middle of the ties.
        """
        if not self.works.any():
            return None
        means = np.where(self.medians == self.medians.min(), self.steps.mean(1), np.nan)
        # Where some seed fails at all of them, their means are all infinite.
        ties = np.flatnonzero(means == np.nanmin(means))
        return int(ties[(len(ties) - 1) // 2])

    @property
    def gaps(self):
        """Rates that fail between two that work."""
        at = np.flatnonzero(self.works)
        if not len(at):
            return []
        return [self.rates[i] for i in range(at[0], at[-1]) if not self.works[i]]

    @property
    def second_valleys(self):
        """Pairs of rates of which the farther from the best is faster for all seeds.

        That is more than noise: every seed at the one takes fewer steps than any seed
        at the other, which lies between it and the best.
        """
        if self.best is None:
            return []
        least, most = self.steps.min(1), self.steps.max(1)
        pairs = []
        for side in (range(self.best, -1, -1), range(self.best, len(self.rates))):
            places = list(side)
            for number, near in enumerate(places):
                far = [i for i in places[number + 1 :] if most[i] < least[near]]
                pairs += [(self.rates[near], self.rates[i]) for i in far]
        return pairs


class Runs(NamedTuple):
    """What the runs of one optimizer and one network came to.

    Attributes:
      valley: updates to the target.
      accuracy: `[rates, seeds, horizons]`, on validation data.
      horizons: `[horizons]`, updates made before each.
      seconds_per_update: the time that an update of one run adds to the training.
      seconds: dict from part of the work to wall time.
    """

    valley: Valley
    accuracy: np.ndarray
    horizons: np.ndarray
    seconds_per_update: float
    seconds: dict[str, float]

    @property
    def best_seconds(self):
        """Training time to the target at the best rate, or None."""
        valley = self.valley
        if valley.best is None:
            return None
        return float(valley.medians[valley.best] * self.seconds_per_update)


def runs_of(sweep, target):
    """The runs of a sweep over rates and seeds."""
    accuracy = sweep.validation["accuracy"]
    rates = np.asarray(sweep.space.axes[0].values["learning_rate"], float)
    steps = steps_to(accuracy, sweep.horizons, target)
    return Runs(
        Valley(rates, steps),
        accuracy,
        sweep.horizons,
        sweep.seconds["train"] / int(sweep.updates.sum()),
        dict(sweep.seconds),
    )


def findings(valleys):
    """His findings, as numbers, each with whether it holds."""
    share = np.concatenate([valley.works for valley in valleys.values()]).mean()
    working = [set(valley.rates[valley.works]) for valley in valleys.values()]
    everywhere = sorted(map(float, set.intersection(*working)))
    decades = {name: float(valley.decades) for name, valley in valleys.items()}
    found = {
        f"one valley: {name}": {
            "holds": valley.best is not None
            and not valley.gaps
            and not valley.second_valleys,
            "gaps": [float(rate) for rate in valley.gaps],
            "second_valleys": [list(map(float, p)) for p in valley.second_valleys],
        }
        for name, valley in valleys.items()
    }
    found["most rates fail"] = {"holds": bool(share < 0.5), "share": float(share)}
    found["no rate serves all"] = {
        "holds": not everywhere,
        "rates": everywhere,
    }
    if {"Adam", *ADAPTIVE} <= set(valleys):
        found["Adam is wider than Adagrad and RMSProp"] = {
            "holds": all(decades["Adam"] > decades[name] for name in ADAPTIVE),
            "decades": decades,
        }
    return found


def width_findings(valleys, step):
    """Whether best rates stay put as a network grows.

    Args:
      valleys: dict from optimizer to a dict from width to its `Valley`, all over the
        same rates.
      step: the ratio of neighbouring rates; a best rate may move by one.
    """
    found = {}
    for name, by_width in valleys.items():
        places = {width: valley.best for width, valley in by_width.items()}
        known = [place for place in places.values() if place is not None]
        rates = next(iter(by_width.values())).rates
        moved = float(rates[max(known)] / rates[min(known)]) if known else None
        first = places[min(places)]
        costs = {
            width: float(valley.medians[first] / valley.medians.min())
            for width, valley in by_width.items()
            if first is not None and valley.best is not None
        }
        found[f"best rate stays put: {name}"] = {
            "holds": len(known) == len(places) and moved < 1.01 * step,
            "moved": moved,
            # Steps at the narrowest network's best rate over those at the best one.
            "cost_of_staying": max(filter(np.isfinite, costs.values()), default=None),
            "staying_fails_at": [w for w, cost in costs.items() if np.isinf(cost)],
            # Where the best rate may lie beyond those that were tried.
            "best_at_the_edge": [
                w for w, place in places.items() if place in (0, len(rates) - 1)
            ],
        }
    return found


def mack():
    """His runs: dict from optimizer to a `Valley` in seconds, of one seed."""
    path = Path(__file__).with_name("mack_2018_grid.csv")
    with path.open() as file:
        rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
    found = {}
    for name in dict.fromkeys(row["optimizer"] for row in rows):
        own = [row for row in rows if row["optimizer"] == name]
        seconds = [
            float(row["seconds"]) if row["reached_target"] == "1" else np.inf
            for row in own
        ]
        rates = np.array([float(row["learning_rate"]) for row in own])
        found[name] = Valley(rates, np.array(seconds)[:, None])
    return found
