"""`optax-cycles range-test`: finds a learning rate, and trains with it."""

from __future__ import annotations

import argparse
import contextlib
import inspect
import time
from typing import Any, NamedTuple

import jax

from optax_cycles import sweep
from optax_cycles.cli.arguments import (
    attribute,
    positive_float,
    positive_int,
    writable_folder,
)
from optax_cycles.cli.console import Console
from optax_cycles.cli.optimizers import OPTIMIZERS
from optax_cycles.cli.report import Findings, show, write
from optax_cycles.cli.training import compare
from optax_cycles.problems import Task, digits_task
from optax_cycles.range_test import (
    NoSuggestionError,
    parallel_range_test,
    ramp_range_test,
)
from optax_cycles.sweep.loop import Interrupted
from optax_cycles.sweep.trainable import trainable

_EPILOG = """\
examples:
  optax-cycles range-test
  optax-cycles range-test --model cnn --optimizer adam --out adam-cnn
  optax-cycles range-test --problem my_package.my_module:task --lr-max 1

--problem names a task: an optax_cycles.problems.Task(problem, train, validation),
or a function without arguments that returns one.

written to the folder --out:
  range_test.png   the figure: loss against rate, share diverged, ramp, trainings
  range_test.json  "suggestion" (base, best and peak rate, the 90 % "interval" of the
                   best rate over seeds, "within_noise") or null with a "refusal";
                   "curve" (median loss and share diverged over the rates);
                   "ramp_rules" (what valley and steep say, a value for each seed);
                   "trainings" (final validation metrics of 1cycle and of the best
                   constant rate, a value for each seed); "settings"; "seconds";
                   "versions"; "complete" (false after Ctrl-C)
  parallel.nc, ramp.nc, training.nc
                   all curves, as netCDF; read them with xarray.open_dataset, or
                   with optax_cycles.sweep.SweepResult.load

exit code: 0, 1 (no suggestion, or interrupted), 2 (bad input)
"""


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "range-test",
        help="find a learning rate, and train with it",
        description=(
            "Train with many constant learning rates at once, several seeds each, "
            "suggest a range from the validation loss, and train with 1cycle at the "
            "suggestion and with the best constant rate."
        ),
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    problem = parser.add_mutually_exclusive_group()
    problem.add_argument(
        "--model",
        choices=("mlp", "cnn"),
        default="mlp",
        help="classifier of the embedded digits (default: %(default)s)",
    )
    problem.add_argument(
        "--problem", metavar="MODULE:ATTRIBUTE", help="a task of your own"
    )
    add("--optimizer", choices=tuple(OPTIMIZERS), default="momentum")
    add("--lr-min", type=positive_float, default=1e-5, help="default: %(default)s")
    add("--lr-max", type=positive_float, default=10.0, help="default: %(default)s")
    add("--num", type=positive_int, default=64, help="rates (default: %(default)s)")
    add("--seeds", type=positive_int, default=5, help="default: %(default)s")
    add(
        "--steps", type=positive_int, default=300, help="updates (default: %(default)s)"
    )
    add("--batch-size", type=positive_int, default=32, help="default: %(default)s")
    add("--key", type=int, default=0, help="random seed (default: %(default)s)")
    add(
        "--placement",
        choices=("auto", "map", "vmap"),
        default="auto",
        help="members one after another on each device, or side by side",
    )
    add("--out", default="optax-cycles-out", help="folder (default: %(default)s/)")
    parser.set_defaults(run=run, prog=parser.prog)


class _Work(NamedTuple):
    """What the parts of the command share."""

    args: argparse.Namespace
    task: Task
    reports: dict[str, Any]
    found: Findings

    @property
    def options(self) -> dict[str, Any]:
        return {
            "batch_size": self.args.batch_size,
            "placement": self.args.placement,
        }


def run(args: argparse.Namespace) -> int:
    """Run the test; see the parser's description."""
    imports = time.process_time()
    if args.lr_min >= args.lr_max:
        raise ValueError(
            f"--lr-min must be below --lr-max, got {args.lr_min:g} and {args.lr_max:g}"
        )
    if args.num < 3:
        raise ValueError(f"--num must be at least 3, got {args.num}")
    console = Console()
    if args.placement != "vmap":
        sweep.use_cpu_devices()
    found = Findings(settings=_settings(args))
    found.seconds["start and imports"] = imports
    with found.timed("data and model"):
        task = _task(args)
    out = writable_folder(args.out)
    try:
        with console.bars("range test", "ramp", "training") as reports:
            _find(_Work(args, task, reports, found))
        found.complete = True
    except KeyboardInterrupt:
        console.err.print("interrupted: what had been computed is kept")
    except BaseException:
        with contextlib.suppress(OSError):  # Only a folder that is empty goes.
            out.rmdir()
        raise
    with found.timed("figure and files"):
        written = write(found, out)
    show(found, console, out, written)
    return 0 if found.complete and found.suggestion is not None else 1


def _settings(args: argparse.Namespace) -> dict[str, Any]:
    hidden = {"run", "prog"} | ({"model"} if args.problem is not None else set())
    return {name: value for name, value in vars(args).items() if name not in hidden}


def _task(args: argparse.Namespace) -> Task:
    if args.problem is None:
        return digits_task(args.model)
    found = attribute("--problem", args.problem)
    if callable(found) and not isinstance(found, Task):
        _check_no_arguments(args.problem, found)
        found = found()
    if not isinstance(found, Task):
        raise TypeError(
            "--problem must name an optax_cycles.problems.Task or a function that "
            f"returns one, got {type(found).__name__}"
        )
    return found


def _check_no_arguments(name: str, function: Any) -> None:
    try:
        inspect.signature(function).bind()
    except TypeError as error:
        raise TypeError(f"--problem: {name} must take no arguments ({error})") from None


def _find(work: _Work) -> None:
    """The parts of the command, one after another; each leaves what it found."""
    args, found = work.args, work.found
    key = jax.random.key(args.key)
    optimizer = OPTIMIZERS[args.optimizer]
    train = trainable(work.task.problem, optimizer.constant)
    with found.timed("range test"):
        try:
            found.parallel = parallel_range_test(
                train,
                work.task.train,
                work.task.validation,
                over={
                    "learning_rate": sweep.log_space(args.lr_min, args.lr_max, args.num)
                },
                seeds=args.seeds,
                steps=args.steps,
                key=key,
                progress=work.reports["range test"],
                **work.options,
            )
        except Interrupted as stop:
            found.parallel = stop.result
            raise
    with found.timed("ramp"):
        found.ramp = ramp_range_test(
            train,
            work.task.train,
            low=args.lr_min,
            high=args.lr_max,
            steps=args.steps,
            seeds=args.seeds,
            key=key,
            progress=work.reports["ramp"],
            **work.options,
        )
    found.ask_ramp(("valley", "steep"))
    try:
        found.suggestion = found.parallel.suggest()
    except NoSuggestionError as refusal:
        found.refusal = str(refusal)
        return
    with found.timed("training"):
        found.training = compare(
            work.task,
            optimizer,
            found.suggestion,
            steps=args.steps,
            # Seeds that the suggestion has not seen.
            seeds=range(args.seeds, 2 * args.seeds),
            key=key,
            progress=work.reports["training"],
            **work.options,
        )
