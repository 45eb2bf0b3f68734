"""Saving a sweep in the middle, so that nothing that was computed is lost.

A checkpoint is a folder with the arrays, written by orbax, and a manifest with their
digests. It is written beside the last one under a name of its own and then renamed, so
that a process may be killed at any moment; the last two are kept. They are numbered in
the order in which they were written.
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
from optax_cycles.sweep.origin import explained

FORMAT = "optax_cycles.Checkpoint/2"
KEPT = 2
_ARRAYS, _MANIFEST = "arrays", "manifest.json"
_PARTIAL, _DAMAGED = ".partial", ".damaged"


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


class RefusedError(ValueError):
    """A checkpoint is there that this sweep can't go on from."""


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

    def save(self, saved: Saved) -> None:
        """Write a checkpoint, then delete all but the last ones.

        Raises:
          CheckpointError: if it can't be written; the earlier ones are as they were.
        """
        try:
            self._clear_partial()
            last = [int(folder.name) for folder in self._numbered()[-1:]]
            final = self.folder / f"{1 + sum(last):09d}"
            partial = final.with_suffix(_PARTIAL)
            _write(partial, self.fingerprint, saved)
            partial.rename(final)
        except Exception as error:
            self._clear_partial()
            message = f"run: a checkpoint can't be written in {self.folder}: {error}"
            raise CheckpointError(message) from error
        for old in self._numbered()[:-KEPT]:
            shutil.rmtree(old, ignore_errors=True)
        self._last = time.monotonic()

    def _clear_partial(self) -> None:
        """Delete what was left half written."""
        for partial in self.folder.glob(f"*{_PARTIAL}"):
            shutil.rmtree(partial, ignore_errors=True)

    def load(self) -> Saved | None:
        """The newest checkpoint that is whole, or None; raises as `newest` does."""
        found = self.newest()
        return found[1] if found else None

    def read(self, number: int) -> Saved:
        """The checkpoint of this number.

        Raises:
          RefusedError: if it is of another sweep; says what differs.
        """
        folder = self.folder / f"{number:09d}"
        manifest = json.loads((folder / _MANIFEST).read_text())
        written = {"format": manifest["format"]}
        self._check_is_this(written, {"format": FORMAT})
        if manifest.pop("digest") != _digest_of_manifest(manifest):
            raise ValueError(f"{_MANIFEST} is not what was written")
        self._check_is_this(manifest["fingerprint"], self.fingerprint)
        return _read(folder, manifest)

    def newest(self) -> tuple[int, Saved] | None:
        """The newest checkpoint that is whole and its number, or None.

        Damaged ones are set aside under another name.

        Raises:
          RefusedError: if it is of another sweep; says what differs.
        """
        for folder in reversed(self._numbered()):
            try:
                return int(folder.name), self.read(int(folder.name))
            except (RefusedError, MemoryError):
                raise
            except Exception as error:
                aside = folder.with_suffix(_DAMAGED)
                shutil.rmtree(aside, ignore_errors=True)
                folder.rename(aside)
                before = self._numbered()
                then = "going back to the one before" if before else "starting anew"
                warnings.warn(
                    f"run: the checkpoint {folder} is damaged ({explained(error)}); "
                    f"{then}",
                    stacklevel=2,
                )
        return None

    def _numbered(self) -> list[Path]:
        found = self.folder.iterdir()
        return sorted(path for path in found if path.name.isdecimal())

    def _check_is_this(self, saved: Mapping[str, str], now: Mapping[str, str]) -> None:
        other = differences(saved, now)
        if other:
            raise RefusedError(
                f"run: the checkpoint in {self.folder} is of another sweep, which "
                f"differs in {', '.join(other)}: take another folder or delete it"
            )


def checkpointer() -> Any:
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
    with checkpointer() as orbax:
        some = {name: array for name, array in saved.arrays.items() if array.size}
        orbax.save(folder / _ARRAYS, some)
    empty = {n: [str(a.dtype), a.shape] for n, a in saved.arrays.items() if not a.size}
    manifest = {
        "format": FORMAT,
        "fingerprint": dict(fingerprint),
        "digests": {name: digest_of(array) for name, array in saved.arrays.items()},
        # Which can't be saved as arrays.
        "empty": empty,
        "notes": saved.notes,
    }
    manifest["digest"] = _digest_of_manifest(manifest)
    with (folder / _MANIFEST).open("w") as file:
        json.dump(manifest, file)
        file.flush()
        os.fsync(file.fileno())


def _digest_of_manifest(manifest: Mapping[str, Any]) -> str:
    text = json.dumps(manifest, sort_keys=True)
    return digest_of(np.frombuffer(text.encode(), np.uint8))


def _read(folder: Path, manifest: Mapping[str, Any]) -> Saved:
    with checkpointer() as orbax:
        read = orbax.restore(folder / _ARRAYS)
    empty = {n: np.empty(shape, t) for n, (t, shape) in manifest["empty"].items()}
    arrays = {
        name: empty[name] if name in empty else np.asarray(read[name])
        for name in manifest["digests"]
    }
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
