"""How much worse than the best rate is the one that a range test suggests?

On every task of `_tasks.py` (model and data by optimizer), every finder of
`_finders.py` says which constant rate to train with, several times with other seeds.
The truth is a fine grid of rates, trained four times as long as the longest range test
with seeds that no finder has seen; see `_truth.py` for how a regret comes about.

All curves are trained once and kept in a folder (`--curves`), task by task: a run that
was stopped goes on from there, and rules can be evaluated anew without training. Then
come `results/regret.json`, the figure and the tables of `docs/regret.md`.
"""

from __future__ import annotations

import dataclasses
import os
import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import _measure
import numpy as np
from _curves import RAMPS, Size, curves_of
from _finders import Uses, finders, small_name
from _measure import Row, Spread
from _regret_page import draw, tables, wall
from _tasks import BATCH, DEVELOPMENT, TASKS
from _truth import Truth
from _walls import Shape, walls_of
from table import rewrite

import optax_cycles as oc

DOCS = Path(__file__).parent.parent / "docs"
CURVES = Path(__file__).parent / ".cache" / "regret"
NEAR, TWICE = 0.05, 2.0

QUICK = Size(per_decade=2, truth=2, long=320, values=16, seeds=2, repeats=2)
QUICK_TASKS = ("clusters-mlp/momentum", "teacher-mlp/adam")


@dataclasses.dataclass(frozen=True)
class Found:
    """What one finder gave on one task.

    Attributes:
      rates: the rate of each use, or None.
      regrets: of those that did not refuse.
      shares: the same as shares of the way from the untrained to the best loss.
      in_sample: the same with the best rate picked on the seeds it is compared on.
    """

    rates: Uses
    regrets: list[float]
    shares: list[float]
    in_sample: list[float]

    @property
    def within(self) -> float:
        """Share of the uses that come within 5 %; a refusal doesn't."""
        return sum(regret <= NEAR for regret in self.regrets) / len(self.rates)

    @property
    def regret(self) -> float:
        """Mean over the uses, NaN where all refused."""
        return statistics.fmean(self.regrets) if self.regrets else float("nan")

    def spread(self, repeats: int) -> float:
        """Largest over least rate of `repeats` uses; geometric mean over groups."""
        logs = [np.nan if rate is None else np.log(rate) for rate in self.rates]
        groups = np.array(logs[: len(logs) // repeats * repeats]).reshape(-1, repeats)
        known = groups[np.isfinite(groups).all(axis=1)]
        return float(np.exp(np.ptp(known, axis=1).mean())) if len(known) else np.nan


Table = Mapping[str, Mapping[str, Found]]


def found_on(truth: Truth, rates: Uses) -> Found:
    """A finder's rates, with their regrets."""
    regrets = [truth.regret(rate) for rate in rates if rate is not None]
    return Found(
        rates,
        [regret.relative for regret in regrets],
        [regret.share for regret in regrets],
        [regret.in_sample for regret in regrets],
    )


def summary(of: Mapping[str, Found], repeats: int) -> dict[str, Any]:
    """One finder over several tasks, each of which counts alike."""
    regrets = {task: found.regret for task, found in of.items() if found.regrets}
    worst = max(regrets, key=lambda task: regrets[task], default="")
    uses = [rate for found in of.values() for rate in found.rates]
    spreads = [found.spread(repeats) for found in of.values()]
    known = [spread for spread in spreads if np.isfinite(spread)]
    in_sample = [statistics.fmean(f.in_sample) for f in of.values() if f.regrets]
    shares = [statistics.fmean(f.shares) for f in of.values() if f.regrets]
    return {
        "within": statistics.fmean(found.within for found in of.values()),
        "mean": statistics.fmean(regrets.values()) if regrets else None,
        "median": statistics.median(regrets.values()) if regrets else None,
        "worst": regrets.get(worst),
        "worst_task": worst,
        "mean_share": statistics.fmean(shares) if shares else None,
        "mean_in_sample": statistics.fmean(in_sample) if in_sample else None,
        "refused": sum(rate is None for rate in uses) / len(uses),
        "spread": statistics.median(known) if known else None,
    }


def least_regret(summaries: Mapping[str, Any]) -> str:
    """The finder with the least mean regret, of those that answer mostly."""
    some = {name: of for name, of in summaries.items() if of["refused"] < 0.5}
    return min(some, key=lambda name: some[name]["mean"])


def beaten(ours: Mapping[str, Found], theirs: Mapping[str, Found]) -> list[str]:
    """The tasks on which ours is beyond 5 % and off by more than twice theirs."""
    return [
        task
        for task, found in ours.items()
        if theirs[task].regrets
        and not found.regret <= max(NEAR, TWICE * theirs[task].regret)
    ]


def halves(tasks: Sequence[str]) -> dict[str, list[str]]:
    """The tasks that rules were developed on, and those that they were not."""
    is_dev = {task: task.split("/")[0] in DEVELOPMENT for task in tasks}
    return {
        "development": [task for task in tasks if is_dev[task]],
        "held out": [task for task in tasks if not is_dev[task]],
    }


def evaluate(
    tasks: Sequence[str], folder: Path, size: Size
) -> tuple[dict[str, Any], dict[str, dict[str, Found]]]:
    """Every task's truth, and every finder on every task.

    Raises:
      RuntimeError: where the best rate is at an end of the fine grid.
    """
    truths, table = {}, {name: {} for name in finders(size)}
    for task in tasks:
        start = time.perf_counter()
        curves = curves_of(task, folder, size)
        truth = Truth(curves)
        if truth.margin < 2:
            raise RuntimeError(f"{task}: the best rate is at an end of the fine grid")
        for name, finder in finders(size).items():
            table[name][task] = found_on(truth, finder.use(curves))
        truths[task] = {
            "best_rate": float(truth.rates[truth.best]),
            "best_loss": float(truth.medians[truth.best]),
            "untrained": truth.untrained,
            "margin": truth.margin,
            "interpolation_error": truth.interpolation_error(),
            "rates": truth.rates.tolist(),
            "medians": truth.medians.tolist(),
            "train_seconds": curves["seconds"].tolist(),
        }
        print(
            f"{task}: best rate {truth.rates[truth.best]:.2g}, loss "
            f"{truth.medians[truth.best]:.3f} of {truth.untrained:.3f}; "
            f"{time.perf_counter() - start:.1f} s",
            flush=True,
        )
    return truths, table


def ours(size: Size) -> list[str]:
    """Our default, and our rule over horizons."""
    test = Shape(size.values, size.seeds, size.steps)
    return [name for name, found in finders(size).items() if found.shape == test]


def rows_of(table: Table, record: Any) -> list[Row]:
    """What was to be reached."""
    rows = []
    against = record["next_rule"]
    for name in record["ours"]:
        halves_ = {h: of[name]["within"] for h, of in record["halves"].items() if of}
        parts = [100 * share for share in halves_.values()]
        whole = 100 * record["finders"][name]["within"]
        tasks = f"{len(table[name])} tasks, {name}"
        words = "; ".join(f"{half} {100 * s:.0f} %" for half, s in halves_.items())
        within = Spread(whole, min(parts), max(parts))
        goal = "best rate of the fine grid"
        rows.append(Row(tasks, goal, within, "% within 5 %", 90, note=words))
        lost = beaten(table[name], table[against])
        count = Spread(len(lost), len(lost), len(lost))
        unit = "tasks off by more than 5 % and twice its regret"
        rows.append(Row(tasks, against, count, unit, 0, True, ", ".join(lost)))
    return [*rows, equal_time(record)]


def equal_time(record: Any) -> Row:
    """A parallel test as long as one ramp against the best rule on one ramp."""
    small, found = record["small"], record["finders"]
    of_one = {n: f for n, f in found.items() if f["shape"] == record["ramp"]}
    best = least_regret(of_one)
    known = [found, *(of for of in record["halves"].values() if of)]
    ratios = [of[small]["mean"] / of[best]["mean"] for of in known]
    value = Spread(ratios[0], min(ratios[1:]), max(ratios[1:]))
    note = "; ".join(
        f"{name}: mean regret {100 * found[name]['mean']:.3g} %, "
        f"{100 * found[name]['within']:.0f} % within 5 %, "
        f"{wall(record, name):.2g} x the time of a ramp"
        for name in (small, best)
    )
    return Row(f"{small}, equal time", best, value, "x its mean regret", 1, True, note)


def summaries(table: Table, tasks: Sequence[str], size: Size) -> dict[str, Any]:
    """Every finder over some of the tasks; nothing over none."""
    some = {name: {task: of[task] for task in tasks} for name, of in table.items()}
    if not tasks:
        return {}
    return {name: summary(of, size.repeats) for name, of in some.items()}


def judge(tasks: Sequence[str], folder: Path, size: Size) -> tuple[Any, list[Row]]:
    """Everything that goes into the results file, and the rows."""
    known = finders(size)
    truths, table = evaluate(tasks, folder, size)
    found = summaries(table, tasks, size)
    for name, finder in known.items():
        shape, parallel = finder.shape, finder.shape.values > 0
        found[name] |= {"updates": shape.total, "parallel": parallel}
        found[name]["shape"] = str(shape)
    one = Shape(0, 1, RAMPS["ours"].updates)
    timed = dict.fromkeys(f.shape for f in known.values() if is_timed(f.shape, size))
    record = {
        "settings": {
            "size": size._asdict(),
            "batch": BATCH,
            "near": NEAR,
            "ramps": RAMPS,
        },
        "ours": ours(size),
        "small": small_name(size),
        "ramp": str(one),
        "next_rule": least_regret(
            {n: f for n, f in found.items() if not f["parallel"]}
        ),
        "finders": found,
        "halves": {h: summaries(table, t, size) for h, t in halves(tasks).items()},
        "walls": walls_of(tasks, list(timed), folder, size),
        "truths": truths,
        "tasks": {
            task: {name: dataclasses.asdict(of[task]) for name, of in table.items()}
            for task in tasks
        },
    }
    return record, rows_of(table, record)


def is_timed(shape: Shape, size: Size) -> bool:
    """All but the parallel test at its earlier horizons."""
    return shape.seeds == 1 or not shape.values or shape.updates == size.steps


def main() -> None:
    parser = _measure.arguments(str(__doc__).splitlines()[0], ())
    parser.add_argument("--tasks", nargs="+", choices=TASKS, help="all by default")
    parser.add_argument("--curves", type=Path, default=CURVES, help="their folder")
    parser.add_argument("--figure", type=Path, default=DOCS / "images" / "regret.png")
    parser.add_argument("--page", type=Path, default=DOCS / "regret.md")
    given = parser.parse_args()
    size = QUICK if given.quick else Size()
    tasks = given.tasks or (QUICK_TASKS if given.quick else TASKS)
    environment = _measure.environment()
    oc.sweep.use_cpu_devices()
    judged, rows = judge(tasks, given.curves, size)
    record = {"environment": environment, **judged}
    _measure.finish("regret", given.results, record, rows)
    given.figure.parent.mkdir(parents=True, exist_ok=True)
    draw(record, given.figure)
    place = os.path.relpath(given.figure, given.page.parent)
    rewrite(given.page, tables(record, Path(place).as_posix()))
    print(f"drew {given.figure}, rewrote the tables of {given.page}")


if __name__ == "__main__":
    main()
