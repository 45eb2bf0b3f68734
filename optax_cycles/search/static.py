"""Searches over what changes the program: optimizers, widths, batch sizes."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import quote

import numpy as np

from optax_cycles import _checks
from optax_cycles._typing import Batch, Key, PyTree
from optax_cycles.search.common import Parts, searched
from optax_cycles.search.result import ROW, SearchResult
from optax_cycles.search.static_result import StaticResult
from optax_cycles.sweep.checkpoint import RefusedError
from optax_cycles.sweep.loop import Interrupted, SweepError
from optax_cycles.sweep.result import mode_of
from optax_cycles.sweep.space import Space, as_space
from optax_cycles.sweep.trainable import Trainable
from optax_cycles.sweep.training import Progress

Point: TypeAlias = dict[str, Any]
BATCH_SIZE = "batch_size"
SEARCHED = ("judge", "key", "validation", "metric", "mode", "horizons")


def over_static(
    static: Mapping[str, Sequence[str | float | bool]],
    make: Callable[..., Trainable],
    space: Any,
    data: PyTree,
    steps: int | Callable[[Point], int],
    *,
    key: Key,
    validation: Batch,
    method: Callable[..., SearchResult] | None = None,
    metric: str = "loss",
    mode: str | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: Callable[[Progress], None] | None = None,
    **options: Any,
) -> StaticResult:
    """Search at every combination of choices that a compiled program can't change.

    A learning rate is a number in the program; the optimizer's name, a layer's width
    or the batch size make it another one. Each combination is compiled once and
    searched on its own, one after another.

    Args:
      static: dict from axis to its values: names, numbers or truths.
      make: `make(**point) -> Trainable`, where `point` has a value for each static axis
        but `batch_size`, which `method` is given.
      space: as `method` takes it; or a function of the point, a dict, that returns one:
        `lambda point: wide if point["optimizer"] == "sgdw" else narrow`.
      data: as for `oc.sweep.run`.
      steps: updates of the members that are trained to the end; or a function of the
        point.
      key: the key of all randomness.
      validation: one batch to compare on.
      method: `oc.search.successive_halving`, `hyperband`, `population`, `optuna` or
        what is called like them; by default all points of a `Space` are trained to the
        end.
      metric: the validation metric to compare.
      mode: whether its `"min"` or its `"max"` is best; needed but for `"loss"`.
      checkpoint: a folder in which each combination has its own checkpoint, as for
        `oc.sweep.run`.
      progress: as for `oc.sweep.run`; until the last combination runs, the total is
        what it would be if all to come were as large as the present one.
      **options: further arguments of `method`, or of `oc.sweep.run`.

    Returns:
      A `StaticResult`.

    Raises:
      TypeError, ValueError: for arguments that make no sense, before anything is
        trained where that can be known.
      Interrupted, SweepError: as `oc.sweep.run`, with an incomplete `StaticResult`.

    Examples:
      >>> import jax, jax.numpy as jnp, optax, optax_cycles as oc
      >>> problem = oc.problem_from_loss(
      ...     lambda key: jnp.ones(2), lambda p, batch, key: jnp.mean((batch @ p) ** 2)
      ... )
      >>> makers = {"sgd": optax.sgd, "adam": optax.adam}
      >>> found = oc.search.over_static(
      ...     {"optimizer": ["sgd", "adam"]},
      ...     lambda optimizer: oc.trainable(
      ...         problem, lambda hp: makers[optimizer](hp["learning_rate"])
      ...     ),
      ...     oc.sweep.grid(learning_rate=[0.01, 1.0]), jnp.eye(2), 5, batch_size=2,
      ...     key=jax.random.key(0), validation=jnp.eye(2),
      ... )
      >>> found.best()
      {'optimizer': 'sgd', 'learning_rate': 1.0}
    """
    name = "over_static"
    mode = mode_of(name, metric, mode)
    points = _points(name, static)
    _checks.function_of(name, "make", make)
    _check_options(name, points, method, options)
    runs = _runs(points, make, space, steps)
    _check_names(name, points[0], runs, metric)
    results: list[SearchResult] = []

    def found() -> StaticResult:
        return StaticResult(tuple(points), tuple(results), metric, mode)

    parts = Parts(progress, len(points))
    for point, run in zip(points, runs, strict=True):
        own = {n: point[n] for n in (BATCH_SIZE,) if n in point}
        if checkpoint is not None:
            own["checkpoint"] = Path(checkpoint) / _folder(point)
        try:
            one = (method or _trained_to_the_end)(
                run.trainable,
                run.space,
                data,
                run.steps,
                key=key,
                validation=validation,
                metric=metric,
                mode=mode,
                progress=parts.next(),
                **own,
                **options,
            )
        except (Interrupted, SweepError) as stop:
            results.append(stop.result)
            stop.result = found()
            raise
        except KeyboardInterrupt:  # Before this one had anything.
            if not results:
                raise
            raise Interrupted(found()) from None
        except (ValueError, TypeError) as error:
            if not results or isinstance(error, RefusedError):
                raise
            # Not to lose what the others have found.
            raise SweepError(f"{name}: at {point}: {error}", found()) from error
        results.append(one)
    return found()


class _Run(NamedTuple):
    trainable: Trainable
    space: Any
    steps: int


def _runs(
    points: Sequence[Point],
    make: Callable[..., Trainable],
    space: Any,
    steps: int | Callable[[Point], int],
) -> list[_Run]:
    """What is trained at each point; batch sizes share one trainable."""
    made: dict[tuple[Any, ...], Trainable] = {}
    runs = []
    for point in points:
        others = {n: value for n, value in point.items() if n != BATCH_SIZE}
        identity = tuple((n, type(value), value) for n, value in others.items())
        if identity not in made:
            made[identity] = make(**others)
        here = space(dict(point)) if callable(space) else space
        length = steps(dict(point)) if callable(steps) else steps
        runs.append(_Run(made[identity], here, length))
    return runs


def _trained_to_the_end(
    trainable: Trainable, space: Any, data: PyTree, steps: int, **options: Any
) -> SearchResult:
    given: dict[str, Any] = {"judge": None, "horizons": None} | options
    named = {n: given.pop(n) for n in SEARCHED}
    return searched(
        "grid",
        trainable,
        as_space("over_static", space),
        data,
        steps,
        options=given,
        **named,
    )


def _points(function: str, static: Any) -> list[Point]:
    """Every combination of the static axes' values, the last axis fastest."""
    if not isinstance(static, Mapping):
        _checks.fail_type(function, "static", "a dict from axis to its values", static)
    if not static:
        _checks.fail(function, "static", "one axis or more", static)
    for axis, values in static.items():
        _checks.sequence(function, f"static[{axis!r}]", values)
        for value in values:
            if not isinstance(value, str | int | float | np.number | np.bool_):
                expected = "names, numbers or truths"
                _checks.fail_type(function, f"static[{axis!r}]", expected, value)
        # Folders and tables tell them apart by what is printed.
        differ = min(len(set(values)), len(set(map(str, values))))
        if len(values) == 0 or differ < len(values):
            expected = "different values, one or more"
            _checks.fail(function, f"static[{axis!r}]", expected, values)
    # Each on its own: an array of them all would make names of numbers beside names.
    columns = [map(_plain, values) for values in static.values()]
    return [
        dict(zip(static, point, strict=True)) for point in itertools.product(*columns)
    ]


def _plain(value: Any) -> Any:
    """Python's own number for one of NumPy's."""
    return value.item() if isinstance(value, np.generic) else value


def _check_options(
    function: str, points: Sequence[Point], method: Any, options: Mapping[str, Any]
) -> None:
    if method is not None:
        _checks.function_of(function, "method", method)
    if BATCH_SIZE in points[0] and BATCH_SIZE in options:
        raise ValueError(f"{function}: {BATCH_SIZE} is given twice, also in static")
    if "seed" in points[0]:
        expected = "axes without 'seed', the engine's own"
        _checks.fail(function, "static", expected, list(points[0]))


def _check_names(
    function: str, point: Point, runs: Sequence[_Run], metric: str
) -> None:
    """Raise where a static axis would hide, in rows, what else is called so."""
    taken = {metric, *ROW}
    for run in runs:
        space = run.space.members() if isinstance(run.space, Space) else run.space
        taken |= set(space) if isinstance(space, Mapping) else set()
    both = sorted(taken & set(point))
    if both:
        expected = f"axes without {both[0]!r}, which rows say of every point besides"
        _checks.fail(function, "static", expected, list(point))


def _folder(point: Point) -> str:
    """A name that no two points share, of letters that all file systems have."""
    return ",".join(f"{quote(n, '')}={quote(str(v), '')}" for n, v in point.items())
