"""The head of a recipe's report: what it is, how good, how sure, how to use it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from optax_cycles._figures import label_of
from optax_cycles.tuning.family import DECAY
from optax_cycles.tuning.report_facts import (
    duration,
    evidence_of,
    finite_scores,
    gap,
    ranked,
    settings_of,
    text,
)
from optax_cycles.tuning.report_figures import measured_of
from optax_cycles.tuning.report_html import NOTHING, Html, fill, joined, paragraphs
from optax_cycles.tuning.report_steps import gap_in_words
from optax_cycles.tuning.work import SIGNS

if TYPE_CHECKING:
    from optax_cycles.tuning.recipe import Recipe

SCHEDULES = {
    "one_cycle": "a 1cycle schedule",
    "cosine": "a cosine schedule",
    "warm_restarts": "warm restarts",
    "cyclical": "a cyclical schedule",
    "warmup_stable_decay": "a schedule of warm-up, constant rate and decay",
    "constant": "a constant learning rate",
}
USE = """\
# with Flax NNX
optimizer = nnx.Optimizer(model, optimizer, wrt=nnx.Param)
# or with Flax's TrainState
state = TrainState.create(apply_fn=model.apply, params=params, tx=optimizer)
"""
MEANINGS = {
    "underfitting": "Underfitting: the validation loss was still falling at the end.",
    "balanced": "Balanced: the validation loss has come to rest at its lowest.",
    "overfitting": "Overfitting: the validation loss has turned and rises again.",
    "unstable": "Unstable: training and validation loss both rise.",
}
_CARD = """<div class="card"><dt>$term</dt><dd>$value<small>$note</small></dd></div>"""
_SETTING = '<tr><th scope="row">$name</th><td>$value</td></tr>'


def sentence(recipe: Recipe) -> str:
    """The recipe in one sentence."""
    family = recipe.family
    size = "" if recipe.batch_size is None else f" of {recipe.batch_size} examples"
    schedule = SCHEDULES.get(recipe.schedule, recipe.schedule)
    peaks = "stays at" if recipe.schedule == "constant" else "peaks at"
    said = [f"the learning rate {peaks} {text(recipe.learning_rate)}"]
    if isinstance(recipe.momentum, tuple):
        low, high = recipe.momentum
        said.append(f"{family.momentum_name} falls from {high:g} to {low:g} meanwhile")
    elif recipe.momentum is not None:
        said.append(f"{family.momentum_name} is {recipe.momentum:g}")
    if recipe.weight_decay is not None:
        said.append(f"weight decay is {recipe.weight_decay:g}")
    return (
        f"Train with {family.label} under {schedule} for {recipe.steps:,} "
        f"updates{size}: {_listed(said)}."
    )


def _listed(parts: list[str]) -> str:
    *others, last = parts
    return f"{', '.join(others)} and {last}" if others else last


def settings(recipe: Recipe) -> Html:
    """The settings as a table."""
    family = recipe.family
    values: dict[str, Any] = {
        "optimizer": family.label,
        "schedule": recipe.schedule,
        "updates": f"{recipe.steps:,}",
        "batch size": recipe.batch_size or "as the data bring it",
        "learning rate (peak)": text(recipe.learning_rate),
    }
    if recipe.momentum is not None:
        values[family.momentum_name or "momentum"] = text(recipe.momentum)
    if recipe.weight_decay is not None:
        values[label_of(DECAY)] = text(recipe.weight_decay)
    rows = joined(fill(_SETTING, name=n, value=v) for n, v in values.items())
    caption = "<caption>Settings</caption>"
    return fill("<table>$caption$rows</table>", caption=Html(caption), rows=rows)


def cards(recipe: Recipe) -> Html:
    """The score, the runner-up and the cost."""
    return joined([_score(recipe), _runner_up(recipe), _cost(recipe)])


def _score(recipe: Recipe) -> Html:
    scores = recipe.scores
    last = evidence_of(recipe, "final")
    term = f"Final {measured_of(recipe)}"
    if not scores:
        note = "no final training with fresh seeds" + _so_far(recipe)
        return fill(_CARD, term=term, value="not known yet", note=note)
    failed = 0
    if last is not None and last.rows:
        failed = list(last.rows[0].get("scores", ())).count(None)
    seeds = len(scores)
    note = "one seed: its spread is not known"
    if seeds > 1:
        note = (
            f"median of {seeds} fresh seeds; {min(scores):.4g} to {max(scores):.4g}, "
            f"standard deviation {np.std(scores, ddof=1):.2g}"
        )
    better = "less" if recipe.mode == "min" else "more"
    note += f"; {failed} seed{'' if failed == 1 else 's'} failed" if failed else ""
    value = f"{np.median(scores):.4g}"
    return fill(_CARD, term=term, value=value, note=f"{note}; {better} is better")


def _so_far(recipe: Recipe) -> str:
    """The best score of the last step, for a recipe that lacks its final."""
    if not recipe.evidence:
        return ""
    rows = recipe.evidence[-1].rows
    best = ranked(rows, recipe.mode)[0] if rows else {}
    if best.get("score") is None:
        return ""
    seeds = max(len(finite_scores(best)), 1)
    plural = "" if seeds == 1 else "s"
    return f"; the best so far is {text(best['score'])}, from {seeds} seed{plural}"


def _runner_up(recipe: Recipe) -> Html:
    last = evidence_of(recipe, "final")
    term = "The runner-up is behind by"
    if last is None or len(last.rows) < 2:
        note = "no second setting was trained with the recipe's seeds"
        return fill(_CARD, term="Runner-up", value="none", note=note)
    best, second = last.rows[:2]
    found = gap(second, best, recipe.mode)
    if found is None:
        note = _differences(second, best)
        return fill(_CARD, term="Runner-up", value="failed", note=note)
    value, sure = gap_in_words(found), found.verdict
    over = f"mean ± standard error over {found.seeds} seeds"
    if found.mean < 0:
        # What decides is the median.
        behind = SIGNS[recipe.mode] * (second["score"] - best["score"])
        value = f"{behind:.3g} by the median"
        sure = found.verdict if found.within_noise else "but the median decides"
        ahead = gap_in_words(found._replace(mean=-found.mean))
        sure = f"by the mean it is ahead by {ahead} ({over}): {sure}"
    elif found.error is not None:
        sure = f"{over}: {sure}"
    note = f"{_differences(second, best)}; {sure}"
    return fill(_CARD, term=term, value=value, note=note)


def _differences(second: Any, best: Any) -> str:
    """What the runner-up has different."""
    mine, other = settings_of(best), settings_of(second)
    different = [
        f"{label_of(name)} {text(value)}"
        for name, value in other.items()
        if mine.get(name) != value
    ]
    return ", ".join(different) or "the same settings"


def _cost(recipe: Recipe) -> Html:
    spent = recipe.budget
    updates, seconds = spent.get("updates"), spent.get("seconds")
    asked = spent.get("asked")
    value = "not known" if seconds is None else duration(float(seconds))
    words = [] if updates is None else [f"{updates:,} updates of all members together"]
    if asked is not None:
        of = f"{asked:,} updates" if isinstance(asked, int) else str(asked)
        words.append(f"the budget was {of}")
    if updates:
        words.append(f"as many as {updates / recipe.steps:.0f} whole trainings")
    return fill(_CARD, term="Cost of tuning", value=value, note="; ".join(words))


def diagnosis(recipe: Recipe) -> Html:
    """Underfitting, overfitting or neither, and what to do about it."""
    found = recipe.diagnosis
    if not found:
        return paragraphs(
            "There is no diagnosis: it needs the final trainings' validation loss."
        )
    verdict = found.get("verdict")
    known = MEANINGS.get(str(verdict), str(verdict).capitalize())
    advice, reason = found.get("advice"), found.get("reason")
    return joined(
        [
            fill(
                '<p class="learned"><strong>$said</strong></p>',
                said=known if verdict else "The curves don't say.",
            ),
            paragraphs(f"What to do: {advice}." if advice else ""),
            paragraphs(f"Why: {reason}." if reason else "", kind="cost"),
        ]
    )


def status(recipe: Recipe) -> Html:
    """Whether tuning ran to its end."""
    if recipe.complete:
        return Html('<p class="badge done">complete</p>')
    done = [step.name for step in recipe.evidence]
    words = f"after: {', '.join(done)}" if done else "before its first step ended"
    return fill(
        '<p class="badge open">incomplete: tuning was stopped $words. This is the best '
        "that was known then.</p>",
        words=words,
    )


def uses(recipe: Recipe) -> Html:
    """How the optimizer of the code is used."""
    own, family = NOTHING, recipe.family
    if not family.importable:
        own = paragraphs(
            f"{family.written} is what tune was given, {family.label}; write what your "
            "code calls it instead."
        )
    elif family.name.startswith("__main__:"):
        own = paragraphs(
            f"{family.written} is a function of the script that was run; the code goes "
            "there."
        )
    code = fill('<pre tabindex="0"><code id="use">$use</code></pre>', use=USE)
    return joined([own, code])


def steps_list(recipe: Recipe) -> Html:
    """The steps and what each learned, as links into the page."""
    template = '<li><a href="#$anchor">$name</a>: $learned.</li>'
    return joined(
        fill(
            template,
            anchor=f"step-{place}",
            name=step.name,
            learned=step.learned.removesuffix("."),
        )
        for place, step in enumerate(recipe.evidence, 1)
    )


def versions(recipe: Recipe) -> str:
    """The versions in a line."""
    return ", ".join(f"{name} {value}" for name, value in recipe.versions.items())
