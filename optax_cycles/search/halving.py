"""Successive halving and Hyperband: most members stop early, the best go on."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from optax_cycles import _checks
from optax_cycles._typing import Batch, Key, PyTree
from optax_cycles.search.common import scores_of, searched
from optax_cycles.search.distributions import Distribution, check_distributions
from optax_cycles.search.points import medians, points_of
from optax_cycles.search.result import SearchResult
from optax_cycles.search.rungs import Rung, apart, brackets, ladder, survivors
from optax_cycles.search.sampling import random
from optax_cycles.sweep.judge import Standing, Verdict
from optax_cycles.sweep.members import Status
from optax_cycles.sweep.result import mode_of
from optax_cycles.sweep.space import Space, as_space
from optax_cycles.sweep.trainable import Trainable


@dataclasses.dataclass(frozen=True, eq=False)
class Halving:
    """Drops, at each rung of each ladder, all but the best points.

    Attributes:
      points: int `[members]`, the point that each member is a seed of.
      ladders: the points of each ladder, and its rungs.
      metric: the validation metric that is compared.
      mode: whether its `"min"` or its `"max"` is best.
    """

    points: np.ndarray
    ladders: Sequence[tuple[np.ndarray, Sequence[Rung]]]
    metric: str
    mode: str

    @property
    def steps(self) -> list[int]:
        """After how many updates somebody is dropped."""
        ends = {rung.steps for _, rungs in self.ladders for rung in rungs[:-1]}
        return sorted(ends)

    @property
    def setting(self) -> str:
        """All that decisions depend on."""
        rungs = [[tuple(rung) for rung in rungs] for _, rungs in self.ladders]
        return f"halving {rungs} by {self.mode} {self.metric}"

    def __call__(self, standing: Standing) -> Verdict:
        """Who goes on: the points with the best median over their seeds.

        A point of which some seed runs is better than one of which none does.
        """
        scores = scores_of("successive_halving", standing, self.metric, self.mode)
        running = standing.status == Status.RUNNING
        going_on = np.ones(len(scores), bool)
        for points, rungs in self.ladders:
            ends = [rung.steps for rung in rungs[:-1]]
            if standing.step not in ends:
                continue
            alive = np.isin(points, self.points[running])
            of_points = np.where(alive, medians(scores, self.points)[points], np.nan)
            count = rungs[ends.index(standing.step) + 1].members
            kept = points[survivors(of_points, count)]
            ours = np.isin(self.points, points)
            going_on &= ~ours | np.isin(self.points, kept)
        return Verdict(np.where(going_on, np.arange(len(scores)), -1))


def successive_halving(
    trainable: Trainable,
    space: Space | Mapping[str, Any],
    data: PyTree,
    steps: int,
    *,
    key: Key,
    validation: Batch,
    eta: float = 3,
    first: int | None = None,
    metric: str = "loss",
    mode: str | None = None,
    horizons: Sequence[int] | None = None,
    **options: Any,
) -> SearchResult:
    """Train all points for a little, the best 1 / `eta` of them longer, and so on.

    All rungs are one program: a member that is dropped leaves it, the others go on with
    the state that they have. With an axis `seed` in the space, points are compared by
    the median over their seeds.

    Args:
      trainable: what to train; see `oc.trainable`.
      space: a `Space` (of `oc.sweep.grid`, `zip`, `oc.search.random`, `sobol`), or a
        dict of equally long arrays: the points to begin with.
      data: as for `oc.sweep.run`.
      steps: updates of the points that are trained to the end.
      key: the key of all randomness.
      validation: one batch to compare on.
      eta: how many times fewer points each rung has, and how many times as many
        updates, > 1.
      first: updates of the first rung; by default as few as let one point reach the
        end, but 10 at least.
      metric: the validation metric to compare.
      mode: whether its `"min"` or its `"max"` is best; needed but for `"loss"`.
      horizons: further numbers of updates after which to evaluate.
      **options: further arguments of `oc.sweep.run` (`batch_size`, `checkpoint`,
        `placement`, `mesh`, `progress`, ...).

    Returns:
      A `SearchResult`.

    Raises:
      TypeError, ValueError: for arguments that make no sense, or a metric that is not
        reported.
      Interrupted, SweepError: as `oc.sweep.run`, with an incomplete `SearchResult`.

    K. Jamieson and A. Talwalkar, "Non-stochastic best arm identification and
    hyperparameter optimization" (2016), algorithm 1.

    Examples:
      >>> import jax, jax.numpy as jnp, optax, optax_cycles as oc
      >>> problem = oc.problem_from_loss(
      ...     lambda key: jnp.ones(2), lambda p, batch, key: jnp.mean((batch @ p) ** 2)
      ... )
      >>> train = oc.trainable(problem, lambda hp: optax.sgd(hp["learning_rate"]))
      >>> found = oc.search.successive_halving(
      ...     train, {"learning_rate": oc.sweep.log_space(1e-3, 1.0, 9)}, jnp.eye(2),
      ...     steps=90, key=jax.random.key(0), validation=jnp.eye(2), batch_size=2,
      ...     first=10,
      ... )
      >>> found.best(), sorted(found.sweep.updates.tolist())
      ({'learning_rate': 1.0}, [10, 10, 10, 10, 10, 10, 30, 30, 90])
    """
    name = "successive_halving"
    mode = mode_of(name, metric, mode)
    space = as_space(name, space)
    points = points_of(space)
    count = int(points.max()) + 1
    _checks.integer(name, "steps", steps, minimum=1)
    _checks.real(name, "eta", eta, above=1)
    if first is None:
        rungs_below = math.floor(math.log(count, eta) + 1e-9)
        first = min(max(round(steps / eta**rungs_below), 10), steps)
    rungs = ladder(count, steps, eta=eta, first=first)
    return searched(
        name,
        trainable,
        space,
        data,
        steps,
        judge=Halving(points, [(np.arange(count), rungs)], metric, mode),
        key=key,
        validation=validation,
        metric=metric,
        mode=mode,
        horizons=horizons,
        options=options,
    )


def hyperband(
    trainable: Trainable,
    space: Mapping[str, Distribution],
    data: PyTree,
    steps: int,
    *,
    key: Key,
    validation: Batch,
    eta: float = 3,
    first: int | None = None,
    metric: str = "loss",
    mode: str | None = None,
    seed: int = 0,
    horizons: Sequence[int] | None = None,
    **options: Any,
) -> SearchResult:
    """Successive halvings of several mixtures of many points and few updates.

    A bracket that begins with many points may drop one that starts slowly; one that
    begins with few has not tried much. Hyperband does both, at about the same cost
    each; here all brackets are one population, trained at once.

    Args:
      trainable: what to train; see `oc.trainable`.
      space: dict from hyperparameter to distribution, from which points are drawn.
      data: as for `oc.sweep.run`.
      steps: updates of the points that are trained to the end.
      key: the key of all randomness in training.
      validation: one batch to compare on.
      eta: as for `successive_halving`.
      first: the least updates that any point gets, one unit of Hyperband's resource R
        = `steps / first`; by default a 27th of `steps`, but 10 at least.
      metric: the validation metric to compare.
      mode: whether its `"min"` or its `"max"` is best; needed but for `"loss"`.
      seed: of the points that are drawn.
      horizons: further numbers of updates after which to evaluate.
      **options: as for `successive_halving`.

    Returns:
      A `SearchResult`; the space of its sweep has the axis `point`, the brackets' one
      after another.

    Raises:
      TypeError, ValueError: for arguments that make no sense, or a metric that is not
        reported.
      Interrupted, SweepError: as `oc.sweep.run`, with an incomplete `SearchResult`.

    L. Li et al., "Hyperband: a novel bandit-based approach to hyperparameter
    optimization" (2018), algorithm 1.
    """
    name = "hyperband"
    mode = mode_of(name, metric, mode)
    check_distributions(name, space)
    _checks.integer(name, "steps", steps, minimum=1)
    _checks.real(name, "eta", eta, above=1)
    first = min(max(steps // 27, 10), steps) if first is None else first
    _checks.integer(name, "first", first, minimum=1)
    if first > steps:
        _checks.fail(name, "first", f"at most steps ({steps})", first)
    ladders, begun = [], 0
    for bracket in brackets(steps / first, eta=eta):
        count = bracket[0][0]
        rungs = [Rung(members, round(each * first)) for members, each in bracket]
        ladders.append((np.arange(begun, begun + count), apart(rungs)))
        begun += count
    return searched(
        name,
        trainable,
        random(space, begun, seed=seed),
        data,
        steps,
        judge=Halving(np.arange(begun), ladders, metric, mode),
        key=key,
        validation=validation,
        metric=metric,
        mode=mode,
        horizons=horizons,
        options=options,
    )
