"""The hyperparameters of a population, as named axes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import jax
import numpy as np

from optax_cycles import _checks

Values: TypeAlias = Sequence[float] | np.ndarray

# JAX cuts wider integers off without a word.
INT_MIN, INT_MAX = -(2**31), 2**31 - 1


class Axis(NamedTuple):
    """One axis of a space: hyperparameters that move together along it.

    Attributes:
      name: the axis's name in results.
      values: dict from hyperparameter to its values along the axis.
    """

    name: str
    values: Mapping[str, np.ndarray]

    @property
    def size(self) -> int:
        """How many points the axis has."""
        return len(next(iter(self.values.values())))


class Space(NamedTuple):
    """A grid over axes; build one with `grid` and `zip`.

    Attributes:
      axes: the axes, outermost first.
    """

    axes: tuple[Axis, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The axes' names, outermost first."""
        return tuple(axis.name for axis in self.axes)

    @property
    def shape(self) -> tuple[int, ...]:
        """The axes' sizes, outermost first."""
        return tuple(axis.size for axis in self.axes)

    @property
    def size(self) -> int:
        """How many members the space has."""
        return math.prod(self.shape)

    def members(self) -> dict[str, np.ndarray]:
        """Each hyperparameter of each member: arrays of shape `[size]`."""
        flat = {}
        for position, axis in enumerate(self.axes):
            along = [1] * len(self.axes)
            along[position] = axis.size
            for name, values in axis.values.items():
                wide = np.broadcast_to(values.reshape(along), self.shape)
                flat[name] = wide.reshape(-1)
        return flat


def axis_values(function: str, name: str, values: Any) -> np.ndarray:
    """The values of one hyperparameter along an axis, checked."""
    array = np.asarray(values)
    if array.dtype.kind not in "iuf":
        _checks.fail_type(function, name, "a sequence of numbers", values)
    if array.ndim != 1 or array.size == 0:
        _checks.fail(function, name, "a non-empty sequence of numbers", values)
    if not np.all(np.isfinite(array)):
        _checks.fail(function, name, "a sequence of finite numbers", values)
    with np.errstate(over="ignore", under="ignore"):
        single = array.astype(np.float32)
    if not np.all(np.isfinite(single)) or np.any((single == 0) & (array != 0)):
        _checks.fail(function, name, "a sequence of numbers that float32 holds", values)
    if array.dtype.kind in "iu" and not (
        array.min() >= INT_MIN and array.max() <= INT_MAX
    ):
        _checks.fail(function, name, "integers of at most 32 bits", values)
    # Unsigned integers would wrap where they are negated.
    return array.astype(np.int32) if array.dtype.kind == "u" else array


def _space(function: str, axes: Sequence[Axis]) -> Space:
    if not axes:
        raise ValueError(f"{function}: at least one hyperparameter is needed, got none")
    seen: set[str] = set()
    for axis in axes:
        for name in axis.values:
            if name in seen:
                raise ValueError(f"{function}: hyperparameter {name!r} is given twice")
            seen.add(name)
    return Space(tuple(axes))


def _check_differ(function: str, name: str, values: np.ndarray) -> None:
    """Check that no members along an axis are the same, so that values name them."""
    kept = values.astype(jax.dtypes.canonicalize_dtype(values.dtype))
    found, counts = np.unique(kept, return_counts=True)
    if np.any(counts > 1):
        again = found[counts > 1][0].item()
        raise ValueError(
            f"{function}: {name} must be values that differ in {kept.dtype}, got "
            f"{again:.6g} more than once; zip may repeat values, seeds make repeats"
        )


def grid(*spaces: Space, **axes: Values) -> Space:
    """Every combination of the given spaces and values.

    Args:
      *spaces: spaces (from `zip` or `grid`) whose axes come first.
      **axes: values of each further hyperparameter, one axis each.

    Returns:
      The product `Space`; the last axis moves fastest.

    Raises:
      ValueError: if a hyperparameter is given twice, or values are empty, not finite
        or equal to one another in JAX's precision.
      TypeError: if values are not numbers.

    Examples:
      >>> import optax_cycles as oc
      >>> space = oc.sweep.grid(learning_rate=[0.1, 1.0], momentum=[0.8, 0.9])
      >>> space.shape, space.members()["momentum"].tolist()
      ((2, 2), [0.8, 0.9, 0.8, 0.9])
    """
    for space in spaces:
        if not isinstance(space, Space):
            _checks.fail_type("grid", "spaces", "Space objects", space)
    given = [axis for space in spaces for axis in space.axes]
    for name, values in axes.items():
        along = axis_values("grid", name, values)
        _check_differ("grid", name, along)
        given.append(Axis(name, {name: along}))
    return _space("grid", given)


def zip(**values: Values) -> Space:
    """Hyperparameters that move together along one axis, like Python's `zip`.

    Args:
      **values: the values of each hyperparameter, all of one length.

    Returns:
      A `Space` with one axis, named after the hyperparameters joined by `+`.

    Raises:
      ValueError: if lengths differ, or values are empty or not finite.
      TypeError: if values are not numbers.

    Examples:
      >>> import optax_cycles as oc
      >>> space = oc.sweep.zip(learning_rate=[0.1, 1.0], momentum=[0.95, 0.8])
      >>> space.names, space.shape
      (('learning_rate+momentum',), (2,))
    """
    return _zipped("zip", values)


def _zipped(function: str, values: Mapping[str, Values], hint: str = "") -> Space:
    arrays = {name: axis_values(function, name, v) for name, v in values.items()}
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(
            f"{function}: values must have one length, got {lengths}{hint}"
        )
    return _space(function, [Axis("+".join(arrays), arrays)] if arrays else [])


def as_space(function: str, space: Space | Mapping[str, Values]) -> Space:
    """A space from a space, or from a dict of equally long values."""
    if isinstance(space, Space):
        return _space(function, space.axes)
    if not isinstance(space, Mapping):
        _checks.fail_type(function, "space", "a Space or a dict of arrays", space)
    hint = ", because a dict is read like zip; oc.sweep.grid(...) is every combination"
    return _zipped(function, space, hint)


def _check_range(function: str, low: Any, high: Any, num: Any) -> None:
    _checks.real(function, "low", low)
    _checks.real(function, "high", high)
    _checks.integer(function, "num", num, minimum=2)
    if low >= high:
        _checks.fail(function, "low", f"below high ({high!r})", low)


def log_space(low: float, high: float, num: int) -> np.ndarray:
    """`num` values from `low` to `high`, both included, in equal ratios.

    Raises:
      ValueError: unless 0 < low < high and num >= 2.
      TypeError: if a bound is not a number or `num` not an integer.

    Examples:
      >>> import optax_cycles as oc
      >>> oc.sweep.log_space(0.01, 1.0, 3).tolist()
      [0.01, 0.1, 1.0]
    """
    _checks.real("log_space", "low", low, above=0)
    _check_range("log_space", low, high, num)
    # NumPy takes no logarithms of integers beyond 64 bits.
    return np.geomspace(float(low), float(high), num)


def lin_space(low: float, high: float, num: int) -> np.ndarray:
    """`num` values from `low` to `high`, both included, in equal steps.

    Raises:
      ValueError: unless low < high and num >= 2.
      TypeError: if a bound is not a number or `num` not an integer.

    Examples:
      >>> import optax_cycles as oc
      >>> oc.sweep.lin_space(0.0, 1.0, 3).tolist()
      [0.0, 0.5, 1.0]
    """
    _check_range("lin_space", low, high, num)
    return np.linspace(float(low), float(high), num)


def with_seeds(function: str, space: Space, seeds: int | Values) -> Space:
    """`space` with an innermost axis of seeds."""
    if isinstance(seeds, int | np.integer):
        _checks.integer(function, "seeds", seeds, minimum=1)
        seeds = np.arange(seeds)
    values = axis_values(function, "seeds", seeds)
    check_seeds(function, "seeds", values)
    if len(np.unique(values)) < len(values):
        # Copies of one training would be taken for agreement.
        _checks.fail(function, "seeds", "different integers", values.tolist())
    return _space(function, [*space.axes, Axis("seed", {"seed": values})])


def constant_space(function: str, constants: Mapping[str, float] | None) -> Space:
    """The space of one point that has the given hyperparameters, if any."""
    fixed = {n: axis_values(function, n, [v]) for n, v in (constants or {}).items()}
    return Space(tuple(Axis(name, {name: value}) for name, value in fixed.items()))


def check_seeds(function: str, name: str, seeds: np.ndarray) -> None:
    """Raise unless seeds are what a random key can be folded with."""
    if seeds.dtype.kind not in "iu" or np.any(seeds < 0):
        _checks.fail(function, name, "non-negative integers", seeds)
