"""Population-based training: the worst copy the best, and change their numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from optax_cycles import _checks
from optax_cycles._typing import Batch, Key, PyTree
from optax_cycles.search.common import scores_of, searched
from optax_cycles.search.distributions import Distribution, check_distributions
from optax_cycles.search.exploit import FACTORS, explored, replaced, truncation
from optax_cycles.search.result import SearchResult
from optax_cycles.search.sampling import random
from optax_cycles.sweep.judge import Standing, Verdict
from optax_cycles.sweep.result import mode_of
from optax_cycles.sweep.trainable import Trainable

FEWEST = 4


@dataclasses.dataclass(frozen=True, eq=False)
class Exploiting:
    """Replaces the worst members by changed copies of the best.

    Attributes:
      space: dict from hyperparameter to its distribution, which has its bounds.
      steps: after how many updates.
      share: of the population that is replaced.
      factors: what a value is multiplied with.
      resample: the probability of drawing it anew instead.
      metric: the validation metric that is compared.
      mode: whether its `"min"` or its `"max"` is best.
      seed: of all draws.
    """

    space: Mapping[str, Distribution]
    steps: Sequence[int]
    share: float
    factors: tuple[float, float]
    resample: float
    metric: str
    mode: str
    seed: int

    @property
    def setting(self) -> str:
        """All that decisions depend on."""
        return str(self)

    def __call__(self, standing: Standing) -> Verdict:
        """Who copies whom, and the numbers with which copies go on."""
        scores = scores_of("population", standing, self.metric, self.mode)
        drawing = np.random.default_rng([self.seed, standing.step])
        parents = truncation(scores, self.share, drawing)
        losers = np.flatnonzero(parents != np.arange(len(parents)))
        rngs = {
            int(loser): np.random.default_rng([self.seed, standing.step, int(loser)])
            for loser in losers
        }
        # After the copy, by a generator of each loser's own: no two become the same.
        copied = {name: standing.hparams[name][parents] for name in self.space}
        return Verdict(
            parents,
            explored(
                copied,
                losers,
                self.space,
                rngs=rngs,
                factors=self.factors,
                resample=self.resample,
            ),
        )


def population(
    trainable: Trainable,
    space: Mapping[str, Distribution],
    data: PyTree,
    steps: int,
    *,
    key: Key,
    validation: Batch,
    members: int = 20,
    interval: int | None = None,
    burn_in: int = 0,
    share: float = 0.2,
    factors: tuple[float, float] = FACTORS,
    resample: float = 0.25,
    metric: str = "loss",
    mode: str | None = None,
    seed: int = 0,
    horizons: Sequence[int] | None = None,
    **options: Any,
) -> SearchResult:
    """Train a population in which the worst copy the best, and change what they copied.

    After every `interval` updates the members of the worst `share` each take the
    parameters, the optimizer state and the hyperparameters of one of the best share,
    drawn uniformly, and then change every hyperparameter: it is drawn anew with the
    probability `resample`, or else multiplied by one of the `factors`. So they find
    schedules, not constants: `SearchResult.policy` gives that of the best member.

    Args:
      trainable: what to train; see `oc.trainable`.
      space: dict from hyperparameter to distribution: from which members begin, are
        drawn anew, and whose bounds they keep.
      data: as for `oc.sweep.run`.
      steps: updates of each member.
      key: the key of all randomness in training. All members share initial parameters,
        data order and random numbers, so that they differ in hyperparameters only.
      validation: one batch to compare on.
      members: how many train at once, at least 4.
      interval: updates from one copying to the next; by default a twentieth of
        `steps`.
      burn_in: updates before the first copying.
      share: of the population that is replaced each time, in (0, 0.5].
      factors: what copied values are multiplied with, two positive numbers.
      resample: the probability of drawing a value anew, in [0, 1].
      metric: the validation metric to compare.
      mode: whether its `"min"` or its `"max"` is best; needed but for `"loss"`.
      seed: of all draws: where members begin, whom they copy, what changes.
      horizons: further numbers of updates after which to evaluate.
      **options: further arguments of `oc.sweep.run` (`batch_size`, `checkpoint`,
        `placement`, `mesh`, `progress`, ...).

    Returns:
      A `SearchResult`; its `sweep.lineage` says who copied whom.

    Raises:
      TypeError, ValueError: for arguments that make no sense, or a metric that is not
        reported.
      Interrupted, SweepError: as `oc.sweep.run`, with an incomplete `SearchResult`.

    M. Jaderberg et al., "Population based training of neural networks" (2017),
    section 4.1, with truncation selection.
    """
    name = "population"
    mode = mode_of(name, metric, mode)
    check_distributions(name, space)
    _checks.integer(name, "steps", steps, minimum=2)
    _checks.integer(name, "members", members, minimum=FEWEST)
    interval = max(steps // 20, 1) if interval is None else interval
    _checks.integer(name, "interval", interval, minimum=1)
    _checks.integer(name, "burn_in", burn_in, minimum=0)
    _checks.real(name, "share", share, above=0, maximum=0.5)
    _checks.real(name, "resample", resample, minimum=0, maximum=1)
    low, high = check_factors(name, factors)
    verdicts = [at for at in range(interval, steps, interval) if at >= burn_in]
    if not verdicts:
        expected = f"so few that members copy before the last update ({steps})"
        _checks.fail(name, "interval and burn_in", expected, (interval, burn_in))
    if replaced(share, members) == 0:
        expected = f"at least one of {members} members"
        _checks.fail(name, "share", expected, share)
    judge = Exploiting(
        dict(space), verdicts, share, (low, high), resample, metric, mode, seed
    )
    return searched(
        name,
        trainable,
        random(space, members, seed=seed),
        data,
        steps,
        judge=judge,
        key=key,
        validation=validation,
        metric=metric,
        mode=mode,
        horizons=horizons,
        options=options,
    )


def check_factors(function: str, factors: Any) -> tuple[float, float]:
    """Two positive numbers.

    Raises:
      TypeError, ValueError: if they are not.
    """
    _checks.sequence(function, "factors", factors)
    if len(factors) != 2:
        _checks.fail(function, "factors", "two positive numbers", factors)
    for factor in factors:
        _checks.real(function, "factors", factor, above=0)
    return float(factors[0]), float(factors[1])
