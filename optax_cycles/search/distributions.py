"""What a search draws hyperparameters from."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from optax_cycles import _checks
from optax_cycles.sweep.space import INT_MAX, INT_MIN


@dataclasses.dataclass(frozen=True)
class Uniform:
    """Numbers from `low` to `high`, equally likely, or their logarithms."""

    low: float
    high: float
    log: bool = False

    def at(self, share: np.ndarray) -> np.ndarray:
        """The values below which a share, in [0, 1), of the distribution lies."""
        if not self.log:
            return np.asarray(self.low + (self.high - self.low) * share)
        climb = math.log(self.high) - math.log(self.low)
        return np.clip(self.low * np.exp(climb * share), self.low, self.high)

    def inside(self, values: np.ndarray) -> np.ndarray:
        """The nearest values that the distribution has."""
        return np.clip(values, self.low, self.high)

    def moved(self, value: float, factor: float) -> Any:
        """The value times a factor, inside the bounds."""
        return self.inside(np.asarray(value * factor))


@dataclasses.dataclass(frozen=True)
class Integers:
    """Integers from `low` to `high`, both included."""

    low: int
    high: int
    log: bool = False

    def at(self, share: np.ndarray) -> np.ndarray:
        """The values below which a share, in [0, 1), of the distribution lies."""
        low, high = self.low - 0.5 * self.log, self.high + (0.5 if self.log else 1.0)
        found = Uniform(low, high, self.log).at(share)
        return self.inside(found if self.log else np.floor(found))

    def inside(self, values: np.ndarray) -> np.ndarray:
        """The nearest values that the distribution has."""
        return np.clip(np.rint(values), self.low, self.high).astype(np.int32)

    def moved(self, value: int, factor: float) -> Any:
        """The integer nearest to the value times a factor, and another if there is."""
        value, sign = int(value), -1 if value < 0 else 1
        new = round(value * factor)
        # Away from zero where the factor is above 1.
        least = sign * int(np.sign(factor - 1))
        return self.inside(np.asarray(value + least if new == value else new))


@dataclasses.dataclass(frozen=True)
class Choice:
    """One of some numbers, equally likely."""

    values: tuple[float, ...]

    def at(self, share: np.ndarray) -> np.ndarray:
        """The values below which a share, in [0, 1), of the distribution lies."""
        places = np.floor(np.asarray(share) * len(self.values)).astype(int)
        return np.asarray(self.values)[np.minimum(places, len(self.values) - 1)]

    def inside(self, values: np.ndarray) -> np.ndarray:
        """The nearest values that the distribution has."""
        known = np.asarray(self.values)
        apart = np.abs(np.subtract.outer(np.asarray(values, np.float64), known))
        return known[np.argmin(apart, axis=-1)]

    def moved(self, value: float, factor: float) -> Any:
        """The next larger or smaller value, or the same at the end."""
        known = np.sort(np.asarray(self.values))
        place = int(np.argmin(np.abs(known - value))) + int(np.sign(factor - 1))
        return known[np.clip(place, 0, len(known) - 1)]


Distribution: TypeAlias = Uniform | Integers | Choice


def uniform(low: float, high: float) -> Uniform:
    """Numbers from `low` to `high`, equally likely.

    Raises:
      ValueError: unless low < high, or if float32 does not hold a bound.
      TypeError: if a bound is not a number.

    Examples:
      >>> import optax_cycles as oc
      >>> oc.search.uniform(0.8, 1.0).at(0.5).item()
      0.9
    """
    _check_bounds("uniform", low, high)
    return Uniform(float(low), float(high))


def log_uniform(low: float, high: float) -> Uniform:
    """Numbers from `low` to `high` whose logarithms are equally likely.

    Raises:
      ValueError: unless 0 < low < high, or if float32 does not hold a bound.
      TypeError: if a bound is not a number.

    Examples:
      >>> import optax_cycles as oc
      >>> round(oc.search.log_uniform(0.01, 1.0).at(0.5).item(), 6)
      0.1
    """
    _checks.real("log_uniform", "low", low, above=0)
    _check_bounds("log_uniform", low, high)
    return Uniform(float(low), float(high), log=True)


def integers(low: int, high: int, *, log: bool = False) -> Integers:
    """Integers from `low` to `high`, both included.

    Args:
      low: the least.
      high: the largest.
      log: whether their logarithms are equally likely, to rounding, and not they.

    Raises:
      ValueError: unless low < high, both of 32 bits, and 0 < low for logarithms.
      TypeError: if a bound is not an integer, or `log` not a bool.

    Examples:
      >>> import optax_cycles as oc
      >>> oc.search.integers(1, 4).at(0.99).item()
      4
    """
    _checks.flag("integers", "log", log)
    _checks.integer("integers", "low", low, minimum=1 if log else None)
    _checks.integer("integers", "high", high)
    _check_bounds("integers", low, high, whole=True)
    return Integers(int(low), int(high), bool(log))


def choice(values: Sequence[float]) -> Choice:
    """One of some numbers, equally likely.

    Raises:
      ValueError: if there is none, one is twice there, or 32 bits don't hold one.
      TypeError: if one is not a number.

    Examples:
      >>> import optax_cycles as oc
      >>> oc.search.choice([0.9, 0.95, 0.99]).at(0.4).item()
      0.95
    """
    _checks.sequence("choice", "values", values)
    for value in values:
        _checks.real("choice", "values", value)
    if len(values) == 0 or len(set(values)) < len(values):
        _checks.fail("choice", "values", "different numbers, one or more", values)
    # Python's own numbers, which print and are stored alike wherever they came from.
    known = tuple(np.asarray(value).item() for value in values)
    whole = all(isinstance(value, int) for value in known)
    for value in known:
        _check_held("choice", "values", value, whole=whole)
    return Choice(known)


def _check_bounds(function: str, low: Any, high: Any, *, whole: bool = False) -> None:
    for name, bound in (("low", low), ("high", high)):
        _checks.real(function, name, bound)
        _check_held(function, name, bound, whole=whole)
    if low >= high:
        _checks.fail(function, "low", f"below high ({high!r})", low)


def _check_held(function: str, name: str, value: Any, *, whole: bool) -> None:
    """Raise for numbers that JAX would cut off without a word."""
    if whole:
        if not INT_MIN <= value <= INT_MAX:
            _checks.fail(function, name, "integers of at most 32 bits", value)
        return
    with np.errstate(over="ignore", under="ignore"):
        single = np.float32(value)
    if not np.isfinite(single) or (single == 0 and value != 0):
        _checks.fail(function, name, "a number that float32 holds", value)


def check_distributions(function: str, space: Any) -> dict[str, Distribution]:
    """The distributions of a search, by hyperparameter.

    Raises:
      TypeError: if they are no dict of distributions.
      ValueError: if there is none, or one for the seed, which the engine has.
    """
    if not isinstance(space, Mapping):
        expected = "a dict from hyperparameter to distribution"
        _checks.fail_type(function, "space", expected, space)
    if not space:
        _checks.fail(function, "space", "with one hyperparameter or more", space)
    for name, distribution in space.items():
        if not isinstance(distribution, Uniform | Integers | Choice):
            expected = "log_uniform(...), uniform(...), integers(...) or choice(...)"
            _checks.fail_type(function, f"space[{name!r}]", expected, distribution)
    if "seed" in space:
        _checks.fail(function, "space", "without 'seed', the engine's own", list(space))
    return dict(space)
