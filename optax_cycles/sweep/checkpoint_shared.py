"""Checkpoints of a sweep by many processes: the first writes them, all read them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from optax_cycles import _checks
from optax_cycles._extras import require
from optax_cycles.sweep.checkpoint import (
    CheckpointError,
    Checkpoints,
    RefusedError,
    Saved,
)
from optax_cycles.sweep.processes import Processes


class SharedCheckpoints:
    """The checkpoints of a sweep by many processes."""

    def __init__(self, processes: Processes, own: Checkpoints) -> None:
        """Share what each process has of the same folder."""
        self._processes = processes
        self._own = own

    @property
    def folder(self) -> Path:
        """Where they are."""
        return self._own.folder

    @property
    def is_due(self) -> bool:
        """Whether it is time for the next one, by the first process's clock."""
        return bool(self._processes.first(self._own.is_due))

    def save(self, saved: Saved) -> None:
        """As `Checkpoints.save`; fails on all processes where it fails."""
        self._processes.on_first(
            lambda: self._own.save(saved),
            CheckpointError("run: the first process can't write a checkpoint"),
        )

    def load(self) -> Saved | None:
        """As `Checkpoints.load`, the same checkpoint on all processes.

        Raises:
          RefusedError: also if a process does not find what the first one found.
        """
        found = self._processes.on_first(
            self._own.newest,
            RefusedError("run: the first process can't go on from the checkpoint"),
        )
        number = int(self._processes.first(found[0] if found else -1))
        if number < 0:
            return None
        try:
            saved = found[1] if found else self._own.read(number)
        except Exception:
            saved = None
        if not self._processes.each(saved is not None).all():
            raise RefusedError(
                "run: checkpoint must be a folder that all processes can read, got "
                f"{os.fspath(self._own.folder)!r}"
            )
        return saved


def open_checkpoints(
    processes: Processes,
    folder: str | os.PathLike[str],
    fingerprint: Mapping[str, str],
    every: float,
) -> Checkpoints | SharedCheckpoints:
    """The checkpoints of a sweep by one process or by many.

    Raises:
      ValueError: if the folder can't be made or written, or process 0, the only one
        that orbax lets write, takes no part.
      MissingExtraError: if orbax is not installed.
    """
    require("orbax.checkpoint", "sweep", "run(checkpoint=...)")
    if processes.indices[0] != 0:
        expected = "None where process 0, which alone can write it, takes no part"
        _checks.fail("run", "checkpoint", expected, os.fspath(folder))
    processes.on_first(
        lambda: _make_folder(folder),
        ValueError("run: the first process can't write the checkpoint's folder"),
    )
    own = Checkpoints(folder, fingerprint, every)
    return SharedCheckpoints(processes, own) if processes.many else own


def _make_folder(folder: str | os.PathLike[str]) -> None:
    """Make a folder and see whether it can be written."""
    path = Path(folder)
    try:
        path.mkdir(parents=True, exist_ok=True)
        trial = path / ".trial"
        trial.write_text("")
        trial.unlink()
    except OSError as error:
        raise ValueError(
            "run: checkpoint must be a folder that can be written, got "
            f"{os.fspath(folder)!r} ({error.strerror})"
        ) from None
