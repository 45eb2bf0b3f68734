"""What each step of tuning asked, tried, learned and rejected, as HTML."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from optax_cycles._figures import label_of
from optax_cycles.tuning.family import DECAY, RATE
from optax_cycles.tuning.report_facts import (
    Alternative,
    Gap,
    Row,
    alternatives,
    by_length,
    comparison_rows,
    duration,
    evidence_of,
    finite_scores,
    gap,
    other_rates,
    ranked,
    seed_noise,
    seeds_of,
    settings_of,
    survey,
    text,
)
from optax_cycles.tuning.report_figures import drawings_of, labels_of, measured_of
from optax_cycles.tuning.report_html import (
    NOTHING,
    Html,
    details,
    fill,
    joined,
    paragraphs,
    table,
)
from optax_cycles.tuning.report_svg import inline

if TYPE_CHECKING:
    from optax_cycles.tuning.recipe import Evidence, Recipe

SHOWN, MOST_ROWS = 8, 500
# How far from the best rate one would like to know what it costs.
FACTORS = (0.1, 1 / 3, 3.0, 10.0)
QUESTIONS = {
    "batch size": "Which batch size learns most from equally many examples?",
    "learning rate": "Which constant learning rates train at all, and which is best?",
    "momentum and decay": "Learning rate, momentum and weight decay regularise "
    "together: which combination is best?",
    "schedule": "Which schedule does best at these settings, 1cycle or another?",
    "final": "Which of the best few wins with fresh seeds, by which nothing was "
    "chosen before?",
}
HOW_CHOSEN = {
    "momentum and decay": "Single trainings are mostly luck, so not the best score "
    "decides what comes into the final, but a smooth surface through all scores of "
    "whole trainings (a Gaussian process): the settings that it expects most of.",
}
_SECTION = """
<section id="$anchor" class="step">
<h2><span class="number">$number</span> $name</h2>
<p class="question">$question</p>
<p class="learned"><strong>Learned:</strong> $learned.</p>
$chosen
<div class="figures">
$figures
<div>
<h3>What was rejected, and by how much</h3>
$rejected
<h3>How sure this is</h3>
$uncertainty
</div>
</div>
<h3>What was tried</h3>
$tried
<p class="cost">$cost</p>
</section>
"""


def step_section(recipe: Recipe, place: int) -> Html:
    """A step as a section of the page."""
    step = recipe.evidence[place]
    return fill(
        _SECTION,
        anchor=anchor_of(place),
        number=place + 1,
        name=step.name.capitalize(),
        question=QUESTIONS.get(step.name, "What does this setting do?"),
        learned=step.learned.removesuffix("."),
        chosen=paragraphs(HOW_CHOSEN.get(step.name, "")),
        figures=joined(map(inline, drawings_of(recipe, step))),
        rejected=_rejected(recipe, step),
        uncertainty=paragraphs(uncertainty(recipe, step)),
        tried=_tried(recipe, step),
        cost=f"Cost: {step.updates:,} updates, {duration(step.seconds)}.",
    )


def anchor_of(place: int) -> str:
    """Where a step lies in the page."""
    return f"step-{place + 1}"


def _rejected(recipe: Recipe, step: Evidence) -> Html:
    """Tables of what was not chosen."""
    mode, measured = recipe.mode, measured_of(recipe)
    if not any(row.get("score") is not None for row in step.rows):
        return paragraphs("Nothing that was tried gave a score.")
    if step.name == "learning rate":
        found = other_rates(step.rows, mode, FACTORS)
        caption = "What rates far from the best cost"
        return _alternatives(caption, RATE, measured, found)
    if step.name == "final":
        return _finalists(step.rows, mode, measured)
    rows = {
        "batch size": step.rows,
        "momentum and decay": survey(step.rows),
        "schedule": comparison_rows(recipe, step),
    }.get(step.name, step.rows)
    tables = []
    for name in ("batch_size", "momentum", DECAY, "schedule"):
        found = alternatives(rows, name, mode)
        if len(found) > 1:
            caption = f"The best at each {label_of(name)}{_of_length(rows)}"
            tables.append(_alternatives(caption, name, measured, found))
    return joined(tables) or paragraphs("There was nothing else to choose.")


def _of_length(rows: Sequence[Row]) -> str:
    lengths = {row.get("length") for row in rows}
    return f", {lengths.pop()} updates each" if len(lengths) == 1 else ""


def _alternatives(
    caption: str, name: str, measured: str, found: Sequence[Alternative]
) -> Html:
    if not found:
        return paragraphs("Nothing else was near enough to compare.")
    others = [other for other in (RATE,) if other != name]
    headers = [label_of(name), measured, "behind the best", *map(label_of, others)]
    rows = [
        (
            one.name,
            text(one.row.get("score")),
            _behind(one),
            *(text(one.row[other]) if other in one.row else "" for other in others),
        )
        for one in found
    ]
    return table(caption, headers, rows)


def _behind(one: Alternative) -> str:
    if one.gap is None:
        return one.row.get("note") or "failed"
    if one.gap.mean == 0:
        return "\N{EN DASH}"
    return gap_in_words(one.gap)


def gap_in_words(found: Gap) -> str:
    """A difference with its error, where it has one."""
    sign = "\N{MINUS SIGN}" if found.mean < 0 else ""
    size = abs(found.mean)
    if not found.error:
        return f"{sign}{size:.3g}"
    if not 1e-6 < found.error < 1e6:
        return f"{sign}{size:.3g} ± {found.error:.2g}"
    # As many digits as the error is worth, which is two.
    digits = max(1 - math.floor(math.log10(found.error)), 0)
    return f"{sign}{size:.{digits}f} ± {found.error:.{digits}f}"


def _finalists(rows: Sequence[Row], mode: str, measured: str) -> Html:
    best, *others = rows
    compared = [
        (label, row, gap(row, best, mode))
        for label, row in zip(labels_of(len(rows))[1:], others, strict=True)
    ]
    body = [
        (
            label,
            text(row.get("score")),
            "failed" if found is None else gap_in_words(found),
            "" if found is None else found.verdict,
        )
        for label, row, found in compared
    ]
    if not body:
        return paragraphs("There was one finalist.")
    headers = ("finalist", f"median {measured}", "behind A by", "so")
    caption = (
        "Differences from A seed by seed: mean ± standard error, positive is worse"
    )
    return table(caption, headers, body)


def uncertainty(recipe: Recipe, step: Evidence) -> str:
    """How far luck goes in the scores of a step."""
    seeds = seeds_of(step.rows)
    own = seed_noise(step.rows, recipe.mode)
    if own is not None:
        return (
            f"Up to {seeds} seeds each. From seed to seed, the score of one setting "
            f"varies by ±{own:.2g} (standard deviation): a difference of less than "
            "that between two settings may be luck."
        )
    if not seeds:
        return "Nothing was trained to the end."
    last = evidence_of(recipe, "final")
    noise = None if last is None else seed_noise(last.rows, recipe.mode)
    known = (
        "How much that is was not measured."
        if noise is None
        else f"In the final trainings one setting varies by ±{noise:.2g} (standard "
        "deviation); trust no difference that is smaller, and the best of many less "
        "than it looks: what was luckiest is first."
    )
    return f"One seed each, so every score has luck in it. {known}"


def _tried(recipe: Recipe, step: Evidence) -> Html:
    """Tables of all settings, the best of them open."""
    if not step.rows:
        return paragraphs("Nothing.")
    groups = {0: list(step.rows)} if step.name == "batch size" else by_length(step.rows)
    return joined(_table_of(recipe, step, rows) for rows in groups.values())


def _table_of(recipe: Recipe, step: Evidence, rows: Sequence[Row]) -> Html:
    names = list(dict.fromkeys(name for row in rows for name in settings_of(row)))
    noted = any("note" in row for row in rows)
    order = ranked(rows, recipe.mode)
    labels = labels_of(len(order)) if step.name == "final" else range(1, len(order) + 1)
    headers = ["", *map(label_of, names), "updates", measured_of(recipe)]
    headers += ["over seeds", *(["note"] if noted else [])]
    cells = [
        [
            label,
            *(text(row[name]) if name in row else "" for name in names),
            row.get("length", ""),
            text(row.get("score")),
            spread_of(row),
            *([row.get("note", "")] if noted else []),
        ]
        for label, row in zip(labels, order, strict=True)
    ]
    which = f"{len(rows)} settings{_of_length(rows)}" if len(rows) > 1 else "1 setting"
    shown = table(f"{which}, the best first", headers, cells[:SHOWN])
    if len(cells) <= SHOWN:
        return shown
    rest = cells[SHOWN:MOST_ROWS]
    more = table(f"The others of {which}", headers, rest)
    left = len(cells) - MOST_ROWS
    note = NOTHING
    if left > 0:
        note = paragraphs(
            f"The {left} worst are left out here; recipe.evidence has them all."
        )
    return joined([shown, details(f"{len(rest)} more", joined([more, note]))])


def spread_of(row: Row) -> str:
    """The range of a row's scores, and how many seeds failed."""
    alive = finite_scores(row)
    seeds = len(row.get("scores") or ())
    failed = seeds - len(alive)
    words = []
    if len(alive) > 1:
        words.append(f"{min(alive):.4g} to {max(alive):.4g}")
    if seeds > 1:
        words.append(f"{seeds} seeds")
    elif seeds == 1:
        words.append("1 seed")
    if failed:
        words.append(f"{failed} failed")
    return ", ".join(words)
