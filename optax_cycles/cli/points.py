"""What `sweep` and `search` are asked: which points, of which optimizers."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any, NamedTuple

from optax_cycles.cli.optimizers import OPTIMIZERS, RATE, check_taken
from optax_cycles.cli.question import BATCH_SIZE
from optax_cycles.cli.space import ALONE, IN_GRID, Range, of_optimizer

DEFAULT = "momentum"
GRID = "grid"


class Points(NamedTuple):
    """What is asked.

    Attributes:
      method: `"grid"` or `"points"` of a sweep, or the method of a search.
      options: of the method.
      optimizers: the optimizers, each of which is compiled and tried.
      batch_sizes: the same of batch sizes; empty where there is one.
      ranges: of each optimizer, what is tried or drawn.
      fixed: of each optimizer, what is constant.
      metric: the validation metric that is compared.
      mode: whether its `"min"` or its `"max"` is best.
    """

    method: str
    options: Mapping[str, Any]
    optimizers: tuple[str, ...]
    batch_sizes: tuple[int, ...]
    ranges: Mapping[str, tuple[Range, ...]]
    fixed: Mapping[str, Mapping[str, float]]
    metric: str
    mode: str


def asked(args: argparse.Namespace, method: str, options: Mapping[str, Any]) -> Points:
    """What the arguments ask.

    Raises:
      ValueError: if they make no sense together.
    """
    optimizers = tuple(args.optimizer or [DEFAULT])
    if len(set(optimizers)) < len(optimizers):
        raise ValueError(f"--optimizer: one is given twice, in {', '.join(optimizers)}")
    constants = [_split(name, value) for name, value in args.constant or []]
    given = args.space
    if given is None:
        fixed = [of for of, name, _ in constants if name == RATE]
        free = [one for one in optimizers if one not in fixed and None not in fixed]
        given = [of_optimizer(RATE)] if len(free) == len(optimizers) else []
    sizes = _batch_sizes(args, given)
    given = [one for one in given if one.name != BATCH_SIZE]
    for option, of, name in (
        *(("--space", one.of, one.name) for one in given),
        *(("--constant", of, name) for of, name, _ in constants),
    ):
        _check_taken(option, of, name, optimizers)
    ranges, fixed_of = {}, {}
    for optimizer in optimizers:
        own = (None, optimizer)
        ranges[optimizer] = _resolved([one for one in given if one.of in own], method)
        numbers = [(name, value) for of, name, value in constants if of in own]
        fixed_of[optimizer] = dict(numbers)
        names = [one.name for one in ranges[optimizer]] + [name for name, _ in numbers]
        _check_names(optimizer, names, several=len(optimizers) > 1)
        if not ranges[optimizer] and method != GRID:
            raise ValueError("--space: there is nothing to draw, all is constant")
    return Points(
        method,
        options,
        optimizers,
        sizes,
        ranges,
        fixed_of,
        args.metric,
        mode_of(args.metric, args.mode),
    )


def _split(name: str, value: float) -> tuple[str | None, str, float]:
    optimizer, _, plain = name.rpartition(".")
    return optimizer or None, plain, value


def _check_taken(
    option: str, of: str | None, name: str, optimizers: tuple[str, ...]
) -> None:
    """Raise where a hyperparameter belongs to no optimizer, or not to all."""
    if of is not None and of not in optimizers:
        raise ValueError(
            f"{option}: {of}.{name} is of another optimizer than --optimizer "
            f"{' and '.join(optimizers)}"
        )
    takers = [one for one in optimizers if name in OPTIMIZERS[one].takes]
    if of is None and 0 < len(takers) < len(optimizers):
        raise ValueError(
            f"{option}: {name} is a hyperparameter of {' and '.join(takers)} only: "
            f"write {' and '.join(f'{one}.{name}=...' for one in takers)}"
        )
    besides = (BATCH_SIZE,) if option == "--space" and of is None else ()
    check_taken(option, name, of or optimizers[0], besides=besides)


def _resolved(ranges: list[Range], method: str) -> tuple[Range, ...]:
    """The ranges: of a grid with as many values as are usual, of others with none."""
    if method == GRID:
        num = ALONE if len(ranges) == 1 else IN_GRID
        return tuple(one.with_num(num) for one in ranges)
    for one in ranges:
        if one.num is not None:
            raise ValueError(
                f"--space: {one.written_name}={one} must have no number of values: "
                "points are drawn"
            )
    return tuple(ranges)


def _check_names(optimizer: str, names: list[str], *, several: bool) -> None:
    of = f" of {optimizer}" if several else ""
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"--space: {name}{of} is given twice")
    if RATE not in names:
        prefix = f"{optimizer}." if several else ""
        raise ValueError(
            f"--space: the {RATE}{of} is needed too: --space {prefix}{RATE}, or "
            f"--constant {prefix}{RATE}=..."
        )


def _batch_sizes(args: argparse.Namespace, given: list[Range]) -> tuple[int, ...]:
    """The batch sizes that are tried, each of which is a program of its own."""
    found = [one for one in given if one.name == BATCH_SIZE and one.of is None]
    if not found:
        return ()
    if len(found) > 1:
        raise ValueError(f"--space: {BATCH_SIZE} is given twice")
    if args.batch_size is not None:
        raise ValueError("--batch-size can't be given besides --space batch_size")
    sizes = found[0].numbers
    listed = found[0].kind == "list"
    if not (listed and all(isinstance(size, int) and size > 0 for size in sizes)):
        raise ValueError(
            f"--space: {BATCH_SIZE} must be a list of positive integers like 16,32,64, "
            f"each of which is compiled, got {BATCH_SIZE}={found[0]}"
        )
    return tuple(int(size) for size in sizes)


def mode_of(metric: str, mode: str | None) -> str:
    """Whether the `"min"` or the `"max"` of a metric is best.

    Raises:
      ValueError: if only its user knows.
    """
    if mode is None and metric != "loss":
        raise ValueError(
            f"--mode is needed with --metric {metric}: max where more is better, min "
            "where less is"
        )
    return mode or "min"
