"""Small tables for notebooks."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

import numpy as np


def table(title: str, rows: Sequence[tuple[str, str]]) -> str:
    """An HTML table of names and texts."""
    cells = "".join(
        f"<tr><th>{html.escape(name)}</th><td>{html.escape(text)}</td></tr>"
        for name, text in rows
    )
    return f"<table><caption>{html.escape(title)}</caption>{cells}</table>"


def axes_rows(axes: Mapping[str, np.ndarray]) -> list[tuple[str, str]]:
    """A row for each axis: its ends and how many values it has."""
    return [
        (name, f"{values[0]:.6g} to {values[-1]:.6g}, {len(values)} values")
        for name, values in axes.items()
    ]
