"""What `range-test` found: its files and its tables."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Iterator, Mapping
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
    Suggestion,
)
from optax_cycles.sweep.result import SweepResult, versions

FORMAT = "optax_cycles.range_test/1"


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

    def ask_ramp(self, rules: Mapping[str, Callable[[Any, Any], Suggestion]]) -> None:
        """Take in what each rule says of the ramp."""
        assert self.ramp is not None
        for name, rule in rules.items():
            try:
                values = [found.value for found in self.ramp.suggest(rule)]
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

    def sweeps(self) -> dict[str, SweepResult]:
        """The runs behind the findings, by the name of their file."""
        sweeps = {}
        if self.parallel is not None:
            sweeps["parallel"] = self.parallel.sweep
        if self.ramp is not None:
            sweeps["ramp"] = self.ramp.sweep
        if self.training is not None:
            sweeps["training"] = self.training
        return sweeps


def write(found: Findings, out: Path) -> None:
    """Write the curves, the figure and last the JSON file."""
    for name, result in found.sweeps().items():
        result.save(out / f"{name}.nc")
    if found.parallel is not None and found.parallel.reached:
        save_figure(_figure(found), out / "range_test.png")
    content = {
        "format": FORMAT,
        "complete": found.complete,
        "settings": found.settings,
        "suggestion": found.suggestion and found.suggestion._asdict(),
        "refusal": found.refusal,
        "ramp_rules": found.ramp_rules,
        "trainings": found.trainings(),
        "seconds": found.seconds,
        "versions": versions(),
    }
    text = json.dumps(_plain(content), indent=2, allow_nan=False)
    (out / "range_test.json").write_text(text + "\n")


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
    return range_test_figure(
        found.parallel,
        found.ramp,
        suggestion=found.suggestion,
        marks=marks,
        trainings=trainings,
    )


def _training_label(name: str, metrics: Mapping[str, list[float]]) -> str:
    if "accuracy" not in metrics:
        return name
    return f"{name}: accuracy {describe(np.array(metrics['accuracy']), '.3f')}"


def show(found: Findings, console: Console, out: Path) -> None:
    """Print the tables."""
    _show_suggestion(found, console)
    if found.training is not None:
        _show_trainings(found, console)
    console.seconds(found.seconds)
    kept = "" if found.complete else " (incomplete)"
    console.say(
        f"Written to {out}/{kept}: {', '.join(sorted(p.name for p in out.iterdir()))}"
    )


def _show_suggestion(found: Findings, console: Console) -> None:
    rows = []
    if found.suggestion is not None:
        said = found.suggestion
        low, high = said.interval
        rows += [
            ("peak", f"{said.peak:.3g}", "the top of 1cycle: last rate within noise"),
            (
                "best constant",
                f"{said.best:.3g}",
                f"90 % of seeds: {low:.3g} to {high:.3g}",
            ),
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
    title = f"Validation after {steps} updates, mean ± deviation of {seeds} new seed(s)"
    console.table(title, ("training", *metrics), rows)
