"""The parts of `range-test`: calls that a user could write in Python."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import jax

from optax_cycles import sweep
from optax_cycles.cli.console import Report
from optax_cycles.cli.training import compare
from optax_cycles.range_test import (
    NoSuggestionError,
    parallel_range_test,
    ramp_range_test,
)
from optax_cycles.sweep.loop import Interrupted, SweepError

if TYPE_CHECKING:
    from optax_cycles.cli.finding import Work

PARTS = ("range test", "ramp", "training")


def find(work: Work, reports: Mapping[str, Report]) -> None:
    """Do one part after another; each leaves what it found, also where it stops."""
    _test(work, reports["range test"])
    _ramp(work, reports["ramp"])
    assert work.found.parallel is not None
    try:
        work.found.suggestion = work.found.parallel.suggest()
    except NoSuggestionError as refusal:
        work.found.refusal = str(refusal)
        return
    _train(work, reports["training"])


def _options(work: Work, name: str, report: Report) -> dict[str, Any]:
    """What each of the sweeps is told."""
    return {
        **work.machine.options,
        "batch_size": work.args.batch_size,
        "key": jax.random.key(work.args.key),
        "checkpoint": work.folder.checkpoints / name,
        "checkpoint_every": work.args.checkpoint_every,
        "progress": report,
    }


def _test(work: Work, report: Report) -> None:
    args, found, task = work.args, work.found, work.task
    with found.timed("range test"):
        try:
            found.parallel = parallel_range_test(
                work.train,
                task.train,
                task.validation,
                over={
                    "learning_rate": sweep.log_space(args.lr_min, args.lr_max, args.num)
                },
                seeds=args.seeds,
                steps=args.steps,
                **_options(work, "parallel", report),
            )
        except (Interrupted, SweepError) as stop:
            found.parallel = stop.result
            raise


def _ramp(work: Work, report: Report) -> None:
    args, found = work.args, work.found
    with found.timed("ramp"):
        try:
            found.ramp = ramp_range_test(
                work.train,
                work.task.train,
                low=args.lr_min,
                high=args.lr_max,
                steps=args.steps,
                seeds=args.seeds,
                **_options(work, "ramp", report),
            )
        except (Interrupted, SweepError) as stop:
            if stop.result.sweep.train:
                found.ramp = stop.result
            raise
    found.ask_ramp(("valley", "steep"))


def _train(work: Work, report: Report) -> None:
    args, found = work.args, work.found
    assert found.suggestion is not None
    with found.timed("training"):
        found.training = compare(
            work.task,
            work.optimizer,
            found.suggestion,
            steps=args.steps,
            # Seeds that the suggestion has not seen.
            seeds=range(args.seeds, 2 * args.seeds),
            **_options(work, "training", report),
        )
