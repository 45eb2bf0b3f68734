"""What `range-test` found: its files and its tables."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from optax_cycles.cli.console import Console, describe
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
FILES = ("range_test.json", "range_test.png", "parallel.nc", "ramp.nc", "training.nc")


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


def write(found: Findings, out: Path) -> list[str]:
    """Write the curves, the figure and last the JSON file; drop those of old runs.

    Returns:
      The names of the files written.
    """
    written = []
    for name in FILES:
        (out / name).unlink(missing_ok=True)
    if found.parallel is not None:
        found.parallel.sweep.save(out / "parallel.nc")
        written.append("parallel.nc")
    if found.ramp is not None:
        found.ramp.save(out / "ramp.nc")
        written.append("ramp.nc")
    if found.training is not None:
        found.training.save(out / "training.nc", training=list(NAMES))
        written.append("training.nc")
    if found.parallel is not None and found.parallel.reached:
        save_figure(_figure(found), out / "range_test.png")
        written.append("range_test.png")
    text = json.dumps(_plain(_content(found)), indent=2, allow_nan=False)
    (out / "range_test.json").write_text(text + "\n")
    return [*written, "range_test.json"]


def _content(found: Findings) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "complete": found.complete,
        "settings": found.settings,
        "suggestion": found.suggestion and found.suggestion._asdict(),
        "refusal": found.refusal,
        "curve": found.curve(),
        "ramp_rules": found.ramp_rules,
        "trainings": found.trainings(),
        "seconds": found.seconds,
        "versions": versions(),
    }


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
    note = None if found.complete else "Interrupted: incomplete"
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


def show(found: Findings, console: Console, out: Path, written: list[str]) -> None:
    """Print the tables."""
    _show_suggestion(found, console)
    if found.training is not None:
        _show_trainings(found, console)
    console.seconds(found.seconds)
    kept = "" if found.complete else " (incomplete)"
    console.say(f"Written to {out}/{kept}: {', '.join(written)}")


def _show_suggestion(found: Findings, console: Console) -> None:
    rows = []
    if found.suggestion is not None:
        said = found.suggestion
        low, high = said.interval
        interval = f"90 % interval over seeds: {low:.3g} to {high:.3g}"
        if found.settings["seeds"] == 1:
            interval = "one seed: its noise is not known"
        rows += [
            ("peak", f"{said.peak:.3g}", "for 1cycle: last rate within noise of best"),
            ("best constant", f"{said.best:.3g}", interval),
            ("base", f"{said.base:.3g}", "from here on half of the fall is reached"),
        ]
    for name, rule in found.ramp_rules.items():
        if "median" in rule:
            low, high = min(rule["values"]), max(rule["values"])
            note = f"seeds say {low:.3g} to {high:.3g}"
            rows.append((f"ramp: {name}", f"{rule['median']:.3g}", note))
        else:
            rows.append((f"ramp: {name}", "none", rule["refusal"]))
    if rows:
        console.table("Learning rate", ("", "rate", "why"), rows)
    if found.refusal is not None:
        console.say(f"No suggestion: {found.refusal}")


def _show_trainings(found: Findings, console: Console) -> None:
    trainings = found.trainings()
    metrics = list(next(iter(trainings.values())))
    rows = [
        (name, *[describe(np.array(values[metric])) for metric in metrics])
        for name, values in trainings.items()
    ]
    steps, seeds = found.settings["steps"], found.settings["seeds"]
    title = f"Validation after {steps} updates, {seeds} new seed(s): mean ± deviation"
    console.table(title, ("training", *metrics), rows)
