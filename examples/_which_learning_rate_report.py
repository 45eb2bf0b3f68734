"""The tables and the JSON of `which_learning_rate.py`."""

import _which_learning_rate_analysis as analysis
import jax
import numpy as np
from _reporting import print_table, versions


def of_grid(task, grid, seconds):
    """What the grid found, as JSON has it; steps that were not reached are None."""
    his = analysis.mack()
    valleys = {name: runs.valley for name, runs in grid.items()}
    first = next(iter(valleys.values()))
    parts = [runs.seconds for runs in grid.values()]
    network = task.network
    return {
        "data": task.name,
        "examples": len(task.train[1]),
        "validation": len(task.validation[1]),
        "network": {
            "features": network.features,
            "hidden": network.hidden,
            "kernel": network.kernel,
        },
        "batch": task.batch,
        "updates": task.updates,
        "horizons": list(task.horizons),
        "target": task.target,
        "rates": first.rates.tolist(),
        "seeds": first.steps.shape[1],
        "optimizers": {
            name: _of_runs(runs) | {"mack": _of_valley(his[name])}
            for name, runs in grid.items()
        },
        "extremes": _extremes(grid),
        "findings": analysis.findings(valleys),
        "macks_findings": analysis.findings(his),
        "seconds": seconds
        | {part: sum(one[part] for one in parts) for part in parts[0]},
        "device": jax.devices()[0].device_kind,
        "versions": versions(),
    }


def _of_valley(valley):
    found = {
        "range": valley.range,
        "working_share": float(valley.works.mean()),
        "best": None,
        "least": None,
    }
    if valley.best is not None:
        found["best"] = float(valley.rates[valley.best])
        found["least"] = float(valley.medians[valley.best])
    return found


def _of_runs(runs):
    valley = runs.valley
    return _of_valley(valley) | {
        "best_seconds": runs.best_seconds,
        "seconds_per_update": runs.seconds_per_update,
        "runs_share": float(np.isfinite(valley.steps).mean()),
        "steps": [
            [None if np.isinf(steps) else int(steps) for steps in of_rate]
            for of_rate in valley.steps
        ],
    }


def _extremes(grid):
    """The fastest and the slowest rate that works, over all optimizers."""
    known = [
        {"optimizer": name, "rate": float(rate), "steps": float(steps)}
        for name, runs in grid.items()
        for rate, steps in zip(runs.valley.rates, runs.valley.medians, strict=True)
        if np.isfinite(steps)
    ]
    if not known:
        return None
    return {
        "fastest": min(known, key=lambda one: one["steps"]),
        "slowest": max(known, key=lambda one: one["steps"]),
    }


def of_widths(widths, seconds, step):
    """What networks of several widths found, as JSON has it."""
    valleys = {
        name: {width: runs.valley for width, runs in by_width.items()}
        for name, by_width in widths.items()
    }
    return {
        "optimizers": {
            name: {f"{width:g}": _of_runs(runs) for width, runs in by_width.items()}
            for name, by_width in widths.items()
        },
        "rates": {
            name: next(iter(by_width.values())).rates.tolist()
            for name, by_width in valleys.items()
        },
        "findings": analysis.width_findings(valleys, step),
        "seconds": seconds,
    }


def print_grid(found):
    """The table of optimizers, the extremes, the findings, the time."""
    runs = len(found["rates"]) * found["seeds"] * len(found["optimizers"])
    print(
        f"{found['data']}: {runs} runs of at most {found['updates']} updates to "
        f"{100 * found['target']:.0f} % of {found['validation']} images"
    )
    lines = [["optimizer", "works from", "to", "of rates", "of runs", "best"]]
    lines[0] += ["updates", "seconds", "Mack: from", "to", "best"]
    for name, one in found["optimizers"].items():
        lines.append(
            [
                name,
                *_range(one["range"]),
                f"{100 * one['working_share']:.0f} %",
                f"{100 * one['runs_share']:.0f} %",
                _number(one["best"]),
                _number(one["least"]),
                _number(one["best_seconds"]),
                *_range(one["mack"]["range"]),
                _number(one["mack"]["best"]),
            ]
        )
    print_table(lines)
    for name, one in (found["extremes"] or {}).items():
        print(f"{name}: {one['optimizer']} at {one['rate']:.3g}, ", end="")
        print(f"{one['steps']:.0f} updates")
    print_findings(found["findings"])
    seconds = found["seconds"]
    print(
        f"{seconds['wall']:.0f} s, {seconds['processor']:.0f} s of processors, "
        f"{seconds['compile']:.0f} s of compiling; load {seconds['load']:.1f}; "
        f"{found['device']}"
    )


def print_widths(found):
    """The best rates and times of networks of several widths."""
    lines = [["optimizer", "width", "best", "updates", "seconds"]]
    for name, by_width in found["optimizers"].items():
        for width, one in by_width.items():
            cells = (_number(one[key]) for key in ("best", "least", "best_seconds"))
            lines.append([name, f"{width}x", *cells])
    print_table(lines)
    print_findings(found["findings"])
    print("{wall:.0f} s, {processor:.0f} s of processors".format(**found["seconds"]))


def print_findings(findings):
    """Each of his findings, with its numbers, and whether it holds here."""
    for name, one in findings.items():
        numbers = {k: v for k, v in one.items() if k != "holds" and v not in ([], None)}
        text = "; ".join(f"{key} {_said(value)}" for key, value in numbers.items())
        word = "holds" if one["holds"] else "DOES NOT HOLD"
        print(f"{word}: {name}" + (f" ({text})" if text else ""))


def _said(value):
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_said(one)}" for name, one in value.items())
    if isinstance(value, list):
        return " and ".join(
            "/".join(map(_said, one)) if isinstance(one, list) else _said(one)
            for one in value
        )
    return str(value)


def _range(ends):
    return [_number(end) for end in ends] if ends else ["-", "-"]


def _number(value):
    return "-" if value is None else f"{value:.3g}"
