"""`optax-cycles range-test`: its options, and what they say in `--help`."""

from __future__ import annotations

import argparse
from typing import Any

from optax_cycles.cli.arguments import (
    count,
    host_and_port,
    mesh_shape,
    positive_float,
    positive_int,
    seconds,
)
from optax_cycles.cli.interrupt import ends_at_once
from optax_cycles.cli.optimizers import OPTIMIZERS

_DESCRIPTION = """\
Train with many constant learning rates at once, several seeds each, suggest a
range from the validation loss, and train with 1cycle at the suggestion and with
the best constant rate. Without --problem it takes scikit-learn's digits.
"""
_EPILOG = """\
examples:
  optax-cycles range-test
  optax-cycles range-test --model cnn --optimizer adam --out adam-cnn
  optax-cycles range-test --problem my_package.my_module:task --lr-max 1
  optax-cycles range-test --placement measure --chunk 64 --steps 5000
  srun -N 2 optax-cycles range-test --distributed --out /shared/found

stopping: Ctrl-C keeps what has been computed. The same command with the same
  --out goes on from there; after a kill or a crash from the last checkpoint.
  Another command with that --out is refused, unless with --overwrite.

written to the folder --out:
  range_test.png   the figure: loss against rate, share diverged, ramp, trainings
  range_test.json  "suggestion" (base, best and peak rate, the 90 % "interval" of
                   the best rate over seeds, "within_noise") or null with a
                   "refusal"; "curve" (median loss and share diverged over the
                   rates); "ramp_rules" (what valley and steep say, a value for
                   each seed); "trainings" (final validation metrics of 1cycle and
                   of the best constant rate, a value for each seed); "settings";
                   "seconds"; "versions"; "complete" (false while it runs, and
                   after it was stopped)
  parallel.nc, ramp.nc, training.nc
                   all curves, as netCDF; read them with xarray.open_dataset, or
                   with optax_cycles.sweep.SweepResult.load
  checkpoints/     there until the command is complete

exit code: 0, 1 (no suggestion, failed, or interrupted), 2 (bad input)
"""


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "range-test",
        help="find a learning rate, and train with it",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_problem(parser.add_argument_group("what is trained"))
    _add_test(parser.add_argument_group("the test"))
    _add_machine(parser.add_argument_group("where it runs"))
    _add_output(parser.add_argument_group("output"))
    parser.set_defaults(run=run, prog=parser.prog)


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
        "--batch-size",
        metavar="N",
        type=positive_int,
        default=32,
        help="examples in each update (default: %(default)s)",
    )


def _add_test(group: Any) -> None:
    add = group.add_argument
    add(
        "--lr-min",
        metavar="RATE",
        type=positive_float,
        default=1e-5,
        help="lowest learning rate (default: %(default)s)",
    )
    add(
        "--lr-max",
        metavar="RATE",
        type=positive_float,
        default=10.0,
        help="highest learning rate (default: %(default)s)",
    )
    add(
        "--num",
        metavar="N",
        type=positive_int,
        default=64,
        help="rates, in equal ratios (default: %(default)s)",
    )
    add(
        "--seeds",
        metavar="N",
        type=positive_int,
        default=5,
        help="trainings of each rate (default: %(default)s)",
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
    with ends_at_once(args.prog):
        from optax_cycles.cli.finding import prepare

        work = prepare(args)
    return work.run()


def _check(args: argparse.Namespace) -> None:
    """Raise where options make no sense together."""
    if args.lr_min >= args.lr_max:
        raise ValueError(
            f"--lr-min must be below --lr-max, got {args.lr_min:g} and {args.lr_max:g}"
        )
    if args.num < 3:
        raise ValueError(f"--num must be at least 3, got {args.num}")
    if args.mesh is not None and args.devices is not None:
        raise ValueError("--devices can't be given besides --mesh, which says how many")
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
