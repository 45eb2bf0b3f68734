"""The output folder: what is there of an earlier command, and how files get there."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from optax_cycles.cli.arguments import writable_folder

CHECKPOINTS = "checkpoints"
STUDY = "study.db"
# SQLite keeps what is not yet written beside its file.
STUDIES = (STUDY, f"{STUDY}-journal", f"{STUDY}-wal", f"{STUDY}-shm")
STATE = "state"
_WRITING = ".writing"
# Settings that change neither what is computed nor how it is rounded.
_FREE = {"out", "checkpoint_every", "chunk", "devices"}


class Kind(NamedTuple):
    """What a command leaves in its folder.

    Attributes:
      noun: what its work is called.
      main: the name of the JSON file with the settings.
      files: the names of all other files, as patterns.
      kept: those of files that the work itself writes, and goes on with.
    """

    noun: str
    main: str
    files: tuple[str, ...]
    kept: tuple[str, ...] = ()

    @property
    def form(self) -> str:
        """What `main` says that its `format` is."""
        return f"optax_cycles.{self.main.removesuffix('.json')}/1"

    def found_in(self, path: Path) -> list[str]:
        """The names of its files that there are, the main one last."""
        patterns = (*self.files, *self.kept, self.main)
        names = [sorted(found.name for found in path.glob(one)) for one in patterns]
        return [name for several in names for name in several]


RANGE_TEST = Kind(
    "test",
    "range_test.json",
    ("parallel.nc", "ramp.nc", "training.nc", "range_test.png", "ramp.png", STATE),
)
SWEEP = Kind("sweep", "sweep.json", ("sweep*.nc", "sweep*.png", STATE))
SEARCH = Kind("search", "search.json", ("search*.nc", "search*.png", STATE), STUDIES)
TUNE = Kind("tuning", "tune.json", ("recipe.json", "recipe.py", "report.html"))
KINDS = (RANGE_TEST, SWEEP, SEARCH, TUNE)


class Folder:
    """The output folder of one command, whose file `main` says what the command is.

    `main` is written first, and last with `complete` true: a process may be killed at
    any moment.

    Attributes:
      is_new: whether there was nothing of the same command, once it is open.
    """

    def __init__(self, out: str, kind: Kind) -> None:
        """Name the folder; nothing is read or written yet.

        Args:
          out: its path.
          kind: what the command leaves there.
        """
        self.out, self.path, self.kind = out, Path(out), kind
        self.is_new = True

    @property
    def main(self) -> str:
        """The name of the JSON file with the settings."""
        return self.kind.main

    @property
    def checkpoints(self) -> Path:
        """Where the sweeps of the command save themselves."""
        return self.path / CHECKPOINTS

    def open(
        self, settings: Mapping[str, Any], *, overwrite: bool
    ) -> dict[str, Any] | None:
        """See what is there of the same command.

        Args:
          settings: those of this command.
          overwrite: whether to delete what is there.

        Returns:
          What an earlier run of the command left in `main`, or None.

        Raises:
          OSError: if the folder can't be made or written.
          ValueError: if what is there is of another command.
        """
        writable_folder(self.out)
        if overwrite:
            self._clear()
        file = self.path / self.main
        for kind in KINDS:
            if kind is not self.kind and (self.path / kind.main).exists():
                raise ValueError(self.refusal(f"({kind.main})", kind))
        if not file.exists():
            return None
        self.is_new = False
        try:
            content = json.loads(file.read_text())
            form = content["format"]
        except (ValueError, TypeError, KeyError):
            form = None
        if form != self.kind.form:
            raise ValueError(
                f"--out: {file} is not what this command writes: give another --out, "
                "or start anew with --overwrite"
            )
        other = differences(content["settings"], settings)
        if other:
            raise ValueError(self.refusal(f"with {', '.join(other)}"))
        return dict(content)

    def refusal(self, other: str, kind: Kind | None = None) -> str:
        """That what is there is of another command; says what differs."""
        return (
            f"--out: {self.path}/ holds a {(kind or self.kind).noun} {other}: give "
            "another --out, or start anew with --overwrite"
        )

    def begin(self, content: Mapping[str, Any]) -> None:
        """Say whose folder this is, before anything is computed."""
        self._put(self.main, lambda path: write_json(path, content))

    def write(
        self,
        content: Mapping[str, Any],
        writers: Mapping[str, Callable[[Path], None]],
    ) -> None:
        """Write the files, `main` last; drop those of earlier runs.

        Each appears under its name when it is whole.
        """
        for name, writer in writers.items():
            self._put(name, writer)
        for pattern in self.kind.files:
            for path in self.path.glob(pattern):
                if path.name not in writers:
                    _remove(path)
        self._put(self.main, lambda path: write_json(path, content))
        if content["complete"]:
            shutil.rmtree(self.checkpoints, ignore_errors=True)

    def _put(self, name: str, writer: Callable[[Path], None]) -> None:
        aside = self.path / _WRITING
        try:
            aside.mkdir(exist_ok=True)
            writer(aside / name)
            _remove(self.path / name, only_folders=True)
            os.replace(aside / name, self.path / name)
        finally:
            shutil.rmtree(aside, ignore_errors=True)

    def _clear(self) -> None:
        for kind in KINDS:
            for name in kind.found_in(self.path):
                _remove(self.path / name)
        shutil.rmtree(self.checkpoints, ignore_errors=True)

    def abandon(self) -> None:
        """Leave nothing behind of a command that could not begin."""
        if self.is_new:
            self._clear()
            if not any(self.path.iterdir()):
                self.path.rmdir()


def _remove(path: Path, *, only_folders: bool = False) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    elif not only_folders:
        path.unlink(missing_ok=True)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a dict; numbers that JSON does not have must not be in it."""
    with path.open("w") as file:
        json.dump(content, file, indent=2, allow_nan=False)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """The options in which two commands differ, as they would be written."""
    # What JSON makes of them: tuples are lists.
    now = json.loads(json.dumps(now))
    names = [name for name in {**now, **before} if name not in _FREE]
    return [
        f"{_written(name, before.get(name))} (now {_value(now.get(name))})"
        for name in names
        if before.get(name) != now.get(name)
    ]


def _written(name: str, value: Any) -> str:
    option = f"--{name.replace('_', '-')}"
    return f"no {option}" if value is None else f"{option} {_value(value)}"


def _value(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, dict):
        return ",".join(f"{name}={size}" for name, size in value.items())
    if isinstance(value, list):
        return ",".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
