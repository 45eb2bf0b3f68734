"""Learning-rate finders, each as its authors apply it, on the curves of `_curves`.

A finder is used several times on a task, with other seeds each time. What it gives is
a rate for each use, or None where it refuses.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from _curves import RAMPS, Curves, Size
from _walls import Shape

import optax_cycles as oc
from optax_cycles.range_test.parallel import evaluation_steps
from optax_cycles.range_test.ramp import EXPLOSION
from optax_cycles.sweep.divergence import observe, start_watch

Uses = list[float | None]

# Parallel tests that take as long as one of our ramps, and as five: each so-many-eth
# value, one seed, at so-many-eth horizon.
SMALL = ((7, 0), (5, 1))


class Finder(NamedTuple):
    """A way to a learning rate.

    Attributes:
      shape: what one use trains.
      use: from a task's curves to a rate for each use.
    """

    shape: Shape
    use: Callable[[Curves], Uses]


def _answer(rule: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """What a rule says; None where it refuses."""
    try:
        return rule(*args, **options)
    except oc.NoSuggestionError:
        return None


def lightning_average(losses: np.ndarray) -> np.ndarray:
    """Lightning's average, whose debiasing is one update ahead."""
    ahead = 0.98 ** (np.arange(len(losses)) + 1)
    return oc.smooth(losses, 0.98) * (1 - ahead) / (1 - ahead * 0.98)


def torch_lr_finder_average(losses: np.ndarray) -> np.ndarray:
    """The average of torch-lr-finder: a twentieth of each new loss."""
    averages = itertools.accumulate(losses, lambda old, new: 0.05 * new + 0.95 * old)
    return np.array(list(averages))


def stopped(losses: np.ndarray, factor: float) -> int:
    """How many losses there are up to the first above `factor` times the best."""
    best = np.fmin.accumulate(losses)
    above = np.flatnonzero(losses > factor * best)
    return int(above[0]) + 1 if len(above) else len(losses)


def peer(
    ramp: str, average: Callable[[np.ndarray], np.ndarray], factor: float, rule: Any
) -> Finder:
    """Another library's finder, which stops at a multiple of the best loss."""
    values = RAMPS[ramp].rates

    def use(curves: Curves) -> Uses:
        found: Uses = []
        for losses in curves[f"ramp {ramp}"][:, : len(values)]:
            curve = average(losses.astype(np.float64))
            end = stopped(curve, factor)
            said = _answer(rule, values[:end], curve[:end])
            found.append(None if said is None else said.value)
        return found

    return Finder(Shape(0, 1, len(values)), use)


@jax.jit
def _explodes(losses: Any) -> Any:
    """bool `[seeds, steps]`: where the rule of `ramp_range_test` says to stop."""

    def member(one: Any) -> Any:
        def see(watch: Any, loss: Any) -> Any:
            return observe(EXPLOSION, watch, loss)

        return jax.lax.scan(see, start_watch(), one)[1]

    return jax.vmap(member)(losses)


def exploded(losses: np.ndarray) -> np.ndarray:
    """Losses `[seeds, steps]`, NaN from where `ramp_range_test` stops a run."""
    stops = np.asarray(_explodes(losses))
    return np.where(np.cumsum(stops, axis=1) - stops > 0, np.nan, losses)


def ramp(rule: str, seeds: int = 1) -> Finder:
    """A rule on our ramp; with several seeds the median of what it says of each."""
    values = RAMPS["ours"].rates

    def use(curves: Curves) -> Uses:
        found = []
        for losses in oc.smooth(exploded(curves["ramp ours"])):
            said = _answer(oc.RULES[rule], values, losses)
            found.append(np.nan if said is None else said.value)
        return [_median(group) for group in np.array(found).reshape(-1, seeds)]

    return Finder(Shape(0, seeds, len(values)), use)


def _median(found: np.ndarray) -> float | None:
    """The median of the answers, where most did not refuse."""
    if np.isnan(found).mean() >= 0.5:
        return None
    return float(np.nanmedian(found))


def parallel_test(
    curves: Curves, size: Size, seeds: slice, values: slice = slice(None)
) -> oc.ParallelTest:
    """The parallel range test of some of the seeds and values."""
    losses = curves["train"][values, seeds]
    axes = {
        "learning_rate": curves["values"][values],
        "seed": np.arange(losses.shape[1]),
    }
    updates = np.isfinite(losses).sum(-1)
    failed = updates < losses.shape[-1]
    status = np.where(failed, oc.sweep.Status.DIVERGED, oc.sweep.Status.RUNNING)
    sweep = oc.sweep.SweepResult(
        space=oc.sweep.grid(**axes),
        steps=losses.shape[-1],
        train={"loss": losses},
        validation={"loss": curves["validation"][values, seeds]},
        horizons=np.array(evaluation_steps(size.horizons)),
        status=status.astype(np.int32),
        updates=updates.astype(np.int32),
        complete=True,
        seconds={},
        versions={},
    )
    return oc.ParallelTest(("learning_rate",), size.horizons, sweep)


def parallel(
    size: Size, horizon: int, seeds: int, every: int, suggest: Callable[..., Any]
) -> Finder:
    """A rule on a parallel test of each `every`-th value and so many seeds.

    `suggest(test, horizon)` returns a rate.
    """
    values = slice((size.values - 1) % every // 2, None, every)
    total = size.seeds * size.repeats
    uses = [slice(i, i + seeds) for i in range(0, total - seeds + 1, seeds)]

    def use(curves: Curves) -> Uses:
        tests = [parallel_test(curves, size, part, values) for part in uses]
        return [_answer(suggest, test, horizon) for test in tests]

    count = len(range(size.values)[values])
    return Finder(Shape(count, seeds, horizon), use)


def best(test: oc.ParallelTest, horizon: int) -> float:
    """`parallel_best` at a horizon."""
    return test.suggest(horizon).best


def drifted(updates: int, *, upwards: bool) -> Callable[[oc.ParallelTest, int], float]:
    """`horizon_best` for so many updates, from all horizons up to the last.

    Without `upwards`, it is at most the best value at the last horizon: above that,
    the next value may fail.
    """

    def suggest(test: oc.ParallelTest, horizon: int) -> float:
        horizons = [h for h in test.horizons if h <= horizon]
        found = oc.horizon_best(
            test.values,
            np.stack([test.validation("loss", h) for h in horizons]),
            horizons,
            updates=updates,
            untrained=test.untrained(),
            diverged=np.stack([test.diverged(h) for h in horizons]),
            upwards=upwards,
        )
        return found.value

    return suggest


def named(shape: Shape) -> str:
    """The name of `parallel_best` on a test of some shape."""
    return f"parallel_best, {shape.values} x {shape.seeds} x {shape.updates}"


def small_name(size: Size) -> str:
    """The name of the parallel test that takes as long as one of our ramps."""
    every, place = SMALL[0]
    return named(parallel(size, size.horizons[place], 1, every, best).shape)


def finders(size: Size) -> dict[str, Finder]:
    """All finders by the name that the table gives them."""
    full, seeds = size.steps, size.seeds
    window = functools.partial(oc.steep_by_window, window=4)
    rules = ("valley", "slide", "minimum", "steep")
    found = {
        f"fastai, {rule}": peer("fastai", oc.smooth, 4.0, oc.RULES[rule])
        for rule in rules
    }
    found["torch-lr-finder"] = peer(
        "torch-lr-finder", torch_lr_finder_average, 5.0, oc.steep_by_index
    )
    found["Lightning"] = peer("lightning", lightning_average, 4.0, oc.steep_by_value)
    found["keras_lr_finder"] = peer("keras_lr_finder", np.asarray, 4.0, window)
    found |= {f"our ramp, {rule}": ramp(rule) for rule in (*rules, "smith_range")}
    found[f"our ramp, valley, median of {seeds}"] = ramp("valley", seeds)
    for every, place in SMALL:
        small = parallel(size, size.horizons[place], 1, every, best)
        found[named(small.shape)] = small
    for horizon in size.horizons:
        test = parallel(size, horizon, seeds, 1, best)
        found[named(test.shape)] = test
    for name, upwards in (("horizon_best", False), ("horizon_best, upwards", True)):
        rule = drifted(size.long, upwards=upwards)
        found[name] = parallel(size, full, seeds, 1, rule)
    return found
