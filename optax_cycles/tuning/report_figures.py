"""Figures of a recipe: its schedules, its final trainings, its cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from optax_cycles._figures import (
    BLUE,
    GREEN,
    ORANGE,
    finish,
    label_of,
    over_seeds,
    style_of,
)
from optax_cycles.tuning.family import DECAY, RATE
from optax_cycles.tuning.report_facts import (
    Row,
    comparison_rows,
    duration,
    evidence_of,
    settings_of,
    survey,
)
from optax_cycles.tuning.report_panels import (
    HEIGHT,
    legend_above,
    new_panel,
    scale_scores,
)
from optax_cycles.tuning.report_survey import (
    final_dots,
    groups_of,
    joint_drawing,
    rate_drawing,
    strip_drawing,
)
from optax_cycles.tuning.report_svg import Drawing, shown

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from optax_cycles.tuning.recipe import Evidence, Recipe

LOW = HEIGHT - 0.6
_DRAWN_UPDATES = 600


def labels_of(count: int) -> list[str]:
    """Letters for finalists, numbers where they are many."""
    return [chr(ord("A") + i) if count <= 26 else str(i + 1) for i in range(count)]


def drawings_of(recipe: Recipe, step: Evidence) -> list[Drawing]:
    """The figures of a step; none for one that tried nothing that lives."""
    if all(row.get("score") is None for row in step.rows):
        return []
    measured, mode = measured_of(recipe), recipe.mode
    found: list[Drawing | None] = []
    if step.name == "learning rate":
        found = [rate_drawing(step.rows, measured, mode)]
    elif step.name == "momentum and decay":
        rows = survey(step.rows)
        found = [joint_drawing(rows, measured, mode)]
        found += _strips(recipe, {"momentum": rows, DECAY: rows})
    elif step.name == "schedule":
        found = _strips(recipe, {"schedule": comparison_rows(recipe, step)})
    elif step.name == "batch size":
        found = _strips(recipe, {"batch_size": step.rows})
    elif step.name == "final":
        labels = labels_of(len(step.rows))
        found = [
            curves_drawing(recipe, step, labels),
            final_dots(step.rows, labels, measured, mode),
        ]
    return [drawing for drawing in found if drawing is not None]


def measured_of(recipe: Recipe) -> str:
    """What scores are, in words."""
    return f"validation {label_of(recipe.metric)}"


def _strips(
    recipe: Recipe, rows_by_name: dict[str, Sequence[Row]]
) -> list[Drawing | None]:
    """A figure for each hyperparameter of which several values were tried."""
    drawings: list[Drawing | None] = []
    for name, rows in rows_by_name.items():
        groups = groups_of(rows, name)
        if len(groups) > 1:
            title = f"The {measured_of(recipe)} at each {label_of(name)}, best ringed"
            key = f"by-{name.replace('_', '-')}"
            drawings.append(
                strip_drawing(key, title, groups, measured_of(recipe), recipe.mode)
            )
    return drawings


def schedule_drawings(recipe: Recipe) -> list[Drawing]:
    """The learning rate over a training with the recipe, and a momentum that moves."""
    policy, family = recipe.policy(), recipe.family
    at = np.linspace(0, recipe.steps - 1, min(recipe.steps, _DRAWN_UPDATES))
    at = np.unique(at.round().astype(np.int64))
    factor = recipe.learning_rate if family.has_multiplier else 1.0
    drawn = {RATE: (factor * np.asarray(policy[family.scheduled](at)), BLUE)}
    if recipe.momentum is not None and family.momentum_name is not None:
        momentum = np.asarray(policy[family.momentum_name](at))
        if np.ptp(momentum) > 0:
            drawn[family.momentum_name] = (momentum, GREEN)
    return [
        Drawing(
            f"schedule-{label_of(name).replace(' ', '-')}",
            f"The {label_of(name)} over a training",
            f"It starts at {values[0]:.3g}, lies between {values.min():.3g} and "
            f"{values.max():.3g}, and ends at {values[-1]:.3g}.",
            _line(at, values, color, label_of(name)),
        )
        for name, (values, color) in drawn.items()
    ]


def _line(at: np.ndarray, values: np.ndarray, color: str, label: str) -> Figure:
    figure, axes = new_panel(LOW)
    axes.plot(at, values, color=color, linewidth=1.8)
    axes.set(xlabel="update", ylabel=shown(label))
    axes.yaxis.set_major_formatter("{x:.6g}")
    if np.ptp(values) <= 1e-6 * abs(values).max():
        # The automatic limits of a constant are those of its rounding.
        axes.set_ylim(0, 1.25 * float(values.max()) or 1.0)
    finish(axes)
    return figure


def recipe_curve(recipe: Recipe) -> Drawing | None:
    """The recipe's own validation curve; None before its final trainings."""
    step = evidence_of(recipe, "final")
    label = ["the recipe"]
    drawn = None if step is None else curves_drawing(recipe, step, label, height=LOW)
    if drawn is None:
        return None
    title = f"The {measured_of(recipe)} meanwhile: median and range over seeds"
    return drawn._replace(name="recipe-curve", title=title)


def curves_drawing(
    recipe: Recipe,
    step: Evidence,
    labels: Sequence[str],
    *,
    height: float = HEIGHT + 0.2,
) -> Drawing | None:
    """Validation curves of as many finalists as have labels, the best first."""
    given = step.curves or {}
    curves = given.get("validation", {}).get(recipe.metric)
    settings = [settings_of(row) for row in step.rows[: len(labels)]]
    drawn = {
        settings.index(dict(setting)): np.array(seeds, dtype=float).T
        for setting, seeds in zip(given.get("settings", ()), curves or (), strict=False)
        if dict(setting) in settings
    }
    if not drawn:
        return None
    figure, axes = new_panel(height)
    updates = np.asarray(given["updates"])
    for place, values in sorted(drawn.items()):
        low, middle, high = (
            over_seeds(reduce, values)
            for reduce in (np.nanmin, np.nanmedian, np.nanmax)
        )
        color, line = style_of(place)
        axes.fill_between(updates, low, high, color=color, alpha=0.12, linewidth=0)
        axes.plot(updates, middle, color=color, linestyle=line, label=labels[place])
    finite = np.concatenate([values[np.isfinite(values)] for values in drawn.values()])
    scale_scores(axes, "y", finite.tolist())
    axes.set(xlabel="update", ylabel=shown(measured_of(recipe)))
    if len(drawn) > 1:
        legend_above(axes, ncols=6)
    finish(axes)
    return Drawing(
        "final-curves",
        f"The {measured_of(recipe)} during the final trainings: median and range over "
        "seeds",
        f"{len(drawn)} of {len(step.rows)} finalists; {labels[0]} is the best.",
        figure,
    )


def cost_drawing(recipe: Recipe) -> Drawing | None:
    """Where the updates and the seconds went, a pair of bars for each step."""
    steps = recipe.evidence
    updates = sum(step.updates for step in steps)
    seconds = sum(step.seconds for step in steps)
    if not updates or not seconds:
        return None
    figure, axes = new_panel(0.9 + 0.42 * len(steps))
    at = np.arange(len(steps))
    shares = [100 * step.updates / updates for step in steps]
    times = [100 * step.seconds / seconds for step in steps]
    axes.barh(at - 0.19, shares, 0.36, color=BLUE, label="updates")
    axes.barh(at + 0.19, times, 0.36, color=ORANGE, label="seconds")
    axes.set_yticks(at, [shown(step.name) for step in steps])
    axes.invert_yaxis()
    axes.set_xlabel("share of the cost, %")
    legend_above(axes)
    finish(axes)
    words = "; ".join(
        f"{step.name}: {step.updates:,} updates, {duration(step.seconds)}"
        for step in steps
    )
    return Drawing("cost", "Where the updates and the seconds went", words, figure)
