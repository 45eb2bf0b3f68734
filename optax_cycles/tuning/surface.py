"""A smooth surface through noisy scores, so that luck is not mistaken for merit.

One training of each setting says little where seeds differ by more than settings do,
and trainings of another sweep have other seeds, which are luckier or not for all alike.
A Gaussian process shares out what was seen among settings nearby, and between settings
and sweeps: C. Rasmussen and C. Williams, "Gaussian processes for machine learning"
(2006), algorithm 2.1.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np

from optax_cycles.tuning.candidate import MOVES_MOMENTUM, Candidate
from optax_cycles.tuning.family import Family
from optax_cycles.tuning.work import Scored

# Variances in units of that of the surface; lengths in those of `_places`.
NOISES, LENGTHS = (0.03, 0.1, 0.3, 1.0), (0.7, 1.4, 2.8)
OF_A_SWEEP = 1.0
# How alike two schedules are, or a momentum that moves and one that does not.
ALIKE = 0.6
# Of each sweep the best, and of settings to choose from, beyond which a surface would
# take longer than trainings.
MOST, CONSIDERED = 100, 600
DRAWS = 400


class Surface:
    """What sweeps of whole trainings say of settings, tried or not."""

    def __init__(self, family: Family, sweeps: Sequence[Sequence[Scored]]) -> None:
        """Take the numbers under which the scores are likeliest.

        Args:
          family: the optimizer.
          sweeps: the scores of each sweep, whose trainings share their seeds.
        """
        self.family = family
        known = [
            (place, one)
            for place, sweep in enumerate(sweeps)
            for one in sorted(sweep, key=lambda one: one.score)[:MOST]
        ]
        self.settings = [one.candidate for _, one in known]
        # No decay counts as a tenth of the least.
        decays = [one.weight_decay for one in self.settings if one.weight_decay]
        self._least = min(decays, default=1.0) / 10
        scores = np.array([one.score for _, one in known])
        self.scores = standardised(scores)
        group = np.array([place for place, _ in known])
        self._together = OF_A_SWEEP * (group[:, None] == group)
        self._seeds = np.array([len(one.scores) for _, one in known])
        best = -np.inf
        for noise, length in itertools.product(NOISES, LENGTHS):
            inverse, likelihood = self._inverse(noise, length)
            if likelihood > best:
                best, self._length, self._kept = likelihood, length, inverse
        self._variance = max(
            float(self.scores @ self._kept @ self.scores) / len(scores), 1e-6
        )

    def _inverse(self, noise: float, length: float) -> tuple[np.ndarray, float]:
        """Inverse covariance of the scores, and how likely they are under it."""
        near = self._alike(self.settings, self.settings, length)
        covariance = near + self._together + np.diag(noise / self._seeds)
        inverse: np.ndarray = np.linalg.inv(covariance)
        explained = max(float(self.scores @ inverse @ self.scores), 1e-12)
        determinant = np.linalg.slogdet(covariance)[1]
        return inverse, -len(self.scores) * math.log(explained) - determinant

    def mean(self, settings: Sequence[Candidate]) -> np.ndarray:
        """`[n]`: what is expected of settings, standardised; less is better."""
        across = self._alike(settings, self.settings, self._length)
        mean: np.ndarray = across @ self._kept @ self.scores
        return mean

    def covariance(self, settings: Sequence[Candidate]) -> np.ndarray:
        """`[n, n]`: how little is known of them."""
        across = self._alike(settings, self.settings, self._length)
        among = self._alike(settings, settings, self._length)
        left: np.ndarray = among - across @ self._kept @ across.T
        return self._variance * left

    def sorted(self, settings: Sequence[Candidate]) -> list[Candidate]:
        """The same, that of the best mean first."""
        order = np.argsort(self.mean(settings), kind="stable")
        return [settings[place] for place in order]

    def worth_trying(
        self, settings: Sequence[Candidate], count: int
    ) -> list[Candidate]:
        """Settings the best of which may be expected to be best of all, one by one.

        Settings that are like one that was taken already add little to it.
        """
        if len(settings) > CONSIDERED:
            settings = self.sorted(settings)[: max(CONSIDERED, count)]
        if count >= len(settings):
            return list(settings)
        mean, rng = self.mean(settings), np.random.default_rng(0)
        eigenvalues, vectors = np.linalg.eigh(self.covariance(settings))
        root = vectors * np.sqrt(np.maximum(eigenvalues, 0.0))
        draws = mean + rng.normal(size=(DRAWS, len(mean))) @ root.T
        least = np.full((DRAWS, 1), np.inf)
        taken: list[int] = []
        for _ in range(count):
            expected = np.minimum(draws, least).mean(axis=0)
            expected[taken] = np.inf
            taken.append(int(expected.argmin()))
            least = np.minimum(least, draws[:, taken[-1:]])
        return [settings[place] for place in taken]

    def _alike(
        self, some: Sequence[Candidate], others: Sequence[Candidate], length: float
    ) -> np.ndarray:
        """`[some, others]`: from 0 to 1 for one and the same."""
        ours, theirs = self._places(some), self._places(others)
        squares = ((ours[:, None] - theirs) ** 2).sum(axis=-1)
        alike: np.ndarray = np.exp(-squares / (2 * length**2))
        for kind in (_schedule, _moves):
            a, b = (np.array([kind(one) for one in of]) for of in (some, others))
            alike = alike * np.where(a[:, None] == b, 1.0, ALIKE)
        return alike

    def _places(self, settings: Sequence[Candidate]) -> np.ndarray:
        """`[settings, 3]`: rate, momentum and decay in factors of e, 2 and 10."""
        rows = []
        for one in settings:
            rate, left = one.learning_rate, 1.0
            if one.momentum is not None:
                pair = one.momentum if _moves(one) else one.momentum[1:]
                left = 1 - float(np.mean(pair))
            if self.family.scales_with_momentum:
                rate /= left
            decay = max(one.weight_decay or 0.0, self._least)
            rows.append((math.log(rate), math.log2(left), math.log10(decay)))
        return np.array(rows)


def standardised(scores: np.ndarray) -> np.ndarray:
    """Mean 0 and deviation 1, the worse half all alike, and failures worse than that.

    Only the better half tells how to be better. A failure is as much worse than the
    middle as the best is better.
    """
    finite = np.isfinite(scores)
    if not finite.any():
        return np.zeros_like(scores)
    least, middle = scores[finite].min(), np.median(scores[finite])
    scale = max(middle - least, abs(middle) * 1e-9) or 1.0
    # In units of the scale before they are squared, however large or small they are.
    units = np.where(finite, np.minimum(scores, middle) / scale, 1 + middle / scale)
    units = units - units.mean()
    spread = units.std()
    even: np.ndarray = units / spread if spread > 0 else units
    return even


def _schedule(one: Candidate) -> str:
    return one.schedule


def _moves(one: Candidate) -> bool:
    pair = one.momentum
    return pair is not None and pair[0] < pair[1] and one.schedule in MOVES_MOMENTUM
