"""What a command has found so far, and the JSON file of it."""

from __future__ import annotations

import abc
import dataclasses
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from optax_cycles.cli.folder import Kind
from optax_cycles.sweep.result import versions


@dataclasses.dataclass
class Found(abc.ABC):
    """What all commands that train find.

    Attributes:
      kind: what the command leaves.
      settings: its options.
      complete: whether it has done all that there was to do.
      refusal: why nothing is suggested; None where something is.
      stopped: why it ended before all was done; None where that is not known.
      trained: digests of what was trained; empty before it is complete.
      seconds: dict from part of the work to the wall time it took.
    """

    kind: Kind
    settings: dict[str, Any]
    complete: bool = False
    refusal: str | None = None
    stopped: str | None = None
    trained: dict[str, str] = dataclasses.field(default_factory=dict)
    seconds: dict[str, float] = dataclasses.field(default_factory=dict)

    @contextmanager
    def timed(self, part: str) -> Iterator[None]:
        """Adds the wall time of a `with` block to `seconds`."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[part] = time.perf_counter() - start

    @abc.abstractmethod
    def content(self) -> dict[str, Any]:
        """All of it but the curves, as JSON has it."""

    def around(self, own: Mapping[str, Any]) -> dict[str, Any]:
        """What a command found of its own, between what all commands say."""
        content: dict[str, Any] = _plain(
            {
                "format": self.kind.form,
                "complete": self.complete,
                "settings": self.settings,
                **own,
                "seconds": self.seconds,
                "trained": self.trained,
                "versions": versions(),
            }
        )
        return content


def _plain(value: Any) -> Any:
    """`value` with None for numbers that JSON does not have."""
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
