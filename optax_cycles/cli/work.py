"""The work of a command that trains, from its arguments to its exit code."""

from __future__ import annotations

import abc
import argparse
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import jax

from optax_cycles.cli.console import Console, Report
from optax_cycles.cli.folder import Folder
from optax_cycles.cli.found import Found
from optax_cycles.cli.machine import start
from optax_cycles.cli.main import say
from optax_cycles.cli.options import UNSAID
from optax_cycles.cli.snapshot import read_snapshot
from optax_cycles.cli.tasks import named_task
from optax_cycles.sweep.check import check_trainable
from optax_cycles.sweep.checkpoint import CheckpointError, RefusedError
from optax_cycles.sweep.fingerprint import digest_of, problem_digest
from optax_cycles.sweep.loop import SweepError
from optax_cycles.sweep.placement import resolve_placement
from optax_cycles.sweep.snapshot import started_from
from optax_cycles.sweep.trainable import Trainable

LONGEST = 300
DEFAULT_BATCH_SIZE = 32
_OTHER = {
    "problem": "another problem",
    "data": "other data",
    "jax": "another version of JAX",
}


class Program(NamedTuple):
    """What is compiled: a trainable, and one member of it.

    Attributes:
      trainable: what is trained, from where it starts.
      hparams: dict of scalars.
      batch_size: examples in each update.
    """

    trainable: Trainable
    hparams: dict[str, Any]
    batch_size: int


class Work(abc.ABC):
    """The work of one command.

    Attributes:
      args: the command's arguments.
      found: what has been found so far.
      folder: where files go.
      machine: what it runs on.
      console: where it is shown.
      task: what is trained.
      start: the snapshot that all members start from, if there is one.
      steps: what its only part consists of, where that is several steps.
      done: what is in the folder of the same command, if that is complete; other
        processes than the first have only its exit code.
    """

    steps: Sequence[str] = ()

    def __init__(self, args: argparse.Namespace, found: Found) -> None:
        """Read what the command is about, before anything is computed.

        Raises:
          ValueError, TypeError, OSError: for bad input.
        """
        found.seconds["start and imports"] = time.process_time()
        self.args = args
        self._found = found
        self.folder = Folder(args.out, found.kind)
        self.machine = start(args)
        self.console = Console(quiet=not self.machine.processes.is_first)
        self.done: Mapping[str, Any] | None = None
        self.start = None
        with found.timed("data and model"):
            self.task = named_task(args.problem, args.model)
            if args.from_checkpoint is not None:
                self.start = read_snapshot(
                    args.from_checkpoint, with_slots=not args.restart_optimizer
                )

    @abc.abstractmethod
    def parts(self) -> Sequence[str]:
        """The parts that there are to do, one bar each."""

    @abc.abstractmethod
    def find(self, reports: Mapping[str, Report]) -> None:
        """Do one part after another; each leaves what it found, also where it stops."""

    @abc.abstractmethod
    def write(self) -> None:
        """Write the files."""

    @abc.abstractmethod
    def show(self, content: Mapping[str, Any]) -> None:
        """Print the tables of what the JSON file holds."""

    @abc.abstractmethod
    def programs(self) -> Sequence[Program]:
        """What is compiled."""

    def sweep_options(self, report: Report) -> dict[str, Any]:
        """What each of the sweeps is told, but its checkpoint."""
        return {
            **self.machine.options,
            "key": jax.random.key(self.args.key),
            "progress": report,
        }

    def checkpoint(self, name: str) -> dict[str, Any]:
        """Where a sweep saves itself, and how often."""
        return {
            "checkpoint": self.folder.checkpoints / name,
            "checkpoint_every": self.args.checkpoint_every,
        }

    def started(self, trainable: Trainable) -> Trainable:
        """What is trained, from where it starts."""
        return trainable if self.start is None else started_from(trainable, self.start)

    def run(self) -> int:
        """Do what is left to do, write the files and show the tables."""
        with self.console.notes():
            return self._run()

    def _run(self) -> int:
        if self.done is not None:
            self.console.say("Complete already: nothing is trained (--overwrite does)")
            return self._show(self.done)
        problems = self._find_all()
        try:
            problems += self._write()
        except KeyboardInterrupt:
            return self._say(["interrupted twice, before files were written"])
        code = self._show(self._found.content())
        return self._say(problems) if problems else code

    def _find_all(self) -> list[str]:
        """Do all parts; returns what has stopped them."""
        try:
            with self.console.bars(*self.parts(), steps=self.steps) as reports:
                self.find(reports)
        except KeyboardInterrupt as stop:
            return ["interrupted", *_notes(stop)]
        except SweepError as error:
            said = str(error).partition("; .result")[0]
            # What a checkpoint failed of, the rest could not be saved of either.
            known = isinstance(error.__cause__, CheckpointError)
            return [said] if known else [said, *_notes(error)]
        except RefusedError as error:
            raise ValueError(f"{error}, or start anew with --overwrite") from error
        except BaseException:
            if self.machine.processes.is_first:
                self.folder.abandon()
            raise
        self._found.complete = self._found.stopped is None
        return []

    def _write(self) -> list[str]:
        """Write the files on the first process; returns why that failed."""
        with self._found.timed("figure and files"):
            if self._found.complete:
                self._found.trained = self._digests()
            try:
                if self.machine.processes.is_first:
                    self.write()
            except Exception as error:  # Matplotlib raises all kinds.
                return [f"can't write to {self.folder.path}/ ({error})"]
        return []

    def _say(self, problems: list[str]) -> int:
        """One line about what went wrong, and what to do."""
        problems = [
            problem
            if len(problem) <= LONGEST
            else f"{problem[: LONGEST // 2]} ... {problem[-LONGEST // 2 :]}"
            for problem in problems
        ]
        goes_on = f"the same command goes on from what {self.folder.path}/ has kept"
        return say(self.args.prog, "; ".join([*problems, goes_on]), 1)

    def _show(self, content: Mapping[str, Any]) -> int:
        if self.machine.processes.is_first:
            self.show(content)
        return 0 if content["complete"] and content["refusal"] is None else 1

    def open(self) -> None:
        """Open the folder on the first process; `done` is what is there, if complete.

        Raises:
          ValueError, OSError: if it can't be used.
        """

        def opened() -> Mapping[str, Any] | None:
            overwrite = self.args.overwrite
            content = self.folder.open(self._found.settings, overwrite=overwrite)
            if content is None:
                self.folder.begin(self._found.content())
            elif content["complete"]:
                self._check_same(content["trained"])
                return content
            return None

        processes = self.machine.processes
        told = "--out: the first process can't use the folder, and says why"
        content = processes.on_first(opened, ValueError(told))
        refusal = content and content["refusal"]
        complete, refuses = processes.first([content is not None, refusal is not None])
        if content is None and complete:
            why = "told by the first" if refuses else None
            content = {"complete": True, "refusal": why}
        self.done = content

    def _check_same(self, before: Mapping[str, str]) -> None:
        """Check that what is complete is of the same problem and data."""
        with self._tracing():
            for program in self.programs():
                batch, validation = self._batches(program)
                check_trainable(program.trainable, program.hparams, batch, validation)
        now = self._digests()
        other = [_OTHER[name] for name in now if before.get(name) != now[name]]
        if other:
            raise ValueError(self.folder.refusal(f"of {' and '.join(other)}"))

    def _digests(self) -> dict[str, str]:
        """What was trained, on what, with which version of JAX."""
        with self._tracing():
            problems = [
                problem_digest(program.trainable, program.hparams, *batches)
                for program in self.programs()
                for batches in (self._batches(program),)
            ]
        return {
            "problem": " ".join(problems),
            "data": digest_of((self.task.train, self.task.validation)),
            "jax": jax.__version__,
        }

    def _tracing(self) -> AbstractContextManager[Any]:
        """Where a problem that names the mesh's axes can be traced."""
        mesh = self.machine.options.get("mesh")
        return resolve_placement("auto", mesh=mesh).tracing()

    def _batches(self, program: Program) -> tuple[Any, Any]:
        """A batch to train on, and the one to validate with."""
        size = program.batch_size
        batch = jax.tree.map(lambda leaf: leaf[:size], self.task.train)
        return batch, self.task.validation


def settings_of(
    args: argparse.Namespace, own: Mapping[str, Any], hidden: set[str]
) -> dict[str, Any]:
    """The options that say what is computed, and where.

    Args:
      args: all options.
      own: those whose values are said in other words.
      hidden: further ones that say nothing.
    """
    hidden = hidden | UNSAID | ({"model"} if args.problem is not None else set())
    given = {**vars(args), **own}
    return {name: value for name, value in given.items() if name not in hidden}


def _notes(error: BaseException) -> list[str]:
    return list(getattr(error, "__notes__", []))
