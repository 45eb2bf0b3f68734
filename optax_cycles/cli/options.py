"""Options that the commands which train have in common."""

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
from optax_cycles.cli.optimizers import OPTIMIZERS
from optax_cycles.cli.space import constant, constant_of_optimizer, of_optimizer

# Which of them say neither what is computed nor how it is rounded.
UNSAID = {"run", "prog", "overwrite"}
UNSAID |= {"distributed", "coordinator", "processes", "process"}

STOPPING = """\
stopping: Ctrl-C keeps what has been computed. The same command with the same
  --out goes on from there; after a kill or a crash from the last checkpoint.
  Another command with that --out is refused, unless with --overwrite.\
"""

RANGES = """\
ranges: NAME=log:LOW:HIGH[:NUM] in equal ratios, lin: in equal steps, int: and
  intlog: the same of integers, or a list NAME=A,B,C. NAME alone has its usual
  range; OPTIMIZER.NAME is of that one of several optimizers.\
"""


def hyperparameters() -> str:
    """The hyperparameters of each optimizer, for `--help`."""
    lines = [f"  {name:<10}{', '.join(o.takes)}" for name, o in OPTIMIZERS.items()]
    return "\n".join(lines)


def add_task(group: Any) -> None:
    """The task: its model, its loss and its data."""
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


def add_problem(group: Any, *, several: bool = False) -> None:
    """What is trained, with one optimizer, or one after another."""
    add_task(group)
    if several:
        _add_optimizers(group)
    else:
        _add_optimizer(group)
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
        "state, or the --out of a complete command",
    )
    group.add_argument(
        "--restart-optimizer",
        action="store_true",
        help="take the checkpoint's parameters only, not the optimizer's momenta",
    )


def _add_optimizer(group: Any) -> None:
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


def _add_optimizers(group: Any) -> None:
    group.add_argument(
        "--optimizer",
        choices=tuple(OPTIMIZERS),
        action="append",
        help="momentum is SGD with momentum 0.9 (default: momentum); given several "
        "times, each is compiled and tried",
    )
    group.add_argument(
        "--constant",
        metavar="NAME=VALUE",
        type=constant_of_optimizer,
        action="append",
        help="fix a hyperparameter of the optimizer, or of one of them "
        "(sgdw.momentum=0.9); once for each",
    )


def add_space(group: Any) -> None:
    """Which hyperparameters are tried, and by what they are compared."""
    group.add_argument(
        "--space",
        metavar="NAME[=RANGE]",
        type=of_optimizer,
        action="append",
        help="a hyperparameter to try, see below; once for each (default: "
        "learning_rate=log:1e-5:10)",
    )
    add_metric(group)


def add_metric(group: Any) -> None:
    """By what settings are compared."""
    group.add_argument(
        "--metric",
        metavar="NAME",
        default="loss",
        help="the validation metric that is compared (default: %(default)s)",
    )
    group.add_argument(
        "--mode",
        choices=("min", "max"),
        help="whether less or more of it is better (default: min of the loss)",
    )


def add_training(group: Any, steps: str = "updates of each training") -> None:
    """How long members train, what `steps` says, and with which random numbers."""
    group.add_argument(
        "--steps",
        metavar="N",
        type=positive_int,
        default=300,
        help=f"{steps} (default: %(default)s)",
    )
    group.add_argument(
        "--key",
        metavar="N",
        type=int,
        default=0,
        help="the seed of all random numbers (default: %(default)s)",
    )


def add_machine(group: Any) -> None:
    """Where it runs."""
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


def add_output(group: Any, out: str, *, keep_state: bool = False) -> None:
    """Where files go, by default `out`, and whether states may be kept."""
    add = group.add_argument
    add(
        "--out",
        metavar="FOLDER",
        default=out,
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
    if keep_state:
        add(
            "--keep-state",
            action="store_true",
            help="keep the best member's parameters in state/; those of all members "
            "are in the host's memory until then",
        )


def check_options(args: argparse.Namespace) -> None:
    """Raise where these options make no sense together."""
    if args.restart_optimizer and args.from_checkpoint is None:
        raise ValueError("--restart-optimizer needs --from-checkpoint")
    check_machine(args)


def check_machine(args: argparse.Namespace) -> None:
    """Raise where those of `add_machine` make no sense together."""
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
