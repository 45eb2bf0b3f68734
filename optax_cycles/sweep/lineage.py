"""Whose state members went on with after each verdict, and with which numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np


class Lineage(NamedTuple):
    """What a judge said of a population.

    Members are counted along the flattened axes; a stretch ends with a verdict, or with
    the last update.

    Attributes:
      steps: int64 `[verdicts]`, the updates made before each.
      parents: int32 `[members, verdicts]`: whose state each member went on with, its
        own for most; -1 where it did not go on.
      hparams: dict from hyperparameter to `[members, verdicts + 1]`: its value in each
        stretch.
    """

    steps: np.ndarray
    parents: np.ndarray
    hparams: Mapping[str, np.ndarray]

    def ancestors(self, member: int) -> np.ndarray:
        """int `[verdicts + 1]`: who held, in each stretch, what became this member."""
        line = [member]
        for parents in self.parents.T[::-1]:
            parent = int(parents[line[-1]])
            line.append(line[-1] if parent < 0 else parent)
        return np.array(line[::-1])

    def history(self, member: int) -> dict[str, np.ndarray]:
        """Each hyperparameter `[verdicts + 1]` along the line that led to a member."""
        line = self.ancestors(member)
        stretches = np.arange(len(line))
        return {name: values[line, stretches] for name, values in self.hparams.items()}


def start_lineage(hparams: Mapping[str, np.ndarray], steps: list[int]) -> Lineage:
    """That of members who keep what they have."""
    members = len(next(iter(hparams.values())))
    own = np.arange(members, dtype=np.int32)
    return Lineage(
        np.asarray(steps, np.int64),
        np.repeat(own[:, None], len(steps), axis=1),
        {n: np.repeat(v[:, None], len(steps) + 1, axis=1) for n, v in hparams.items()},
    )
