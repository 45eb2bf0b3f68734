"""How a budget is shared out among the steps of tuning."""

from __future__ import annotations

import json
import math
from pathlib import Path

import jax

from optax_cycles import _checks
from optax_cycles.tuning import steps as parts
from optax_cycles.tuning.budget import GROUPS, group_of, write_whole
from optax_cycles.tuning.candidate import SCHEDULES
from optax_cycles.tuning.work import Work

SHARES = {
    "batch size": 0.15,
    "learning rate": 0.2,
    "momentum and decay": 0.45,
    "schedule": 0.12,
    "final": 0.23,
}
FILE, CLOCK = "shares.json", "seconds.txt"


class Shares:
    """What each step may spend: its share of what is left for it and all after it.

    What a time pays for is not the same twice, so it is kept beside the checkpoints.
    """

    def __init__(self, work: Work, *, batch_sizes: int) -> None:
        """Check that what there is pays for the fewest trainings of each step.

        Raises:
          ValueError: if it does not; the message says what is needed.
        """
        self.work = work
        self.shares = dict(SHARES)
        self.sizes = batch_sizes if batch_sizes > 1 else 0
        if not self.sizes:
            del self.shares["batch size"]
        self.file: Path | None = None
        self.known: dict[str, int] = {}
        if work.budget.in_seconds:
            self._time()
        else:
            self._check()
            work.group = self._group()

    def of(self, step: str) -> int:
        """Updates for the next step."""
        share = self.shares.pop(step)
        share /= share + sum(self.shares.values())
        if step not in self.known:
            self.known[step] = int(share * self.work.budget.left)
            if self.file is not None:
                write_whole(self.file, json.dumps(self.known))
        self.work.budget.begin(self.known[step], share)
        return self.known[step]

    def _time(self) -> None:
        work = self.work
        if jax.process_count() > 1:
            expected = "a number of updates where there are many processes"
            _checks.fail("tune", "budget", expected, work.budget.asked)
        if work.checkpoint is not None:
            work.budget.keep(work.checkpoint / CLOCK)
            self.file = work.checkpoint / FILE
            if self.file.exists():
                self.known = json.loads(self.file.read_text(encoding="utf-8"))
        parts.probe(work)
        if not self.known:
            self._check()

    def _group(self) -> int:
        """The most members at a time that each step can pay for."""
        work = self.work
        left = work.budget.left - parts.FEWEST_RATES * self.sizes * work.short
        fitting = [
            group
            for group in GROUPS
            if group <= group_of(left // work.steps)
            and self._cost(group) <= work.budget.left
        ]
        return max(fitting, default=GROUPS[0])

    def _cost(self, group: int) -> int:
        """Updates that the steps make at the least."""
        work = self.work
        rates = max(parts.FEWEST_RATES, group)
        schedules = math.lcm(group, len(SCHEDULES))
        short = rates * (self.sizes + 1) + group
        # Whole ones of momentum and decay, the schedules, the final.
        whole = group * (1 + parts.ROUNDS) + schedules + group
        return short * work.short + whole * work.steps

    def _check(self) -> None:
        work, left = self.work, self.work.budget.left
        needed = self._cost(GROUPS[0])
        if left < needed:
            asked = str(work.budget.asked)
            if work.budget.in_seconds:
                asked += f", which pays for {left} updates here"
            _checks.fail("tune", "budget", f"enough for {needed} updates", asked)
