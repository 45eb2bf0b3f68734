"""Validation of concrete arguments.

Every message reads `function: argument must be ..., got value`. Tracers pass
through unchecked, because a sweep may trace any number of a schedule.
"""

from __future__ import annotations

import difflib
import math
import numbers
import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn

import jax
import numpy as np


def is_traced(value: Any) -> bool:
    """Whether `value` is a JAX tracer, so that its number is not known yet."""
    return isinstance(value, jax.core.Tracer)


def fail(function: str, argument: str, expected: str, value: Any) -> NoReturn:
    """Raise the `ValueError` that all the checks raise."""
    raise ValueError(f"{function}: {argument} must be {expected}, got {value!r}")


def fail_type(function: str, argument: str, expected: str, value: Any) -> NoReturn:
    """Raise the `TypeError` that all the checks raise."""
    raise TypeError(f"{function}: {argument} must be {expected}, got {value!r}")


def near(word: str, known: Iterable[str]) -> str:
    """Text that lists the names closest to `word`, then all the known ones."""
    names = sorted(known)
    close = difflib.get_close_matches(str(word), names, n=3, cutoff=0.5)
    hint = f" (did you mean {' or '.join(map(repr, close))}?)" if close else ""
    return f"one of {', '.join(names)}{hint}"


def _scalar(function: str, argument: str, expected: str, value: Any) -> Any:
    """The Python number behind a concrete scalar, whatever holds it."""
    if isinstance(value, np.ndarray | np.generic | jax.Array):
        if np.ndim(value) != 0:
            fail(function, argument, f"{expected} (a scalar)", value)
        value = np.asarray(value).item()
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        fail_type(function, argument, expected, value)
    return value


def integer(
    function: str, argument: str, value: Any, *, minimum: int | None = None
) -> None:
    """Check that a concrete `value` is an integer of at least `minimum`."""
    if is_traced(value):
        return
    kinds = {None: "an integer", 0: "a non-negative integer", 1: "a positive integer"}
    expected = kinds.get(minimum, f"an integer of at least {minimum}")
    number = _scalar(function, argument, expected, value)
    if not isinstance(number, numbers.Integral):
        fail_type(function, argument, expected, value)
    if minimum is not None and number < minimum:
        fail(function, argument, expected, value)


def length(function: str, argument: str, value: Any, *, minimum: int = 1) -> None:
    """Check that a concrete `value` is a number of steps of at least `minimum`.

    Floating arrays that hold a whole number pass, because a sweep keeps all its
    hyperparameters in floating arrays; a Python float does not, because it is
    most often a fraction of a length that nobody has rounded.
    """
    if is_traced(value):
        return
    whole = value
    if isinstance(value, np.ndarray | np.generic | jax.Array) and np.ndim(value) == 0:
        number = np.asarray(value).item()
        if isinstance(number, float) and number.is_integer():
            whole = int(number)
    integer(function, argument, whole, minimum=minimum)
    if int(whole) > 2**31 - 1:
        fail(function, argument, "at most 2**31 - 1", value)


def real(
    function: str,
    argument: str,
    value: Any,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    above: float | None = None,
    below: float | None = None,
) -> None:
    """Check that a concrete `value` is a finite number inside the bounds given.

    `minimum` and `maximum` are inclusive, `above` and `below` exclusive.
    """
    if is_traced(value):
        return
    limits: list[tuple[float | None, str, Callable[[Any, Any], bool]]] = [
        (minimum, ">=", operator.ge),
        (above, ">", operator.gt),
        (maximum, "<=", operator.le),
        (below, "<", operator.lt),
    ]
    bounds = [(b, sign, holds) for b, sign, holds in limits if b is not None]
    expected = " ".join(
        ["a finite number", " and ".join(f"{sign} {b:g}" for b, sign, _ in bounds)]
    ).strip()
    number = _scalar(function, argument, expected, value)
    if not math.isfinite(number) or not all(holds(number, b) for b, _, holds in bounds):
        fail(function, argument, expected, value)


def choice(function: str, argument: str, value: Any, known: Iterable[str]) -> None:
    """Check that `value` is one of the strings `known`; near matches are listed."""
    names = list(known)
    if value not in names:
        fail(function, argument, near(value, names), value)


def flag(function: str, argument: str, value: Any) -> None:
    """Check that `value` is True or False."""
    if not isinstance(value, bool | np.bool_):
        fail_type(function, argument, "True or False", value)


def sequence(function: str, argument: str, value: Any) -> None:
    """Check that `value` is a list, a tuple or an array with one dimension or more."""
    array = isinstance(value, np.ndarray | jax.Array) and np.ndim(value) > 0
    if not array and (not isinstance(value, Sequence) or isinstance(value, str)):
        fail_type(function, argument, "a sequence", value)


def function_of(function: str, argument: str, value: Any) -> None:
    """Check that `value` can be called."""
    if not callable(value):
        fail_type(function, argument, "a callable", value)
