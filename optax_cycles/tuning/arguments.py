"""What `tune` is given, checked."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import jax
import numpy as np

from optax_cycles import _checks
from optax_cycles.sweep.loop import run
from optax_cycles.sweep.streams import is_stream
from optax_cycles.tuning.family import Family

MOMENTA = (0.7, 0.8, 0.9, 0.95, 0.97, 0.99, (0.85, 0.95))
BATCH_SIZE = 32
# Options of `oc.sweep.run` that tuning needs itself.
OWN = ("judge", "horizons", "keep_state", "order")


def batch_sizes(function: str, sizes: Any, data: Any) -> list[int]:
    """The batch sizes to choose from; none for data that bring their own batches.

    Raises:
      TypeError, ValueError: if they are no positive integers, increasing, or the data
        can be read only once.
    """
    if is_stream(data):
        if iter(data) is data:
            expected = "arrays, or an iterable that can be read more than once"
            _checks.fail_type(function, "data", expected, data)
        if sizes is not None:
            expected = "None, as the data bring their own batches"
            _checks.fail(function, "batch_size", expected, sizes)
        return []
    given = BATCH_SIZE if sizes is None else _plain(sizes)
    given = list(given) if isinstance(given, Sequence) else [given]
    for size in given:
        _checks.integer(function, "batch_size", size, minimum=1)
    if not given or any(a >= b for a, b in pairwise(given)):
        _checks.fail(function, "batch_size", "increasing integers", sizes)
    return [int(size) for size in given]


def _plain(values: Any) -> Any:
    """An array as lists; anything else as it is."""
    array = isinstance(values, np.ndarray | jax.Array) and np.ndim(values) > 0
    return np.asarray(values).tolist() if array else values


def check_whole(function: str, argument: str, value: Any) -> int:
    """The length of a training: long enough for a schedule."""
    _checks.integer(function, argument, value, minimum=8)
    return int(value)


def check_validated(function: str, validation: Any) -> Any:
    """The validation data, which there must be."""
    if validation is None:
        raise ValueError(
            f"{function}: validation data are needed to compare settings, got None"
        )
    return validation


def check_options(
    function: str, options: Mapping[str, Any], asked: Callable[..., Any]
) -> dict[str, Any]:
    """Options of `oc.sweep.run` but for those that tuning needs itself.

    Raises:
      TypeError: if one is neither of `run` nor an argument of the function `asked`,
        all of which are listed.
    """
    known = {*inspect.signature(run).parameters} - {"trainable", "space", *OWN}
    known |= {*inspect.signature(asked).parameters} - {"options"}
    for option, value in options.items():
        if option in OWN:
            raise TypeError(f"{function}: {option} is its own, got {value!r}")
        if option not in known:
            expected = _checks.near(option, known)
            raise TypeError(
                f"{function}: an argument must be {expected}, got {option!r}"
            )
    return dict(options)


def check_ends(function: str, rates: Any) -> tuple[float, float]:
    """The least and the largest learning rate."""
    rates = _plain(rates)
    _checks.sequence(function, "rates", rates)
    if len(rates) != 2:
        _checks.fail(function, "rates", "a pair (low, high)", rates)
    low, high = rates
    _checks.real(function, "rates", low, above=0)
    _checks.real(function, "rates", high, above=0)
    if 2 * low > high:
        _checks.fail(function, "rates", "a pair (low, high) with 2 low <= high", rates)
    return float(low), float(high)


def check_momenta(
    function: str, family: Family, momenta: Any
) -> list[tuple[float, float] | None]:
    """Pairs (low, high), the least mean first; None alone without a momentum."""
    if family.momentum_name is None:
        if momenta is not None:
            expected = "None, as the optimizer takes neither momentum nor b1"
            _checks.fail(function, "momenta", expected, momenta)
        return [None]
    momenta = MOMENTA if momenta is None else _plain(momenta)
    _checks.sequence(function, "momenta", momenta)
    pairs: list[tuple[float, float]] = []
    for one in map(_plain, momenta):
        low, high = (
            one if isinstance(one, tuple | list) and len(one) == 2 else (one, one)
        )
        for value in (low, high):
            _checks.real(function, "momenta", value, minimum=0, below=1)
        if low > high:
            _checks.fail(function, "momenta", "pairs (low, high), low < high", one)
        pairs.append((float(low), float(high)))
    if not pairs or len(set(pairs)) < len(pairs):
        _checks.fail(function, "momenta", "different values, one or more", momenta)
    # Neighbours are neighbours.
    return [*sorted(pairs, key=lambda pair: (sum(pair), pair))]


def check_decays(
    function: str, family: Family, decays: Any
) -> Sequence[float | None] | None:
    """None for the usual ones; None alone for an optimizer without weight decay."""
    if not family.has_decay:
        if decays is not None:
            expected = "None, as the optimizer takes no weight_decay"
            _checks.fail(function, "weight_decays", expected, decays)
        return [None]
    if decays is None:
        return None
    decays = _plain(decays)
    _checks.sequence(function, "weight_decays", decays)
    for value in decays:
        _checks.real(function, "weight_decays", value, minimum=0)
    if len(decays) == 0 or len(set(decays)) < len(decays):
        expected = "different values, one or more"
        _checks.fail(function, "weight_decays", expected, decays)
    return sorted(map(float, decays))
