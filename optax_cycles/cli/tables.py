"""The tables of `range-test`, from what its JSON file holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from optax_cycles.cli.console import Console, describe
from optax_cycles.cli.folder import Folder


def show(content: Mapping[str, Any], console: Console, folder: Folder) -> None:
    """Print the tables, and which files there are."""
    _show_suggestion(content, console)
    if content["trainings"]:
        _show_trainings(content, console)
    console.seconds(content["seconds"])
    kept = "" if content["complete"] else " (incomplete)"
    names = [n for n in (*folder.files, folder.main) if (folder.path / n).exists()]
    console.say(f"In {folder.path}/{kept}: {', '.join(names)}")


def _show_suggestion(content: Mapping[str, Any], console: Console) -> None:
    rows = []
    said = content["suggestion"]
    if said is not None:
        low, high = said["interval"]
        interval = f"90 % interval over seeds: {low:.3g} to {high:.3g}"
        if content["settings"]["seeds"] == 1:
            interval = "one seed: its noise is not known"
        rows += [
            ("peak", f"{said['peak']:.3g}", "of 1cycle: last within noise of the best"),
            ("best constant", f"{said['best']:.3g}", interval),
            ("base", f"{said['base']:.3g}", "from here on half of the fall is reached"),
        ]
    for name, rule in content["ramp_rules"].items():
        if "median" in rule:
            low, high = min(rule["values"]), max(rule["values"])
            note = f"seeds say {low:.3g} to {high:.3g}"
            rows.append((f"ramp: {name}", f"{rule['median']:.3g}", note))
        else:
            rows.append((f"ramp: {name}", "none", rule["refusal"]))
    if rows:
        console.table("Learning rate", ("", "rate", "why"), rows)
    if content["refusal"] is not None:
        console.say(f"No suggestion: {content['refusal']}")


def _show_trainings(content: Mapping[str, Any], console: Console) -> None:
    trainings = content["trainings"]
    metrics = list(next(iter(trainings.values())))
    rows = [
        (name, *[describe(_numbers(values[metric])) for metric in metrics])
        for name, values in trainings.items()
    ]
    steps, seeds = content["settings"]["steps"], content["settings"]["seeds"]
    new = "1 new seed" if seeds == 1 else f"{seeds} new seeds: mean ± deviation"
    title = f"Validation after {steps} updates, {new}"
    console.table(title, ("training", *metrics), rows)


def _numbers(values: list[float | None]) -> np.ndarray:
    """The numbers of a JSON file, NaN for those that JSON does not have."""
    return np.array([np.nan if value is None else value for value in values])
