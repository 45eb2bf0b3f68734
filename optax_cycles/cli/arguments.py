"""Types of command-line arguments, with errors in plain words."""

from __future__ import annotations

import argparse
import importlib
import math
import sys
from pathlib import Path
from typing import Any

from optax_cycles import _checks


def positive_int(text: str) -> int:
    """A positive integer."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be a positive integer, got {text!r}")
    return value


def positive_float(text: str) -> float:
    """A positive finite number."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(f"must be a positive number, got {text!r}")
    return value


def writable_folder(text: str) -> Path:
    """A folder that exists after this call and takes files.

    Raises:
      OSError: if it can't be made or written.
      ValueError: if the name is empty.
    """
    if not text:
        raise ValueError("--out must be a folder's name, got ''")
    folder = Path(text)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".optax-cycles-probe"
        probe.touch()
        probe.unlink()
    except OSError as error:
        reason = error.strerror or str(error)
        raise OSError(f"--out: can't write to {text!r} ({reason})") from error
    return folder


def attribute(option: str, text: str) -> Any:
    """What `module:attribute` names; modules in the working folder are found.

    Raises:
      ValueError: if the text has another form, or names nothing.
    """
    module_name, colon, name = text.partition(":")
    if not (module_name and colon and name):
        raise ValueError(f"{option} must be written module:attribute, got {text!r}")
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not module_name.startswith(error.name):
            raise
        raise ValueError(f"{option}: there is no module {error.name!r}") from error
    if not hasattr(module, name):
        public = [known for known in dir(module) if not known.startswith("_")]
        hint = _checks.near(name, public) if public else "nothing public"
        raise ValueError(
            f"{option}: module {module_name!r} has no attribute {name!r}, only {hint}"
        )
    return getattr(module, name)
