"""Results of several populations of points, as one."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from optax_cycles.sweep.lineage import Lineage
from optax_cycles.sweep.result import SweepResult
from optax_cycles.sweep.space import Axis, Space


def joined(results: Sequence[SweepResult]) -> SweepResult:
    """The points of results of one setting, one after another.

    Args:
      results: of spaces with the one axis `point`.
    """
    first = results[0]
    if len(results) == 1:
        return first

    def axis(name: str) -> np.ndarray:
        return np.concatenate([r.space.axes[0].values[name] for r in results])

    def metrics(kind: str) -> dict[str, np.ndarray]:
        names = {name: None for r in results for name in getattr(r, kind)}
        return {
            name: np.concatenate([_of(r, kind, name) for r in results])
            for name in names
        }

    return dataclasses.replace(
        first,
        space=Space((Axis("point", {n: axis(n) for n in first.space.axes[0].values}),)),
        train=metrics("train"),
        validation=metrics("validation"),
        status=np.concatenate([r.status for r in results]),
        updates=np.concatenate([r.updates for r in results]),
        complete=all(r.complete for r in results),
        seconds={n: sum(r.seconds.get(n, 0.0) for r in results) for n in first.seconds},
        lineage=_lineage(results),
        **_states(results),
    )


def _of(result: SweepResult, kind: str, name: str) -> np.ndarray:
    """A metric, NaN where a sweep was stopped before there was any."""
    known = getattr(result, kind)
    if name in known:
        found: np.ndarray = known[name]
        return found
    columns = result.steps if kind == "train" else len(result.horizons)
    return np.full((result.space.size, columns), np.nan, np.float32)


def _lineage(results: Sequence[SweepResult]) -> Lineage | None:
    lineages = [result.lineage for result in results]
    known = [lineage for lineage in lineages if lineage is not None]
    if len(known) < len(lineages):
        return None
    parents = [
        np.where(one.parents < 0, -1, one.parents + start)
        for one, start in zip(known, _starts(results), strict=True)
    ]
    names = known[0].hparams
    return Lineage(
        known[0].steps,
        np.concatenate(parents).astype(np.int32),
        {name: np.concatenate([one.hparams[name] for one in known]) for name in names},
    )


def _states(results: Sequence[SweepResult]) -> dict[str, Any]:
    """The final states that were kept, and whose they are."""
    kept = [
        (result.state, result.state_members + start)
        for result, start in zip(results, _starts(results), strict=True)
        if result.state_members is not None
    ]
    if not kept:
        return {"state": None, "state_members": None}
    states, members = zip(*kept, strict=True)

    def together(*leaves: Any) -> Any:
        keys = isinstance(leaves[0], jax.Array)
        return (jnp if keys else np).concatenate(leaves)

    return {
        "state": jax.tree.map(together, *states),
        "state_members": np.concatenate(members),
    }


def _starts(results: Sequence[SweepResult]) -> np.ndarray:
    """The place of each result's first point."""
    return np.cumsum([0, *(result.space.size for result in results[:-1])])
