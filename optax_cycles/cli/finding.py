"""The work of `range-test`, from its arguments to its exit code."""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from optax_cycles import _checks
from optax_cycles.cli.console import Console
from optax_cycles.cli.files import write
from optax_cycles.cli.folder import Folder
from optax_cycles.cli.machine import Machine, start
from optax_cycles.cli.main import say
from optax_cycles.cli.parts import DEFAULT_BATCH_SIZE, find, parts_of
from optax_cycles.cli.question import BATCH_SIZE, PARALLEL, Question
from optax_cycles.cli.report import FILES, FORMAT, MAIN, Findings
from optax_cycles.cli.snapshot import read_snapshot
from optax_cycles.cli.tables import show
from optax_cycles.cli.tasks import named_task
from optax_cycles.problems import Task
from optax_cycles.range_test import RULES
from optax_cycles.sweep.check import check_trainable
from optax_cycles.sweep.checkpoint import CheckpointError, RefusedError
from optax_cycles.sweep.fingerprint import digest_of, problem_digest
from optax_cycles.sweep.loop import SweepError
from optax_cycles.sweep.placement import resolve_placement
from optax_cycles.sweep.snapshot import started_from
from optax_cycles.sweep.trainable import Trainable, TrainState, trainable

LONGEST = 300
_OTHER = {
    "problem": "another problem",
    "data": "other data",
    "jax": "another version of JAX",
}


class Work(NamedTuple):
    """All that the parts of the command share.

    Attributes:
      start: the snapshot that all members start from, if there is one.
      done: what is in the folder of the same command, if that is complete; other
        processes than the first have only its exit code.
    """

    args: argparse.Namespace
    machine: Machine
    console: Console
    asked: Question
    task: Task
    train: Trainable
    start: TrainState | None
    folder: Folder
    found: Findings
    done: Mapping[str, Any] | None

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
        code = self._show(self.found.content())
        return self._say(problems) if problems else code

    def _find_all(self) -> list[str]:
        """Do all parts; returns what has stopped them."""
        try:
            with self.console.bars(*parts_of(self)) as reports:
                find(self, reports)
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
        self.found.complete = True
        return []

    def _write(self) -> list[str]:
        """Write the files on the first process; returns why that failed."""
        with self.found.timed("figure and files"):
            if self.found.complete:
                self.found.trained = _digests(self)
            try:
                if self.machine.processes.is_first:
                    write(self.found, self.folder)
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
            show(content, self.console, self.folder)
        return 0 if content["complete"] and content["refusal"] is None else 1


def _notes(error: BaseException) -> list[str]:
    return list(getattr(error, "__notes__", []))


def prepare(args: argparse.Namespace, asked: Question) -> Work:
    """Read what the command is about, before anything is computed.

    Raises:
      ValueError, TypeError, OSError: for bad input.
    """
    seconds = {"start and imports": time.process_time()}
    machine = start(args)
    console = Console(quiet=not machine.processes.is_first)
    _checks.choice("range-test", "--rule", asked.rule, (PARALLEL, *RULES))
    found = Findings(settings=_settings(args, asked), seconds=seconds)
    start_from = None
    with found.timed("data and model"):
        task = named_task(args.problem, args.model)
        if args.from_checkpoint is not None:
            with_slots = not args.restart_optimizer
            start_from = read_snapshot(args.from_checkpoint, with_slots=with_slots)
    work = Work(
        args=args,
        machine=machine,
        console=console,
        asked=asked,
        task=task,
        train=trainable(task.problem, asked.optimizer.constant(asked.fixed)),
        start=start_from,
        folder=Folder(args.out, MAIN, FILES, FORMAT),
        found=found,
        done=None,
    )
    return work._replace(done=_open(work))


def _settings(args: argparse.Namespace, asked: Question) -> dict[str, Any]:
    """The options that say what is computed, and where."""
    own = {
        "over": {one.name: str(one) for one in asked.over},
        "constant": dict(asked.fixed) or None,
        "rule": asked.rule,
        "ramp": asked.ramp if asked.climbs else None,
        "batch_size": args.batch_size or DEFAULT_BATCH_SIZE,
    }
    hidden = {"run", "prog", "overwrite"}
    hidden |= {"distributed", "coordinator", "processes", "process"}
    hidden |= {"model"} if args.problem is not None else set()
    hidden |= {BATCH_SIZE} if BATCH_SIZE in asked.values() else set()
    given = vars(args) | own
    return {name: value for name, value in given.items() if name not in hidden}


def _open(work: Work) -> Mapping[str, Any] | None:
    """Open the folder on the first process; what is there, if it is complete."""
    processes = work.machine.processes

    def opened() -> Mapping[str, Any] | None:
        overwrite = work.args.overwrite
        content = work.folder.open(work.found.settings, overwrite=overwrite)
        if content is None:
            work.folder.begin(work.found.content())
        elif content["complete"]:
            _check_same(work, content["trained"])
            return content
        return None

    told = "--out: the first process can't use the folder, and says why"
    content = processes.on_first(opened, ValueError(told))
    refusal = content and content["refusal"]
    complete, refuses = processes.first([content is not None, refusal is not None])
    if content is None and complete:
        return {"complete": True, "refusal": "told by the first" if refuses else None}
    return content


def _check_same(work: Work, before: Mapping[str, str]) -> None:
    """Check that a complete test is of the same problem and data."""
    with _tracing(work):
        check_trainable(_started(work), *_example(work))
    now = _digests(work)
    other = [_OTHER[name] for name in now if before.get(name) != now[name]]
    if other:
        raise ValueError(work.folder.refusal(f"of {' and '.join(other)}"))


def _digests(work: Work) -> dict[str, str]:
    """What was trained, on what, with which version of JAX."""
    task = work.task
    with _tracing(work):
        problem = problem_digest(_started(work), *_example(work))
    return {
        "problem": problem,
        "data": digest_of((task.train, task.validation)),
        "jax": jax.__version__,
    }


def _tracing(work: Work) -> AbstractContextManager[Any]:
    """Where a problem that names the mesh's axes can be traced."""
    return resolve_placement("auto", mesh=work.machine.options.get("mesh")).tracing()


def _started(work: Work) -> Trainable:
    """What is trained, from where it starts."""
    return work.train if work.start is None else started_from(work.train, work.start)


def _example(work: Work) -> tuple[Any, Any, Any]:
    """A member's hyperparameters, a batch and the validation batch."""
    values = work.asked.values()
    sizes = values.pop(BATCH_SIZE, [work.args.batch_size or DEFAULT_BATCH_SIZE])
    batch = jax.tree.map(lambda leaf: leaf[: int(sizes[0])], work.task.train)
    hparams = {name: jnp.float32(along[0]) for name, along in values.items()}
    return hparams, batch, work.task.validation
