"""Range tests as small tables for notebooks."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from optax_cycles.range_test.suggest import NoSuggestionError

if TYPE_CHECKING:
    from optax_cycles.range_test.parallel_result import ParallelTest
    from optax_cycles.range_test.ramp_result import RampTest


def parallel_table(test: ParallelTest) -> str:
    """The axes, how far it came, and the suggestion, or why there is none."""
    rows = {**_axes(test.axes), "seeds": f"{test.seeds}"}
    rows["horizons"] = ", ".join(map(str, test.reached)) or "none"
    if test.reached:
        rows["diverged"] = f"{test.diverged().mean():.1%} of the members"
    try:
        rows |= _joint(test) if len(test.over) > 1 else _range(test)
    except NoSuggestionError as refusal:
        rows["no suggestion"] = str(refusal)
    return _table(repr(test), rows)


def _joint(test: ParallelTest) -> dict[str, str]:
    found = test.joint()
    best = ", ".join(f"{name} {value:.4g}" for name, value in found.best.items())
    return {"best": best, "reason": found.reason}


def _range(test: ParallelTest) -> dict[str, str]:
    found = test.suggest()
    low, high = found.interval
    return {
        "base, best, peak": f"{found.base:.4g}, {found.best:.4g}, {found.peak:.4g}",
        "interval": f"{low:.4g} to {high:.4g}",
        "reason": found.reason,
    }


def ramp_table(test: RampTest) -> str:
    """What climbed, the axes, and what became of the runs."""
    rows = {test.name: f"climbs, {_ends(test.values)}"}
    rows |= {name: f"moves, {_ends(values)}" for name, values in test.moving.items()}
    rows |= {**_axes(test.axes), "seeds": f"{test.seeds}"}
    rows["diverged"] = f"{test.sweep.diverged.mean():.1%} of the runs"
    return _table(repr(test), rows)


def _axes(axes: Mapping[str, np.ndarray]) -> dict[str, str]:
    return {n: f"{_ends(values)}, {len(values)} values" for n, values in axes.items()}


def _ends(values: np.ndarray) -> str:
    return f"{values[0]:.6g} to {values[-1]:.6g}"


def _table(title: str, rows: Mapping[str, str]) -> str:
    cells = "".join(
        f"<tr><th>{html.escape(name)}</th><td>{html.escape(text)}</td></tr>"
        for name, text in rows.items()
    )
    return f"<table><caption>{html.escape(title)}</caption>{cells}</table>"
