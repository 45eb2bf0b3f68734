"""How a budget is shared out among the steps of tuning."""

from __future__ import annotations

import json
from pathlib import Path

import jax

from optax_cycles import _checks
from optax_cycles.tuning import steps as parts
from optax_cycles.tuning.budget import group_of
from optax_cycles.tuning.work import Work

SHARES = {
    "batch size": 0.15,
    "learning rate": 0.2,
    "momentum and decay": 0.45,
    "schedule": 0.12,
    "final": 0.23,
}
# 8 rates and 2 settings for a short time; 2 and 2 settings, 6 schedules, 2 finalists.
FEWEST_SHORT, FEWEST_WHOLE = 10, 12
FILE, CLOCK = "shares.json", "seconds.txt"


class Shares:
    """What each step may spend: its share of what is left for it and all after it.

    What a time pays for is not the same twice, so it is kept beside the checkpoints.
    """

    def __init__(self, work: Work, *, with_batch_size: bool) -> None:
        """Check that what there is pays for the fewest trainings of each step.

        Raises:
          ValueError: if it does not; the message says what is needed.
        """
        self.work = work
        self.shares = dict(SHARES)
        if not with_batch_size:
            del self.shares["batch size"]
        self.file: Path | None = None
        self.known: dict[str, int] = {}
        if work.budget.in_seconds:
            self._time()
        else:
            self._check()
            work.group = group_of(work.budget.left // work.steps)

    def of(self, step: str) -> int:
        """Updates for the next step."""
        share = self.shares.pop(step)
        share /= share + sum(self.shares.values())
        if step not in self.known:
            self.known[step] = int(share * self.work.budget.left)
            if self.file is not None:
                self.file.parent.mkdir(parents=True, exist_ok=True)
                self.file.write_text(json.dumps(self.known), encoding="utf-8")
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

    def _check(self) -> None:
        work, left = self.work, self.work.budget.left
        needed = FEWEST_SHORT * work.short + FEWEST_WHOLE * work.steps
        if left < needed:
            asked = str(work.budget.asked)
            if work.budget.in_seconds:
                asked += f", which pays for {left} updates here"
            _checks.fail("tune", "budget", f"enough for {needed} updates", asked)
