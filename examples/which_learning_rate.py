"""Which optimizer, at which learning rate: Mack's experiment (2018), in minutes.

He trained a small network with six optimizers at 48 learning rates each, one run after
another, until it reached an accuracy: 287 runs, 31,095 seconds, 51 of which got there.
Here the rates of an optimizer, times seeds, train in one compiled program. It prints
which rates work, which is best, how long each takes, and which of his findings hold,
then how best rates move as the network grows.

Run it with `python examples/which_learning_rate.py --out which`, on scikit-learn's
digits; `--seeds 1 --widths` is quicker. `--data mnist` is his own experiment, for a
GPU: downloaded through scikit-learn, or read from IDX files with `--folder`.

David Mack, "How to pick the best learning rate for your machine learning project"
(2018), https://github.com/Octavian-ai/learning-rates.
"""

import argparse
import json
from pathlib import Path

import _which_learning_rate_analysis as analysis
import _which_learning_rate_figures as figures
import _which_learning_rate_report as report
import _which_learning_rate_tasks as tasks
import jax
import numpy as np
from _reporting import Clock

import optax_cycles as oc
from optax_cycles.plot import save_figure

# His: six a decade, without 1.
MACKS_RATES = [10 ** (i / 6) for i in range(-36, 13) if i != 0]
# Of networks of other widths: three a decade, a decade either way of the best at 1x.
WIDTH_STEP, WIDTH_REACH = 10 ** (1 / 3), 3
WIDTH_SEEDS = 3


def train(task, static, space):
    """Train every combination of static choices over its space, one compile each."""

    def make(optimizer, width=1):
        made = tasks.OPTIMIZERS[optimizer]
        return oc.trainable(task.problem(width), lambda hp: made(hp["learning_rate"]))

    return oc.search.over_static(
        static,
        make,
        space,
        task.train,
        task.updates,
        key=jax.random.key(0),
        batch_size=task.batch,
        validation=task.validation,
        horizons=task.horizons,
        segment=int(np.diff(task.horizons, prepend=0).max()),
        metric="accuracy",
        mode="max",
    )


def train_grid(task, optimizers, rates, seeds):
    """All optimizers at all rates, with every seed."""
    space = oc.sweep.grid(learning_rate=rates, seed=range(seeds))
    found = train(task, {"optimizer": optimizers}, space)
    runs = [
        analysis.runs_of(found.at(optimizer=name).sweep, task.target)
        for name in optimizers
    ]
    return dict(zip(optimizers, runs, strict=True))


def train_widths(task, grid, widths, seeds):
    """Networks of several widths, at rates about the best of the grid's."""
    best = {
        name: runs.valley.rates[runs.valley.best]
        for name, runs in grid.items()
        if runs.valley.best is not None
    }
    powers = np.arange(-WIDTH_REACH, WIDTH_REACH + 1)

    def space(point):
        rates = best[point["optimizer"]] * WIDTH_STEP**powers
        return oc.sweep.grid(learning_rate=rates, seed=range(seeds))

    found = train(task, {"optimizer": list(best), "width": widths}, space)

    def runs(name, width):
        sweep = found.at(optimizer=name, width=width).sweep
        return analysis.runs_of(sweep, task.target)

    return {name: {width: runs(name, width) for width in widths} for name in best}


def parse(argv):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    data = ("digits", "mnist", "generated")
    parser.add_argument("--data", choices=data, default=data[0])
    parser.add_argument("--folder", type=Path, help="where MNIST's four IDX files are")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument(
        "--rates", type=int, help="how many from 1e-6 to 100, instead of his 48"
    )
    parser.add_argument("--updates", type=int, help="the most that a run makes")
    parser.add_argument(
        "--optimizers", nargs="+", choices=tasks.OPTIMIZERS, default=[*tasks.OPTIMIZERS]
    )
    parser.add_argument(
        "--widths",
        nargs="*",
        type=float,
        default=[1.0, 2.0, 5.0, 10.0],
        help="of the network; none to leave them out",
    )
    parser.add_argument("--out", type=Path, help="folder for the figures and the JSON")
    given = parser.parse_args(argv)
    if given.folder and given.data != "mnist":
        parser.error("--folder goes with --data mnist")
    for name in ("seeds", "rates", "updates"):
        value = getattr(given, name)
        if value is not None and value < 1:
            parser.error(f"--{name} must be at least 1, got {value}")
    if any(width <= 0 for width in given.widths):
        parser.error(f"--widths must be above 0, got {given.widths}")
    return given


def write(folder, found, drawn):
    """Write the JSON and figures, where there is a folder for them."""
    if folder is None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    for name, figure in drawn.items():
        save_figure(figure, folder / f"which_learning_rate_{name}.png")
    (folder / "which_learning_rate.json").write_text(json.dumps(found, indent=1))


def main(argv=None):
    """Train, print, draw; returns what is written as JSON."""
    given = parse(argv)
    task = tasks.task_of(given.data, given.folder)
    if given.updates:
        task = task._replace(updates=given.updates)
    rates = MACKS_RATES
    if given.rates:
        rates = oc.sweep.log_space(1e-6, 100.0, given.rates)
    with Clock() as clock:
        grid = train_grid(task, given.optimizers, rates, given.seeds)
    found = report.of_grid(task, grid, clock.seconds)
    report.print_grid(found)
    drawn = {
        "valleys": figures.valley_figure(task, grid, analysis.mack()),
        "accuracy": figures.curves_figure(task, grid),
    }
    write(given.out, found, drawn)
    if given.widths:
        seeds = min(given.seeds, WIDTH_SEEDS)
        with Clock() as clock:
            widths = train_widths(task, grid, given.widths, seeds)
        found["widths"] = report.of_widths(widths, clock.seconds, WIDTH_STEP)
        report.print_widths(found["widths"])
        write(given.out, found, {"widths": figures.width_figure(widths)})
    return found


if __name__ == "__main__":
    oc.sweep.use_cpu_devices()
    main()
