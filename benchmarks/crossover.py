"""From how many members on training side by side beats one after another.

Time per member-step (one update of one member) of the sweep engine with the placements
"map" (members one after another on each device) and "vmap" (side by side), for 1 to 64
members of several models of the digits, batch 32, momentum SGD, compile apart. It runs
on whatever JAX finds: all cores of a CPU as a device each, or GPUs. The placements take
turns, round by round; the figure shows medians.

A row compares the placement that "auto" takes on this platform with the faster one, at
the number of members where that costs most.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import _measure
import jax
import numpy as np
import optax
from _measure import Row, Spread, spread, spread_of_ratios
from _models import mlp, parameters

import optax_cycles as oc
from optax_cycles import problems
from optax_cycles.sweep.placement import resolve_placement

FIGURE = Path(__file__).parent.parent / "docs" / "images" / "crossover.png"
BATCH, MOMENTUM = 32, 0.9
PLACEMENTS = ("map", "vmap")
# A quarter more time than that of the better placement is what "auto" may cost.
GOAL = 1.25


class Size(NamedTuple):
    """How much is run.

    Attributes:
      models: `"cnn"`, or the width of an MLP's two hidden layers.
      members: sizes of the populations.
      seconds: what one timing should last.
      updates: the most that one timing makes.
      rounds: timings of each.
    """

    models: tuple[str, ...] = ("16", "64", "256", "1024", "cnn")
    members: tuple[int, ...] = (1, 4, 16, 64)
    seconds: float = 0.4
    updates: int = 400
    rounds: int = 5


QUICK = Size(("8", "cnn"), members=(1, 3), seconds=0.0, updates=2, rounds=2)


def problem(model: str) -> oc.Problem:
    """The problem that `Size.models` names."""
    if model == "cnn":
        return problems.digits_problem("cnn")
    return mlp((64, int(model), int(model), 10))


def momentum_sgd(task: oc.Problem) -> oc.Trainable:
    """A problem with its optimizer."""
    return oc.trainable(
        task, lambda hp: optax.sgd(hp["learning_rate"], momentum=MOMENTUM)
    )


def title(model: str) -> str:
    """A model in words."""
    count = parameters(problem(model))
    short = f"{count / 1e6:.1f} M" if count >= 1e6 else f"{count / 1e3:.2g} k"
    kind = "CNN" if model == "cnn" else f"MLP, width {model}"
    return f"{kind} ({short})"


class Population:
    """A population whose updates can be timed.

    Attributes:
      members: how many train.
      updates: how many each timing makes.
    """

    def __init__(self, engine: oc.sweep.Engine, members: int, size: Size) -> None:
        """Compile, warm up, and fit the number of updates to `size.seconds`."""
        self.engine, self.members = engine, members
        key = jax.random.key(0)
        self._space = {"learning_rate": np.geomspace(1e-4, 1e-2, members)}
        self._batches = oc.sweep.ArrayBatches(problems.digits().train, BATCH, key)
        self._batches.data = engine.place(self._batches.data)
        self._most = size.updates
        self.updates = 1
        self.microseconds()
        start = time.perf_counter()
        self.microseconds()
        once = time.perf_counter() - start
        self.updates = int(np.clip(size.seconds / once, 1, size.updates))

    def microseconds(self) -> float:
        """Time per member-step."""
        members = self.engine.init(jax.random.key(0), self._space)
        segment = self.engine.place(
            self._batches.segment(np.zeros(1), 0, self._most, self.updates)
        )
        jax.block_until_ready((members, segment))
        start = time.perf_counter()
        members, _ = self.engine.advance(members, segment)
        jax.block_until_ready(members)
        spent = time.perf_counter() - start
        made = np.asarray(members.step)[: self.members]
        if not np.all(made == self.updates):
            raise RuntimeError("not every member made every update")
        return spent / self.members / self.updates * 1e6


def timings(model: str, size: Size) -> dict[str, list[list[float]]]:
    """Microseconds per member-step: by placement, `[members, rounds]`."""
    train = momentum_sgd(problem(model))
    engines = {name: oc.sweep.build(train, placement=name) for name in PLACEMENTS}
    found: dict[str, list[list[float]]] = {name: [] for name in PLACEMENTS}
    for members in size.members:
        ready = {n: Population(engine, members, size) for n, engine in engines.items()}
        rounds = [
            {name: one.microseconds() for name, one in ready.items()}
            for _ in range(size.rounds)
        ]
        for name in PLACEMENTS:
            found[name].append([one[name] for one in rounds])
        words = ", ".join(f"{n} {spread(found[n][-1]).median:.1f}" for n in PLACEMENTS)
        print(f"{title(model)}, {members} members: {words} us", flush=True)
    return found


def crossing(found: dict[str, list[list[float]]], members: Sequence[int]) -> str:
    """From how many members on which placement is faster, in words."""
    faster = [
        min(PLACEMENTS, key=lambda name: spread(found[name][i]).median)
        for i in range(len(members))
    ]
    parts = [f"{faster[0]} from {members[0]}"]
    for count, (before, now) in zip(
        members[1:], itertools.pairwise(faster), strict=True
    ):
        if now != before:
            parts.append(f"{now} from {count}")
    return f"faster: {', '.join(parts)} members on"


def cost_of_auto(found: dict[str, list[list[float]]], auto: str) -> list[Spread]:
    """Time with the default placement over that with the faster, by members."""
    costs = []
    for at, ours in enumerate(found[auto]):
        against = [spread_of_ratios(ours, found[name][at]) for name in PLACEMENTS]
        costs.append(max(against, key=lambda cost: cost.median))
    return costs


def row(model: str, found: dict[str, list[list[float]]], size: Size) -> Row:
    """What the default placement costs at worst, and where the two cross."""
    auto = resolve_placement("auto").inside
    costs = cost_of_auto(found, auto)
    worst = int(np.argmax([cost.median for cost in costs]))
    note = f"at {size.members[worst]} members; {crossing(found, size.members)}"
    work = f"{title(model)}: {auto}, the default, on {platform()}"
    against = "the faster of map and vmap"
    return Row(work, against, costs[worst], "x the time", GOAL, True, note)


def platform() -> str:
    """The devices in words."""
    devices = jax.devices()
    kind = "CPU" if devices[0].platform == "cpu" else devices[0].device_kind
    return f"{len(devices)} {kind} device{'s' if len(devices) > 1 else ''}"


def draw(found: dict[str, Any], size: Size, path: Path) -> None:
    """Times against members, and the ratio of the two placements."""
    from matplotlib.lines import Line2D
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    from optax_cycles import plot

    colors = (plot.BLUE, plot.ORANGE, plot.GREEN, plot.PURPLE, plot.RED, plot.SKY)
    marks = "osD^vP"
    figure = plot.new_figure(9.0, 4.6)
    times, ratios = figure.subplots(1, 2)
    for (model, one), color, mark in zip(found.items(), colors, marks, strict=False):
        medians = {n: np.median(one[n], axis=1) for n in PLACEMENTS}
        style: dict[str, Any] = {"color": color, "marker": mark, "markersize": 5}
        times.plot(size.members, medians["map"], "-", **style)
        times.plot(size.members, medians["vmap"], "--", fillstyle="none", **style)
        ratio = medians["map"] / medians["vmap"]
        ratios.plot(size.members, ratio, "-", label=title(model), **style)
    times.set_ylabel("time per member-step (µs)")
    ratios.set_ylabel("time with map / time with vmap")
    ratios.axhline(1.0, color=plot.GREY, linewidth=1.0)
    corner: dict[str, Any] = {
        "color": plot.GREY,
        "ha": "right",
        "transform": ratios.transAxes,
    }
    ratios.text(0.98, 0.98, "vmap is faster", va="top", **corner)
    ratios.text(0.98, 0.02, "map is faster", va="bottom", **corner)
    for panel in (times, ratios):
        panel.set(xscale="log", yscale="log", xlabel="members")
        panel.set_xticks(size.members, labels=map(str, size.members))
        panel.xaxis.set_minor_locator(NullLocator())
        panel.grid(True, which="both", alpha=0.25)
        panel.spines[["top", "right"]].set_visible(False)
    # Room for the words above and below the curves.
    low, high = ratios.get_ylim()
    ratios.set_ylim(min(low, 0.8) / 1.2, max(high, 1.25) * 1.2)
    ratios.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ratios.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ratios.yaxis.set_minor_locator(NullLocator())
    grey: dict[str, Any] = {"color": plot.GREY, "marker": "o"}
    kinds = [
        Line2D([], [], label="map: one after another", **grey),
        Line2D([], [], ls="--", fillstyle="none", label="vmap: side by side", **grey),
    ]
    handles = [*ratios.get_legend_handles_labels()[0], *kinds]
    figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False)
    figure.suptitle(f"Momentum SGD, batch {BATCH}, {platform()}", fontsize=11)
    plot.save_figure(figure, path)


def main() -> None:
    parser = _measure.arguments(str(__doc__).splitlines()[0], ())
    parser.add_argument("--figure", type=Path, default=FIGURE, help="where to draw it")
    given = parser.parse_args()
    size = QUICK if given.quick else Size()
    environment = _measure.environment()
    oc.sweep.use_cpu_devices()
    found = {model: timings(model, size) for model in size.models}
    given.figure.parent.mkdir(parents=True, exist_ok=True)
    draw(found, size, given.figure)
    record = {
        "environment": environment,
        "settings": {**size._asdict(), "batch": BATCH, "devices": platform()},
        "models": {
            m: {"parameters": parameters(problem(m)), **found[m]} for m in found
        },
    }
    rows = [row(model, one, size) for model, one in found.items()]
    _measure.finish("crossover", given.results, record, rows)


if __name__ == "__main__":
    main()
