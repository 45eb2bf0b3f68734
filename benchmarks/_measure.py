"""Helpers of the benchmarks: timing in alternation, the machine, results, tables."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

RESULTS = Path(__file__).parent / "results"
PACKAGES = (
    "jax",
    "jaxlib",
    "optax",
    "flax",
    "numpy",
    "torch",
    "torch-lr-finder",
)

Json = dict[str, Any]


class Spread(NamedTuple):
    """The median of repeated measurements, with the least and the largest."""

    median: float
    low: float
    high: float


class Row(NamedTuple):
    """One line of the benchmark table.

    Attributes:
      work: what was measured.
      against: what it is compared with.
      value: the figure, or None where it could not be measured.
      unit: what the figure is, such as "x faster" or "% of the rate".
      goal: the figure to reach.
      at_most: whether the figure is to stay below the goal, not above it.
      note: what is left out or went wrong, in words.
    """

    work: str
    against: str
    value: Spread | None
    unit: str
    goal: float
    at_most: bool = False
    note: str = ""

    @property
    def reached(self) -> bool | None:
        """Whether the median reaches the goal; None without a measurement."""
        if self.value is None:
            return None
        if self.at_most:
            return self.value.median <= self.goal
        return self.value.median >= self.goal

    def as_json(self) -> Json:
        """The row for a results file."""
        value = None if self.value is None else self.value._asdict()
        return {**self._asdict(), "value": value, "reached": self.reached}


def spread(values: Iterable[float]) -> Spread:
    """Median, least and largest of `values`."""
    known = list(values)
    return Spread(statistics.median(known), min(known), max(known))


def spread_of_ratios(above: Sequence[float], below: Sequence[float]) -> Spread:
    """Spread of the ratios, round by round, so that a slow spell hits both sides."""
    return spread(a / b for a, b in zip(above, below, strict=True))


def seconds(function: Callable[[], Any]) -> float:
    """Wall time of one call; the call must wait for its own result."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def median_seconds(function: Callable[[], Any], repeats: int) -> float:
    """Median wall time of `repeats` calls after one that is not counted."""
    function()
    return statistics.median(seconds(function) for _ in range(repeats))


def say(values: Mapping[str, Any]) -> None:
    """Hand one side's figures to the process that started it."""
    print(json.dumps(values))


def run_side(script: str, side: str, extra: Sequence[str]) -> Json:
    """Run one side of a benchmark in a process of its own.

    Returns:
      What the side said, with the wall time (`process`) and the processor time
      (`cpu`) of the whole process.

    Raises:
      RuntimeError: if the process failed; its errors are in the message.
    """
    command = [sys.executable, script, "--side", side, *extra]
    environment = os.environ | {"BENCHMARK_START": repr(time.time())}
    before, start = _children_cpu(), time.perf_counter()
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment
    )
    elapsed = time.perf_counter() - start
    if done.returncode:
        raise RuntimeError(f"{side}: {' '.join(command)} failed\n{done.stderr}")
    whole = {"process": elapsed, "cpu": _children_cpu() - before}
    return {**json.loads(done.stdout.splitlines()[-1]), **whole}


def _children_cpu() -> float:
    """Processor seconds of the finished child processes."""
    used = os.times()
    return used.children_user + used.children_system


def alternate(
    script: str, sides: Sequence[str], rounds: int, extra: Sequence[str] = ()
) -> dict[str, dict[str, list[float]]]:
    """Run all sides in turn, `rounds` times.

    Returns:
      For each side, each of its figures as a list over rounds.
    """
    said: dict[str, dict[str, list[float]]] = {side: {} for side in sides}
    for number in range(rounds):
        for side in sides:
            for name, value in run_side(script, side, extra).items():
                said[side].setdefault(name, []).append(value)
            print(f"round {number + 1} of {rounds}: {side} done", flush=True)
    return said


def environment() -> Json:
    """The date, the machine and the versions that a result stands for."""
    import optax_cycles as oc

    versions = {"optax-cycles": oc.__version__} | {p: _version(p) for p in PACKAGES}
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="minutes"),
        "cpu": _cpu(),
        "cores": _cores(),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "python": platform.python_version(),
        "versions": versions,
    }


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _cpu() -> str:
    """The CPU's name; on Linux with the numbers that tell generations apart."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    facts = dict(
        (part.strip() for part in line.split(":", 1)) for line in lines if ":" in line
    )
    name = facts.get("model name", platform.machine())
    return f"{name} (family {facts.get('cpu family')}, model {facts.get('model')})"


def environment_line(found: Json) -> str:
    """One line of text about the machine."""
    versions = ", ".join(f"{k} {v}" for k, v in found["versions"].items() if v)
    return (
        f"{found['date']}, {found['cpu']}, {found['cores']} cores, load "
        f"{found['load']} at the start, Python {found['python']}, {versions}"
    )


def table_rows(rows: Iterable[Json]) -> list[list[str]]:
    """Rows (as in a results file) as cells of text."""
    words = {True: "yes", False: "no", None: "not measured"}
    cells = []
    for row in rows:
        sign = "<=" if row["at_most"] else ">="
        value = row["value"]
        figure, between = "-", "-"
        if value is not None:
            figure = f"{value['median']:.3g}"
            between = f"{value['low']:.3g} to {value['high']:.3g}"
        goal = f"{sign} {row['goal']:g} {row['unit']}"
        reached = words[row["reached"]]
        line = [row["work"], row["against"], figure, between, goal, reached]
        cells.append([*line, row["note"]])
    return cells


HEADER = ["work", "against", "figure", "spread", "goal", "reached", "note"]


def plain_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table for a terminal."""
    lines = [list(header), *[list(row) for row in rows]]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    return "\n".join(
        "  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def as_text(value: Any, indent: int = 0) -> str:
    """Indented JSON with everything that holds no dict on one line."""
    if not any(map(has_dict, parts_of(value))):
        return json.dumps(value)
    inner = "\n" + " " * (indent + 1)
    texts = [as_text(part, indent + 1) for part in parts_of(value)]
    ends = "[]"
    if isinstance(value, dict):
        names = (json.dumps(str(name)) for name in value)
        texts = [f"{name}: {text}" for name, text in zip(names, texts, strict=True)]
        ends = "{}"
    return f"{ends[0]}{inner}{f',{inner}'.join(texts)}\n{' ' * indent}{ends[1]}"


def parts_of(value: Any) -> Sequence[Any]:
    """The values of a dict, the elements of a list; nothing is in anything else."""
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list | tuple) else ()


def has_dict(value: Any) -> bool:
    """Whether it is a dict, or has one inside."""
    return isinstance(value, dict) or any(map(has_dict, parts_of(value)))


def finish(name: str, folder: Path, record: Json, rows: Sequence[Row]) -> None:
    """Write `name.json` and print the rows."""
    lines = [row.as_json() for row in rows]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    path.write_text(as_text({"benchmark": name, **record, "rows": lines}) + "\n")
    print(environment_line(record["environment"]))
    print(plain_table(HEADER, table_rows(lines)))
    print(f"written to {path}")


def arguments(description: str, sides: Sequence[str]) -> argparse.ArgumentParser:
    """The options that all benchmarks share."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "--quick", action="store_true", help="tiny sizes, to see that it runs"
    )
    parser.add_argument(
        "--results", type=Path, default=RESULTS, help="folder of the JSON file"
    )
    if sides:
        parser.add_argument("--rounds", type=int, default=3, help="times in turn")
        parser.add_argument(
            "--sides", nargs="+", choices=sides, default=list(sides), help="what to run"
        )
        parser.add_argument("--side", choices=sides, help=argparse.SUPPRESS)
    return parser
