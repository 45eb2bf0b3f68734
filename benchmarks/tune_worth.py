"""What is `oc.tune` worth? Recipes found with one number of updates, compared.

On eight small tasks, `tune`, random search and TPE (with and without a final among
their best) get the updates of 120 trainings of 200 each, with `oc.sgdw` and with
`oc.adamw`; beside them stand the defaults, which search for nothing, and optimizers
that need no learning rate. Searches compare on one half of the validation data. What
they find is trained anew for as long, with seeds that no search has seen, and scored by
the median loss on the other half. The fresh seeds of a search are its own and shared by
all methods, so that methods are compared in pairs and searches are independent.

What came of each task is kept in a folder (`--cases`): a run of the same code that was
stopped goes on from there.
"""

from __future__ import annotations

import hashlib
import json
import os
import statistics
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import _measure
import numpy as np
from _measure import Row, Spread
from _tasks import BATCH
from _tune_free import losses_of
from _tune_methods import (
    DECAYS,
    MOMENTA,
    RATES,
    SEARCHES,
    Found,
    Size,
    bench_of,
    defaults_of,
    searched,
    trained,
    tuned,
)
from _tune_page import Compared, tables
from _tune_tasks import NAMES, task_of, untrained
from table import rewrite

import optax_cycles as oc

PAGE = Path(__file__).parent.parent / "docs" / "tune.md"
FULL = Size(NAMES)
CASES = Path(__file__).parent / ".cache" / "tune_worth"
QUICK = Size(("few-mlp",), ("sgdw",), ("prodigy",), 24, 16, 2, 6, 12, 2, 2)
RESAMPLES = 2000


def fresh_of(size: Size) -> np.ndarray:
    """`[searches, fresh]`: the seeds that each search is scored on."""
    count = size.searches * size.fresh
    return 1_000_000 + np.arange(count).reshape(size.searches, size.fresh)


def medians(losses: np.ndarray, worst: float) -> list[float]:
    """`[searches]` of `[searches, fresh]`: a failure is worth what is untrained."""
    known = np.where(losses < worst, losses, worst)
    return [float(f"{score:.5g}") for score in np.median(known, axis=1)]


def with_optimizer(
    task: Any, optimizer: str, size: Size, worst: float
) -> dict[str, Any]:
    """All that searches or has defaults, with one optimizer on one task."""
    bench = bench_of(task, optimizer, size)
    found: dict[str, list[Found]] = {}
    for seed in range(size.searches):
        found.setdefault("tune", []).append(tuned(bench, seed))
        for method in SEARCHES:
            for name, one in searched(bench, method, seed).items():
                found.setdefault(name, []).append(one)
    for name, setting in defaults_of(optimizer).items():
        found[name] = [Found(setting, 0, 0.0)] * size.searches
    fresh, known = fresh_of(size), [one for of in found.values() for one in of]
    # Settings of one search share their seeds.
    ends = np.empty((len(known), size.fresh))
    for search, seeds in enumerate(fresh):
        places = np.arange(search, len(known), size.searches)
        sweep = trained(bench, [known[p].setting for p in places], seeds, 10_000)
        ends[places] = sweep.validation["held_out"][..., -1]
    scores = ends.reshape(len(found), size.searches, size.fresh)
    return {
        name: {
            "scores": medians(scores[place], worst),
            "updates": round(statistics.fmean(one.updates for one in of)),
            "seconds": round(statistics.median(one.seconds for one in of), 2),
            "settings": [_written(one) for one in of],
        }
        for place, (name, of) in enumerate(found.items())
    }


def _written(found: Found) -> list[Any]:
    schedule, rate, momentum, decay = found.setting
    low, high = momentum or (None, None)
    moves = low != high and schedule in ("one_cycle", "cyclical")
    numbers = [rate, *([low, high] if moves else [high]), decay]
    return [schedule, *(float(f"{number:.3g}") for number in numbers)]


def _code() -> str:
    """What changes with the code that is measured."""
    here = Path(__file__).parent
    files = [*here.glob("*.py"), *Path(oc.__file__).parent.rglob("*.py")]
    code = b"".join(file.read_bytes() for file in sorted(files))
    return hashlib.sha256(code).hexdigest()


def case(name: str, size: Size, folder: Path) -> dict[str, Any]:
    """All methods on one task, or what is known of them already."""
    file = folder / f"{name}.json"
    asked = size._replace(tasks=(name,))._asdict() | {"code": _code()}
    asked = json.loads(json.dumps(asked))
    if file.exists() and (known := json.loads(file.read_text()))["asked"] == asked:
        return dict(known["case"])
    start, task = time.perf_counter(), task_of(name)
    worst, fresh = untrained(task), fresh_of(size)
    methods: dict[str, Any] = {}
    for optimizer in size.optimizers:
        of = with_optimizer(task, optimizer, size, worst)
        methods |= {f"{optimizer}: {method}": found for method, found in of.items()}
        print(f"{name}, {optimizer}: {size.searches} searches each", flush=True)
    for free in size.free:
        losses = losses_of(free, task, fresh.reshape(-1), size).reshape(fresh.shape)
        methods[free] = {"scores": medians(losses, worst), "updates": 0}
    seconds = round(time.perf_counter() - start)
    made = {"task": name, "untrained": float(f"{worst:.5g}"), "seconds": seconds}
    made["methods"] = methods
    folder.mkdir(parents=True, exist_ok=True)
    part = file.with_suffix(f".{os.getpid()}")
    part.write_text(json.dumps({"asked": asked, "case": made}))
    part.replace(file)
    return made


def rows_of(compared: Compared, size: Size) -> Iterable[Row]:
    """Loss of what `tune` finds over that of what the others find or are."""
    for optimizer in size.optimizers:
        ours = f"{optimizer}: tune"
        same = [m for m in compared.methods if m.startswith(f"{optimizer}: ")]
        for other in [*same[1:], *size.free]:
            logs = compared.logs(ours) - compared.logs(other)
            by_task = logs.mean(axis=1)
            draws = np.random.default_rng(0).integers(
                len(by_task), size=(RESAMPLES, len(by_task))
            )
            low, high = np.quantile(np.exp(by_task[draws].mean(axis=1)), [0.05, 0.95])
            value = Spread(float(np.exp(by_task.mean())), float(low), float(high))
            worse = compared.worse(ours, other)
            note = f"less loss in {100 * (logs < 0).mean():.0f} % of the pairs; " + (
                f"beyond noise worse on {', '.join(worse)}"
                if worse
                else "on no task worse beyond noise"
            )
            yield Row(ours, other, value, "x its loss", 1, True, note)


def main() -> None:
    parser = _measure.arguments(str(__doc__).splitlines()[0], ())
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.add_argument("--cases", type=Path, default=CASES)
    parser.add_argument("--tasks", nargs="+", choices=NAMES, help="all by default")
    given = parser.parse_args()
    size = QUICK if given.quick else FULL
    size = size._replace(tasks=tuple(given.tasks or size.tasks))
    oc.sweep.use_cpu_devices()
    environment = _measure.environment()
    cases = [case(name, size, given.cases) for name in size.tasks]
    spaces = {"rates": RATES, "momenta": MOMENTA, "decays": DECAYS}
    settings = {**size._asdict(), "batch_size": BATCH, **spaces}
    record = {"environment": environment, "settings": settings, "cases": cases}
    compared = Compared(cases)
    rows = list(rows_of(compared, size))
    _measure.finish("tune_worth", given.results, record, rows)
    rewrite(given.page, tables(record, compared))
    print(f"rewrote the tables of {given.page}")


if __name__ == "__main__":
    main()
