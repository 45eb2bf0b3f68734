"""A recipe as one page of HTML that needs nothing but itself."""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from optax_cycles.tuning import report_head as head
from optax_cycles.tuning.report_figures import (
    cost_drawing,
    recipe_curve,
    schedule_drawings,
)
from optax_cycles.tuning.report_html import Html, fill, joined
from optax_cycles.tuning.report_steps import step_section
from optax_cycles.tuning.report_svg import inline, page_style

if TYPE_CHECKING:
    from optax_cycles.tuning.recipe import Recipe


def write_report(recipe: Recipe, path: str | os.PathLike[str]) -> None:
    """See `Recipe.report`."""
    # A name may hold half a letter, which UTF-8 can't say.
    page = report_page(recipe).encode("utf-8", errors="xmlcharrefreplace")
    Path(path).write_bytes(page)


def report_page(recipe: Recipe) -> Html:
    """The whole page."""
    with page_style():
        curve = recipe_curve(recipe)
        training = [*schedule_drawings(recipe), *([curve] if curve else [])]
        figures = joined(map(inline, training))
        cost = cost_drawing(recipe)
        steps = joined(
            step_section(recipe, place) for place in range(len(recipe.evidence))
        )
        costs = inline(cost) if cost is not None else ""
    return fill(
        _packaged("report_page.html"),
        style=Html(_packaged("report_style.css")),
        sentence=head.sentence(recipe),
        status=head.status(recipe),
        cards=head.cards(recipe),
        settings=head.settings(recipe),
        code=recipe.to_python(),
        uses=head.uses(recipe),
        training=figures,
        diagnosis=head.diagnosis(recipe),
        list=head.steps_list(recipe),
        cost=costs,
        steps=steps,
        versions=head.versions(recipe),
    )


def _packaged(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
