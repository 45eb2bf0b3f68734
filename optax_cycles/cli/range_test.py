"""`optax-cycles range-test`: its options, and what they say in `--help`."""

from __future__ import annotations

import argparse
from typing import Any

from optax_cycles.cli.arguments import (
    count,
    host_and_port,
    mesh_shape,
    positive_int,
    seconds,
)
from optax_cycles.cli.interrupt import ends_at_once
from optax_cycles.cli.optimizers import OPTIMIZERS
from optax_cycles.cli.question import asked
from optax_cycles.cli.space import constant, over

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

stopping: Ctrl-C keeps what has been computed. The same command with the same
  --out goes on from there; after a kill or a crash from the last checkpoint.
  Another command with that --out is refused, unless with --overwrite.

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
        epilog=_EPILOG.format(hyperparameters=_hyperparameters()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_problem(parser.add_argument_group("what is trained"))
    _add_test(parser.add_argument_group("the test"))
    _add_machine(parser.add_argument_group("where it runs"))
    _add_output(parser.add_argument_group("output"))
    parser.set_defaults(run=run, prog=parser.prog)


def _hyperparameters() -> str:
    lines = [f"  {name:<10}{', '.join(o.takes)}" for name, o in OPTIMIZERS.items()]
    return "\n".join(lines)


def _add_problem(group: Any) -> None:
    problem = group.add_mutually_exclusive_group()
    problem.add_argument(
        "--model",
        choices=("mlp", "cnn"),
        default="mlp",
        help="classifier of the embedded digits (default: %(default)s)",
    )
    problem.add_argument(
        "--problem",
        metavar="MODULE:ATTRIBUTE",
        help="a task of your own: an optax_cycles.problems.Task(problem, train, "
        "validation), or a function without arguments that returns one",
    )
    group.add_argument(
        "--optimizer",
        choices=tuple(OPTIMIZERS),
        default="momentum",
        help="momentum is SGD with momentum 0.9 (default: %(default)s)",
    )
    group.add_argument(
        "--constant",
        metavar="NAME=VALUE",
        type=constant,
        action="append",
        help="fix a hyperparameter of the optimizer; once for each",
    )
    group.add_argument(
        "--batch-size",
        metavar="N",
        type=positive_int,
        help="examples in each update (default: 32)",
    )
    group.add_argument(
        "--from-checkpoint",
        metavar="FOLDER",
        help="start from there: an Orbax checkpoint of parameters or of a train "
        "state, or the --out of a complete range test",
    )
    group.add_argument(
        "--restart-optimizer",
        action="store_true",
        help="take the checkpoint's parameters only, not the optimizer's momenta",
    )


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
    add(
        "--steps",
        metavar="N",
        type=positive_int,
        default=300,
        help="updates of each training (default: %(default)s)",
    )
    add(
        "--key",
        metavar="N",
        type=int,
        default=0,
        help="the seed of all random numbers (default: %(default)s)",
    )


def _add_machine(group: Any) -> None:
    add = group.add_argument
    add(
        "--placement",
        choices=("auto", "map", "vmap", "measure"),
        default="auto",
        help="members one after another on each device (map), side by side (vmap), "
        "or whatever a trial finds faster (measure); auto is map on a CPU",
    )
    add(
        "--devices",
        metavar="N",
        type=positive_int,
        help="devices to use (default: all); a CPU is made into as many, by default "
        "one a core",
    )
    add(
        "--mesh",
        metavar="AXES",
        type=mesh_shape,
        help="devices as a mesh: members=4,data=2 has each batch shared by two",
    )
    add(
        "--chunk",
        metavar="N",
        type=positive_int,
        help="members at a time (default: as many as fit into memory)",
    )
    add(
        "--distributed",
        action="store_true",
        help="one of several processes, the same command on each; Slurm, MPI, "
        "Kubernetes and TPU pods are found by themselves. The first process writes "
        "and prints, all read --out",
    )
    add(
        "--coordinator",
        metavar="HOST:PORT",
        type=host_and_port,
        help="elsewhere: where the first process is, with",
    )
    add("--processes", metavar="N", type=positive_int, help="how many there are, and")
    add("--process", metavar="I", type=count, help="which this one is, from 0")


def _add_output(group: Any) -> None:
    add = group.add_argument
    add(
        "--out",
        metavar="FOLDER",
        default="optax-cycles-out",
        help="where files go (default: %(default)s/)",
    )
    add(
        "--overwrite",
        action="store_true",
        help="start anew, whatever FOLDER holds of an earlier command",
    )
    add(
        "--checkpoint-every",
        metavar="SECONDS",
        type=seconds,
        default=60.0,
        help="least time between two checkpoints (default: %(default)g)",
    )


def run(args: argparse.Namespace) -> int:
    """Run the test; see the parser's description."""
    _check(args)
    question = asked(args)
    with ends_at_once(args.prog):
        from optax_cycles.cli.finding import prepare

        work = prepare(args, question)
    return work.run()


def _check(args: argparse.Namespace) -> None:
    """Raise where options make no sense together."""
    if args.mesh is not None and args.devices is not None:
        raise ValueError("--devices can't be given besides --mesh, which says how many")
    if args.restart_optimizer and args.from_checkpoint is None:
        raise ValueError("--restart-optimizer needs --from-checkpoint")
    cluster = {
        "--coordinator": args.coordinator,
        "--processes": args.processes,
        "--process": args.process,
    }
    missing = [name for name, value in cluster.items() if value is None]
    if 0 < len(missing) < len(cluster):
        raise ValueError(f"{' and '.join(cluster)} go together, got no {missing[0]}")
    if args.processes is not None and args.process >= args.processes:
        raise ValueError(
            f"--process must be below --processes ({args.processes}), got "
            f"{args.process}"
        )
