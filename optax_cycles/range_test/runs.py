"""The runs behind a range test: one sweep, or one for each batch size, joined."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from optax_cycles import _checks
from optax_cycles._typing import PyTree
from optax_cycles.range_test.over import BATCH_SIZE, batch_sizes
from optax_cycles.range_test.random_state import kept_random_states
from optax_cycles.sweep.loop import Interrupted, SweepError, run
from optax_cycles.sweep.result import SweepResult
from optax_cycles.sweep.space import Space
from optax_cycles.sweep.trainable import Trainable
from optax_cycles.sweep.training import Progress

BUDGETS = ("updates", "examples")


def updates_at(horizon: int, budget: str, size: int, smallest: int) -> int:
    """Updates that a batch size has made at a horizon.

    Args:
      horizon: updates of the smallest batch size.
      budget: what all have had as many of, `"updates"` or `"examples"`.
      size: the batch size.
      smallest: the smallest batch size.

    Returns:
      For examples, the first update by which as many have been seen.
    """
    return horizon if budget == "updates" else -(-horizon * smallest // size)


def check_budget(function: str, budget: str, steps: int, space: Space) -> None:
    """Raise where batch sizes can't be trained on equally many examples."""
    _checks.choice(function, "budget", budget, BUDGETS)
    if budget == "updates":
        return
    if BATCH_SIZE not in space.names:
        raise ValueError(f"{function}: budget='examples' needs over['batch_size']")
    sizes = batch_sizes(space).tolist()
    unit = int(np.lcm.reduce(sizes)) // sizes[0]
    if steps % unit:
        below, above = steps // unit * unit, -(-steps // unit) * unit
        near = f"{below} or {above}" if below else f"{above}"
        expected = (
            f"a multiple of {unit}, for batches of {sizes} to see equally many "
            f"examples ({near})"
        )
        _checks.fail(function, "steps", expected, steps)


def run_over(
    trainable: Trainable,
    space: Space,
    data: PyTree,
    steps: int,
    *,
    finish: Callable[[SweepResult], Any],
    horizons: Sequence[int] | None = None,
    budget: str = "updates",
    **options: Any,
) -> Any:
    """Run a space, in which `batch_size` may be an axis: a sweep for each size.

    Args:
      trainable: what to train.
      space: all axes.
      data: what to train on.
      steps: updates to make, of the smallest batch size.
      finish: makes the test of the joined result. The results of interrupted and
        failed sweeps go through it too.
      horizons: updates, of the smallest batch size, after which to evaluate.
      budget: `"updates"` or `"examples"`, of which all batch sizes get as many.
      **options: further arguments of `run`.
    """
    results: list[SweepResult] = []
    sizes = batch_sizes(space).tolist() if BATCH_SIZE in space.names else [None]
    rest = Space(tuple(axis for axis in space.axes if axis.name != BATCH_SIZE))
    updates = [_updates(budget, size, sizes[0]) for size in sizes]
    total = rest.size * sum(at(steps) for at in updates)

    def joined() -> SweepResult:
        if sizes == [None]:
            return results[0]
        return _joined(results, space, updates, steps, horizons or [])

    for size, at in zip(sizes, updates, strict=True):
        done = sum(result.space.size * result.steps for result in results)
        own = _own_options(options, size, done, total)
        try:
            with kept_random_states(data):
                result = run(
                    trainable,
                    rest,
                    data,
                    at(steps),
                    horizons=horizons and sorted({at(horizon) for horizon in horizons}),
                    **own,
                )
        except (Interrupted, SweepError) as stop:
            results.append(stop.result)
            stop.result = finish(joined())
            raise
        results.append(result)
    return finish(joined())


def _updates(budget: str, size: Any, smallest: Any) -> Callable[[int], int]:
    return lambda horizon: updates_at(horizon, budget, size, smallest)


def _own_options(
    options: dict[str, Any], size: int | None, done: int, total: int
) -> dict[str, Any]:
    """The options of one batch size's sweep, which is a part of all."""
    if size is None:
        return options
    own = options | {"batch_size": size}
    checkpoint, report = options.get("checkpoint"), options.get("progress")
    if checkpoint is not None:
        own["checkpoint"] = os.path.join(checkpoint, f"batch_size_{size}")
    if report is not None:

        def part(progress: Progress) -> None:
            report(progress._replace(done=done + progress.done, total=total))

        own["progress"] = part
    return own


def _joined(
    results: Sequence[SweepResult],
    space: Space,
    updates: Sequence[Callable[[int], int]],
    steps: int,
    horizons: Sequence[int],
) -> SweepResult:
    """One result of the whole space; NaN where a batch size makes no update.

    Its horizons are updates of the smallest batch size.
    """
    axis = space.names.index(BATCH_SIZE)
    columns = []
    for result, at in zip(results, updates, strict=False):
        known = result.horizons.tolist()
        columns.append([known.index(at(horizon)) for horizon in horizons])

    def stacked(parts: Sequence[np.ndarray], fill: Any) -> np.ndarray:
        missing = [np.full_like(parts[0], fill)] * (len(updates) - len(parts))
        return np.stack([*parts, *missing], axis)

    def padded(values: np.ndarray) -> np.ndarray:
        width = [(0, 0)] * (values.ndim - 1) + [(0, steps - values.shape[-1])]
        return np.pad(values, width, constant_values=np.nan)

    train = {
        name: stacked([padded(result.train[name]) for result in found], np.nan)
        for name, found in _by_metric(results, "train")
    }
    validation = {
        name: stacked(
            [
                result.validation[name][..., at]
                for result, at in zip(found, columns, strict=False)
            ],
            np.nan,
        )
        for name, found in _by_metric(results, "validation")
    }
    complete = len(results) == len(updates) and all(r.complete for r in results)
    return dataclasses.replace(
        results[0],
        space=space,
        steps=steps,
        train=train,
        validation=validation,
        horizons=np.asarray(horizons, np.int64),
        status=stacked([result.status for result in results], 0),
        updates=stacked([result.updates for result in results], 0),
        complete=complete,
        seconds=_added([result.seconds for result in results]),
        measured=_labelled(results, batch_sizes(space)),
        **_joined_states(results, space, axis),
    )


def _by_metric(
    results: Sequence[SweepResult], kind: str
) -> list[tuple[str, list[SweepResult]]]:
    """The metrics, with the results that have them: the first ones."""
    names = list(getattr(results[0], kind))
    return [(n, [r for r in results if n in getattr(r, kind)]) for n in names]


def _added(parts: Sequence[dict[str, float]]) -> dict[str, float]:
    names = dict.fromkeys(name for part in parts for name in part)
    return {name: sum(part.get(name, 0.0) for part in parts) for name in names}


def _labelled(results: Sequence[SweepResult], sizes: np.ndarray) -> dict[str, float]:
    return {
        f"batch_size={size}: {name}": seconds
        for size, result in zip(sizes, results, strict=False)
        for name, seconds in result.measured.items()
    }


def _joined_states(
    results: Sequence[SweepResult], space: Space, axis: int
) -> dict[str, Any]:
    """The final states that were kept, and the places of their members in the space."""
    kept = [
        (index, result.space.shape, result.state_members, result.state)
        for index, result in enumerate(results)
        if result.state_members is not None
    ]
    if not kept:
        return {"state": None, "state_members": None}
    places = []
    for index, shape, known, _ in kept:
        own = list(np.unravel_index(known, shape))
        own.insert(axis, np.full_like(own[0], index))
        places.append(np.ravel_multi_index(own, space.shape))
    members = np.concatenate(places)
    rows = np.argsort(members)
    state = jax.tree.map(
        lambda *leaves: np.concatenate(leaves)[rows],
        *[state for *_, state in kept],
    )
    return {"state": state, "state_members": members[rows]}
