"""A sweep's result as tables: long data frames, and a small one for notebooks."""

from __future__ import annotations

import html as escaping
from typing import TYPE_CHECKING, Any

import numpy as np

from optax_cycles import _checks
from optax_cycles._extras import require
from optax_cycles.sweep.members import Status

if TYPE_CHECKING:
    from optax_cycles.sweep.result import SweepResult


def dataframe(result: SweepResult, kind: str) -> Any:
    """A long data frame of evaluations or of curves; see `SweepResult.to_dataframe`."""
    pd = require("pandas", "sweep", "to_dataframe")
    _checks.choice("to_dataframe", "kind", kind, ("validation", "train"))
    metrics = {f"{kind}_{name}": v for name, v in getattr(result, kind).items()}
    if kind == "train":
        along = {"step": np.arange(result.steps, dtype=np.int32)}
        of_members = {}
    else:
        along = {"horizon": result.horizons} if metrics else {}
        words = np.array([status.name.lower() for status in Status], object)
        of_members = {"status": words[result.status], "updates": result.updates}
    times = len(next(iter(along.values()))) if along else 1
    columns: dict[str, Any] = {}
    for name, values in result.space.members().items():
        columns[name] = np.repeat(values, times)
    for name, values in along.items():
        columns[name] = np.tile(values, result.space.size)
    columns |= {name: values.flatten() for name, values in metrics.items()}
    for name, values in of_members.items():
        columns[name] = np.repeat(values, times)
    # All columns are new: a copy of them would double what millions of rows take.
    return pd.DataFrame(columns, copy=False)


def html(result: SweepResult) -> str:
    """A table of axes, of what became of the members, and of the best of them."""
    rows = []
    for axis in result.space.axes:
        for name, values in axis.values.items():
            # Points that were drawn are in no order.
            spread = f"{min(values):.6g}"
            if len(values) > 1:
                spread += f" to {max(values):.6g}, {len(values)} values"
            rows.append((name, spread))
    rows.append(("members", counts(result)))
    rows.append(("updates", f"{result.steps}"))
    if (best := _best(result)) is not None:
        rows.append(("best", best))
    cells = "".join(
        f"<tr><th>{escaping.escape(name)}</th><td>{escaping.escape(text)}</td></tr>"
        for name, text in rows
    )
    return f"<table><caption>SweepResult</caption>{cells}</table>"


def counts(result: SweepResult) -> str:
    """How many members there are, and what became of them."""
    diverged = int(result.diverged.sum())
    done = int(((result.updates == result.steps) & ~result.diverged).sum())
    dropped = int((result.status == Status.DROPPED).sum())
    left = result.space.size - done - diverged - dropped
    found = {
        "finished": done,
        "diverged": diverged,
        "dropped": dropped,
        "not finished": left,
    }
    named = ", ".join(f"{count} {name}" for name, count in found.items() if count)
    return f"{result.space.size}: {named}"


def _best(result: SweepResult) -> str | None:
    if "loss" not in result.validation:
        return None
    losses = result.score()
    if not np.isfinite(losses).any():
        return None
    found = ", ".join(f"{name} {value:.6g}" for name, value in result.best().items())
    return f"{found}: validation loss {losses.min():.6g}"
