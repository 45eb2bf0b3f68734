"""What the steps of tuning share: training candidates, and what that has cost."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from optax_cycles._typing import Batch, Key, PyTree
from optax_cycles.sweep.loop import SweepError, run
from optax_cycles.sweep.result import SweepResult, versions
from optax_cycles.sweep.space import Space, with_seeds
from optax_cycles.sweep.trainable import Trainable
from optax_cycles.sweep.training import Progress
from optax_cycles.tuning.budget import Budget, OutOfTime
from optax_cycles.tuning.candidate import Candidate, columns
from optax_cycles.tuning.family import Family
from optax_cycles.tuning.recipe import Evidence, Recipe, recipe_of

SIGNS = {"min": 1.0, "max": -1.0}
# No step's seeds are another's, so that luck is not chosen twice.
SEEDS_OF_A_STEP = 1000
# The step that only finds out how long updates take.
TIMING = "timing"


class TuneProgress(NamedTuple):
    """How far tuning has come, in updates summed over all members.

    Attributes:
      step: what is being tuned.
      done: updates made.
      total: updates in all, as far as the budget says by now.
    """

    step: str
    done: int
    total: int


class Scored(NamedTuple):
    """A candidate that was trained.

    Attributes:
      candidate: the setting.
      scores: `[seeds]`, the lower the better; +inf where it diverged.
    """

    candidate: Candidate
    scores: np.ndarray

    @property
    def score(self) -> float:
        """The median over the seeds."""
        return float(np.median(self.scores))


@dataclasses.dataclass
class Work:
    """All that the steps share.

    Attributes:
      family: the optimizer.
      trainable: the program that trains any candidate.
      data: what is trained on.
      validation: what is compared on.
      steps: updates of a training with the recipe.
      metric: the validation metric that is compared.
      mode: whether its `"min"` or its `"max"` is best.
      key: of all randomness.
      budget: what may be spent.
      options: of `oc.sweep.run`.
      group: members that are trained at a time.
      checkpoint: a folder with a checkpoint of each sweep, or None.
      progress: told of every segment.
      evidence: what each step learned.
      best: the best candidate so far.
      scores: the metric of its final trainings.
      diagnosis: of them.
      sweeps: how many sweeps there have been.
      told_done: the updates that were last told as progress.
    """

    family: Family
    trainable: Trainable
    data: PyTree
    validation: Batch
    steps: int
    metric: str
    mode: str
    key: Key
    budget: Budget
    options: dict[str, Any]
    group: int
    checkpoint: Path | None
    progress: Callable[[TuneProgress], None] | None
    evidence: list[Evidence] = dataclasses.field(default_factory=list)
    best: Candidate | None = None
    scores: tuple[float, ...] = ()
    diagnosis: dict[str, Any] | None = None
    sweeps: int = 0
    told_done: int = 0

    @property
    def segment(self) -> int:
        """Updates of a program: as many in all sweeps, so that they share it."""
        return min(max(self.steps // 20, 10), 500)

    @property
    def short(self) -> int:
        """Updates of a short training: a quarter, but 50 at least where there are."""
        return max(-(-self.steps // 4), min(self.steps, 50))

    def batch_size(self, size: int, first: int, steps: int) -> None:
        """Take batches of another size, and as many of them as `steps` of the first."""
        self.options["batch_size"] = size
        self.budget.weight = size / first
        self.steps = max(round(steps * first / size), 1)

    def train(
        self,
        step: str,
        candidates: Sequence[Candidate],
        seeds: int,
        *,
        length: int | None = None,
        horizons: Sequence[int] = (),
        fewest: int = 1,
    ) -> tuple[list[Scored], SweepResult]:
        """Train candidates over their whole schedules; best first.

        Where the time of the sweep runs out, candidates that have not been trained with
        all their seeds by then are left out.

        Raises:
          OutOfTime: if the whole time runs out before `fewest` candidates are trained.
        """
        length = self.steps if length is None else length
        began = time.monotonic()
        fewest = min(fewest, len(candidates))
        self.budget.plan(len(candidates) * seeds * length)
        # Whole chunks of members come to their end together.
        chunk = self.options.get("chunk", self.group)
        chunk = chunk if isinstance(chunk, int) else len(candidates) * seeds
        enough = -(-fewest * seeds // chunk) * chunk * length
        given = self._sweeping(step, enough)
        space = Space((columns(candidates, length),))
        try:
            sweep = run(
                self.trainable,
                with_seeds("tune", space, given.pop("first_seed") + np.arange(seeds)),
                self.data,
                length,
                validation=self.validation,
                horizons=sorted({*horizons, length}),
                **given,
            )
        except SweepError as stop:
            if not isinstance(stop.__cause__, OutOfTime):
                raise
            sweep = stop.result
        self.count(sweep, time.monotonic() - began)
        over = (sweep.updates == length) | sweep.diverged
        known = over.all(axis=1)
        if known.sum() < fewest:
            raise OutOfTime
        if not known.all() and self._cut is not None:
            # What was chosen by so few must not be chosen by more when this goes on.
            self._cut.touch()
        losses = sweep.score(self.metric, mode=self.mode) * SIGNS[self.mode]
        # Who diverged in its last segment may have a finite number all the same.
        losses = np.where(sweep.updates == length, losses, np.inf)
        rows = zip(candidates, losses, known, strict=True)
        scored = [Scored(candidate, row) for candidate, row, kept in rows if kept]
        return sorted(scored, key=lambda one: one.score), sweep

    @property
    def _cut(self) -> Path | None:
        """The file that says of the present sweep that its time ran out."""
        if self.checkpoint is None:
            return None
        return self.checkpoint / f"sweep-{self.sweeps}.cut"

    def _sweeping(self, step: str, enough: int) -> dict[str, Any]:
        """Arguments of the next sweep, of which so many updates are enough."""
        before, self.sweeps = self.budget.spent, self.sweeps + 1

        def moved(now: Progress) -> None:
            if self.progress is not None:
                # Members that stop early count as done here, and are given back.
                done = before + round(now.done * self.budget.weight)
                self.told_done = done = max(done, self.told_done)
                total = max(self.budget.total, done)
                self.progress(TuneProgress(step, done, total))
            self.budget.tick()
            # Before it has made any it may be about to read what was trained before.
            if 0 < now.done < now.total and step != TIMING:
                if self._cut is not None and self._cut.exists():
                    raise OutOfTime
                self.budget.check(enough=now.done >= enough)

        checkpoint = {}
        if self.checkpoint is not None and step != TIMING:
            checkpoint["checkpoint"] = self.checkpoint / f"sweep-{self.sweeps}"
        return {
            "chunk": self.group,
            "segment": self.segment,
            **self.options,
            **checkpoint,
            "key": self.key,
            "progress": moved,
            "first_seed": SEEDS_OF_A_STEP * self.sweeps,
        }

    def count(self, sweep: SweepResult, seconds: float) -> None:
        """Count what a sweep has cost, but for compiling, which happens once."""
        took = dict(sweep.seconds)
        seconds -= took.pop("compile", 0.0)
        # One that is read from its checkpoint took longer than that reading.
        self.budget.measured(int(sweep.updates.sum()), max(seconds, sum(took.values())))

    @contextmanager
    def learning(self, step: str) -> Iterator[dict[str, Any]]:
        """A step; its evidence is what the block puts into the dict that it gets."""
        spent, began = self.budget.spent, time.monotonic()
        found: dict[str, Any] = {}
        try:
            yield found
        finally:
            # A step that is stopped may have learned something.
            if "learned" in found:
                self.evidence.append(
                    Evidence(
                        step,
                        found["learned"],
                        tuple(found["rows"]),
                        self.budget.spent - spent,
                        round(time.monotonic() - began, 3),
                        found.get("curves"),
                    )
                )

    def row(self, one: Scored, length: int) -> dict[str, Any]:
        """What the evidence says of a candidate."""
        scores = [self.told(score) for score in one.scores]
        return {
            **one.candidate.described(),
            "length": length,
            "score": self.told(one.score),
            "scores": scores,
        }

    def told(self, score: float) -> float | None:
        """A score in the metric's own sign; None for a failure."""
        return float(SIGNS[self.mode] * score) if np.isfinite(score) else None

    def so_far(self) -> Recipe | None:
        """The best so far as an incomplete recipe; None before there is one."""
        return self.recipe(complete=False) if self.best else None

    def recipe(self, *, complete: bool) -> Recipe:
        """The best so far as a recipe."""
        assert self.best is not None
        return recipe_of(
            self.best,
            self.family,
            steps=self.steps,
            batch_size=self.options.get("batch_size"),
            metric=self.metric,
            mode=self.mode,
            scores=self.scores,
            diagnosis=self.diagnosis,
            evidence=tuple(self.evidence),
            budget={
                "asked": self.budget.asked,
                "updates": self.budget.spent,
                "seconds": round(self.budget.seconds, 3),
            },
            versions=versions(),
            complete=complete,
        )
