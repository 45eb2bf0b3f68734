"""Hyperparameters and their values, as written on a command line.

`learning_rate=log:1e-5:10:64` are 64 values in equal ratios, `momentum=lin:0:0.9:10`
ten in equal steps, `hidden=int:16:64` and `intlog:16:256` whole numbers,
`momentum=0.8,0.9,0.95` these three. A name alone stands for the range that is usual for
it. A range can be tried at its values, or drawn from.
"""

from __future__ import annotations

import argparse
import math
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from optax_cycles.cli.arguments import number

if TYPE_CHECKING:
    import numpy as np

    from optax_cycles.search.distributions import Distribution

# How many values a range has that does not say it: alone, and in a grid.
ALONE, IN_GRID = 64, 16
# The largest integer of 32 bits.
WIDEST = 2**31 - 1
USUAL = {
    "learning_rate": "log:1e-5:10",
    "weight_decay": "log:1e-6:0.1",
    "momentum": "0.5,0.7,0.8,0.9,0.95,0.98",
    "b1": "0.5,0.7,0.8,0.9,0.95,0.98",
    "b2": "0.9,0.95,0.98,0.99,0.995,0.999",
    "eps": "log:1e-10:0.01",
    "batch_size": "8,16,32,64,128",
}
_LOG, _WHOLE = ("log", "intlog"), ("int", "intlog")
KINDS = ("log", "lin", *_WHOLE)
_FORMS = (
    "log:LOW:HIGH[:NUM], lin:LOW:HIGH[:NUM] or a list of numbers like 0.8,0.9,0.95; of "
    "integers int: or intlog:"
)


class Range(NamedTuple):
    """The values of one hyperparameter.

    Attributes:
      name: the hyperparameter.
      kind: `"log"`, `"lin"`, `"int"`, `"intlog"`, or `"list"`.
      numbers: the two ends, or the list.
      num: how many values there are from end to end, None where that is not said.
      of: the only optimizer that it is a hyperparameter of; None for all there are.
    """

    name: str
    kind: str
    numbers: tuple[float, ...]
    num: int | None = None
    of: str | None = None

    def __str__(self) -> str:
        """As it would be written."""
        if self.kind == "list":
            return ",".join(map(str, self.numbers))
        num = [] if self.num is None else [str(self.num)]
        return ":".join([self.kind, *map(str, self.numbers), *num])

    @property
    def written_name(self) -> str:
        """The name, after that of the only optimizer."""
        return self.name if self.of is None else f"{self.of}.{self.name}"

    def with_num(self, num: int) -> Range:
        """The same, of `num` values where that was not said, or of all integers."""
        if self.num is not None:
            return self
        if self.kind in _WHOLE:
            low, high = self.numbers
            num = min(num, int(high - low) + 1)
            while len(_integers(self.kind, low, high, num)) < num:
                num -= 1
        return self._replace(num=num)

    def values(self) -> np.ndarray:
        """The values, increasing."""
        import numpy as np

        from optax_cycles import sweep

        if self.kind == "list":
            return np.array(self.numbers)
        num = self.with_num(ALONE).num
        assert num is not None
        low, high = self.numbers
        if self.kind in _WHOLE:
            return np.array(_integers(self.kind, low, high, num))
        space = sweep.log_space if self.kind in _LOG else sweep.lin_space
        return space(low, high, num)

    def distribution(self) -> Distribution:
        """What values are drawn from: all between the ends, or one of the list."""
        from optax_cycles import search

        if self.kind == "list":
            return search.choice(self.numbers)
        low, high = self.numbers
        if self.kind in _WHOLE:
            return search.integers(int(low), int(high), log=self.kind in _LOG)
        draw = search.log_uniform if self.kind in _LOG else search.uniform
        return draw(low, high)


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


def of_optimizer(text: str) -> Range:
    """As `over`, or `OPTIMIZER.NAME=RANGE` for a hyperparameter of one optimizer."""
    name, _, _ = text.partition("=")
    optimizer, dot, _ = name.rpartition(".")
    if not dot:
        return over(text)
    if not optimizer.isidentifier():
        _fail(text, "be written NAME=RANGE or OPTIMIZER.NAME=RANGE")
    return over(text[len(optimizer) + 1 :])._replace(of=optimizer)


def constant(text: str) -> tuple[str, float]:
    """A hyperparameter and its one value, `weight_decay=1e-4`."""
    name, _, written = text.partition("=")
    values = _numbers([written])
    if not name.isidentifier() or values is None:
        _fail(text, "be written NAME=NUMBER")
    return name, values[0]


def constant_of_optimizer(text: str) -> tuple[str, float]:
    """As `constant`, or `OPTIMIZER.NAME=NUMBER`."""
    optimizer, dot, rest = text.partition(".")
    if not (dot and optimizer.isidentifier() and rest[:1].isalpha()):
        return constant(text)
    name, value = constant(rest)
    return f"{optimizer}.{name}", value


def _numbers(parts: list[str]) -> list[float] | None:
    """The finite numbers that texts stand for; None if one stands for none."""
    found = [number(part) for part in parts]
    finite = [one for one in found if one is not None and math.isfinite(one)]
    return finite if len(finite) == len(found) else None


def _from_end_to_end(text: str, name: str, kind: str, parts: list[str]) -> Range:
    if kind not in KINDS or len(parts) not in (2, 3):
        _fail(text, f"be written {_FORMS}")
    ends = _numbers(parts[:2])
    if ends is None:
        _fail(text, f"have two finite numbers as its ends ({_FORMS})")
    low, high = ends
    if kind in _WHOLE and not all(isinstance(end, int) for end in ends):
        _fail(text, f"have two integers as its ends (lin:{low:g}:{high:g} are any)")
    if kind in _LOG and low <= 0:
        _fail(text, f"begin above 0 on a logarithmic axis, not at {low:g}")
    if low >= high:
        _fail(text, f"rise: {low:g} is not below {high:g}")
    num = number(parts[2]) if len(parts) == 3 else None
    if len(parts) == 3 and (not isinstance(num, int) or num < 2):
        _fail(text, f"have a number of values from 2 on, not {parts[2]!r}")
    if kind in _WHOLE and num is not None:
        differ = len(_integers(kind, low, high, int(num)))
        if differ < num:
            _fail(text, f"have fewer values: only {differ} of {num:g} integers differ")
    return Range(name, kind, (low, high), None if num is None else int(num))


def _integers(kind: str, low: float, high: float, num: int) -> list[int]:
    """The different integers nearest to so many values from end to end."""
    shares = [place / (num - 1) for place in range(num)]
    if kind in _LOG:
        return sorted({round(low * (high / low) ** share) for share in shares})
    return sorted({round(low + (high - low) * share) for share in shares})


def _listed(text: str, name: str, written: str) -> Range:
    values = _numbers(written.split(","))
    if values is None:
        _fail(text, f"be written {_FORMS}")
    if len(values) < 2:
        _fail(text, f"have at least 2 values (--constant {name}={written} fixes one)")
    if any(low >= high for low, high in pairwise(values)):
        _fail(text, "have increasing values")
    if max(map(abs, values)) > WIDEST:  # such a number is no count of anything
        values = [float(value) for value in values]
    return Range(name, "list", tuple(values))


def _fail(text: str, expected: str) -> NoReturn:
    raise argparse.ArgumentTypeError(f"must {expected}, got {text!r}")
