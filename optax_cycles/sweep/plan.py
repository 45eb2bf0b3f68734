"""In which order the pieces of a sweep's work are done."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Piece(NamedTuple):
    """One segment of one chunk.

    Attributes:
      chunk: index of the chunk of members.
      start: updates made before.
      length: updates to make.
    """

    chunk: int
    start: int
    length: int

    @property
    def stop(self) -> int:
        """Updates made afterwards."""
        return self.start + self.length


def plan(
    chunks: int,
    steps: int,
    horizons: Sequence[int],
    segment: int,
    *,
    by_segment: bool,
    together: Sequence[int] = (),
) -> list[Piece]:
    """All pieces in their order; segments end where members are evaluated.

    One chunk after another goes through all its updates, so that no chunk has to wait
    in memory; `by_segment` all chunks go through one segment after another, so that
    its batches are read once. After the updates `together` no chunk goes on before all
    have come so far.
    """
    segments, at = [], 0
    for stop in sorted({*horizons, steps} - {0}):
        while at < stop:
            length = min(segment, stop - at)
            segments.append((at, length))
            at += length
    stretches: list[list[tuple[int, int]]] = [[]]
    for start, length in segments:
        stretches[-1].append((start, length))
        if by_segment or start + length in together:
            stretches.append([])
    return [
        Piece(chunk, *part)
        for stretch in stretches
        for chunk in range(chunks)
        for part in stretch
    ]


def chunks_of(idents: np.ndarray, size: int) -> list[np.ndarray]:
    """Members in chunks of at most `size`, and of equal sizes but for one member."""
    return np.array_split(idents, -(-len(idents) // size)) if len(idents) else []


def dealt(idents: np.ndarray, parts: int) -> np.ndarray:
    """The members of a chunk, dealt out to each part of the devices in turn.

    Neighbours in a space, large learning rates say, often stop together; then no part
    has nothing left to do while another has everything.
    """
    return np.concatenate([idents[part::parts] for part in range(parts)])
