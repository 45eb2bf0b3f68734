"""The state of a training to start from: a checkpoint, or a command's `--out`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from optax_cycles._extras import require
from optax_cycles.cli.folder import KINDS, STATE
from optax_cycles.sweep.checkpoint import checkpointer
from optax_cycles.sweep.fingerprint import plain
from optax_cycles.sweep.trainable import TrainState

OPTION = "--from-checkpoint"
# The file that every Orbax checkpoint of a pytree has.
_MARK = "_METADATA"
# Names that Orbax and Flax give to the pytree of a step.
_ITEMS = ("default", "state", "train_state", "params")


def read_snapshot(text: str, *, with_slots: bool) -> TrainState:
    """The parameters, the model's state and the optimizer's slots in a checkpoint.

    Args:
      text: the folder of an Orbax checkpoint, of a `CheckpointManager`, whose last step
        is taken, or of a complete command that kept it.
      with_slots: whether to take the optimizer's slots; `opt_state` is None without.

    Raises:
      ValueError: if there is none.
    """
    folder = Path(text).absolute()
    if any((folder / kind.main).exists() for kind in KINDS):
        folder = folder / STATE
        if not folder.exists():
            raise ValueError(
                f"{OPTION}: {text}/ has no trained state; a range test that is "
                "complete has one, unless it made no suggestion, a sweep or a search "
                "with --keep-state"
            )
    found = _read(_checkpoint_in(text, folder))
    if not isinstance(found, Mapping):
        raise ValueError(f"{OPTION}: {text} must hold parameters by name, got a list")
    if "params" not in found:
        return TrainState(found, (), None)
    slots = found.get("opt_state") if with_slots else None
    if "model_state" in found:
        return TrainState(found["params"], found["model_state"], slots)
    # Flax keeps its other collections beside the parameters.
    known = ("params", "opt_state", "step")
    model_state = {name: part for name, part in found.items() if name not in known}
    return TrainState(found["params"], model_state, slots)


def _checkpoint_in(text: str, folder: Path) -> Path:
    """The checkpoint in a folder: itself, or the newest step's."""
    if not folder.is_dir():
        raise ValueError(f"{OPTION} must be a folder, got {text!r}")
    if not (folder / _MARK).exists():
        folder = _newest_step(folder)
    if (folder / _MARK).exists():
        return folder
    found = sorted(path.parent for path in folder.glob(f"*/{_MARK}"))
    named = [path for path in found if path.name in _ITEMS]
    if len(found) != 1 and len(named) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise ValueError(
            f"{OPTION} must be the folder of one Orbax checkpoint, got {text!r}; "
            f"checkpoints in it: {names}"
        )
    return (named or found)[0]


def _newest_step(folder: Path) -> Path:
    """The inner folder with the largest number, `70` or `step_70`, or the folder."""
    steps = {}
    for inner in folder.iterdir():
        number = inner.name.rpartition("_")[2]
        if number.isdecimal() and inner.is_dir():
            steps[int(number)] = inner
    return steps[max(steps)] if steps else folder


def _read(folder: Path) -> Any:
    """The pytree of an Orbax checkpoint, as NumPy arrays."""
    ocp = require("orbax.checkpoint", "sweep", OPTION)
    try:
        with checkpointer() as reader:
            tree = reader.metadata(folder).item_metadata.tree
            # Else they would go to the devices that they were on.
            as_arrays = ocp.RestoreArgs(restore_type=np.ndarray)
            wanted = jax.tree.map(lambda _: as_arrays, tree)
            return reader.restore(folder, restore_args=wanted)
    except Exception as error:
        raise ValueError(f"{OPTION}: {folder} can't be read ({error})") from error


def write_snapshot(path: Path, state: TrainState) -> None:
    """Write the parameters and the model's state; the optimizer starts anew."""
    require("orbax.checkpoint", "sweep", "a range test's state")
    tree = {"params": state.params, "model_state": state.model_state}
    # Of many processes, Orbax takes NumPy's arrays only.
    tree = jax.tree.map(plain, tree)
    with checkpointer() as writer:
        writer.save(path.absolute(), tree)
