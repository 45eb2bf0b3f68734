"""The tables of `sweep` and `search`, from what their JSON file holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optax_cycles.cli.console import Console
from optax_cycles.cli.folder import Folder

MOST_ROWS, MOST_STRETCHES = 10, 12
# What a row says besides its hyperparameters.
_OWN = ("rank", "member", "updates", "status")


def show(content: Mapping[str, Any], console: Console, folder: Folder) -> None:
    """Print the tables, and which files there are."""
    metric = content["settings"]["metric"]
    rows = content.get("leaderboard", ())
    # Stopped early, there may be nothing to set in order.
    if any(row[metric] is not None for row in rows):
        _show_leaderboard(content, console)
    if "updates" in content:
        _show_updates(content, console)
    if content.get("history"):
        _show_history(content, console, folder.main)
    if content["refusal"] is not None:
        console.say(f"No best point: {content['refusal']}")
    console.seconds(content["seconds"])
    console.files(folder, complete=content["complete"])


def _show_leaderboard(content: Mapping[str, Any], console: Console) -> None:
    settings = content["settings"]
    metric = settings["metric"]
    rows = content["leaderboard"][:MOST_ROWS]
    names = dict.fromkeys(name for row in rows for name in row)
    hparams = [n for n in names if n not in (*_OWN, metric, "seed")]
    if len(settings["optimizer"]) == 1:
        hparams.remove("optimizer")
    # Where all went to the end, there is nothing to say of it.
    ways = {row["status"] for row in rows}
    ends = ["updates", "outcome"] if ways != {"ended"} else []
    shown = [
        [
            str(row["rank"]),
            _number(row[metric], 4),
            *([f"{row['updates']:,}", row["status"]] if ends else []),
            *[_number(row.get(name, "")) for name in hparams],
        ]
        for row in rows
    ]
    seeds = settings.get("seeds", 1)
    over = f", medians of {seeds} seeds" if seeds > 1 else ""
    by = f"{metric} ({settings['mode']})"
    title = f"The best points by {by}, after {settings['steps']:,} updates{over}"
    columns = ["rank", metric, *ends, *hparams]
    console.table(title, [column.replace("_", " ") for column in columns], shown)


def _number(value: Any, digits: int = 3) -> str:
    if value is None:
        return "none"
    return f"{value:.{digits}g}" if isinstance(value, float) else str(value)


def _show_updates(content: Mapping[str, Any], console: Console) -> None:
    spent, full = content["updates"]["spent"], content["updates"]["full"]
    members = f"{content['members']:,} members"
    if spent == full:
        console.say(f"{members}, {spent:,} updates")
    else:
        console.say(f"{members}, {spent:,} of {full:,} updates ({spent / full:.0%})")


def _show_history(content: Mapping[str, Any], console: Console, main: str) -> None:
    """The stretches of the best member's schedule in which its numbers differ."""
    history = content["history"]
    columns = list(history)
    lines = list(zip(*history.values(), strict=True))
    changes = [
        line
        for before, line in zip([None, *lines], lines, strict=False)
        if before is None or before[1:] != line[1:]
    ]
    rows = [[_number(value) for value in line] for line in changes[:MOST_STRETCHES]]
    names = ["from update", *columns[1:]]
    title = "The schedule of the best member"
    console.table(title, [name.replace("_", " ") for name in names], rows)
    if len(changes) > MOST_STRETCHES:
        left = len(changes) - MOST_STRETCHES
        console.say(f"  and {left} more changes: history in {main}")
