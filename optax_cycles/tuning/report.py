"""A recipe as one page of HTML."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from optax_cycles.tuning.recipe import Recipe


def write_report(recipe: Recipe, path: str | os.PathLike[str]) -> None:
    """See `Recipe.report`."""
    Path(path).write_text(f"<pre>{recipe.to_python()}</pre>", encoding="utf-8")
