"""What `.plot()` of a range test draws."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from optax_cycles._figures import label_of, new_figure
from optax_cycles.range_test.best import RangeSuggestion
from optax_cycles.range_test.figures import plot_diverged, plot_parallel, plot_ramp
from optax_cycles.range_test.grid_figures import grid_figure, plot_heat_map
from optax_cycles.range_test.parallel_result import ParallelTest
from optax_cycles.range_test.ramp_result import RampTest
from optax_cycles.range_test.suggest import NoSuggestionError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def drawn_test(test: ParallelTest, ax: Axes | None, **options: Any) -> Axes | Figure:
    """See `ParallelTest.plot`."""
    if len(test.over) > 1:
        if ax is None:
            return grid_figure(test, **options)
        image = plot_heat_map(test, ax, **options)
        ax.figure.colorbar(image, ax=ax, label=label_of(options.get("metric", "loss")))
        return ax
    suggestion = _suggestion(test, **options)
    options.pop("mode", None)
    if ax is not None:
        plot_parallel(test, ax, suggestion, **options)
        return ax
    figure = new_figure(6.4, 4.6)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    plot_parallel(test, above, suggestion, **options)
    above.set_xlabel("")  # shared with the panel below
    plot_diverged(test, below)
    return figure


def _suggestion(test: ParallelTest, **options: Any) -> RangeSuggestion | None:
    """The suggestion by what is drawn, where there is one."""
    try:
        return test.suggest(**options)
    except (NoSuggestionError, ValueError):
        return None


def drawn_ramp(test: RampTest, ax: Axes | None) -> Axes | Figure:
    """See `RampTest.plot`."""
    figure = None
    if ax is None:
        figure = new_figure(6.4, 3.6)
        ax = figure.subplots()
    plot_ramp(test, ax, {} if test.over else _marks(test))
    return ax if figure is None else figure


def _marks(test: RampTest) -> dict[str, float]:
    """The median over seeds of what each of some rules says, of those that answer."""
    marks = {}
    for rule in ("valley", "steep", "smith_range"):
        try:
            found = [suggestion.value for suggestion in test.suggest(rule)]
        except (NoSuggestionError, ValueError):
            continue
        marks[rule] = float(np.median(found))
    return marks
