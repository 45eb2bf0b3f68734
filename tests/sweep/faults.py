"""What a fault is, and where it is provoked; `test_faults.py` tries them all."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from linear import sweep

from optax_cycles.sweep import SweepError, SweepResult

# Chunks of 4, 4 and 2 members, 4 segments each.
OPTIONS = {"chunk": 4, "segment": 10, "checkpoint_every": 0.0}
SAVED = 60  # least updates of all members together that the checkpoint holds


class Outcome(NamedTuple):
    """What a fault left.

    Attributes:
      said: all that the caller was told.
      kept: the result that the caller was handed, or None where nothing had begun.
      call: makes the same call again; takes further options of `sweep`.
      straight: the result of this call where nothing goes wrong.
      redone: updates that were handed over, but that the same call makes again.
      floor: updates from which the same call goes on, or from more.
    """

    said: str
    kept: SweepResult | None
    call: Callable[..., SweepResult]
    straight: SweepResult
    redone: int = 0
    floor: int = SAVED


class Fault(NamedTuple):
    kind: str
    says: str
    provoke: Callable[..., Outcome]


def registry():
    """Faults by name, and a decorator that adds a function `(scene) -> Outcome`."""
    faults: dict[str, Fault] = {}

    def fault(kind, says):
        """Of a kind; `says` is a pattern of what the caller must be told."""

        def registered(provoke):
            faults[provoke.__name__] = Fault(kind, says, provoke)
            return provoke

        return registered

    return faults, fault


class Scene(NamedTuple):
    """Where faults happen: a folder with a checkpoint, and how to disturb things."""

    folder: Path
    straight: SweepResult
    patch: pytest.MonkeyPatch

    def call(self, **changes: Any) -> SweepResult:
        return sweep(**OPTIONS | {"checkpoint": self.folder} | changes)

    def stopped(
        self, error: type[BaseException] = SweepError, **changes: Any
    ) -> Outcome:
        """The outcome of a call that raises."""
        with pytest.raises(error) as caught:
            self.call(**changes)
        return self.after(caught.value)

    def after(self, error: BaseException, **found: Any) -> Outcome:
        said = "\n".join([str(error), *getattr(error, "__notes__", [])])
        kept = getattr(error, "result", None)
        self.patch.undo()
        found = {"call": self.call, "straight": self.straight} | found
        return Outcome(said, kept, **found)
