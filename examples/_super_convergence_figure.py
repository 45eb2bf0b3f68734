"""The figure of `super_convergence.py`."""

import numpy as np
from _super_convergence_report import schedule_name
from matplotlib.ticker import LogLocator, NullLocator

from optax_cycles.plot import BLUE, GREEN, GREY, ORANGE, SKY, new_figure

# Colour-blind readers tell these apart; line styles and marks repeat what they say.
STYLES = {
    "decay, long": (BLUE, "-", "o"),
    "decay, short": (SKY, "--", "s"),
    "1cycle, short": (ORANGE, "-", "D"),
    "1cycle, long": (GREEN, "-.", "^"),
}


def draw(task, compared):
    """Accuracy over updates, and at the end over the peak rate."""
    figure = new_figure(9.0, 4.0)
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    four = compared.four
    for name, runs in four.items():
        color, line, mark = STYLES[name]
        low, median, high = _over_seeds(runs.accuracy)
        left.fill_between(runs.updates, low, high, color=color, alpha=0.2, linewidth=0)
        label = f"{schedule_name(name)}, {runs.updates[-1]} updates"
        style = {"color": color, "linestyle": line, "marker": mark, "markersize": 4}
        left.plot(runs.updates, median, **style, label=label)
    reached = np.median(four["1cycle, short"].final)
    left.axhline(reached, color=GREY, linewidth=0.8, linestyle=":")
    left.set(xlabel="update", ylabel="validation accuracy")
    left.set_title(f"On {task.name}: median and middle half of the seeds", fontsize=10)
    _draw_ends(right, compared)
    ends = np.array([_over_seeds(runs.accuracy)[:, -1] for runs in four.values()])
    # Down to where the curves differ; the first updates are far below.
    top, spread = ends.max(), np.ptp(ends) + 0.005
    left.set_ylim(max(0.0, top - 4 * spread), min(1.0, top + spread / 2))
    for axes in (left, right):
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    left.legend(fontsize=8, loc="lower right")
    return figure


def _draw_ends(axes, compared):
    """The accuracy at the end against the peak rate that a training had."""
    for length, runs in compared.decays.items():
        color, line, mark = STYLES[f"decay, {length}"]
        rates = [one.peak for one in runs]
        ends = np.array([_over_seeds(one.accuracy)[:, -1] for one in runs])
        low, median, high = ends.T
        axes.vlines(rates, low, high, color=color, alpha=0.4, linewidth=3)
        axes.plot(rates, median, color=color, linestyle=line, marker=mark, markersize=4)
    for length, runs in compared.cycles.items():
        color, _, mark = STYLES[f"1cycle, {length}"]
        low, median, high = _over_seeds(runs.accuracy)[:, -1]
        axes.vlines(runs.peak, low, high, color=color, alpha=0.4, linewidth=3)
        axes.plot(runs.peak, median, color=color, marker=mark, markersize=7)
    axes.set(xscale="log", xlabel="peak rate")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_title("At the end, by peak rate", fontsize=10)


def _over_seeds(accuracy):
    """`[3, looks]`: the first quartile, the median and the third quartile."""
    return np.quantile(accuracy, [0.25, 0.5, 0.75], axis=0)
