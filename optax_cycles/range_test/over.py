"""What a range test runs over: named axes of hyperparameters, and when it looks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from optax_cycles import _checks
from optax_cycles.sweep.batches import examples
from optax_cycles.sweep.netcdf import RESERVED
from optax_cycles.sweep.space import (
    Axis,
    Space,
    as_space,
    axis_values,
    constant_space,
    with_seeds,
)
from optax_cycles.sweep.streams import is_stream

Over: TypeAlias = Mapping[str, Any] | Space
BATCH_SIZE = "batch_size"
STORED = ("train_", "validation_")
EVALUATIONS = 5
WINDOW = 0.1


def over_space(function: str, over: Any) -> Space:
    """The axes that a test runs over, checked.

    Args:
      function: named in errors.
      over: dict from hyperparameter to its values, an axis each, or a `Space`, in
        which several may move together along one axis.

    Raises:
      ValueError, TypeError: unless all axes have 2 increasing values or more; where a
        learning rate is not positive, or batch sizes are not positive integers.
    """
    if not isinstance(over, Mapping | Space):
        expected = "a dict from hyperparameter to values, or a Space"
        _checks.fail_type(function, "over", expected, over)
    if isinstance(over, Mapping):
        if not over:
            raise ValueError(f"{function}: over must hold a hyperparameter, got {{}}")
        over = Space(
            tuple(Axis(n, {n: axis_values(function, n, v)}) for n, v in over.items())
        )
    space = as_space(function, over)
    for axis in space.axes:
        _check_axis(function, axis)
    return space


def _check_axis(function: str, axis: Axis) -> None:
    if "seed" in axis.values:
        raise ValueError(f"{function}: seeds are given by seeds=, not by over")
    first = next(iter(axis.values.values()))
    if len(first) < 2 or not np.all(np.diff(first) > 0):
        expected = "at least 2 increasing numbers (constants= takes a single one)"
        _checks.fail(function, f"over[{axis.name!r}]", expected, first.tolist())
    for name, values in axis.values.items():
        if name.endswith("learning_rate") and np.any(values <= 0):
            _checks.fail(function, f"over[{name!r}]", "positive", values.tolist())
    if BATCH_SIZE in axis.values:
        _check_batch_sizes(function, axis)


def _check_batch_sizes(function: str, axis: Axis) -> None:
    sizes = axis.values[BATCH_SIZE]
    if len(axis.values) > 1:
        raise ValueError(
            f"{function}: batch_size must have an axis of its own, got {axis.name!r}"
        )
    if sizes.dtype.kind not in "iu" or sizes[0] < 1:
        expected = "positive integers"
        _checks.fail(function, "over['batch_size']", expected, sizes.tolist())


def check_some_long(function: str, space: Space) -> None:
    """Raise unless an axis has 3 values, the fewest that hold one between two."""
    if max(space.shape) < 3:
        expected = "at least 3 increasing values along one axis"
        shape = dict(zip(space.names, space.shape, strict=True))
        _checks.fail(function, "over", expected, shape)


def check_batches(
    function: str, space: Space, data: Any, options: Mapping[str, Any]
) -> None:
    """Raise where batch sizes don't fit the data or the other arguments."""
    if BATCH_SIZE not in space.names:
        return
    if options.get("batch_size") is not None:
        raise ValueError(f"{function}: batch_size is given twice, alone and by over")
    if is_stream(data):
        expected = "arrays where over has a batch_size, for an iterable has its own"
        _checks.fail_type(function, "data", expected, data)
    largest = int(batch_sizes(space)[-1])
    count = examples(function, "data", data)
    if largest > count:
        expected = f"at most the number of examples ({count})"
        _checks.fail(function, "over['batch_size']", expected, largest)


def batch_sizes(space: Space) -> np.ndarray:
    """The sizes along the axis `batch_size`."""
    return space.axes[space.names.index(BATCH_SIZE)].values[BATCH_SIZE]


def members_space(
    function: str,
    over: Space,
    constants: Mapping[str, float] | None,
    seeds: int | Sequence[int],
) -> Space:
    """The constants, the axes of `over` and the seeds, in this order.

    Raises:
      ValueError, TypeError: if a name is given twice, or a value is not a number.
    """
    check_names(function, [n for axis in over.axes for n in axis.values])
    check_names(function, constants or ())
    fixed = constant_space(function, constants)
    taken = {name for axis in over.axes for name in axis.values}
    for name in constants or {}:
        if name in taken:
            raise ValueError(f"{function}: hyperparameter {name!r} is given twice")
        if name == BATCH_SIZE:
            raise ValueError(f"{function}: batch_size is not one of constants")
    return with_seeds(function, Space((*fixed.axes, *over.axes)), seeds)


def check_names(function: str, names: Iterable[str]) -> None:
    """Raise where a hyperparameter is called as what is stored with it."""
    for name in names:
        if name in RESERVED or name.startswith(STORED):
            expected = f"none of {list(RESERVED)}, nor begin with {' or '.join(STORED)}"
            _checks.fail(function, "the name of a hyperparameter", expected, name)


def check_horizons(
    function: str, steps: int, horizons: Sequence[int] | None
) -> tuple[int, ...]:
    """The horizons, by default an eighth, a quarter, a half and all of the steps."""
    if horizons is None:
        return tuple(sorted({max(1, steps // part) for part in (8, 4, 2, 1)}))
    _checks.sequence(function, "horizons", horizons)
    for horizon in horizons:
        _checks.integer(function, "horizons", horizon, minimum=1)
    kept = tuple(int(horizon) for horizon in horizons)
    if not kept or list(kept) != sorted(set(kept)) or kept[-1] > steps:
        expected = f"increasing integers from 1 to steps ({steps})"
        _checks.fail(function, "horizons", expected, horizons)
    return kept


def evaluation_steps(horizons: Sequence[int]) -> list[int]:
    """The updates at which to evaluate: 0, and a few just before each horizon."""
    steps = {0}
    for horizon in horizons:
        steps.update(window(horizon))
    return sorted(steps)


def window(horizon: int) -> list[int]:
    """Up to `EVALUATIONS` updates in the last tenth before a horizon."""
    back = np.linspace(0, WINDOW * horizon, EVALUATIONS, endpoint=False)
    return sorted({horizon - int(b) for b in back})
