"""The work of `sweep` and `search`."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from optax_cycles import _checks, search, sweep
from optax_cycles.cli.console import Report
from optax_cycles.cli.folder import Kind
from optax_cycles.cli.optimizers import OPTIMIZERS
from optax_cycles.cli.points import GRID, Points
from optax_cycles.cli.question import BATCH_SIZE
from optax_cycles.cli.search_report import Searched, write
from optax_cycles.cli.search_tables import show
from optax_cycles.cli.studies import Studies
from optax_cycles.cli.work import DEFAULT_BATCH_SIZE, Program, Work, settings_of
from optax_cycles.search.result import SearchResult
from optax_cycles.sweep.arguments import validation_batch
from optax_cycles.sweep.batches import check_batch_size, examples
from optax_cycles.sweep.check import check_trainable
from optax_cycles.sweep.loop import Interrupted, SweepError
from optax_cycles.sweep.space import with_seeds
from optax_cycles.sweep.trainable import Trainable, initial_state, trainable

_OPTIMIZER = "optimizer"
# What points are drawn by, and not what the search is told.
_DRAWING = ("points", "sample", "seeds")


class Searching(Work):
    """The work of `sweep` and `search`.

    Attributes:
      found: what has been found so far.
      asked: what is asked.
      trains: of each optimizer what is trained, from where it starts.
    """

    def __init__(self, args: argparse.Namespace, asked: Points, kind: Kind) -> None:
        """Read what the command is about, and see what its folder holds.

        Raises:
          ValueError, TypeError, OSError: for bad input.
        """
        settings = _settings(args, asked)
        self.found = Searched(kind, settings, method=asked.method)
        super().__init__(args, self.found)
        self.asked = asked
        self.trains = {name: self._train(name) for name in asked.optimizers}
        self._check()
        self.open()

    def _train(self, name: str) -> Trainable:
        constant = OPTIMIZERS[name].constant(self.asked.fixed[name])
        return self.started(trainable(self.task.problem, constant))

    def _check(self) -> None:
        """Check what is trained, and that it reports the metric that is compared."""
        task, programs = self.task, self.programs()
        count = examples("run", "data", task.train)
        for program in programs:
            check_batch_size("run", count, program.batch_size)
        validation_batch(task.train, task.validation)
        with self._tracing():
            for program in programs:
                train, (batch, validation) = program.trainable, self._batches(program)
                check_trainable(train, program.hparams, batch, validation)
                known = _metrics(train, program.hparams, validation)
                if self.asked.metric not in known:
                    near = _checks.near(self.asked.metric, known)
                    got = self.asked.metric
                    raise ValueError(f"--metric must be {near}, got {got!r}")

    def parts(self) -> Sequence[str]:
        """The one part there is."""
        return [self.found.kind.noun]

    def find(self, reports: Mapping[str, Report]) -> None:
        """Search; leaves what it found, also where it stops."""
        asked, found, (part,) = self.asked, self.found, self.parts()
        method, own = self._method()
        static: dict[str, Any] = {_OPTIMIZER: asked.optimizers}
        if asked.batch_sizes:
            static[BATCH_SIZE] = asked.batch_sizes
        else:
            own[BATCH_SIZE] = self.args.batch_size or DEFAULT_BATCH_SIZE
        with found.timed(part):
            try:
                found.result = search.over_static(
                    static,
                    lambda optimizer: self.trains[optimizer],
                    self._space,
                    self.task.train,
                    self.args.steps,
                    validation=self.task.validation,
                    method=method,
                    metric=asked.metric,
                    mode=asked.mode,
                    **own,
                    **self.sweep_options(reports[part]),
                )
            except (Interrupted, SweepError) as stop:
                found.result = stop.result
                raise
        found.refuse()

    def _method(self) -> tuple[Callable[..., SearchResult] | None, dict[str, Any]]:
        """What searches, and what it is told of its own."""
        asked = self.asked
        own = {
            name: value
            for name, value in asked.options.items()
            if value is not None and name not in _DRAWING
        }
        own |= self.checkpoint(self.found.kind.noun)
        if asked.method == "optuna":
            del own["checkpoint_every"]
            studies = Studies(own.pop("study", None), self.folder, self.args.key)
            return studies.search, own
        own["keep_state"] = self.args.keep_state
        if asked.method in ("hyperband", "population"):
            return getattr(search, asked.method), own | {"seed": self.args.key}
        return search.successive_halving if asked.method == "halving" else None, own

    def _space(self, point: Mapping[str, Any]) -> Any:
        """What is tried of an optimizer: a grid, points, or what they are drawn of."""
        ranges = self.asked.ranges[point[_OPTIMIZER]]
        options = self.asked.options
        if self.asked.method == GRID:
            axes = {one.name: one.values() for one in ranges}
            space = sweep.grid(**axes) if axes else sweep.Space(())
            many = options["seeds"] > 1 or not axes
            return with_seeds("sweep", space, options["seeds"]) if many else space
        drawn = {one.name: one.distribution() for one in ranges}
        if "points" not in options:
            return drawn
        sample = search.sobol if options["sample"] == "sobol" else search.random
        space = sample(drawn, options["points"], seed=self.args.key)
        seeds = options["seeds"]
        return with_seeds("search", space, seeds) if seeds > 1 else space

    def write(self) -> None:
        """Write the files."""
        write(self.found, self.folder)

    def show(self, content: Mapping[str, Any]) -> None:
        """Print the tables of what the JSON file holds."""
        show(content, self.console, self.folder)

    def programs(self) -> Sequence[Program]:
        """Those of each optimizer and batch size."""
        one_size = (self.args.batch_size or DEFAULT_BATCH_SIZE,)
        return [
            Program(
                self.trains[name],
                {one.name: jnp.float32(one.numbers[0]) for one in ranges},
                size,
            )
            for name, ranges in self.asked.ranges.items()
            for size in self.asked.batch_sizes or one_size
        ]


def _metrics(train: Trainable, hparams: Mapping[str, Any], validation: Any) -> Any:
    """The metrics that are reported, by name; nothing is computed."""
    evaluate = train.evaluate
    if evaluate is None or validation is None:
        raise ValueError("--problem: validation data are needed to compare members")

    def evaluated() -> Any:
        return evaluate(initial_state(train, jax.random.key(0), hparams), validation)

    return jax.eval_shape(evaluated)


def _settings(args: argparse.Namespace, asked: Points) -> dict[str, Any]:
    several = len(asked.optimizers) > 1
    constant = {
        f"{of}.{name}" if several else name: value
        for of, fixed in asked.fixed.items()
        for name, value in fixed.items()
    }
    space = {
        f"{of}.{one.name}" if several else one.name: str(one)
        for of, ranges in asked.ranges.items()
        for one in ranges
    }
    if asked.batch_sizes:
        space[BATCH_SIZE] = ",".join(map(str, asked.batch_sizes))
    own = {
        **asked.options,
        _OPTIMIZER: list(asked.optimizers),
        "space": space,
        "constant": constant or None,
        "mode": asked.mode,
        BATCH_SIZE: args.batch_size or DEFAULT_BATCH_SIZE,
    }
    hidden = {name for name, value in vars(args).items() if value is None}
    hidden -= {name for name, value in own.items() if value is not None}
    return settings_of(args, own, hidden | ({BATCH_SIZE} & set(space)))
