"""The files of `range-test`: curves, figures, the trained state."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from optax_cycles._figures import new_figure
from optax_cycles.cli.console import describe
from optax_cycles.cli.folder import STATE, Folder
from optax_cycles.cli.report import Findings
from optax_cycles.cli.snapshot import write_snapshot
from optax_cycles.cli.training import NAMES
from optax_cycles.plot import range_test_figure, save_figure
from optax_cycles.range_test.figures import plot_ramp
from optax_cycles.range_test.grid_figures import grid_figure

MARKED = ("valley", "steep")


def write(found: Findings, folder: Folder) -> None:
    """Write the curves, the figures and last the JSON file; drop those of old runs."""
    writers: dict[str, Callable[[Path], None]] = {}
    parallel, training = found.parallel, found.training
    if parallel is not None:
        writers["parallel.nc"] = parallel.save
    if found.ramp is not None:
        writers["ramp.nc"] = found.ramp.save
    if training is not None:
        writers["training.nc"] = lambda path: training.save(path, training=[*NAMES])
        if np.isfinite(training.score()).any():
            writers[STATE] = lambda path: write_snapshot(path, training.best_state())
    shown = parallel is not None and bool(parallel.reached)
    if shown:
        writers["range_test.png"] = lambda path: save_figure(_figure(found), path)
    if found.ramp is not None and not (shown and _is_on_one_page(found)):
        writers["ramp.png"] = lambda path: save_figure(_ramp_figure(found), path)
    folder.write(found.content(), writers)


def _is_on_one_page(found: Findings) -> bool:
    """Whether parallel test and ramp share an axis."""
    return found.parallel is not None and len(found.parallel.over) == 1


def _figure(found: Findings) -> Any:
    assert found.parallel is not None
    if not _is_on_one_page(found):
        return grid_figure(found.parallel)
    trainings = None
    if found.training is not None:
        losses = found.training.validation["loss"]
        labels = [
            _training_label(name, said) for name, said in found.trainings().items()
        ]
        curves = {label: losses[index] for index, label in enumerate(labels)}
        trainings = (found.training.horizons, curves)
    note = None if found.complete else "Stopped before the end: incomplete"
    if found.refusal is not None:
        note = f"No suggestion: {found.refusal}"
    return range_test_figure(
        found.parallel,
        found.ramp,
        suggestion=found.suggestion,
        marks=_marks(found),
        trainings=trainings,
        note=note,
    )


def _marks(found: Findings) -> dict[str, float]:
    """What some of the rules say of a ramp that is not of a grid."""
    if len(found.rules) != 1:
        return {}
    (_, rules) = found.rules[0]
    names = dict.fromkeys((*MARKED, found.suggests.get("rule", MARKED[0])))
    medians = {rule.name: rule.median for rule in rules.rules if rule.name in names}
    return {name: value for name, value in medians.items() if value is not None}


def _ramp_figure(found: Findings) -> Any:
    assert found.ramp is not None
    figure = new_figure(7.0, 4.0)
    plot_ramp(found.ramp, figure.subplots(), _marks(found))
    return figure


def _training_label(name: str, metrics: Mapping[str, list[float]]) -> str:
    if "accuracy" not in metrics:
        return name
    return f"{name}: accuracy {describe(np.array(metrics['accuracy']))}"
