"""`optax-cycles sweep`: its options, and what they say in `--help`."""

from __future__ import annotations

import argparse
from typing import Any

from optax_cycles.cli.arguments import positive_int
from optax_cycles.cli.interrupt import ends_at_once
from optax_cycles.cli.options import (
    RANGES,
    STOPPING,
    add_machine,
    add_output,
    add_problem,
    add_space,
    add_training,
    check_options,
    hyperparameters,
)
from optax_cycles.cli.points import GRID, Points, asked

_DESCRIPTION = """\
Train a grid of hyperparameters, or points drawn from their ranges, all at once,
and set them in order. Without --problem it takes scikit-learn's digits.
"""
_EPILOG = """\
examples:
  optax-cycles sweep
  optax-cycles sweep --space learning_rate=log:0.01:1:9 \\
      --space momentum=0.8,0.9,0.95 --seeds 3
  optax-cycles sweep --optimizer adamw --space learning_rate \\
      --space weight_decay --points 64 --sample sobol
  optax-cycles sweep --optimizer sgdw --optimizer adamw --space learning_rate \\
      --space sgdw.momentum=0.8,0.9,0.95 --space batch_size=16,32

{ranges}
  Without :NUM there are 64 values, or 16 each in a grid; with --points any
  between the ends.

hyperparameters:
{hyperparameters}
  and batch_size for all

{stopping}

written to the folder --out:
  sweep.json   "best" (hyperparameters, and the metric, the median over seeds),
               "leaderboard", "members", "updates", "settings", "seconds",
               "versions", "complete"
  sweep.nc     all curves, as netCDF; read it with xarray.open_dataset or
               oc.sweep.SweepResult.load; of several optimizers or batch sizes
               one each, sweep-NAME.nc
  sweep.png    each point as a line to its metric; of several optimizers or
               batch sizes their points side by side, and sweep-NAME.png
  state/       with --keep-state, the best member, for --from-checkpoint
  checkpoints/ there until the command is complete

exit code: 0, 1 (no finite metric, failed, or interrupted), 2 (bad input)
"""


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "sweep",
        help="train a grid of hyperparameters, or points",
        description=_DESCRIPTION,
        epilog=_EPILOG.format(
            ranges=RANGES, hyperparameters=hyperparameters(), stopping=STOPPING
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_problem(parser.add_argument_group("what is trained"), several=True)
    points = parser.add_argument_group("the points")
    add_space(points)
    points.add_argument(
        "--points",
        metavar="N",
        type=positive_int,
        help="draw so many points from the ranges (default: their grid)",
    )
    points.add_argument(
        "--sample",
        choices=("random", "sobol"),
        help="how: by chance, or evenly spread (default: random)",
    )
    points.add_argument(
        "--seeds",
        metavar="N",
        type=positive_int,
        default=1,
        help="trainings of each point, compared by their median (default: 1)",
    )
    add_training(points)
    add_machine(parser.add_argument_group("where it runs"))
    output = parser.add_argument_group("output")
    add_output(output, "optax-cycles-sweep", keep_state=True)
    parser.set_defaults(run=run, prog=parser.prog)


def question(args: argparse.Namespace) -> Points:
    """What the arguments ask.

    Raises:
      ValueError: if they make no sense together.
    """
    check_options(args)
    options = {"seeds": args.seeds}
    if args.points is None:
        if args.sample is not None:
            raise ValueError(f"--sample {args.sample} needs --points, how many to draw")
        return asked(args, GRID, options)
    drawing = {"points": args.points, "sample": args.sample or "random"}
    return asked(args, "points", options | drawing)


def run(args: argparse.Namespace) -> int:
    """Run the sweep; see the parser's description."""
    points = question(args)
    with ends_at_once(args.prog):
        from optax_cycles.cli.folder import SWEEP
        from optax_cycles.cli.searching import Searching

        work = Searching(args, points, SWEEP)
    return work.run()
