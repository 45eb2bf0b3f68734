"""Underfitting, overfitting or balanced, from the validation loss over a training."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from optax_cycles import _checks
from optax_cycles.range_test.suggest import NoSuggestionError

Verdict: TypeAlias = Literal["underfitting", "balanced", "overfitting", "unstable"]
FEWEST = 9
TAIL = 2 / 3
CHANCE = 0.05
ERRORS = 2.0
ADVICE: dict[Verdict, str] = {
    "underfitting": "train for more updates, raise the learning rate, or regularise "
    "less (weight decay, dropout)",
    "balanced": "the settings are near the horizontal part of the loss; keep them",
    "overfitting": "regularise more (weight decay, dropout, a larger learning rate), "
    "stop near the turn, or get more data",
    "unstable": "lower the learning rate or the momentum, or warm up for longer",
}


@dataclasses.dataclass(frozen=True)
class Diagnosis:
    """What the end of a validation curve says; every error is a standard error.

    Attributes:
      verdict: `"underfitting"`, `"balanced"`, `"overfitting"`, or `"unstable"` where
        the training loss rises with the validation loss.
      reason: the evidence, in words.
      advice: what to change, in words.
      trend: the change of the validation loss over the last third of the updates, by
        the line fitted to it; mean over seeds.
      trend_error: its error.
      rise: the validation loss at the end minus that at its lowest; mean over seeds.
      rise_error: its error.
      turn: the update at which the median validation loss is lowest.
      train_change: the training loss at the end minus that at the turn, mean over
        seeds; None without training losses.
      gap: validation loss minus training loss at the end, mean over seeds; None
        without training losses.
      gap_error: its error; None without training losses or with one seed.
    """

    verdict: Verdict
    reason: str
    advice: str
    trend: float
    trend_error: float
    rise: float
    rise_error: float
    turn: int
    train_change: float | None
    gap: float | None
    gap_error: float | None


class _Mean(NamedTuple):
    value: float
    error: float

    def above(self, least: float) -> bool:
        return self.value > max(least, ERRORS * self.error)


def diagnose(
    steps: Any, validation: Any, train: Any = None, *, tolerance: float = 0.02
) -> Diagnosis:
    r"""Whether a training under- or overfits, from its validation loss.

    The horizontal part of the validation loss is the goal (Smith's remark 2). With R
    the range (largest minus least) of the median validation loss over seeds:

    - **overfitting**: the loss at the end is above that at its lowest by more than
      `tolerance` R and by more than two standard errors;
    - **unstable**: so it is, and the training loss rises as well from there to the end,
      by more than `tolerance` of its own range and two standard errors;
    - **underfitting**: the line fitted to the last third of the updates falls by more
      than `tolerance` R and by more than two standard errors over that third;
    - **balanced**: neither.

    The loss at a place is the mean over a tenth of the evaluations around it. Which
    place is the lowest for a seed is decided by the other seeds, because the lowest of
    many noisy losses is low by chance. Standard errors are those of the mean over
    seeds, or those that the scatter from evaluation to evaluation explains, whichever
    are larger; with one seed the latter, for the rise those of the luckiest of all
    evaluations.

    Args:
      steps: `[evaluations]`, increasing: the updates made before each evaluation.
      validation: `[seeds, evaluations]` or `[evaluations]`, the validation loss.
      train: the training loss, of the same shape; without it, instability can't be
        told from overfitting.
      tolerance: share of the range, in (0, 1), that counts as a change.

    Returns:
      A `Diagnosis`. It does not change when all losses are multiplied by a positive
      number or shifted, but for its numbers.

    Raises:
      NoSuggestionError: if a loss is not finite, the validation loss does not change or
        never falls by more than noise, or rises from the first evaluation on without
        training losses to say why.
      ValueError: if shapes don't match, steps don't increase, or there are fewer than 9
        evaluations or fewer than 3 of them in the last third of the updates.

    L. Smith, "A disciplined approach to neural network hyper-parameters" (2018),
    remarks 1 and 2, figures 2 to 4.

    Examples:
      >>> import numpy as np, optax_cycles as oc
      >>> steps = np.arange(0, 300, 10)
      >>> oc.diagnose(steps, np.exp(-steps / 200)).verdict
      'underfitting'
      >>> oc.diagnose(steps, np.exp(-steps / 30)).verdict
      'balanced'
      >>> oc.diagnose(steps, np.exp(-steps / 30) + steps / 1000).verdict
      'overfitting'
    """
    _checks.real("diagnose", "tolerance", tolerance, above=0.0, below=1.0)
    steps, validation, train = _check(steps, validation, train)
    level = tolerance * float(np.ptp(np.median(validation, axis=0)))
    if level == 0:
        raise NoSuggestionError(
            "diagnose: the validation loss does not change; look at the data and the "
            "loss, or raise the learning rate"
        )
    places = _lowest(validation)
    rise = _change(validation, places)
    gain = _gain(validation, places)
    trend = _trend(steps, validation)
    train_change = None if train is None else _change(train, places)
    verdict: Verdict = "balanced"
    if rise.above(level):
        verdict = "overfitting"
        _refuse_unexplained(gain, train)
        if train is not None and train_change is not None:
            moved = tolerance * float(np.ptp(np.median(train, axis=0)))
            verdict = "unstable" if train_change.above(moved) else verdict
    elif not gain.above(0.0):
        raise NoSuggestionError(
            "diagnose: the validation loss never falls by more than noise (it gains "
            f"{gain.value:.3g}, standard error {gain.error:.3g}); train for more "
            "updates or raise the learning rate"
        )
    elif _Mean(-trend.value, trend.error).above(level):
        verdict = "underfitting"
    turn = int(steps[_argmin_smooth(np.median(validation, axis=0))])
    gap = None if train is None else _gap(validation, train)
    return Diagnosis(
        verdict=verdict,
        reason=_reason(trend, rise, turn, train_change, level),
        advice=ADVICE[verdict],
        trend=trend.value,
        trend_error=trend.error,
        rise=rise.value,
        rise_error=rise.error,
        turn=turn,
        train_change=None if train_change is None else train_change.value,
        gap=None if gap is None else gap.value,
        gap_error=None if gap is None or math.isnan(gap.error) else gap.error,
    )


def _check(
    steps: Any, validation: Any, train: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    steps = np.asarray(steps, np.float64)
    validation = np.atleast_2d(np.asarray(validation, np.float64))
    if steps.ndim != 1 or validation.ndim != 2 or len(steps) != validation.shape[1]:
        shapes = (steps.shape, validation.shape)
        expected = "shaped [evaluations] and [seeds, evaluations]"
        _checks.fail("diagnose", "steps and validation", expected, shapes)
    if not len(validation):
        _checks.fail("diagnose", "validation", "of one seed or more", validation.shape)
    if len(steps) < FEWEST:
        expected = f"at least {FEWEST} evaluations"
        _checks.fail("diagnose", "steps", expected, len(steps))
    if not np.all(np.isfinite(steps)) or np.any(np.diff(steps) <= 0):
        _checks.fail("diagnose", "steps", "increasing", steps)
    if _in_tail(steps).sum() < 3:
        expected = "at least 3 evaluations in the last third of the updates"
        _checks.fail("diagnose", "steps", expected, steps)
    if train is not None:
        train = np.atleast_2d(np.asarray(train, np.float64))
        if train.shape != validation.shape:
            expected = f"of the shape of validation, {validation.shape}"
            _checks.fail("diagnose", "train", expected, train.shape)
    finite = np.isfinite(validation).all(axis=1)
    if train is not None:
        finite &= np.isfinite(train).all(axis=1)
    if not finite.all():
        raise NoSuggestionError(
            f"diagnose: {int((~finite).sum())} of {len(finite)} seed(s) have a loss "
            "that is not finite; lower the learning rate, or leave out these seeds"
        )
    order = np.lexsort(validation.T)  # The order of the seeds must not matter.
    return steps, validation[order], None if train is None else train[order]


def _in_tail(steps: np.ndarray) -> np.ndarray:
    """The evaluations in the last third of the updates."""
    last: np.ndarray = steps >= steps[0] + TAIL * (steps[-1] - steps[0])
    return last


def _width(losses: np.ndarray) -> int:
    return max(1, losses.shape[-1] // 10)


def _around(losses: np.ndarray, place: int) -> float:
    """The mean over a tenth of the evaluations, within the curve, around a place."""
    width = _width(losses)
    first = min(max(place - width // 2, 0), len(losses) - width)
    return float(losses[first : first + width].mean())


def _argmin_smooth(losses: np.ndarray) -> int:
    return int(np.argmin([_around(losses, place) for place in range(len(losses))]))


def _lowest(validation: np.ndarray) -> list[int]:
    """For each seed, where the median loss of the others is lowest."""
    if len(validation) == 1:
        return [_argmin_smooth(validation[0])]
    others = [np.delete(validation, seed, axis=0) for seed in range(len(validation))]
    return [_argmin_smooth(np.median(rest, axis=0)) for rest in others]


def _change(losses: np.ndarray, places: list[int]) -> _Mean:
    """The losses at the end minus those at one place of each seed."""
    last = losses.shape[1] - 1
    pairs = zip(losses, places, strict=True)
    return _difference(
        losses, [_around(row, last) - _around(row, place) for row, place in pairs]
    )


def _gain(losses: np.ndarray, places: list[int]) -> _Mean:
    """The first losses minus those at one place of each seed."""
    pairs = zip(losses, places, strict=True)
    gains = [row[0] - _around(row, place) for row, place in pairs]
    return _difference(losses, gains, evaluations=1)


def _difference(
    losses: np.ndarray, differences: list[float], evaluations: int | None = None
) -> _Mean:
    """The mean of differences of two places of each seed, and its error.

    `evaluations` are averaged at a place, a tenth of all by default.
    """
    count = (evaluations or _width(losses)) * len(losses)
    explained = _scatter(losses) * math.sqrt(2 / count)
    if len(losses) == 1:
        # The lowest of n places is low by sqrt(2 log(n / p)) deviations at most.
        lucky = math.sqrt(2 * math.log(losses.shape[1] / CHANCE)) / ERRORS
        return _Mean(differences[0], explained * lucky)
    return _mean(np.array(differences), explained)


def _mean(numbers: np.ndarray, least_error: float) -> _Mean:
    """Mean and standard error over seeds."""
    error = float(numbers.std(ddof=1)) / math.sqrt(len(numbers))
    return _Mean(float(numbers.mean()), max(error, least_error))


def _scatter(losses: np.ndarray) -> float:
    """The standard deviation of one evaluation about its neighbours' mean."""
    bends = losses[:, 1:-1] - (losses[:, :-2] + losses[:, 2:]) / 2
    return float(np.median(np.abs(bends))) / 0.6745 / math.sqrt(1.5)


def _trend(steps: np.ndarray, validation: np.ndarray) -> _Mean:
    """The change over the last third of the updates by a least-squares line."""
    tail = _in_tail(steps)
    third = (1 - TAIL) * (steps[-1] - steps[0])
    places = (steps[tail] - steps[tail].mean()) / third
    spread = float(places @ places)
    slopes = validation[:, tail] @ places / spread
    explained = _scatter(validation) / math.sqrt(spread * len(slopes))
    if len(slopes) == 1:
        return _Mean(float(slopes[0]), explained)
    return _mean(slopes, explained)


def _gap(validation: np.ndarray, train: np.ndarray) -> _Mean:
    last = validation.shape[1] - 1
    gaps = np.array([_around(row, last) for row in validation - train])
    if len(gaps) == 1:
        return _Mean(float(gaps[0]), math.nan)
    return _mean(gaps, 0.0)


def _refuse_unexplained(gain: _Mean, train: np.ndarray | None) -> None:
    if train is None and not gain.above(0.0):
        raise NoSuggestionError(
            "diagnose: the validation loss rises from the first evaluation on, which "
            "is overfitting or a learning rate too large; pass the training losses"
        )


def _reason(
    trend: _Mean, rise: _Mean, turn: int, train_change: _Mean | None, level: float
) -> str:
    parts = [
        f"the validation loss is lowest at update {turn} and changes by "
        f"{rise.value:+.3g} (standard error {rise.error:.2g}) from there to the end",
        f"its line over the last third changes by {trend.value:+.3g} (standard error "
        f"{trend.error:.2g})",
        f"less than {level:.2g} counts as level",
    ]
    if train_change is not None:
        train = f"the training loss changes by {train_change.value:+.3g} from there on"
        parts.insert(1, train)
    return "; ".join(parts)
