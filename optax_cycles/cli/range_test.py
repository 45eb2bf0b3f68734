"""`optax-cycles range-test`: its options, and what they say in `--help`."""

from __future__ import annotations

import argparse
from typing import Any

from optax_cycles.cli.arguments import positive_int
from optax_cycles.cli.interrupt import ends_at_once
from optax_cycles.cli.options import (
    STOPPING,
    add_machine,
    add_output,
    add_problem,
    add_training,
    check_options,
    hyperparameters,
)
from optax_cycles.cli.question import asked
from optax_cycles.cli.space import over

_DESCRIPTION = """\
Find a learning rate, or other hyperparameters, and train with them: many
constant values at once, several seeds each, compared by their validation loss;
a ramp, for the rules of other finders; then 1cycle at the suggestion against
the best constant rate. Without --problem it takes scikit-learn's digits.
"""
_EPILOG = """\
examples:
  optax-cycles range-test
  optax-cycles range-test --model cnn --optimizer adam --out adam-cnn
  optax-cycles range-test --problem my_package.my_module:task \\
      --over learning_rate=log:1e-4:1
  optax-cycles range-test --optimizer sgdw --over learning_rate \\
      --over weight_decay=log:1e-6:1e-2:7
  optax-cycles range-test --over learning_rate=log:0.01:1:9 \\
      --over momentum=0.8,0.9,0.95
  optax-cycles range-test --test ramp --rule smith_range --seeds 3
  optax-cycles range-test --from-checkpoint optax-cycles-out --out later
  srun -N 2 optax-cycles range-test --distributed --out /shared/found

ranges: NAME=log:LOW:HIGH:NUM in equal ratios, NAME=lin:LOW:HIGH:NUM in equal
  steps, or a list NAME=A,B,C. Without :NUM there are 64 values, or 16 each in a
  grid. NAME alone has its usual range.

hyperparameters:
{hyperparameters}
  and batch_size for all

{stopping}

written to the folder --out:
  range_test.json  "suggestion" ("base", "best" and "peak" of the learning rate,
                   the 90 % "interval" of the best over seeds, "within_noise"),
                   "joint" (the best point of a grid) or a "refusal"; "curve"
                   (median loss and share diverged over the values);
                   "ramp_rules" (what all rules say, a value for each seed, and
                   how far they agree); "trainings" (final validation metrics, a
                   value for each seed); "settings"; "seconds"; "versions";
                   "complete" (false while it runs, and after it was stopped)
  range_test.png, ramp.png
                   loss against the values, share diverged, ramp, trainings
  parallel.nc, ramp.nc, training.nc
                   all curves, as netCDF; read them with xarray.open_dataset,
                   or load of oc.ParallelTest, oc.RampTest, oc.sweep.SweepResult
  state/           the best of the trainings, for --from-checkpoint
  checkpoints/     there until the command is complete

exit code: 0, 1 (no suggestion, failed, or interrupted), 2 (bad input)
"""


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "range-test",
        help="find a learning rate, and train with it",
        description=_DESCRIPTION,
        epilog=_EPILOG.format(hyperparameters=hyperparameters(), stopping=STOPPING),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_problem(parser.add_argument_group("what is trained"))
    _add_test(parser.add_argument_group("the test"))
    add_machine(parser.add_argument_group("where it runs"))
    add_output(parser.add_argument_group("output"), "optax-cycles-out")
    parser.set_defaults(run=run, prog=parser.prog)


def _add_test(group: Any) -> None:
    add = group.add_argument
    add(
        "--over",
        metavar="NAME[=RANGE]",
        type=over,
        action="append",
        help="a hyperparameter to test, see below; several make a grid (default: "
        "learning_rate=log:1e-5:10:64)",
    )
    add(
        "--test",
        choices=("both", "parallel", "ramp"),
        default="both",
        help="constant values, each a training of its own, or one training whose "
        "value climbs (default: %(default)s)",
    )
    add(
        "--ramp",
        choices=("exponential", "linear"),
        help="how it climbs (default: as its values are spaced)",
    )
    add(
        "--rule",
        metavar="RULE",
        help="whose answer is trained with: parallel_best (default), or a rule for "
        "ramps: valley, slide, minimum, steep, smith_range, steep_by_index, "
        "steep_by_value, steep_by_window",
    )
    add(
        "--seeds",
        metavar="N",
        type=positive_int,
        default=5,
        help="trainings of each point (default: %(default)s)",
    )
    add_training(group)


def run(args: argparse.Namespace) -> int:
    """Run the test; see the parser's description."""
    check_options(args)
    question = asked(args)
    with ends_at_once(args.prog):
        from optax_cycles.cli.finding import RangeTest

        work = RangeTest(args, question)
    return work.run()
