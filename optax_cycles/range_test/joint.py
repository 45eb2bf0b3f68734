"""The best point of a grid of several hyperparameters."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import numpy as np

from optax_cycles import _checks
from optax_cycles.range_test.failures import failed, untrained_losses
from optax_cycles.range_test.neighbours import RESAMPLES, Average
from optax_cycles.range_test.noise import close_to, error_of_luckiest
from optax_cycles.range_test.suggest import NoSuggestionError

AT_ONCE = 50


class JointSuggestion(NamedTuple):
    """The best point of a grid.

    Attributes:
      best: dict from hyperparameter to its value at the best point.
      interval: dict from axis to the 90 % bootstrap interval of its best value over
        seeds.
      within_noise: the points around the best, itself included, that the seeds can't
        tell from it.
      loss: the median loss at `best`.
      reason: why, in words.
    """

    best: dict[str, float]
    interval: dict[str, tuple[float, float]]
    within_noise: tuple[dict[str, float], ...]
    loss: float
    reason: str


class Profile(NamedTuple):
    """The best values of all other axes, along one.

    Attributes:
      name: the axis gone along.
      values: `[values]`, its values.
      best: dict from each other axis to its best value at each; NaN where there is no
        trustworthy one.
      losses: `[values]`, the median loss there.
      refusals: why there is none, or None, at each value.
    """

    name: str
    values: np.ndarray
    best: dict[str, np.ndarray]
    losses: np.ndarray
    refusals: tuple[str | None, ...]


def joint_best(
    axes: Mapping[str, Any],
    losses: Any,
    *,
    untrained: Any = None,
    diverged: Any = None,
    max_diverged: float = 0.2,
    choices: Collection[str] = (),
) -> JointSuggestion:
    """The point of a grid with the best median loss.

    Points of which more than `max_diverged` of the seeds failed are left out. The
    median losses are averaged over neighbours along every axis whose positive values
    span a decade or more, with weights that fall linearly in the logarithm of the
    value to 0 at a factor of 2; along other axes, and at 0, each value stands for
    itself. A neighbour that failed is left out, and so is the one as many values away
    on the other side. The best point has the least average.

    The points within noise of it are those that can be reached from it along the
    axes, one value at a time, through points whose losses, seed by seed, are higher
    by no more than noise, which is that of `parallel_best`, like what has failed.

    The best point must lie inside the grid along every axis of 3 values or more, but
    may have the value 0 that an axis begins with, beyond which there is none. Where it
    lies at an end, the best of the inner points that are within noise of it is taken.

    Args:
      axes: dict from name to increasing values.
      losses: `[*axes, seeds]`; what is not finite counts as infinitely bad.
      untrained: the same or a number: the loss before training.
      diverged: bool `[*axes, seeds]`, failed members; by default those whose loss is
        not finite, and with `untrained` those that exploded.
      max_diverged: share of seeds, in [0, 1).
      choices: axes whose ends count as any other value.

    Returns:
      A `JointSuggestion`.

    Raises:
      NoSuggestionError: if every point diverged, no point improves on the untrained
        loss by more than noise, or the best lies at an end of the axes named.
      ValueError: if shapes don't match, or values don't increase.

    Examples:
      >>> import numpy as np, optax_cycles as oc
      >>> axes = {"learning_rate": [0.01, 0.1, 1.0], "momentum": [0.0, 0.9]}
      >>> losses = np.array([[2.0, 1.0], [1.0, 0.5], [np.inf, np.inf]])[..., None]
      >>> oc.joint_best(axes, losses).best
      {'learning_rate': 0.1, 'momentum': 0.9}
    """
    axes, losses = _check_grid(axes, losses)
    _checks.real("joint_best", "max_diverged", max_diverged, minimum=0.0, below=1.0)
    shape, seeds = losses.shape[:-1], losses.shape[-1]
    if diverged is not None and np.shape(diverged) != losses.shape:
        expected = f"of the shape of losses, {losses.shape}"
        _checks.fail("joint_best", "diverged", expected, np.shape(diverged))
    start = untrained_losses("joint_best", untrained, losses.shape)
    if diverged is None:
        diverged = failed(axes, losses, start)
    broken = ~np.isfinite(losses) | np.asarray(diverged, bool)
    allowed = broken.mean(-1) <= max_diverged
    losses = np.where(allowed[..., None] & ~broken, losses, np.inf)
    # The order of the seeds must not matter.
    order = np.lexsort(losses.reshape(-1, seeds))
    losses = losses[..., order]
    medians = np.median(losses, axis=-1)
    if not np.isfinite(medians).any():
        raise NoSuggestionError(
            "joint_best: training failed for half of the seeds or more, or more than "
            "allowed, at every point; lower the ranges"
        )
    start = start[..., order]
    average = Average(list(axes.values()), medians, start)
    averages = average(medians)
    least = np.unravel_index(np.argmin(averages), shape)
    if np.all(np.isfinite(start[least])):
        with np.errstate(invalid="ignore"):  # Infinite before and after.
            gains = (start - losses).reshape(-1, seeds)
        _refuse_flat(gains, int(np.argmin(averages)))
    by_seed = average(losses)
    best = _inner_best(axes, by_seed, averages, least, choices)
    within = _within_noise(by_seed, best)
    moved = [n for n, a, b in zip(axes, best, least, strict=True) if a != b]
    return JointSuggestion(
        best=_point(axes, best),
        interval=_intervals(axes, losses, average, best),
        within_noise=tuple(_point(axes, place) for place in within),
        loss=float(medians[best]),
        reason=(
            f"lowest loss around it (median {medians[best]:.4g}, {seeds} seed(s)); "
            f"{len(within)} point(s) are within noise of it"
            + (f"; noise hides an end of {', '.join(moved)}" if moved else "")
        ),
    )


def profile(
    name: str,
    axes: Mapping[str, np.ndarray],
    losses: np.ndarray,
    *,
    untrained: np.ndarray,
    diverged: np.ndarray,
    **options: Any,
) -> Profile:
    """The joint best of all other axes, for each value along one."""
    along = list(axes).index(name)
    others = {other: values for other, values in axes.items() if other != name}
    found: list[JointSuggestion | None] = []
    refusals: list[str | None] = []
    for index in range(len(axes[name])):
        parts = [np.take(a, index, along) for a in (losses, untrained, diverged)]
        try:
            one = joint_best(
                others, parts[0], untrained=parts[1], diverged=parts[2], **options
            )
        except NoSuggestionError as refusal:
            found.append(None)
            refusals.append(str(refusal))
        else:
            found.append(one)
            refusals.append(None)
    best = {
        other: np.array([np.nan if one is None else one.best[other] for one in found])
        for other in others
    }
    least = np.array([np.nan if one is None else one.loss for one in found])
    return Profile(name, axes[name], best, least, tuple(refusals))


def _check_grid(
    axes: Mapping[str, Any], losses: Any
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    arrays = {name: np.asarray(values, np.float64) for name, values in axes.items()}
    losses = np.asarray(losses, np.float64)
    for name, values in arrays.items():
        if values.ndim != 1 or not len(values) or not np.all(np.diff(values) > 0):
            _checks.fail("joint_best", f"axes[{name!r}]", "increasing numbers", values)
    shape = tuple(map(len, arrays.values()))
    if losses.ndim != len(shape) + 1 or losses.shape[:-1] != shape or not losses.size:
        expected = f"of the shape {shape} and an axis of seeds"
        _checks.fail("joint_best", "losses", expected, losses.shape)
    return arrays, losses


def _point(axes: Mapping[str, np.ndarray], place: tuple[Any, ...]) -> dict[str, float]:
    return {
        name: float(values[index])
        for (name, values), index in zip(axes.items(), place, strict=True)
    }


def _refuse_flat(gains: np.ndarray, best: int) -> None:
    noise = error_of_luckiest(gains, best) if gains.shape[1] > 1 else 0.0
    gain = float(np.median(gains[best][np.isfinite(gains[best])]))
    if not gain > noise:
        raise NoSuggestionError(
            "joint_best: no point improves on the untrained loss by more than noise "
            f"(gain {gain:.3g}, the best of {len(gains)} points may gain {noise:.3g} "
            "by chance); train for more steps or with more seeds, or look at the data "
            "and the loss"
        )


def _inner_best(
    axes: Mapping[str, np.ndarray],
    losses: np.ndarray,
    averages: np.ndarray,
    least: tuple[Any, ...],
    choices: Collection[str],
) -> tuple[Any, ...]:
    """The best point, or the best inner one within noise of it."""

    def ends(place: tuple[Any, ...]) -> list[str]:
        return [
            f"{name}: the loss is lowest at the {which} value ({values[index]:.3g}); "
            f"{'lower the start' if which == 'first' else 'raise the end'} of its range"
            for (name, values), index in zip(axes.items(), place, strict=True)
            if name not in choices and (which := _end(values, int(index)))
        ]

    if not ends(least):
        return least
    inner = [place for place in _within_noise(losses, least) if not ends(place)]
    if not inner:
        raise NoSuggestionError(f"joint_best: {'; '.join(ends(least))}")
    return min(inner, key=lambda place: float(averages[place]))


def _end(values: np.ndarray, index: int) -> str:
    """`first` or `last` where the range ends at an index; nothing lies below 0."""
    if len(values) < 3:
        return ""
    if index == 0:
        return "" if values[0] == 0 else "first"
    return "last" if index == len(values) - 1 else ""


def _within_noise(losses: np.ndarray, best: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    """The points that the seeds can't tell from the best, connected to it."""
    shape, seeds = losses.shape[:-1], losses.shape[-1]
    flat = close_to(losses.reshape(-1, seeds), int(np.ravel_multi_index(best, shape)))
    close = flat.reshape(shape)
    start = tuple(int(index) for index in best)
    found, seen, waiting = [start], {start}, [start]
    while waiting:
        for place in _neighbours(waiting.pop(), shape):
            if place not in seen:
                seen.add(place)
                if close[place]:
                    found.append(place)
                    waiting.append(place)
    return sorted(found)


def _neighbours(
    place: tuple[int, ...], shape: tuple[int, ...]
) -> list[tuple[int, ...]]:
    """The points one value away along one axis."""
    return [
        (*place[:axis], index, *place[axis + 1 :])
        for axis in range(len(shape))
        for index in (place[axis] - 1, place[axis] + 1)
        if 0 <= index < shape[axis]
    ]


def _intervals(
    axes: Mapping[str, np.ndarray],
    losses: np.ndarray,
    average: Average,
    best: tuple[Any, ...],
) -> dict[str, tuple[float, float]]:
    """Where the best value of each axis lies when seeds are drawn again, and it."""
    seeds, shape = losses.shape[-1], losses.shape[:-1]
    draws = np.random.default_rng(0).integers(seeds, size=(RESAMPLES, seeds))
    medians = np.concatenate(
        [
            np.median(losses[..., draws[first : first + AT_ONCE]], axis=-1)
            for first in range(0, RESAMPLES, AT_ONCE)
        ],
        axis=-1,
    )
    # A draw in which training failed at every point has no best one.
    some = np.isfinite(medians).reshape(-1, RESAMPLES).any(axis=0)
    flat = average(medians[..., some]).reshape(math.prod(shape), -1).argmin(axis=0)
    intervals = {}
    places = np.unravel_index(flat, shape)
    for (name, values), along, at in zip(axes.items(), places, best, strict=True):
        low, high = np.quantile(along, [0.05, 0.95], method="nearest")
        intervals[name] = (float(values[min(low, at)]), float(values[max(high, at)]))
    return intervals
