"""Underfitting, overfitting or balanced, from the validation loss over a training."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal, TypeAlias

import numpy as np

from optax_cycles import _checks
from optax_cycles.range_test.changes import (
    Mean,
    argmin_smooth,
    change,
    gain_from_first,
    gap_at_end,
    in_tail,
    lowest_of_others,
    trend_of_tail,
)
from optax_cycles.range_test.suggest import NoSuggestionError

Verdict: TypeAlias = Literal["underfitting", "balanced", "overfitting", "unstable"]
FEWEST = 9
HALF = 0.5
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
      gap_error: its error; None without training losses.
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


def diagnose(
    steps: Any, validation: Any, train: Any = None, *, tolerance: float = 0.02
) -> Diagnosis:
    r"""Whether a training under- or overfits, from its validation loss.

    The horizontal part of the validation loss is the goal (Smith's remark 2). With R
    the range (largest minus least) of the median validation loss over seeds:

    - **overfitting**: the loss at the end is above that at its lowest by more than
      `tolerance` R and by more than two standard errors; or it is above the training
      loss by more than half of what that has fallen, and two standard errors: most of
      what was learned does not carry over, even if nothing turns up;
    - **unstable**: the loss has risen so, and the training loss has risen as well from
      there to the end, by more than `tolerance` of its own range and two standard
      errors;
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
      train: the training loss, of the same shape and in the same units; without it,
        instability can't be told from overfitting, and a gap can't be seen.
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
    places = lowest_of_others(validation)
    rise = change(validation, places)
    gain = gain_from_first(validation, places)
    trend = trend_of_tail(steps, validation)
    train_change = gap = None
    rose_too = apart = False
    if train is not None:
        train_change, gap = change(train, places), gap_at_end(validation, train)
        middle = np.median(train, axis=0)
        rose_too = train_change.above(tolerance * float(np.ptp(middle)))
        apart = gap.above(HALF * float(middle[0] - middle.min()))
    verdict: Verdict = "balanced"
    if rise.above(level):
        _refuse_unexplained(gain, train)
        verdict = "unstable" if rose_too else "overfitting"
    elif apart:
        verdict = "overfitting"
    elif not gain.above(0.0):
        raise NoSuggestionError(
            "diagnose: the validation loss never falls by more than noise (it gains "
            f"{gain.value:.3g}, standard error {gain.error:.3g}); train for more "
            "updates or raise the learning rate"
        )
    elif Mean(-trend.value, trend.error).above(level):
        verdict = "underfitting"
    turn = int(steps[argmin_smooth(np.median(validation, axis=0))])
    return Diagnosis(
        verdict=verdict,
        reason=_reason(
            trend=trend,
            rise=rise,
            turn=turn,
            train_change=train_change,
            gap=gap,
            level=level,
        ),
        advice=ADVICE[verdict],
        trend=trend.value,
        trend_error=trend.error,
        rise=rise.value,
        rise_error=rise.error,
        turn=turn,
        train_change=None if train_change is None else train_change.value,
        gap=None if gap is None else gap.value,
        gap_error=None if gap is None else gap.error,
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
    if in_tail(steps).sum() < 3:
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


def _refuse_unexplained(gain: Mean, train: np.ndarray | None) -> None:
    if train is None and not gain.above(0.0):
        raise NoSuggestionError(
            "diagnose: the validation loss rises from the first evaluation on, which "
            "is overfitting or a learning rate too large; pass the training losses"
        )


def _reason(
    *,
    trend: Mean,
    rise: Mean,
    turn: int,
    train_change: Mean | None,
    gap: Mean | None,
    level: float,
) -> str:
    parts = [
        f"the validation loss is lowest at update {turn} and changes by "
        f"{rise.value:+.3g} (standard error {rise.error:.2g}) from there to the end",
        f"its line over the last third changes by {trend.value:+.3g} (standard error "
        f"{trend.error:.2g})",
        f"less than {level:.2g} counts as level",
    ]
    if train_change is not None and gap is not None:
        change = f"the training loss changes by {train_change.value:+.3g} from there on"
        parts.insert(1, f"{change} and ends {gap.value:.3g} below")
    return "; ".join(parts)
