"""What a rule answers: a suggestion, or that there is none."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias


class NoSuggestionError(ValueError):
    """There is no trustworthy answer; the message says why and what to change.

    Attributes:
      rows: of `oc.tune`, a dict for each setting that was tried; else empty.
    """

    rows: Sequence[Mapping[str, Any]] = ()


@dataclasses.dataclass(frozen=True)
class Suggestion:
    """A value that a rule suggests.

    Attributes:
      value: the value.
      index: the point of the curve that it was read off.
      reason: why, in words.
    """

    value: float
    index: int
    reason: str


@dataclasses.dataclass(frozen=True)
class CycleSuggestion(Suggestion):
    """A range to cycle in; `value` is its upper end.

    Attributes:
      base: where a cycle starts.
    """

    base: float

    @property
    def peak(self) -> float:
        """Where a cycle peaks: the same as `value`."""
        return self.value


NEVER_FALLS = (
    "the loss never falls; raise the end of the range, or look at the data and the loss"
)
Rule: TypeAlias = Callable[[Any, Any], Suggestion]
