"""`optax-cycles search`: its options, and what they say in `--help`."""

from __future__ import annotations

import argparse
from typing import Any

from optax_cycles.cli.arguments import count, number_where, positive_int
from optax_cycles.cli.interrupt import ends_at_once
from optax_cycles.cli.methods import METHODS, method_options, written
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
from optax_cycles.cli.points import Points, asked

_DESCRIPTION = """\
Search for hyperparameters: who goes on, who is copied and what is tried next is
decided on the way. Without --problem it takes scikit-learn's digits.
"""
_EPILOG = """\
examples:
  optax-cycles search
  optax-cycles search --optimizer sgdw --space learning_rate \\
      --space weight_decay --points 81 --sample sobol --seeds 3
  optax-cycles search --method population --members 16 --interval 20 \\
      --space learning_rate=log:1e-3:1 --space momentum=lin:0:0.99
  optax-cycles search --method optuna --trials 48 --batch 8 \\
      --metric accuracy --mode max
  optax-cycles search --optimizer sgdw --optimizer adamw \\
      --space sgdw.learning_rate --space adamw.learning_rate=log:1e-5:0.1 \\
      --space weight_decay

methods:
  halving     train all points for a little, the best third longer, and so on
  hyperband   several halvings, of many points and of few
  population  the worst members copy the best, and change what they copied: it
              finds a schedule, the "history" of the best member
  optuna      batches of trials that Optuna's TPE sampler asks for

options of each method:
{options}

{ranges}
  Points are drawn from all between the ends, of log: and intlog: by their
  logarithms, or from the list.

hyperparameters:
{hyperparameters}
  and batch_size for all: each size is searched on its own

{stopping}

written to the folder --out:
  search.json  "best" (hyperparameters, and the metric, the median over seeds),
               "leaderboard", "members", "updates" (spent, of so many to train
               all to the end), "history" (of the best of a population: its
               numbers from each of "steps" on), "settings", "seconds",
               "versions", "complete"
  search.nc    all curves, and who copied whom, as netCDF; read it with
               xarray.open_dataset or oc.sweep.SweepResult.load; of several
               optimizers or batch sizes one each, search-NAME.nc
  search.png   who was dropped when, who copied whom, or each trial as a line to
               its metric; of several optimizers or batch sizes their points
               side by side, and search-NAME.png
  study.db     Optuna's storage, unless --study is another
  state/       with --keep-state, the best member, for --from-checkpoint
  checkpoints/ there until the command is complete

exit code: 0, 1 (no finite metric, failed, or interrupted), 2 (bad input)
"""


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    lines = [f"  {m:<12}{', '.join(map(written, own))}" for m, own in METHODS.items()]
    parser = commands.add_parser(
        "search",
        help="search for hyperparameters, or for their schedules",
        description=_DESCRIPTION,
        epilog=_EPILOG.format(
            ranges=RANGES,
            options="\n".join(lines),
            hyperparameters=hyperparameters(),
            stopping=STOPPING,
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_problem(parser.add_argument_group("what is trained"), several=True)
    search = parser.add_argument_group("the search")
    add_space(search)
    search.add_argument(
        "--method",
        choices=tuple(METHODS),
        default="halving",
        help="see below (default: %(default)s)",
    )
    add_training(search)
    _add_method(parser.add_argument_group("options of some methods"))
    add_machine(parser.add_argument_group("where it runs"))
    output = parser.add_argument_group("output")
    add_output(output, "optax-cycles-search", keep_state=True)
    parser.set_defaults(run=run, prog=parser.prog)


def _add_method(group: Any) -> None:
    def add(name: str, said: str, metavar: str = "N", **kind: Any) -> None:
        kind = kind or {"type": positive_int}
        shown = {} if "choices" in kind else {"metavar": metavar}
        group.add_argument(name, help=said, **shown, **kind)

    add("--points", "points to begin with (default: 32)")
    add("--sample", "how they are drawn (default: random)", choices=("random", "sobol"))
    add("--seeds", "trainings of each point, compared by their median (default: 1)")
    add(
        "--eta",
        "how many times fewer points go on, so many times as far (default: 3)",
        "ETA",
        type=number_where("a number above 1", lambda eta: eta > 1),
    )
    add("--first", "updates before the first are dropped (default: by --steps)")
    add(
        "--members",
        "members that train at once (default: 20)",
        type=number_where(
            "an integer from 4 on", lambda size: isinstance(size, int) and size >= 4
        ),
    )
    add("--interval", "updates between two copyings (default: a 20th of --steps)")
    add("--burn-in", "updates before the first copying (default: 0)", type=count)
    add(
        "--share",
        "of the members that are replaced each time (default: 0.2)",
        "SHARE",
        type=number_where(
            "a number above 0 and at most 0.5", lambda share: 0 < share <= 0.5
        ),
    )
    add("--trials", "trials in all (default: 64)")
    add("--batch", "trials that train at once (default: 16)")
    add(
        "--study",
        "Optuna's storage, a SQLite file or what Optuna takes (default: study.db in "
        "--out); earlier trials of the same space there are known to the sampler",
        "FILE.db|URL",
        type=str,
    )


def question(args: argparse.Namespace) -> Points:
    """What the arguments ask.

    Raises:
      ValueError: if they make no sense together.
    """
    check_options(args)
    options = method_options(args)
    if args.method == "optuna":
        if args.distributed or args.coordinator is not None:
            raise ValueError("--method optuna runs in one process, not --distributed")
        if args.keep_state:
            raise ValueError("--method optuna keeps no states: --keep-state is not for")
    return asked(args, args.method, options)


def run(args: argparse.Namespace) -> int:
    """Run the search; see the parser's description."""
    points = question(args)
    with ends_at_once(args.prog):
        from optax_cycles.cli.folder import SEARCH
        from optax_cycles.cli.searching import Searching

        work = Searching(args, points, SEARCH)
    return work.run()
