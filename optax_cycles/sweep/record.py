"""The arrays of a sweep's result while they fill up."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from optax_cycles._typing import Metrics, PyTree
from optax_cycles.sweep.lineage import start_lineage
from optax_cycles.sweep.members import Members
from optax_cycles.sweep.processes import whole
from optax_cycles.sweep.result import SweepResult, versions
from optax_cycles.sweep.space import Space

PARTS = ("compile", "init", "train", "evaluate")


class Record:
    """The arrays of a result while they fill up; rows are members."""

    def __init__(
        self,
        space: Space,
        steps: int,
        horizons: Sequence[int],
        verdicts: Sequence[int] = (),
    ) -> None:
        """Make room for the members of a space, and for what is said of them."""
        self.space = space
        self.steps = steps
        self.horizons = list(horizons)
        self.train: dict[str, np.ndarray] = {}
        self.validation: dict[str, np.ndarray] = {}
        self.status = np.zeros(space.size, np.int32)
        self.updates = np.zeros(space.size, np.int32)
        self.states: list[tuple[np.ndarray, PyTree]] = []
        self.seconds = dict.fromkeys(PARTS, 0.0)
        self.measured: dict[str, float] = {}
        self.lineage = start_lineage(space.members(), list(verdicts))

    def _put(
        self, into: dict[str, np.ndarray], columns: int, idents: Any, at: Any, new: Any
    ) -> None:
        for name, values in new.items():
            if name not in into:
                shape = (len(self.status), columns)
                into[name] = np.full(shape, np.nan, values.dtype)
            into[name][idents, at] = values[: len(idents)]

    def trained(
        self, idents: np.ndarray, start: int, length: int, metrics: Metrics
    ) -> None:
        """Take in a segment's metrics `[rows, segment]`, `length` of them real."""
        real = {name: _read(v)[:, :length] for name, v in metrics.items()}
        at = slice(start, start + length)
        self._put(self.train, self.steps, idents, at, real)

    def evaluated(self, idents: np.ndarray, horizon: int, metrics: Metrics) -> None:
        """Take in an evaluation's metrics `[rows]`."""
        at = self.horizons.index(horizon)
        read = {name: _read(v) for name, v in metrics.items()}
        self._put(self.validation, len(self.horizons), idents, at, read)

    def reached(self, idents: np.ndarray, members: Members) -> None:
        """Take in how far the members have come."""
        self.status[idents] = _read(members.status)[: len(idents)]
        self.updates[idents] = _read(members.step)[: len(idents)]

    def judged(
        self, step: int, parents: np.ndarray, changed: Mapping[str, np.ndarray]
    ) -> None:
        """Take in whose states members go on with, and with which numbers."""
        at = self.lineage.steps.tolist().index(step)
        self.lineage.parents[:, at] = parents
        for name, values in changed.items():
            self.lineage.hparams[name][:, at + 1 :] = values[:, None]

    def keep_state(
        self, idents: np.ndarray, members: Members, rows: np.ndarray | slice
    ) -> None:
        """Take in the final states of the members at some rows.

        They wait in the host's memory, so that the devices' is left to the others.
        """
        state = jax.tree.map(lambda leaf: whole(on_host(leaf))[rows], members.state)
        self.states.append((idents, state))

    def arrays(self) -> dict[str, np.ndarray]:
        """All arrays by name, to save them."""
        into = {"train": self.train, "validation": self.validation}
        named = {f"{k}.{n}": v for k, found in into.items() for n, v in found.items()}
        if len(self.lineage.steps):
            named["parents"] = self.lineage.parents
            named |= {f"hparams.{n}": v for n, v in self.lineage.hparams.items()}
        return {"status": self.status, "updates": self.updates, **named}

    def restore(
        self, arrays: Mapping[str, np.ndarray], seconds: Mapping[str, float]
    ) -> None:
        """Take back what `arrays` gave, and the time it took."""
        self.status, self.updates = arrays["status"].copy(), arrays["updates"].copy()
        for kind, into in (("train", self.train), ("validation", self.validation)):
            for name, values in arrays.items():
                if name.startswith(f"{kind}."):
                    into[name.removeprefix(f"{kind}.")] = values.copy()
        if len(self.lineage.steps):
            known = {n: arrays[f"hparams.{n}"].copy() for n in self.lineage.hparams}
            parents = arrays["parents"].copy()
            self.lineage = self.lineage._replace(parents=parents, hparams=known)
        for name, spent in seconds.items():
            self.seconds[name] = self.seconds.get(name, 0.0) + spent

    def result(self, *, complete: bool) -> SweepResult:
        """All that has been taken in, in the shape of the space."""

        def shaped(values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
            return {
                k: v.reshape(*self.space.shape, v.shape[-1]) for k, v in values.items()
            }

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
            measured=self.measured,
            lineage=self.lineage if len(self.lineage.steps) else None,
            versions=versions(),
            **self._final(),
        )

    def _final(self) -> dict[str, Any]:
        """The final states that there are, in the order of the space, and whose."""
        if not self.states:
            return {}
        idents, states = zip(*self.states, strict=True)
        everyone = np.concatenate(idents)
        rows = np.argsort(everyone)

        def joined(*leaves: Any) -> Any:
            keys = isinstance(leaves[0], jax.Array)
            return (jnp if keys else np).concatenate(leaves)[rows]

        state = jax.tree.map(joined, *states)
        return {"state": state, "state_members": everyone[rows]}


def on_host(leaf: Any) -> Any:
    """A copy in the host's memory, which no device frees; keys stay where they are."""
    is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return leaf if is_key else np.array(whole(leaf))


def _read(leaf: Any) -> np.ndarray:
    """All of an array of numbers, in the host's memory."""
    return np.asarray(whole(leaf))


class Timed:
    """Adds the wall time of a `with` block to `seconds[part]`."""

    def __init__(self, seconds: dict[str, float], part: str) -> None:
        self.seconds = seconds
        self.part = part

    def __enter__(self) -> None:
        self.start = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self.seconds[self.part] += time.perf_counter() - self.start
