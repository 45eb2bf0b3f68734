"""What `range-test` is asked: over which hyperparameters, by which tests and rule."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from optax_cycles.cli.optimizers import OPTIMIZERS, RATE, NamedOptimizer, check_taken
from optax_cycles.cli.space import ALONE, IN_GRID, Range, over

if TYPE_CHECKING:
    import numpy as np

BATCH_SIZE = "batch_size"
PARALLEL = "parallel_best"


class Question(NamedTuple):
    """What is asked.

    Attributes:
      optimizer: the optimizer.
      over: the ranges that are tested, in the order in which they were given.
      fixed: the hyperparameters that are constant.
      parallel: whether there is a parallel test.
      climbs: the hyperparameter of the ramp; None where there is no ramp.
      ramp: how it climbs, `"exponential"` or `"linear"`.
      rule: the rule whose answer is trained with.
    """

    optimizer: NamedOptimizer
    over: tuple[Range, ...]
    fixed: Mapping[str, float]
    parallel: bool
    climbs: str | None
    ramp: str
    rule: str

    def values(self) -> dict[str, np.ndarray]:
        """The tested values of each hyperparameter."""
        return {one.name: one.values() for one in self.over}


def asked(args: argparse.Namespace) -> Question:
    """What the arguments ask.

    Raises:
      ValueError: if they make no sense together.
    """
    given = args.over or [over(RATE)]
    num = ALONE if len(given) == 1 else IN_GRID
    ranges = tuple(one.with_num(num) for one in given)
    fixed = dict(args.constant or [])
    optimizer = OPTIMIZERS[args.optimizer]
    names = [one.name for one in ranges]
    _check_names(args, names)
    if RATE not in (*names, *fixed):
        raise ValueError(
            f"--over: the {RATE} is needed too: --over {RATE}, or --constant {RATE}=..."
        )
    climbs = None
    if args.test != "parallel":
        climbs = _climbing(args, names)
    kinds = {one.name: one.kind for one in ranges}
    ramp = args.ramp or ("exponential" if kinds.get(climbs) == "log" else "linear")
    parallel = args.test != "ramp"
    if args.ramp is not None and climbs is None:
        raise ValueError(f"--ramp {args.ramp} makes no sense with --test parallel")
    rule = args.rule or (PARALLEL if parallel else "valley")
    if not parallel and rule == PARALLEL:
        raise ValueError(f"--rule {rule} needs the parallel test, not --test ramp")
    if rule != PARALLEL and climbs is None:
        raise ValueError(f"--rule {rule} needs a ramp, not --test parallel")
    return Question(optimizer, ranges, fixed, parallel, climbs, ramp, rule)


def _check_names(args: argparse.Namespace, over: list[str]) -> None:
    """Raise where a hyperparameter is given twice, or the optimizer has none such."""
    fixed = [name for name, _ in args.constant or []]
    for option, names, besides in (
        ("--over", over, (BATCH_SIZE,)),
        ("--constant", fixed, ()),
    ):
        for name in names:
            if (over + fixed).count(name) > 1:
                raise ValueError(f"{option}: {name} is given twice")
            check_taken(option, name, args.optimizer, besides=besides)
    if BATCH_SIZE in over and args.batch_size is not None:
        raise ValueError("--batch-size can't be given besides --over batch_size")


def _climbing(args: argparse.Namespace, names: list[str]) -> str | None:
    """The hyperparameter that climbs: the learning rate, or the first that can."""
    can = [name for name in names if name != BATCH_SIZE]
    if not can and args.test == "ramp":
        raise ValueError("--test ramp: a batch_size can't climb")
    if RATE in can:
        return RATE
    return can[0] if can else None
