"""The work of `range-test`."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp

from optax_cycles import _checks
from optax_cycles.cli.console import Report
from optax_cycles.cli.files import write
from optax_cycles.cli.folder import RANGE_TEST
from optax_cycles.cli.parts import find, parts_of
from optax_cycles.cli.question import BATCH_SIZE, PARALLEL, Question
from optax_cycles.cli.report import Findings
from optax_cycles.cli.tables import show
from optax_cycles.cli.work import DEFAULT_BATCH_SIZE, Program, Work, settings_of
from optax_cycles.range_test import RULES
from optax_cycles.sweep.trainable import trainable


class RangeTest(Work):
    """The work of `range-test`.

    Attributes:
      found: what has been found so far.
      asked: what is asked.
      train: what is trained, at constant hyperparameters.
    """

    def __init__(self, args: argparse.Namespace, asked: Question) -> None:
        """Read what the command is about, and see what its folder holds.

        Raises:
          ValueError, TypeError, OSError: for bad input.
        """
        _checks.choice("range-test", "--rule", asked.rule, (PARALLEL, *RULES))
        self.found = Findings(RANGE_TEST, _settings(args, asked))
        super().__init__(args, self.found)
        self.asked = asked
        constant = asked.optimizer.constant(asked.fixed)
        self.train = trainable(self.task.problem, constant)
        self.open()

    def parts(self) -> Sequence[str]:
        """The parts that there are to do, one bar each."""
        return parts_of(self)

    def find(self, reports: Mapping[str, Report]) -> None:
        """Do one part after another; each leaves what it found, also where it stops."""
        find(self, reports)

    def write(self) -> None:
        """Write the files."""
        write(self.found, self.folder)

    def show(self, content: Mapping[str, Any]) -> None:
        """Print the tables of what the JSON file holds."""
        show(content, self.console, self.folder)

    def programs(self) -> Sequence[Program]:
        """The one of constant hyperparameters."""
        values = self.asked.values()
        sizes = values.pop(BATCH_SIZE, [self.args.batch_size or DEFAULT_BATCH_SIZE])
        hparams = {name: jnp.float32(along[0]) for name, along in values.items()}
        return [Program(self.started(self.train), hparams, int(sizes[0]))]


def _settings(args: argparse.Namespace, asked: Question) -> dict[str, Any]:
    own = {
        "over": {one.name: str(one) for one in asked.over},
        "constant": dict(asked.fixed) or None,
        "rule": asked.rule,
        "ramp": asked.ramp if asked.climbs else None,
        "batch_size": args.batch_size or DEFAULT_BATCH_SIZE,
    }
    return settings_of(args, own, {BATCH_SIZE} & set(asked.values()))
