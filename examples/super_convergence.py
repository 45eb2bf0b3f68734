"""Super-convergence: 1cycle in a quarter of the updates of a piecewise constant decay.

A residual network is trained with both schedules, over a long and a short training,
with several seeds. The decay takes the best of several peak rates, 1cycle the one that
a range test says. It prints how accurate each is, and what holds of the paper's claim:
that the short 1cycle reaches the long decay.

Run it with `python examples/super_convergence.py --out super`, on scikit-learn's
digits; `--seeds 2 --steps 80` is quicker. `--data cifar10` is the published setting,
for a GPU: downloaded through scikit-learn, or read from CIFAR-10's own files, the
binary or the Python version, with `--folder`.

L. Smith and N. Topin, "Super-convergence: very fast training of neural networks using
large learning rates" (2018), https://arxiv.org/abs/1708.07120, figure 1 and section 5;
settings from https://github.com/lnsmith54/super-convergence.
"""

import argparse
import json
import math
import re
import sys
from pathlib import Path

import _super_convergence_figure as figure
import _super_convergence_report as report
import _super_convergence_tasks as tasks
import _super_convergence_training as training
from _reporting import Clock

import optax_cycles as oc
from optax_cycles.plot import save_figure

SEEDS = 16
TABLE = re.compile(r"(?<=<!-- table: start -->\n).*(?=<!-- table: end -->)", re.DOTALL)


def parse(argv):
    """What the command line says, with the task that it names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", choices=("digits", "cifar10"), default="digits")
    parser.add_argument("--folder", type=Path, help="where CIFAR-10's files are")
    parser.add_argument("--depth", type=int, help="of CIFAR-10's network; 56")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--steps", type=int, help="updates of the long trainings")
    parser.add_argument("--batch", type=int, help="examples in a batch")
    parser.add_argument("--train-examples", type=int, help="fewer than there are")
    parser.add_argument(
        "--rates", nargs="+", type=float, help="peaks to try the decay with"
    )
    parser.add_argument("--peak", type=float, help="of 1cycle, without a range test")
    parser.add_argument("--pad", type=int, help="crop after padding by as many pixels")
    parser.add_argument("--out", type=Path, help="folder for the figure and the JSON")
    parser.add_argument("--page", type=Path, help="a Markdown page to put the table in")
    given = parser.parse_args(argv)
    for name in ("seeds", "steps", "batch", "train_examples"):
        value = getattr(given, name)
        if value is not None and value < 1:
            option = name.replace("_", "-")
            parser.error(f"--{option} must be at least 1, got {value}")
    for name in ("folder", "depth"):
        if getattr(given, name) is not None and given.data != "cifar10":
            parser.error(f"--{name} goes with --data cifar10")
    if given.pad is not None and given.pad < 0:
        parser.error(f"--pad must be at least 0, got {given.pad}")
    for name, rates in (("rates", given.rates), ("peak", [given.peak])):
        if any(rate is not None and not 0 < rate < math.inf for rate in rates or []):
            parser.error(f"--{name} must be above 0 and finite, got {rates}")
    try:
        if given.page and not TABLE.search(given.page.read_text()):
            raise ValueError(f"--page must have the lines of a table, got {given.page}")
        return given, task_of(given)
    except (OSError, ValueError) as error:
        parser.error(str(error))


def task_of(given):
    """The task, changed as the command line says."""
    if given.data == "cifar10":
        depth = tasks.DEPTH if given.depth is None else given.depth
        task = tasks.cifar(given.folder, given.train_examples, depth)
    else:
        task = tasks.digits(given.train_examples)
    changes = {"updates": given.steps, "batch": given.batch}
    changes |= {"rates": given.rates, "pad": given.pad}
    task = task._replace(**{k: v for k, v in changes.items() if v is not None})
    if task.updates < task.share:
        raise ValueError(f"--steps must be at least {task.share}, got {task.updates}")
    examples = len(task.train[1])
    if task.batch > examples:
        raise ValueError(f"--batch must be at most {examples}, got {task.batch}")
    return task


def run(task, seeds, peak=None):
    """Range test and trainings: a `Comparison` and what the range test suggests."""
    train = training.trainable_of(task)
    suggestion = None
    if peak is None and task.cycle:
        _, peak = task.cycle
    elif peak is None:
        suggestion = training.range_test(task, train).suggest()
        peak = suggestion.peak
    decays, cycles = {}, {}
    for name, length in zip(("short", "long"), task.lengths, strict=True):
        decays[name], cycles[name] = training.compare(task, train, length, peak, seeds)
    return report.Comparison(decays, cycles), suggestion


def write(given, found, drawn):
    """Write the figure, the JSON and the page's table, where they are wanted."""
    if given.out:
        given.out.mkdir(parents=True, exist_ok=True)
        save_figure(drawn, given.out / "super_convergence.png")
        text = json.dumps(found, indent=1)
        (given.out / "super_convergence.json").write_text(text)
    if given.page:
        table = report.page(found)
        text = TABLE.sub(lambda _: f"\n{table}\n\n", given.page.read_text())
        given.page.write_text(text)


def main(argv=None):
    """Train, print, draw; returns what is written as JSON."""
    given, task = parse(argv)
    with Clock() as clock:
        try:
            compared, suggestion = run(task, given.seeds, given.peak)
        except oc.NoSuggestionError as error:
            print(
                f"super_convergence.py: error: {error}; or give --peak", file=sys.stderr
            )
            sys.exit(2)
    found = report.of(task, compared, suggestion, clock.seconds)
    report.show(found)
    write(given, found, figure.draw(task, compared))
    return found


if __name__ == "__main__":
    oc.sweep.use_cpu_devices()
    main()
