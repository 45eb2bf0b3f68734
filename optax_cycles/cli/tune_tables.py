"""The tables of `tune`, from what its JSON file holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from optax_cycles.cli.console import Console, describe
from optax_cycles.cli.folder import Folder

_SETTINGS = ("learning_rate", "momentum", "weight_decay")
# What the best setting of a step says of what the step was about.
_ABOUT: Mapping[str, tuple[str, ...]] = {
    "batch size": ("batch_size",),
    "learning rate": ("learning_rate",),
    "momentum and decay": _SETTINGS,
    "schedule": ("schedule", "learning_rate"),
    "final": ("schedule", *_SETTINGS),
}


def show(
    content: Mapping[str, Any], console: Console, folder: Folder, *, again: bool
) -> None:
    """Print the tables, the code, and which files there are.

    Args:
      content: what the JSON file holds.
      console: where it is shown.
      folder: where the files are.
      again: whether it was all done before, so that no time went into it now.
    """
    if content["recipe"] is not None:
        _show_steps(content, console)
        _show_recipe(content, console)
        console.say("Its optimizer, to paste:\n")
        console.code(content["code"])
        console.say("")
    if content["refusal"] is not None:
        console.say(f"No recipe: {content['refusal']}")
    if content["stopped"] is not None:
        console.say(f"Not complete: {content['stopped']}")
    if not again:
        console.seconds(content["seconds"])
    console.files(folder, complete=content["complete"])


def _show_steps(content: Mapping[str, Any], console: Console) -> None:
    metric = content["settings"]["metric"]
    rows = [
        (
            step["name"],
            _phrase(step),
            _number(step["best"]["score"], 4),
            f"{step['updates']:,}",
            f"{step['seconds']:.1f}",
        )
        for step in content["steps"]
    ]
    columns = ("step", "the best score that was seen", metric, "updates", "seconds")
    console.table("What was tuned", columns, rows, left=2)


def _phrase(step: Mapping[str, Any]) -> str:
    best = step["best"]
    said = [_said(name, best[name]) for name in _ABOUT[step["name"]] if name in best]
    return ", ".join(said)


def _said(name: str, value: Any) -> str:
    shown = _number(value)
    return shown if name == "schedule" else f"{name.replace('_', ' ')} {shown}"


def _show_recipe(content: Mapping[str, Any], console: Console) -> None:
    recipe = content["recipe"]
    metric = content["settings"]["metric"]
    rows = [
        ("optimizer", recipe["optimizer"]),
        ("schedule", f"{recipe['schedule']} of {recipe['steps']:,} updates"),
        *(
            (name.replace("_", " "), _number(recipe[name]))
            for name in (*_SETTINGS, "batch_size")
            if recipe[name] is not None
        ),
    ]
    score, second = content["score"], content["runner_up"]
    if score is None:
        rows.append((f"validation {metric}", "no final trainings yet"))
    else:
        seeds = f"{len(score['seeds'])} new seeds"
        rows.append((f"validation {metric}", f"{_over_seeds(score)}, {seeds}"))
    if second is not None:
        others = [n for n in ("schedule", *_SETTINGS) if n in second]
        differs = [_said(n, second[n]) for n in others if second[n] != recipe[n]]
        rows.append(("runner-up", _over_seeds(second)))
        rows.append(("  which has", ", ".join(differs)))
    title = "The recipe" if content["complete"] else "The best recipe so far"
    console.table(title, ("", "value"), rows, left=2)


def _over_seeds(said: Mapping[str, Any]) -> str:
    """The median, which decides, and the mean with its deviation."""
    values = np.array([np.nan if one is None else one for one in said["seeds"]])
    if len(values) == 1:
        return describe(values)
    mean = "mean " if np.isfinite(values).all() else ""
    return f"median {_number(said['median'], 4)}, {mean}{describe(values)}"


def _number(value: Any, digits: int = 3) -> str:
    if value is None:
        return "none"
    if isinstance(value, list):
        return " to ".join(f"{one:.{digits}g}" for one in value)
    return f"{value:.{digits}g}" if isinstance(value, float) else str(value)
