"""`optax-cycles tune`: its options, and what they say in `--help`."""

from __future__ import annotations

import argparse
import math
from typing import Any

from optax_cycles.cli.arguments import number, positive_int
from optax_cycles.cli.interrupt import ends_at_once
from optax_cycles.cli.options import (
    STOPPING,
    add_machine,
    add_metric,
    add_output,
    add_task,
    add_training,
    check_machine,
)
from optax_cycles.cli.points import mode_of

# Those that `oc.tune` knows by name.
OPTIMIZERS = ("sgdw", "adamw", "sgd", "adam", "rmsprop", "lion")
Momentum = float | tuple[float, float]

_DESCRIPTION = """\
From a model and its data to settings that work: the batch size, the learning
rate by a range test, rate, momentum and weight decay together, 1cycle against
other schedules, and a final training of the best few with fresh seeds, which
decide. Without --problem it takes scikit-learn's digits.
"""
_EPILOG = """\
examples:
  optax-cycles tune
  optax-cycles tune --problem my_package.my_module:task --budget 5min
  optax-cycles tune --optimizer adamw --steps 2000 --metric accuracy --mode max
  optax-cycles tune --batch-size 16,32,64 --momenta 0.9,0.95,0.85:0.95 \\
      --weight-decays 0,1e-4,1e-3

{stopping}
  The best recipe so far is kept, as soon as there is one.

written to the folder --out:
  recipe.json  the recipe with its evidence, for oc.Recipe.load
  recipe.py    its optimizer in a few lines of Python
  report.html  all of it on one page that needs no network
  tune.json    "recipe", "score" and "runner_up" (the final metric, a value for
               each seed), "steps" (what each learned, updates, seconds),
               "updates", "code", or a "refusal" and what was "tried";
               "settings", "seconds", "versions", "complete", and "stopped", why
               it is not
  checkpoints/ there until the command is complete

exit code: 0, 1 (nothing trains, no time for the final trainings, failed, or
interrupted), 2 (bad input)
"""


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "tune",
        help="from a model to a recipe: settings that work, and code",
        description=_DESCRIPTION,
        epilog=_EPILOG.format(stopping=STOPPING),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    task = parser.add_argument_group("what is trained")
    add_task(task)
    task.add_argument(
        "--optimizer",
        choices=OPTIMIZERS,
        default="sgdw",
        help="whose numbers are tuned (default: %(default)s)",
    )
    _add_tuned(parser.add_argument_group("what is tuned"))
    add_machine(parser.add_argument_group("where it runs"))
    add_output(parser.add_argument_group("output"), "optax-cycles-tune")
    # Tuning begins with fresh parameters.
    parser.set_defaults(run=run, prog=parser.prog, from_checkpoint=None)


def _add_tuned(group: Any) -> None:
    add = group.add_argument
    add_training(group, "updates of the training that the recipe is for")
    add(
        "--budget",
        metavar="UPDATES|TIME",
        type=budget,
        help="what tuning may spend: updates of all members together, or a time like "
        "90s, 5min or 1h (default: 120 trainings)",
    )
    add(
        "--batch-size",
        metavar="N[,N...]",
        type=batch_sizes,
        default=[32],
        help="examples in each update; of several the best is found, at as many "
        "examples, and --steps counts updates of the first (default: 32)",
    )
    add(
        "--rates",
        metavar="LOW:HIGH",
        type=ends,
        default=(1e-5, 10.0),
        help="the least and the largest learning rate (default: 1e-5:10)",
    )
    add(
        "--momenta",
        metavar="M[,M...]",
        type=momenta,
        help="those that are tried; LOW:HIGH moves against the rate (default: "
        "0.7,0.8,0.85:0.95,0.9,0.95,0.97,0.99)",
    )
    add(
        "--weight-decays",
        metavar="D[,D...]",
        type=numbers,
        help="those that are tried (default: 0, and four powers of ten by --steps)",
    )
    add_metric(group)


def budget(text: str) -> int | str:
    """A number of updates, or a time as it is written."""
    value = number(text)
    if value is None and text[:1].isdecimal():
        return text
    if not isinstance(value, int) or value < 1:
        raise argparse.ArgumentTypeError(
            f"must be a number of updates, or a time like 90s, 5min or 1h, got {text!r}"
        )
    return value


def batch_sizes(text: str) -> list[int]:
    """Positive integers, from `32` or `16,32,64`."""
    return [positive_int(part) for part in text.split(",")]


def numbers(text: str) -> list[float]:
    """Finite numbers, from `0,1e-4`."""
    return [_number(part, text, "numbers like 0,1e-4") for part in text.split(",")]


def ends(text: str) -> tuple[float, float]:
    """Two finite numbers, from `LOW:HIGH`."""
    return _pair(text, text, "two numbers LOW:HIGH")


def momenta(text: str) -> list[Momentum]:
    """Numbers and pairs of them, from `0.9,0.85:0.95`."""
    expected = "numbers and pairs LOW:HIGH like 0.9,0.85:0.95"
    return [
        _pair(part, text, expected) if ":" in part else _number(part, text, expected)
        for part in text.split(",")
    ]


def _pair(part: str, text: str, expected: str) -> tuple[float, float]:
    low, _, high = part.partition(":")
    return _number(low, text, expected), _number(high, text, expected)


def _number(part: str, text: str, expected: str) -> float:
    value = number(part)
    if value is None or not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"must be {expected}, got {text!r}")
    return float(value)


def question(args: argparse.Namespace) -> str:
    """The mode of the metric.

    Raises:
      ValueError: if the arguments make no sense together.
    """
    check_machine(args)
    many = args.distributed or args.coordinator is not None
    if many and isinstance(args.budget, str):
        raise ValueError(
            f"--budget {args.budget}: of several processes each has its own clock; "
            "give a number of updates"
        )
    return mode_of(args.metric, args.mode)


def run(args: argparse.Namespace) -> int:
    """Tune; see the parser's description."""
    mode = question(args)
    with ends_at_once(args.prog):
        from optax_cycles.cli.tuning import Tuning

        work = Tuning(args, mode)
    return work.run()
