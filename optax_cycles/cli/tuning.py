"""The work of `tune`."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp

from optax_cycles.cli.console import Report
from optax_cycles.cli.folder import TUNE
from optax_cycles.cli.optimizers import RATE
from optax_cycles.cli.tune import Momentum
from optax_cycles.cli.tune_report import Tuned, kept_in, write
from optax_cycles.cli.tune_tables import show
from optax_cycles.cli.work import Program, Work, settings_of
from optax_cycles.range_test import NoSuggestionError
from optax_cycles.sweep.loop import Interrupted, SweepError
from optax_cycles.sweep.trainable import trainable
from optax_cycles.tuning import tune
from optax_cycles.tuning.family import family_of
from optax_cycles.tuning.shares import SHARES

_PART = "tuning"
# Of these the settings say what was meant where they are not given.
_USUAL = ("budget", "momenta", "weight_decays")


class Tuning(Work):
    """The work of `tune`.

    Attributes:
      found: what has been found so far.
      mode: whether the `"min"` or the `"max"` of the metric is best.
    """

    steps = tuple(SHARES)

    def __init__(self, args: argparse.Namespace, mode: str) -> None:
        """Read what the command is about, and see what its folder holds.

        Raises:
          ValueError, TypeError, OSError: for bad input.
        """
        self.mode = mode
        self.found = Tuned(TUNE, _settings(args, mode))
        super().__init__(args, self.found)
        self.open()
        if self.done is None:
            self.found.recipe = kept_in(self.folder)

    def parts(self) -> Sequence[str]:
        """The one part there is."""
        return [_PART]

    def find(self, reports: Mapping[str, Report]) -> None:
        """Tune; leaves the best recipe so far where it stops."""
        args, found = self.args, self.found
        given = {name: getattr(args, name) for name in _USUAL}
        with found.timed(_PART):
            try:
                recipe = tune(
                    self.task.problem,
                    self.task.train,
                    validation=self.task.validation,
                    optimizer=args.optimizer,
                    steps=args.steps,
                    batch_size=args.batch_size,
                    rates=args.rates,
                    metric=args.metric,
                    mode=self.mode,
                    **given,
                    **self.checkpoint(_PART),
                    **self.sweep_options(reports[_PART]),
                )
            except NoSuggestionError as refusal:
                found.refuse(refusal)
            except (Interrupted, SweepError) as stop:
                found.keep(stop.result)
                found.stopped = str(stop).partition("; .result")[0]
                raise
            else:
                found.ended(recipe)

    def write(self) -> None:
        """Write the files."""
        write(self.found, self.folder)

    def show(self, content: Mapping[str, Any]) -> None:
        """Print the tables of what the JSON file holds."""
        show(content, self.console, self.folder, again=self.done is not None)

    def programs(self) -> Sequence[Program]:
        """Those of each batch size, at a constant rate."""
        factory = family_of("tune", self.args.optimizer).factory
        train = trainable(self.task.problem, lambda hparams: factory(hparams[RATE]))
        rate = {RATE: jnp.float32(self.args.rates[0])}
        return [Program(train, rate, size) for size in self.args.batch_size]


def _settings(args: argparse.Namespace, mode: str) -> dict[str, Any]:
    momenta: list[Momentum] = args.momenta or []
    own = {
        "mode": mode,
        "rates": _written(args.rates),
        "momenta": ",".join(map(_written, momenta)) or None,
    }
    return settings_of(args, own, {"from_checkpoint"})


def _written(value: Momentum) -> str:
    return ":".join(map(str, value)) if isinstance(value, tuple) else str(value)
