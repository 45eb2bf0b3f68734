"""What may be spent: updates, or seconds that are turned into updates on the way."""

from __future__ import annotations

import re
import time

from optax_cycles import _checks

_UNITS = {"s": 1, "sec": 1, "min": 60, "m": 60, "h": 3600}
# Seconds are kept back for compiling and for what lies between the sweeps.
_KEPT = 0.95
# Numbers that many numbers of seeds divide.
MOST_MEMBERS = 4032
_GROUPS = (2, 4, 6, 12, 24, 48)


class Budget:
    """Counts what is spent of a number of updates, or of seconds.

    Attributes:
      asked: what was asked for.
      spent: updates made so far, by all members together.
      weight: what an update counts, more for a larger batch.
    """

    def __init__(self, function: str, asked: int | str) -> None:
        """Start the clock.

        Args:
          function: who asks, for errors.
          asked: a number of updates, or a time such as `"90s"` or `"5min"`.

        Raises:
          TypeError, ValueError: if it is neither.
        """
        self.asked, self.spent, self.weight = asked, 0, 1.0
        self._began = time.monotonic()
        self._seconds = (
            None if not isinstance(asked, str) else _seconds(function, asked)
        )
        if self._seconds is None:
            _checks.integer(function, "budget", asked, minimum=1)
        self._rate: float | None = None

    @property
    def in_seconds(self) -> bool:
        """Whether it is a time."""
        return self._seconds is not None

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self._began

    def measured(self, updates: int, seconds: float) -> None:
        """Count updates, and how long they took."""
        counted = round(updates * self.weight)
        self.spent += counted
        if counted and seconds > 0:
            self._rate = counted / seconds

    @property
    def total(self) -> int:
        """Updates in all, as far as is known."""
        if self._seconds is None:
            return int(self.asked)
        left = max(_KEPT * self._seconds - self.seconds, 0.0)
        return self.spent + int(left * (self._rate or 0.0))

    @property
    def left(self) -> int:
        """Updates that are left, of the present weight."""
        return max(int((self.total - self.spent) / self.weight), 0)


def _seconds(function: str, text: str) -> float:
    found = re.fullmatch(r"\s*([0-9.]+)\s*([a-z]+)\s*", text)
    expected = 'a number of updates, or a time such as "90s", "5min" or "1h"'
    if found is None or found[2] not in _UNITS:
        _checks.fail(function, "budget", expected, text)
    try:
        seconds = float(found[1]) * _UNITS[found[2]]
    except ValueError:
        _checks.fail(function, "budget", expected, text)
    if not seconds > 0:
        _checks.fail(function, "budget", expected, text)
    return seconds


def group_of(trainings: int) -> int:
    """Members that are trained at a time: about a tenth of what a budget pays for.

    All populations are multiples of it, so that one compiled program trains them all.
    """
    fitting = [group for group in _GROUPS if group * 8 <= trainings]
    return max(fitting, default=_GROUPS[0])


def population(
    trainings: float, group: int, *, most: int, seeds: tuple[int, ...] = (1,)
) -> tuple[int, int]:
    """How many points and seeds a number of trainings pays for.

    Args:
      trainings: what may be spent.
      group: points times seeds is a multiple of it, the nearest.
      most: points beyond which seeds are the better use.
      seeds: the numbers of seeds to choose from, increasing.

    Returns:
      `(points, seeds)`: as many seeds as leave `most` points, and no more than
      `MOST_MEMBERS` together.
    """
    members = group * min(max(round(trainings / group), 1), MOST_MEMBERS // group)
    fitting = [s for s in seeds if members % s == 0]
    plenty = [s for s in fitting if members // s >= most]
    count = max(plenty, default=min(fitting, default=1))
    return members // count, count
