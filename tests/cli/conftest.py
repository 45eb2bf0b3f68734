"""A tiny task that commands find by name, and a way to run a command."""

import contextlib
import io
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import optax_cycles as oc
from optax_cycles.cli import main
from optax_cycles.cli.console import Console

TASK = """
import jax.numpy as jnp
import numpy as np

import optax_cycles as oc
from optax_cycles.problems import Task

inputs = np.random.default_rng(0).normal(size=(64, 4)).astype(np.float32)
targets = inputs @ np.arange(1.0, 5.0, dtype=np.float32)


def loss(params, batch, key):
    return jnp.mean((batch[0] @ params - batch[1]) ** 2)


def make(loss=loss):
    problem = oc.problem_from_loss(lambda key: jnp.zeros(4), loss)
    return Task(problem, (inputs[:48], targets[:48]), (inputs[48:], targets[48:]))


task = make()


def vector_task():
    return make(lambda params, batch, key: batch[0] @ params - batch[1])


def broken_task():
    def loss(params, batch, key):
        raise RuntimeError("the user's own mistake")

    return make(loss)


def flat_task():
    return make(lambda params, batch, key: 0.0 * jnp.sum(params) + 1.0)


def parabola():
    # From 1 to 0 in four dimensions, whatever the data are.
    def loss(params, batch, key):
        return jnp.sum(params**2) / 2

    return task._replace(
        problem=oc.problem_from_loss(lambda key: jnp.ones(4), loss)
    )


def nan_task():
    return make(lambda params, batch, key: jnp.nan * jnp.sum(params))


def uneven_task():
    return task._replace(validation=(inputs[48:], targets[:0]))


def needy_task(model):
    return task


not_a_task = 3
"""


QUICK = [
    *("range-test", "--problem", "tiny:task", "--optimizer", "sgd"),
    *("--over", "learning_rate=log:0.01:100:8"),
    *("--seeds", "2", "--steps", "20", "--batch-size", "8"),
]
NARROW = {"learning_rate=log:0.01:100:8": "learning_rate=log:0.01:0.05:8"}


@pytest.fixture(scope="session")
def quick():
    """The words of a range test that takes seconds."""
    return tuple(QUICK)


@pytest.fixture(scope="session")
def narrow():
    """The same over a range that ends too early."""
    return tuple(NARROW.get(word, word) for word in QUICK)


@pytest.fixture(scope="session")
def in_folder(tmp_path_factory):
    """`in_folder(*words)` runs a command in a folder of its own.

    Returns what it printed, and the folder with what it left.
    """

    def run(*words):
        folder = tmp_path_factory.mktemp("once")
        (folder / "tiny.py").write_text(TASK)
        said = io.StringIO()
        with contextlib.chdir(folder), contextlib.redirect_stdout(said):
            code = main([*map(str, words), "--out", "found"])
        sys.modules.pop("tiny", None)
        assert code == 0
        return SimpleNamespace(out=said.getvalue(), folder=folder / "found")

    return run


@pytest.fixture(scope="module")
def once(in_folder):
    """The folder of a range test that has been run, and what it printed."""
    return in_folder(*QUICK)


class Seen(list):
    """What the parts report; a function put into it is called, too."""

    def interrupt(self, part, updates):
        """Press Ctrl-C in one part, once so many updates of its members are done."""

        def press(name, done):
            if name == part and done >= updates:
                raise KeyboardInterrupt

        self.append(press)


@pytest.fixture
def progress(monkeypatch):
    """What the parts report, in a list that can interrupt them."""
    seen = Seen()

    @contextlib.contextmanager
    def bars(self, *names, steps=()):
        def reporting(part):
            def report(now):
                name = now.step if steps else part
                press = next(filter(callable, seen), None)
                seen.append((name, now.done))
                if press is not None:
                    press(name, now.done)

            return report

        yield {name: reporting(name) for name in names}

    monkeypatch.setattr(Console, "bars", bars)
    return seen


@pytest.fixture(scope="session")
def same_curves():
    """`same_curves(one, other)` checks that two folders hold the same bits."""

    def check(one, other):
        for name in ("parallel.nc", "ramp.nc", "training.nc"):
            found, expected = (
                oc.sweep.SweepResult.load(folder / name) for folder in (one, other)
            )
            for kind in ("train", "validation"):
                for metric, values in getattr(expected, kind).items():
                    np.testing.assert_array_equal(getattr(found, kind)[metric], values)
            np.testing.assert_array_equal(found.status, expected.status)

    return check


@pytest.fixture(scope="session")
def environment():
    """Variables of a process that finds the package, and tasks in its own folder."""
    root = Path(oc.__file__).parents[1]
    return {**os.environ, "PYTHONPATH": f".{os.pathsep}{root}"}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with `tiny.py` in it."""
    (tmp_path / "tiny.py").write_text(TASK)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    sys.modules.pop("tiny", None)


@pytest.fixture
def command(folder, capsys):
    """`command(*words)` runs a command; returns its exit code, output and errors."""

    def run(*words):
        try:
            code = main([str(word) for word in words])
        except SystemExit as stop:
            code = stop.code
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run
