"""Types of command-line arguments, with errors in plain words."""

from __future__ import annotations

import argparse
import importlib
import inspect
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

_BRACKETS = ("[]", "()")


def positive_int(text: str) -> int:
    """A positive integer; `1e3` is one."""
    value = number(text)
    if not isinstance(value, int) or value < 1:
        raise argparse.ArgumentTypeError(f"must be a positive integer, got {text!r}")
    return value


def number(text: str) -> int | float | None:
    """The number that a text stands for, an int if it is whole; None for no number."""
    for kind in (int, float):
        try:
            value = kind(text)
        except ValueError:
            continue
        whole = isinstance(value, float) and value.is_integer()
        return int(value) if whole else value
    return None


def flag(text: str) -> bool | None:
    """The truth that a text stands for; None for any other text."""
    truths = {"true": True, "yes": True, "false": False, "no": False}
    return truths.get(text.lower())


def plain_value(text: str) -> Any:
    """The number, truth, None, list of them or word that a text stands for."""
    if "," in text or text[:1] + text[-1:] in _BRACKETS:
        return sequence(text)
    if text.lower() in ("true", "false"):
        return flag(text)
    if text.lower() == "none":
        return None
    value = number(text)
    if value is None:
        return text
    # As in Python a point makes a float, which a user's own function may rely on.
    return float(text) if "." in text else value


def sequence(text: str) -> tuple[Any, ...]:
    """The values of a list, in brackets or not: `300`, `300,`, `[300]`, `1,2`."""
    inner = text[1:-1] if text[:1] + text[-1:] in _BRACKETS else text
    parts = [part.strip() for part in inner.split(",")]
    if not parts[-1]:
        parts.pop()
    return tuple(plain_value(part) for part in parts)


def argument_value(function: str, parameter: inspect.Parameter, text: str) -> Any:
    """What a text stands for, as an argument of a function.

    Args:
      function: its name, for errors.
      parameter: its annotation and default say what it takes.
      text: what the user wrote.

    Raises:
      ValueError: if the argument is a flag, and the text says neither yes nor no.
    """
    kind = _written(parameter.annotation)
    if "None" in kind and text.lower() == "none":
        return None
    if "bool" in kind or isinstance(parameter.default, bool):
        truth = flag(text)
        if truth is None:
            from optax_cycles import _checks

            _checks.fail(function, parameter.name, "true, false, yes or no", text)
        return truth
    if kind in ("str", "str | None"):
        return text
    if any(word in kind.lower() for word in ("sequence", "list", "tuple")):
        return sequence(text)
    whole = number(text)
    takes_whole = "Scalar" in kind or "int" in kind
    return whole if takes_whole and whole is not None else plain_value(text)


def _written(annotation: Any) -> str:
    """An annotation as it would be written, or nothing."""
    if annotation is inspect.Parameter.empty:
        return ""
    if isinstance(annotation, str):
        return annotation
    return annotation.__name__ if isinstance(annotation, type) else str(annotation)


def mesh_shape(text: str) -> dict[str, int]:
    """The sizes of a mesh's axes by name, from `members=4,data=2`."""
    shape: dict[str, int] = {}
    for part in text.split(","):
        name, _, size = (word.strip() for word in part.partition("="))
        whole = number(size)
        if not name.isidentifier() or not isinstance(whole, int) or whole < 1:
            raise argparse.ArgumentTypeError(
                f"must be written members=4,data=2, got {text!r}"
            )
        if name in shape:
            raise argparse.ArgumentTypeError(f"has {name!r} twice, got {text!r}")
        shape[name] = whole
    if "members" not in shape:
        raise argparse.ArgumentTypeError(f"must have an axis members, got {text!r}")
    return shape


def host_and_port(text: str) -> str:
    """`HOST:PORT`, as it is."""
    host, _, port = text.rpartition(":")
    if not (host and port.isdecimal() and 0 < int(port) < 2**16):
        raise argparse.ArgumentTypeError(f"must be written HOST:PORT, got {text!r}")
    return text


def count(text: str) -> int:
    """An integer from 0 on."""
    value = number(text)
    if not isinstance(value, int) or value < 0:
        raise argparse.ArgumentTypeError(
            f"must be a non-negative integer, got {text!r}"
        )
    return value


def number_where(
    expected: str, holds: Callable[[int | float], bool]
) -> Callable[[str], int | float]:
    """What reads finite numbers for which something holds, said as `expected`."""

    def read(text: str) -> int | float:
        value = number(text)
        if value is None or not (math.isfinite(value) and holds(value)):
            raise argparse.ArgumentTypeError(f"must be {expected}, got {text!r}")
        return value

    return read


def seconds(text: str) -> float:
    """A number of seconds from 0 on."""
    value = number(text)
    if value is None or not (math.isfinite(value) and value >= 0):
        raise argparse.ArgumentTypeError(f"must be a number from 0 on, got {text!r}")
    return float(value)


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
        from optax_cycles import _checks

        public = [known for known in dir(module) if not known.startswith("_")]
        hint = _checks.near(name, public) if public else "nothing public"
        raise ValueError(
            f"{option}: module {module_name!r} has no attribute {name!r}, only {hint}"
        )
    return getattr(module, name)
