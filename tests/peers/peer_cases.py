"""What a comparison with another library is made of, and a table of them all."""

import random
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np


class Case(NamedTuple):
    """One of our schedules, and the peer's class that it replaces.

    Attributes:
      ours: our schedule.
      theirs: runs the peer; gives its values at steps 0, 1, ...
      rtol: relative tolerance; 1e-6 unless the peer itself computes in float32.
      atol: absolute tolerance, for a peer that subtracts in float32.
    """

    ours: Callable[[Any], Any]
    theirs: Callable[[], Sequence[float]]
    rtol: float = 1e-6
    atol: float = 0.0


# By peer and name: a function of random numbers. `random.Random` draws the same
# numbers in every version of Python, so a seed stands for its case.
CASES: dict[tuple[str, str], Callable[[random.Random], Case]] = {}


def case(peer: str):
    """Enter a function from random numbers to a `Case` into the table."""

    def enter(function):
        CASES[peer, function.__name__] = function
        return function

    return enter


def of(peer: str) -> list[str]:
    """The names of a peer's cases."""
    return [name for found, name in CASES if found == peer]


def built(peer: str, name: str, seed: int) -> Case:
    """A case with the random numbers of this seed."""
    return CASES[peer, name](random.Random(f"{name} {seed}"))


def assert_agrees(found: Case, values: Sequence[float]) -> None:
    """Check our values at steps 0, 1, ... against the peer's."""
    ours = jax.jit(found.ours)(np.arange(len(values)))
    np.testing.assert_allclose(ours, values, rtol=found.rtol, atol=found.atol)
