"""What may be spent: updates, or seconds that are turned into updates on the way."""

from __future__ import annotations

import math
import os
import re
import time
from pathlib import Path

from optax_cycles import _checks

_UNITS = {"s": 1, "sec": 1, "min": 60, "m": 60, "h": 3600}
# Seconds are kept back for compiling and for what lies between the sweeps.
_KEPT = 0.95
# A sweep is stopped where it takes so many times as long as was planned, and at so
# many times the whole time: the machine was faster before.
_SLACK, _LATEST = 1.3, 1.05
_TICK = 1.0
# Numbers that many numbers of seeds divide.
MOST_MEMBERS = 4032
GROUPS = (2, 4, 6, 12, 24, 48)


class OutOfTime(Exception):  # noqa: N818
    """A budget that is a time has run out in the middle of a sweep."""


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
            self.asked = int(asked)
        self._rate: float | None = None
        self._file: Path | None = None
        self._ticked = 0.0
        self._planned, self._end, self._until = 0, math.inf, math.inf

    def keep(self, file: Path) -> None:
        """Let the clock of a time go on from what `file` says, and keep it there."""
        self._file = file
        if file.exists():
            self._began -= float(file.read_text(encoding="utf-8"))

    def begin(self, updates: int, share: float) -> None:
        """Begin a step: its updates, and its share of what is left."""
        self._planned = updates
        if self._seconds is not None:
            left = max(_KEPT * self._seconds - self.seconds, 0.0)
            self._end = self.seconds + _SLACK * share * left

    def plan(self, updates: int) -> None:
        """Give the next sweep of a step its part of the time that the step has left."""
        if self._seconds is not None:
            part = min(updates / max(self._planned, 1), 1.0)
            self._until = self.seconds + part * (self._end - self.seconds)
            self._planned -= updates

    def tick(self) -> None:
        """Keep the time, no more than once a second."""
        now = self.seconds
        if self._file is not None and now > self._ticked + _TICK:
            write_whole(self._file, f"{now:.3f}")
            self._ticked = now

    def check(self, *, enough: bool) -> None:
        """Stop a sweep whose time is over.

        Args:
          enough: whether what is trained will do if there is no time for more.

        Raises:
          OutOfTime: if there is none left, or that of the present sweep is over and
            what it has is enough.
        """
        now = self.seconds
        if self._seconds is None:
            return
        if now > _LATEST * self._seconds or (enough and now > self._until):
            raise OutOfTime

    @property
    def in_seconds(self) -> bool:
        """Whether it is a time."""
        return self._seconds is not None

    @property
    def seconds(self) -> float:
        """Since the start, and before it where a stopped tuning goes on."""
        return time.monotonic() - self._began

    def share_of_time(self, seconds: float) -> float:
        """The share of a time that seconds are."""
        return seconds / (self._seconds or math.inf)

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


def write_whole(file: Path, text: str) -> None:
    """Write a file so that a kill leaves the old one or the new one."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f"{file.name}.part")
    part.write_text(text, encoding="utf-8")
    os.replace(part, file)


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
    fitting = [group for group in GROUPS if group * 8 <= trainings]
    return max(fitting, default=GROUPS[0])


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
