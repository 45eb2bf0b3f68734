"""The tables of `range-test`, from what its JSON file holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from optax_cycles.cli.console import Console, describe
from optax_cycles.cli.folder import Folder
from optax_cycles.cli.question import PARALLEL

MOST_POINTS = 12


def show(content: Mapping[str, Any], console: Console, folder: Folder) -> None:
    """Print the tables, and which files there are."""
    _show_joint(content, console)
    _show_suggestion(content, console)
    _show_rules(content, console, folder.main)
    if content["refusal"] is not None:
        console.say(f"No suggestion: {content['refusal']}")
    if content["trainings"]:
        _show_trainings(content, console)
    console.seconds(content["seconds"])
    console.files(folder, complete=content["complete"])


def _show_joint(content: Mapping[str, Any], console: Console) -> None:
    said = content["joint"]
    if said is None:
        return
    rows = []
    for name, best in said["best"].items():
        low, high = said["interval"][name]
        rows.append((name, f"{best:.3g}", f"{low:.3g} to {high:.3g}"))
    interval = "90 % interval over seeds"
    console.table("The best point of the grid", ("", "best", interval), rows)


def _show_suggestion(content: Mapping[str, Any], console: Console) -> None:
    said = content["suggestion"]
    if said is None:
        return
    low, high = said["interval"]
    if said["rule"] != PARALLEL:
        title = f"{said['name']} that {said['rule']} suggests"
        rows = [("peak", f"{said['peak']:.3g}", f"seeds say {low:.3g} to {high:.3g}")]
        rows.append(("base", f"{said['base']:.3g}", said["reason"]))
        console.table(title, ("", "value", "why"), rows)
        return
    interval = f"90 % interval over seeds: {low:.3g} to {high:.3g}"
    if content["settings"]["seeds"] == 1:
        interval = "one seed: its noise is not known"
    rows = [
        ("peak", f"{said['peak']:.3g}", "of 1cycle: last within noise of the best"),
        ("best constant", f"{said['best']:.3g}", interval),
        ("base", f"{said['base']:.3g}", "from here on half of the fall is reached"),
    ]
    others = content["joint"] and len(content["joint"]["best"]) > 1
    beside = ", at the best of the others" if others else ""
    title = f"{said['name']} that {said['rule']} suggests{beside}"
    console.table(title, ("", "value", "why"), rows)


def _show_rules(content: Mapping[str, Any], console: Console, main: str) -> None:
    """What the rules say of the ramp: all of one curve, or a line for each point."""
    points = content["ramp_rules"]
    if len(points) > 1:
        _show_points(content, console, main)
    elif points:
        _show_one(points[0], console)


def _show_one(point: Mapping[str, Any], console: Console) -> None:
    rows, notes = [], []
    for name, rule in point["rules"].items():
        values = [value for value in rule["values"] if value is not None]
        counted = f"{len(values)} of {len(rule['values'])}"
        if values:
            ends = f"{min(values):.3g} to {max(values):.3g}"
            rows.append((name, f"{rule['median']:.3g}", ends, counted))
        else:
            rows.append((name, "none", "", counted))
        reasons = dict.fromkeys(filter(None, rule["refusals"]))
        notes += [f"{name}: {why.removeprefix(f'{name}: ')}" for why in reasons]
    columns = ("rule", "median", "seeds say", "answers")
    console.table("What the rules of other finders say of the ramp", columns, rows)
    console.say(_verdict(point["agreement"]))
    for note in notes:
        console.say(f"  {note}")


def _verdict(agreement: float | None) -> str:
    if agreement is None:
        return "None of these rules has an answer."
    factor = f"{agreement:,.0f}" if agreement >= 100 else f"{agreement:.3g}"
    return f"Their medians lie within a factor of {factor}."


def _show_points(content: Mapping[str, Any], console: Console, main: str) -> None:
    """The medians of one rule at each point of the grid, and how far all agree."""
    points = content["ramp_rules"]
    said = content["suggestion"]
    rule = "valley" if said is None or said["rule"] == PARALLEL else said["rule"]
    names = list(points[0]["at"])
    rows = []
    for point in points[:MOST_POINTS]:
        median, agreement = point["rules"][rule]["median"], point["agreement"]
        at = [f"{point['at'][name]:.3g}" for name in names]
        numbers = ["none" if n is None else f"{n:.3g}" for n in (median, agreement)]
        rows.append((*at, *numbers))
    title = f"The ramp at each point of the grid: {rule}, and how far all rules agree"
    console.table(title, (*names, rule, "within a factor"), rows)
    if len(points) > MOST_POINTS:
        left = len(points) - MOST_POINTS
        console.say(f"  and {left} more points: ramp_rules in {main}")


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
