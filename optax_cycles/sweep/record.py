"""The arrays of a sweep's result while they fill up."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from optax_cycles._typing import Metrics, PyTree
from optax_cycles.sweep.members import Members
from optax_cycles.sweep.result import SweepResult, versions
from optax_cycles.sweep.space import Space

PARTS = ("compile", "init", "train", "evaluate")


class Record:
    """The arrays of a result while they fill up; rows are members."""

    def __init__(self, space: Space, steps: int, horizons: Sequence[int]) -> None:
        """Make room for the members of a space."""
        self.space = space
        self.steps = steps
        self.horizons = list(horizons)
        self.train: dict[str, np.ndarray] = {}
        self.validation: dict[str, np.ndarray] = {}
        self.status = np.zeros(space.size, np.int32)
        self.updates = np.zeros(space.size, np.int32)
        self.states: list[PyTree] = []
        self.seconds = dict.fromkeys(PARTS, 0.0)

    def _put(
        self, into: dict[str, np.ndarray], columns: int, rows: slice, at: Any, new: Any
    ) -> None:
        for name, values in new.items():
            if name not in into:
                shape = (len(self.status), columns)
                into[name] = np.full(shape, np.nan, values.dtype)
            into[name][rows, at] = np.asarray(values)[: rows.stop - rows.start]

    def trained(self, rows: slice, start: int, length: int, metrics: Metrics) -> None:
        """Take in a segment's metrics `[rows, segment]`, `length` of them real."""
        real = {name: np.asarray(v)[:, :length] for name, v in metrics.items()}
        self._put(self.train, self.steps, rows, slice(start, start + length), real)

    def evaluated(self, rows: slice, horizon: int, metrics: Metrics) -> None:
        """Take in an evaluation's metrics `[rows]`."""
        at = self.horizons.index(horizon)
        self._put(self.validation, len(self.horizons), rows, at, metrics)

    def reached(self, rows: slice, members: Members) -> None:
        """Take in how far the members have come."""
        count = rows.stop - rows.start
        self.status[rows] = np.asarray(members.status)[:count]
        self.updates[rows] = np.asarray(members.step)[:count]

    def keep_state(self, rows: slice, members: Members) -> None:
        """Take in the members' final states."""
        count = rows.stop - rows.start
        self.states.append(jax.tree.map(lambda leaf: leaf[:count], members.state))

    def result(self, *, complete: bool) -> SweepResult:
        """All that has been taken in, in the shape of the space."""

        def shaped(values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
            return {
                k: v.reshape(*self.space.shape, v.shape[-1]) for k, v in values.items()
            }

        state = None
        if self.states and complete:
            state = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *self.states)
        return SweepResult(
            space=self.space,
            steps=self.steps,
            train=shaped(self.train),
            validation=shaped(self.validation),
            horizons=np.asarray(self.horizons, np.int64),
            status=self.status.reshape(self.space.shape),
            updates=self.updates.reshape(self.space.shape),
            complete=complete,
            seconds=self.seconds,
            versions=versions(),
            state=state,
        )


class Timed:
    """Adds the wall time of a `with` block to `seconds[part]`."""

    def __init__(self, seconds: dict[str, float], part: str) -> None:
        self.seconds = seconds
        self.part = part

    def __enter__(self) -> None:
        self.start = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self.seconds[self.part] += time.perf_counter() - self.start
