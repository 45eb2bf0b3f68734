"""The task that a command trains, by its name."""

from __future__ import annotations

import inspect
from typing import Any

from optax_cycles.cli.arguments import attribute
from optax_cycles.problems import Task, digits_task


def named_task(name: str | None, model: str) -> Task:
    """The task `module:attribute`, or the digits with a model where there is no name.

    Raises:
      ValueError, TypeError: if there is no such thing, or it is not a task.
    """
    if name is None:
        return digits_task(model)
    found = attribute("--problem", name)
    if callable(found) and not isinstance(found, Task):
        _check_no_arguments(name, found)
        found = found()
    if not isinstance(found, Task):
        raise TypeError(
            "--problem must name an optax_cycles.problems.Task or a function that "
            f"returns one, got {type(found).__name__}"
        )
    return found


def _check_no_arguments(name: str, function: Any) -> None:
    try:
        inspect.signature(function).bind()
    except TypeError as error:
        raise TypeError(f"--problem: {name} must take no arguments ({error})") from None
