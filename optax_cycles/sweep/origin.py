"""Where in the user's code an exception comes from."""

from __future__ import annotations

import sys
import sysconfig
import traceback
from pathlib import Path

_PACKAGES = ("optax_cycles", "jax", "jaxlib", "optax", "flax", "equinox", "numpy")
_PYTHON = Path(sysconfig.get_path("stdlib"))
_INSTALLED = {"site-packages", "dist-packages"}


def users_line(error: BaseException) -> str | None:
    """The last line of the user's own that an exception passed, if there is one.

    Returns:
      The place as Python writes it: `File "model.py", line 7, in loss`.
    """
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if not _is_library(frame.filename):
            return f'File "{frame.filename}", line {frame.lineno}, in {frame.name}'
    return None


def explained(error: BaseException) -> str:
    """An exception in words: its kind, the user's line, its message."""
    line = users_line(error)
    at = f" at {line}" if line else ""
    return f"{type(error).__name__}{at}: {error}"


def _is_library(file: str) -> bool:
    """Whether a file belongs to one of the packages or to Python itself."""
    path = Path(file)
    folders = {
        Path(module.__file__).parent
        for name in _PACKAGES
        if (module := sys.modules.get(name)) is not None and module.__file__
    }
    if file.startswith("<frozen") or not folders.isdisjoint(path.parents):
        return True
    return _PYTHON in path.parents and _INSTALLED.isdisjoint(path.parts)
