"""Hyperparameters and their values, as written on a command line.

`learning_rate=log:1e-5:10:64` are 64 values in equal ratios, `momentum=lin:0:0.9:10`
ten in equal steps, `momentum=0.8,0.9,0.95` these three. A name alone stands for the
range that is usual for it.
"""

from __future__ import annotations

import argparse
import math
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from optax_cycles.cli.arguments import number

if TYPE_CHECKING:
    import numpy as np

# How many values a range has that does not say it: alone, and in a grid.
ALONE, IN_GRID = 64, 16
USUAL = {
    "learning_rate": "log:1e-5:10",
    "weight_decay": "log:1e-6:0.1",
    "momentum": "0.5,0.7,0.8,0.9,0.95,0.98",
    "b1": "0.5,0.7,0.8,0.9,0.95,0.98",
    "b2": "0.9,0.95,0.98,0.99,0.995,0.999",
    "eps": "log:1e-10:0.01",
    "batch_size": "8,16,32,64,128",
}
_FORMS = "log:LOW:HIGH[:NUM], lin:LOW:HIGH[:NUM] or a list of numbers like 0.8,0.9,0.95"


class Range(NamedTuple):
    """The values of one hyperparameter.

    Attributes:
      name: the hyperparameter.
      kind: `"log"`, `"lin"`, or `"list"`.
      numbers: the two ends, or the list.
      num: how many values there are from end to end, None where that is not said.
    """

    name: str
    kind: str
    numbers: tuple[float, ...]
    num: int | None = None

    def __str__(self) -> str:
        """As it would be written."""
        if self.kind == "list":
            return ",".join(map(str, self.numbers))
        return ":".join([self.kind, *map(str, self.numbers), str(self.num)])

    def with_num(self, num: int) -> Range:
        """The same, of `num` values where that was not said."""
        return self._replace(num=num) if self.num is None else self

    def values(self) -> np.ndarray:
        """The values, increasing."""
        import numpy as np

        from optax_cycles import sweep

        if self.kind == "list":
            return np.array(self.numbers)
        low, high = self.numbers
        space = sweep.log_space if self.kind == "log" else sweep.lin_space
        return space(low, high, self.num or ALONE)


def over(text: str) -> Range:
    """The hyperparameter and the values that a text stands for.

    Raises:
      argparse.ArgumentTypeError: if they are not written so, or are not at least two
        increasing values.
    """
    name, equals, written = text.partition("=")
    if not name.isidentifier():
        _fail(text, "be written NAME or NAME=RANGE")
    if name == "seed":
        _fail(text, "be a hyperparameter (--seeds says how many trainings)")
    if not equals:
        if name not in USUAL:
            _fail(text, f"have a range, {name}=... ({_FORMS})")
        written = USUAL[name]
    kind, colon, rest = written.partition(":")
    if colon:
        return _from_end_to_end(text, name, kind, rest.split(":"))
    return _listed(text, name, written)


def constant(text: str) -> tuple[str, float]:
    """A hyperparameter and its one value, `weight_decay=1e-4`."""
    name, _, written = text.partition("=")
    values = _numbers([written])
    if not name.isidentifier() or values is None:
        _fail(text, "be written NAME=NUMBER")
    return name, values[0]


def _numbers(parts: list[str]) -> list[float] | None:
    """The finite numbers that texts stand for; None if one stands for none."""
    found = [number(part) for part in parts]
    finite = [one for one in found if one is not None and math.isfinite(one)]
    return finite if len(finite) == len(found) else None


def _from_end_to_end(text: str, name: str, kind: str, parts: list[str]) -> Range:
    if kind not in ("log", "lin") or len(parts) not in (2, 3):
        _fail(text, f"be written {_FORMS}")
    ends = _numbers(parts[:2])
    if ends is None:
        _fail(text, f"have two finite numbers as its ends ({_FORMS})")
    low, high = ends
    if kind == "log" and low <= 0:
        _fail(text, f"begin above 0 on a logarithmic axis, not at {low:g}")
    if low >= high:
        _fail(text, f"rise: {low:g} is not below {high:g}")
    num = number(parts[2]) if len(parts) == 3 else None
    if len(parts) == 3 and (not isinstance(num, int) or num < 2):
        _fail(text, f"have a number of values from 2 on, not {parts[2]!r}")
    return Range(name, kind, (low, high), None if num is None else int(num))


def _listed(text: str, name: str, written: str) -> Range:
    values = _numbers(written.split(","))
    if values is None:
        _fail(text, f"be written {_FORMS}")
    if len(values) < 2:
        _fail(text, f"have at least 2 values (--constant {name}={written} fixes one)")
    if any(low >= high for low, high in pairwise(values)):
        _fail(text, "have increasing values")
    return Range(name, "list", tuple(values))


def _fail(text: str, expected: str) -> NoReturn:
    raise argparse.ArgumentTypeError(f"must {expected}, got {text!r}")
