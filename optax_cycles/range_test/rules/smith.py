"""Smith's own reading of a range test, as a rule."""

from __future__ import annotations

from typing import Any

import numpy as np

from optax_cycles import _checks
from optax_cycles.range_test.curve import Curve, check_curve
from optax_cycles.range_test.suggest import (
    NEVER_FALLS,
    CycleSuggestion,
    NoSuggestionError,
)

# The range of 300 normal numbers, 5.7 deviations, over their median spike, 0.32.
NOISE = 18.0


def smith_range(
    values: Any,
    losses: Any,
    *,
    tolerance: float = 0.1,
    skip_start: int | None = 0,
    skip_end: int = 0,
) -> CycleSuggestion:
    """The range from where the loss starts to fall to where it turns ragged or climbs.

    With s the level at the start (the median loss of the first tenth of the points),
    m the lowest loss and F = s - m the fall:

    - the **peak** is the last value before the loss turns: the value with the lowest
      loss so far when, on the way down, the loss first comes back up from its lowest by
      more than `tolerance` F. One climb and a ragged curve, which goes up and down, are
      both found so. A loss that is not finite is a climb.
    - the **base** is the last value before the peak at which the loss has not yet
      fallen by `tolerance` of the fall from s to the loss at the peak.

    Both are the bounds of a cycle: `one_cycle_policy` with `div_factor = peak / base`.

    Args:
      values: `[points]`, increasing values of the hyperparameter.
      losses: `[points]`, the loss at each, smoothed; what follows a NaN is left out.
      tolerance: share of the fall, in (0, 1/2), that counts as a change.
      skip_start: how many points to leave out at the start; None for a tenth.
      skip_end: how many points to leave out at the end; a climb there still counts.

    Returns:
      A `CycleSuggestion`: `base`, and `value` or `peak`; its index is that of the peak.

    Raises:
      NoSuggestionError: if the loss never falls or still falls where the range ends, if
        noise alone may make it climb by as much, or if fewer than 3 points are left.
      ValueError: if values are not positive and increasing, or `tolerance` is out of
        its range.

    L. Smith, "Cyclical learning rates for training neural networks" (2017), section
    3.3, which reads the accuracy; "A disciplined approach to neural network
    hyper-parameters" (2018), section 4.1.

    Examples:
      >>> import numpy as np, optax_cycles as oc
      >>> values = np.geomspace(1e-4, 1.0, 9)
      >>> found = oc.smith_range(values, [2.3, 2.3, 2.3, 2.2, 1.4, 1.0, 0.9, 2.0, 8.0])
      >>> round(found.base, 4), round(found.peak, 4)
      (0.0032, 0.1)
    """
    _checks.real("smith_range", "tolerance", tolerance, above=0, below=0.5)
    curve = check_curve(
        "smith_range",
        values,
        losses,
        minimum=3,
        skip_start=skip_start,
        skip_end=skip_end,
    )
    early = curve.losses[: max(len(curve.losses) // 10, 1)]
    level = float(np.median(early))
    fall = level - float(curve.losses.min())
    if not fall > 0 or np.all(np.diff(curve.losses) >= 0):
        raise NoSuggestionError(f"smith_range: {NEVER_FALLS}")
    way_down = curve.losses[: int(np.argmin(curve.losses)) + 1]
    _refuse_scatter(way_down, tolerance * fall)
    begin = int(np.argmax(early >= level))
    peak = begin + _turn(curve.losses[begin:], level, tolerance * fall, curve)
    started = level - tolerance * (level - curve.losses[peak])
    base = int(np.flatnonzero(curve.losses[: peak + 1] >= started)[-1])
    first = "; it falls from the first value on" if base == 0 else ""
    return CycleSuggestion(
        value=float(curve.values[peak]),
        index=curve.start + peak,
        reason=f"the loss falls from {level:.4g} to {curve.losses[peak]:.4g} between "
        f"base and peak, and turns there{first}",
        base=float(curve.values[base]),
    )


def _refuse_scatter(losses: np.ndarray, climb: float) -> None:
    """Refuse where noise alone may climb by as much as is looked for."""
    before, after = np.diff(losses[:-1]), np.diff(losses[1:])
    # A point's height above or depth below both its neighbours; 0 between them.
    spikes = np.minimum(np.abs(before), np.abs(after)) * (before * after < 0)
    scatter = NOISE * float(np.median(spikes)) if len(spikes) else 0.0
    if scatter > climb:
        raise NoSuggestionError(
            f"smith_range: the losses scatter (over about {scatter:.3g}) by more than "
            f"the climb to be found ({climb:.3g}); smooth them"
        )


def _turn(losses: np.ndarray, level: float, climb: float, curve: Curve) -> int:
    """The index of the lowest loss before the first climb on the way down."""
    lowest = np.minimum.accumulate(losses)
    climbs = (level - lowest > climb) & (losses - lowest > climb)
    if not climbs.any() and not curve.worsens:
        raise NoSuggestionError(
            "smith_range: the loss does not turn up before the last value "
            f"({curve.values[-1]:.3g}); raise the end of the range"
        )
    end = int(np.argmax(climbs)) if climbs.any() else len(losses)
    return int(np.argmin(losses[:end]))
