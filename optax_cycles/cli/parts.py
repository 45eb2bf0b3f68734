"""The parts of `range-test`: calls that a user could write in Python."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from optax_cycles.cli.console import Report
from optax_cycles.cli.optimizers import RATE
from optax_cycles.cli.question import BATCH_SIZE
from optax_cycles.cli.training import compare
from optax_cycles.cli.work import DEFAULT_BATCH_SIZE
from optax_cycles.range_test import (
    NoSuggestionError,
    parallel_range_test,
    ramp_range_test,
)
from optax_cycles.sweep.loop import Interrupted, SweepError

if TYPE_CHECKING:
    from optax_cycles.cli.finding import RangeTest


def parts_of(work: RangeTest) -> list[str]:
    """The parts that there are to do."""
    asked = work.asked
    there = {
        "range test": asked.parallel,
        "ramp": asked.climbs is not None,
        "training": RATE in asked.values(),
    }
    return [name for name, is_there in there.items() if is_there]


def find(work: RangeTest, reports: Mapping[str, Report]) -> None:
    """Do one part after another; each leaves what it found, also where it stops."""
    found = work.found
    if "range test" in reports:
        _test(work, reports["range test"])
    if "ramp" in reports:
        _ramp(work, reports["ramp"])
    try:
        found.suggest(work.asked.rule)
    except NoSuggestionError as refusal:
        found.refusal = str(refusal)
        return
    if "training" in reports and found.suggestion is not None:
        _train(work, reports["training"])


def _options(work: RangeTest, name: str, report: Report) -> dict[str, Any]:
    """What each of the sweeps is told."""
    return {**work.sweep_options(report), **work.checkpoint(name)}


def _batches(work: RangeTest) -> dict[str, Any]:
    """The batch size, where it is not one of the hyperparameters."""
    if BATCH_SIZE in work.asked.values():
        return {}
    return {"batch_size": work.args.batch_size or DEFAULT_BATCH_SIZE}


def _test(work: RangeTest, report: Report) -> None:
    args, found, task = work.args, work.found, work.task
    with found.timed("range test"):
        try:
            found.parallel = parallel_range_test(
                work.train,
                task.train,
                task.validation,
                over=work.asked.values(),
                seeds=args.seeds,
                steps=args.steps,
                start=work.start,
                **_batches(work),
                **_options(work, "parallel", report),
            )
        except (Interrupted, SweepError) as stop:
            found.parallel = stop.result
            raise


def _ramp(work: RangeTest, report: Report) -> None:
    args, found, asked = work.args, work.found, work.asked
    others = asked.values()
    values = others.pop(str(asked.climbs))
    with found.timed("ramp"):
        try:
            found.ramp = ramp_range_test(
                work.train,
                work.task.train,
                name=str(asked.climbs),
                low=float(values[0]),
                high=float(values[-1]),
                ramp=asked.ramp,
                over=others or None,
                steps=args.steps,
                seeds=args.seeds,
                start=work.start,
                **_batches(work),
                **_options(work, "ramp", report),
            )
        except (Interrupted, SweepError) as stop:
            if stop.result.sweep.train:
                found.ramp = stop.result
            raise
    found.ask_ramp()


def _train(work: RangeTest, report: Report) -> None:
    args, found, asked = work.args, work.found, work.asked
    assert found.suggestion is not None
    best = dict(found.joint.best) if found.joint is not None else {}
    size = best.pop(BATCH_SIZE, args.batch_size or DEFAULT_BATCH_SIZE)
    with found.timed("training"):
        found.training = compare(
            work.task,
            asked.optimizer,
            found.suggestion,
            fixed={**asked.fixed, **best},
            start=work.start,
            steps=args.steps,
            # Seeds that the suggestion has not seen.
            seeds=range(args.seeds, 2 * args.seeds),
            batch_size=int(size),
            **_options(work, "training", report),
        )
