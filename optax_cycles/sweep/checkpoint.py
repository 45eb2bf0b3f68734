"""Saving a sweep in the middle, so that nothing that was computed is lost.

A checkpoint is a folder with the arrays, written by orbax, and a manifest with their
digests. It is written beside the last one under a name of its own and then renamed, so
that a process may be killed at any moment; the last two are kept.
"""

from __future__ import annotations

import json
import os
import shutil
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from optax_cycles._typing import PyTree
from optax_cycles.sweep.fingerprint import differences, digest_of, plain

FORMAT = "optax_cycles.Checkpoint/1"
KEPT = 2
_ARRAYS, _MANIFEST = "arrays", "manifest.json"


class Saved(NamedTuple):
    """What a checkpoint holds.

    Attributes:
      arrays: NumPy arrays by name.
      notes: what is not an array, as JSON has it.
    """

    arrays: dict[str, np.ndarray]
    notes: dict[str, Any]


class CheckpointError(OSError):
    """A checkpoint can't be written; the earlier ones are as they were."""


class Checkpoints:
    """The checkpoints of one sweep, in a folder of their own."""

    def __init__(
        self,
        folder: str | os.PathLike[str],
        fingerprint: Mapping[str, str],
        every: float,
    ) -> None:
        """Take a folder that there is.

        Args:
          folder: where they are.
          fingerprint: what the sweep is of, by name.
          every: least number of seconds from one to the next.
        """
        self.folder = Path(folder).absolute()
        self.fingerprint = dict(fingerprint)
        self.every = every
        self._last = time.monotonic()

    @property
    def is_due(self) -> bool:
        """Whether it is time for the next one."""
        return time.monotonic() - self._last >= self.every

    def save(self, number: int, saved: Saved) -> None:
        """Write a checkpoint, then delete all but the last ones.

        Raises:
          CheckpointError: if it can't be written; the earlier ones are as they were.
        """
        final = self.folder / f"{number:09d}"
        partial = self.folder / f"{number:09d}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        try:
            _write(partial, self.fingerprint, saved)
            shutil.rmtree(final, ignore_errors=True)
            partial.rename(final)
        except Exception as error:
            shutil.rmtree(partial, ignore_errors=True)
            message = f"run: checkpoint {final} can't be written: {error}"
            raise CheckpointError(message) from error
        for old in self._numbered()[:-KEPT]:
            shutil.rmtree(old, ignore_errors=True)
        self._last = time.monotonic()

    def load(self) -> Saved | None:
        """The newest checkpoint that is whole, or None; raises as `newest` does."""
        found = self.newest()
        return found[1] if found else None

    def read(self, number: int) -> Saved:
        """The checkpoint of this number."""
        folder = self.folder / f"{number:09d}"
        manifest = json.loads((folder / _MANIFEST).read_text())
        self._check_same(folder, manifest)
        return _read(folder, manifest)

    def newest(self) -> tuple[int, Saved] | None:
        """The newest checkpoint that is whole and its number, or None.

        Raises:
          ValueError: if it is of another sweep; says what differs.
        """
        for folder in reversed(self._numbered()):
            try:
                return int(folder.name), self.read(int(folder.name))
            except _OtherSweepError as error:
                raise ValueError(str(error)) from None
            except Exception as error:
                warnings.warn(
                    f"run: the checkpoint {folder} is damaged ({error}); going back to "
                    "the one before",
                    stacklevel=2,
                )
        return None

    def _numbered(self) -> list[Path]:
        found = self.folder.iterdir()
        return sorted(path for path in found if path.name.isdecimal())

    def _check_same(self, folder: Path, manifest: Mapping[str, Any]) -> None:
        other = differences(
            {"format": manifest["format"], **manifest["fingerprint"]},
            {"format": FORMAT, **self.fingerprint},
        )
        if other:
            raise _OtherSweepError(
                f"run: the checkpoint in {folder.parent} is of another sweep, with "
                f"another {', another '.join(other)}: take another folder or delete it"
            )


class _OtherSweepError(ValueError):
    """A checkpoint whose fingerprint differs."""


def _checkpointer() -> Any:
    """Reads and writes in this process alone; others are not waited for."""
    import orbax.checkpoint as ocp

    this = jax.process_index()
    alone = ocp.options.MultiprocessingOptions(
        primary_host=this,
        active_processes={this},
        barrier_sync_key_prefix=f"process{this}",
    )
    handler = ocp.PyTreeCheckpointHandler(multiprocessing_options=alone)
    return ocp.Checkpointer(handler, multiprocessing_options=alone)


def _write(folder: Path, fingerprint: Mapping[str, str], saved: Saved) -> None:
    folder.mkdir()
    with _checkpointer() as checkpointer:
        checkpointer.save(folder / _ARRAYS, saved.arrays)
    manifest = {
        "format": FORMAT,
        "fingerprint": dict(fingerprint),
        "digests": {name: digest_of(array) for name, array in saved.arrays.items()},
        "notes": saved.notes,
    }
    with (folder / _MANIFEST).open("w") as file:
        json.dump(manifest, file)
        file.flush()
        os.fsync(file.fileno())


def _read(folder: Path, manifest: Mapping[str, Any]) -> Saved:
    with _checkpointer() as checkpointer:
        read = checkpointer.restore(folder / _ARRAYS)
    arrays = {name: np.asarray(read[name]) for name in manifest["digests"]}
    for name, digest in manifest["digests"].items():
        if digest_of(arrays[name]) != digest:
            raise ValueError(f"{name} is not what was written")
    return Saved(arrays, manifest["notes"])


def flatten(prefix: str, tree: PyTree) -> dict[str, np.ndarray]:
    """The leaves of a tree by name; keys as their numbers, named after their kind."""
    found = {}
    for i, leaf in enumerate(jax.tree.leaves(tree)):
        kind = f".{jax.random.key_impl(leaf)}" if _is_key(leaf) else ""
        found[f"{prefix}.{i}{kind}"] = plain(leaf)
    return found


def unflatten(prefix: str, arrays: Mapping[str, np.ndarray], like: PyTree) -> PyTree:
    """The tree that `flatten` took apart, in the structure of `like`."""
    leaves, structure = jax.tree.flatten(like)
    read = []
    for i, leaf in enumerate(leaves):
        name = f"{prefix}.{i}"
        if not _is_key(leaf):
            read.append(arrays[name])
            continue
        full = next(n for n in arrays if n.startswith(f"{name}."))
        kind = full.removeprefix(f"{name}.")
        read.append(jax.random.wrap_key_data(jnp.asarray(arrays[full]), impl=kind))
    return jax.tree.unflatten(structure, read)


def _is_key(leaf: Any) -> bool:
    dtype = getattr(leaf, "dtype", None)
    return dtype is not None and jnp.issubdtype(dtype, jax.dtypes.prng_key)
