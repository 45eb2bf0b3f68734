"""Who goes on for how long: the decisions of successive halving and Hyperband."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from optax_cycles import _checks


class Rung(NamedTuple):
    """One rung of a ladder: how many members train until how many updates.

    Attributes:
      members: how many are left.
      steps: updates that each has made when the rung ends.
    """

    members: int
    steps: int


def ladder(members: int, steps: int, *, eta: float = 3, first: int) -> list[Rung]:
    """The rungs of successive halving: the best 1 / `eta` go on, `eta` times as far.

    Rung i keeps `floor(members / eta^i)` members, at least one, until update
    `first eta^i`, rounded; the last one ends at `steps`. Of rungs that would end at one
    update there is the first alone.

    Args:
      members: how many begin.
      steps: updates of those that are trained to the end.
      eta: how many times fewer each rung has, > 1.
      first: updates of the first rung.

    Returns:
      The rungs, first to last.

    Raises:
      ValueError: if `eta` is not above 1, or `first` not from 1 to `steps`.
      TypeError: if something is not a number.

    K. Jamieson and A. Talwalkar, "Non-stochastic best arm identification and
    hyperparameter optimization" (2016), algorithm 1.

    Examples:
      >>> [tuple(rung) for rung in ladder(27, 90, eta=3, first=10)]
      [(27, 10), (9, 30), (3, 90)]
    """
    _checks.integer("ladder", "members", members, minimum=1)
    _checks.integer("ladder", "steps", steps, minimum=1)
    _checks.real("ladder", "eta", eta, above=1)
    _checks.integer("ladder", "first", first, minimum=1)
    if first > steps:
        _checks.fail("ladder", "first", f"at most steps ({steps})", first)
    rungs: list[Rung] = []
    for power in range(1 + math.ceil(math.log(steps / first, eta) - 1e-9)):
        end = min(round(first * eta**power), steps)
        left = max(math.floor(members / eta**power + 1e-9), 1)
        # A lone member has nobody to leave behind.
        rungs.append(Rung(left, steps if left == 1 else end))
        if left == 1:
            break
    return apart(rungs)


def apart(rungs: Sequence[Rung]) -> list[Rung]:
    """The rungs in which members train: of those with one end, the first.

    Examples:
      >>> apart([Rung(9, 1), Rung(6, 1), Rung(4, 2)])
      [Rung(members=9, steps=1), Rung(members=4, steps=2)]
    """
    ends = [0, *(rung.steps for rung in rungs)]
    return [rung for rung, end in zip(rungs, ends, strict=False) if rung.steps > end]


def brackets(resource: float, *, eta: float = 3) -> list[list[tuple[int, float]]]:
    """Hyperband's brackets: (members, resource of each) of every rung.

    With s_max = floor(log_eta R), bracket s = s_max ... 0 begins with
    n = ceil((s_max + 1) eta^s / (s + 1)) members of the resource r = R eta^-s, and rung
    i has floor(n eta^-i) of them with r eta^i.

    Args:
      resource: R, the most that one member gets, in units of the least that any gets.
      eta: how many times fewer each rung has, > 1.

    Raises:
      ValueError: if `eta` is not above 1, or `resource` below 1.
      TypeError: if something is not a number.

    L. Li et al., "Hyperband: a novel bandit-based approach to hyperparameter
    optimization" (2018), algorithm 1 and table 1.

    Examples:
      >>> [[members for members, _ in bracket] for bracket in brackets(81)]
      [[81, 27, 9, 3, 1], [34, 11, 3, 1], [15, 5, 1], [8, 2], [5]]
    """
    _checks.real("brackets", "resource", resource, minimum=1)
    _checks.real("brackets", "eta", eta, above=1)
    # Powers of eta are to count as whole in spite of rounding.
    most = math.floor(math.log(resource, eta) + 1e-9)
    found = []
    for s in range(most, -1, -1):
        members = math.ceil((most + 1) * eta**s / (s + 1) - 1e-9)
        each = resource * eta**-s
        found.append(
            [
                (max(math.floor(members * eta**-i + 1e-9), 1), each * eta**i)
                for i in range(s + 1)
            ]
        )
    return found


def survivors(scores: Any, count: int) -> np.ndarray:
    """The places of the `count` lowest scores, increasing.

    Of equal scores the first survive. NaN is worse than any number, +inf included.

    Args:
      scores: float `[members]`, the lower the better.
      count: how many go on.

    Raises:
      ValueError: if scores are no vector, or fewer than `count`.
      TypeError: if `count` is not an integer.

    Examples:
      >>> survivors([0.3, 0.1, float("nan"), 0.2], 2).tolist()
      [1, 3]
    """
    scores = np.asarray(scores, np.float64)
    _checks.integer("survivors", "count", count, minimum=1)
    if scores.ndim != 1 or len(scores) < count:
        expected = f"a vector of at least {count} scores"
        _checks.fail("survivors", "scores", expected, scores.shape)
    # NumPy sorts NaN behind all numbers.
    return np.sort(np.argsort(scores, kind="stable")[:count])
