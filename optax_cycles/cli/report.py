"""What `range-test` found: its files."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from optax_cycles.cli.console import describe
from optax_cycles.cli.folder import Folder
from optax_cycles.cli.training import NAMES
from optax_cycles.plot import range_test_figure, save_figure
from optax_cycles.range_test import (
    NoSuggestionError,
    ParallelTest,
    RampTest,
    RangeSuggestion,
)
from optax_cycles.sweep.result import SweepResult, versions

FORMAT = "optax_cycles.range_test/1"
MAIN = "range_test.json"
FILES = ("parallel.nc", "ramp.nc", "training.nc", "range_test.png")


@dataclasses.dataclass
class Findings:
    """What has been found so far; fields stay empty where work has not come."""

    settings: dict[str, Any]
    complete: bool = False
    parallel: ParallelTest | None = None
    ramp: RampTest | None = None
    ramp_rules: dict[str, Any] = dataclasses.field(default_factory=dict)
    suggestion: RangeSuggestion | None = None
    refusal: str | None = None
    training: SweepResult | None = None
    trained: dict[str, str] = dataclasses.field(default_factory=dict)
    seconds: dict[str, float] = dataclasses.field(default_factory=dict)

    @contextmanager
    def timed(self, part: str) -> Iterator[None]:
        """Adds the wall time of a `with` block to `seconds`."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[part] = time.perf_counter() - start

    def ask_ramp(self, rules: Sequence[str]) -> None:
        """Take in what each rule says of the ramp."""
        assert self.ramp is not None
        for name in rules:
            try:
                values = [found.value for found in self.ramp.suggest(name)]
                self.ramp_rules[name] = {
                    "values": values,
                    "median": float(np.median(values)),
                }
            except (NoSuggestionError, ValueError) as refusal:
                self.ramp_rules[name] = {"refusal": str(refusal)}

    def trainings(self) -> dict[str, dict[str, list[float]]]:
        """Final validation metrics of each training, a value for each seed."""
        if self.training is None:
            return {}
        return {
            name: {
                metric: values[index, :, -1].tolist()
                for metric, values in self.training.validation.items()
            }
            for index, name in enumerate(NAMES)
        }

    def curve(self) -> dict[str, list[float]] | None:
        """The parallel test's curve at its last horizon, over the values."""
        if self.parallel is None or not self.parallel.reached:
            return None
        losses = self.parallel.validation()
        losses = np.where(np.isfinite(losses), losses, np.inf)
        return {
            self.parallel.name: self.parallel.values.tolist(),
            "median_loss": np.median(losses, axis=1).tolist(),
            "share_diverged": self.parallel.diverged().mean(axis=1).tolist(),
        }

    def content(self) -> dict[str, Any]:
        """All of it but the curves, as JSON has it."""
        found: dict[str, Any] = _plain(
            {
                "format": FORMAT,
                "complete": self.complete,
                "settings": self.settings,
                "suggestion": self.suggestion and self.suggestion._asdict(),
                "refusal": self.refusal,
                "curve": self.curve(),
                "ramp_rules": self.ramp_rules,
                "trainings": self.trainings(),
                "seconds": self.seconds,
                "trained": self.trained,
                "versions": versions(),
            }
        )
        return found


def write(found: Findings, folder: Folder) -> None:
    """Write the curves, the figure and last the JSON file; drop those of old runs."""
    writers: dict[str, Callable[[Path], None]] = {}
    if found.parallel is not None:
        writers["parallel.nc"] = found.parallel.save
    if found.ramp is not None:
        writers["ramp.nc"] = found.ramp.save
    if found.training is not None:
        training = found.training
        writers["training.nc"] = lambda path: training.save(path, training=[*NAMES])
    if found.parallel is not None and found.parallel.reached:
        writers["range_test.png"] = lambda path: save_figure(_figure(found), path)
    folder.write(found.content(), writers)


def _plain(value: Any) -> Any:
    """`value` with None for numbers that JSON does not have."""
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


def _figure(found: Findings) -> Any:
    assert found.parallel is not None
    trainings = None
    if found.training is not None:
        losses = found.training.validation["loss"]
        labels = [
            _training_label(name, said) for name, said in found.trainings().items()
        ]
        curves = {label: losses[index] for index, label in enumerate(labels)}
        trainings = (found.training.horizons, curves)
    marks = {
        name: said["median"]
        for name, said in found.ramp_rules.items()
        if "median" in said
    }
    note = None if found.complete else "Stopped before the end: incomplete"
    if found.refusal is not None:
        note = f"No suggestion: {found.refusal}"
    return range_test_figure(
        found.parallel,
        found.ramp,
        suggestion=found.suggestion,
        marks=marks,
        trainings=trainings,
        note=note,
    )


def _training_label(name: str, metrics: Mapping[str, list[float]]) -> str:
    if "accuracy" not in metrics:
        return name
    return f"{name}: accuracy {describe(np.array(metrics['accuracy']), '.3f')}"
