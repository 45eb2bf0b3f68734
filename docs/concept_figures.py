"""Draw the figures of the concept pages, and write their tables.

    python docs/concept_figures.py

A small network on scikit-learn's digits, a tenth of whose training labels are drawn
at random, trains under every policy at several peaks, all of it in one sweep. Each
policy's peak is chosen with some seeds and scored with others.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

import optax_cycles as oc
from optax_cycles import problems
from optax_cycles.plot import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, new_figure

HERE = Path(__file__).parent
IMAGES = HERE / "images" / "concepts"
STEPS, SHORT, BATCH = 400, 100, 32
MISLABELLED = 0.1
CHOOSE, SCORE = 4, 8  # seeds to choose the peak with, and to score it with
PEAKS = np.geomspace(0.01, 0.64, 7)
COLORS = (BLUE, ORANGE, GREEN, PURPLE, RED, GREY)


def data() -> tuple[Any, Any]:
    """The digits, a tenth of the training labels drawn at random."""
    (images, labels), validation = problems.digits()
    rng = np.random.default_rng(0)
    wrong = rng.random(len(labels)) < MISLABELLED
    drawn = rng.integers(0, 10, len(labels))
    return (images, np.where(wrong, drawn, labels).astype(np.int32)), validation


def policies(steps: int) -> dict[str, dict[str, Any]]:
    """The rate, as a factor of the peak, and the momentum of each policy."""
    down = oc.cosine_decay(1.0, steps)
    sixth = max(steps // 6, 1)
    ways: dict[str, dict[str, Any]] = {
        "constant": {"rate": lambda step: jnp.ones(jnp.shape(step))},
        "steps": {
            "rate": oc.piecewise_constant([steps // 2, 3 * steps // 4], [1, 0.1, 0.01])
        },
        "cosine": {"rate": down},
        "triangular": {"rate": oc.triangular(0.04, 1.0, sixth)},
        "triangular2": {"rate": oc.triangular2(0.04, 1.0, sixth)},
        "warm restarts": {"rate": oc.warm_restarts(-(-steps // 7), 1.0, period_mult=2)},
    }
    for name, momentum in (
        ("1cycle", (0.85, 0.95)),
        ("1cycle, momentum 0.95", (0.95, 0.95)),
        ("1cycle, momentum 0.85", (0.85, 0.85)),
    ):
        policy = oc.one_cycle_policy(steps, 1.0, momentum=momentum)
        ways[name] = {"rate": policy["learning_rate"], "momentum": policy["momentum"]}
    return ways


class Trained(NamedTuple):
    """Validation losses `[policies, peaks, seeds, horizons]`."""

    names: list[str]
    losses: np.ndarray
    horizons: np.ndarray

    def of(self, name: str) -> np.ndarray:
        """`[peaks, seeds, horizons]` of one policy."""
        return self.losses[self.names.index(name)]

    def best(self, name: str) -> tuple[float, np.ndarray]:
        """The chosen peak, and losses `[seeds, horizons]` of the other seeds."""
        losses = self.of(name)
        at = int(np.median(losses[:, :CHOOSE, -1], axis=1).argmin())
        return float(PEAKS[at]), losses[at, CHOOSE:]


def trained(steps: int) -> Trained:
    """Train under all policies."""
    ways = policies(steps)
    places = jnp.arange(steps)
    rates = jnp.stack([way["rate"](places) for way in ways.values()])
    still = jnp.full(steps, 0.9)
    momenta = jnp.stack(
        [
            way["momentum"](places) if "momentum" in way else still
            for way in ways.values()
        ]
    )

    def optimizer(hp: Any) -> optax.GradientTransformation:
        way = hp["policy"].astype(int)
        return oc.sgdw(
            lambda step: hp["peak"] * rates[way, step],
            momentum=lambda step: momenta[way, step],
        )

    train, validation = data()
    space = oc.sweep.grid(
        policy=range(len(ways)), peak=PEAKS, seed=range(CHOOSE + SCORE)
    )
    horizons = sorted({round(steps * part / 40) for part in range(1, 41)})
    result = oc.sweep.run(
        oc.trainable(problems.digits_problem("mlp"), optimizer),
        space,
        train,
        steps,
        key=jax.random.key(0),
        batch_size=BATCH,
        validation=validation,
        horizons=horizons,
    )
    losses = np.nan_to_num(result.validation["loss"], nan=np.inf)
    return Trained(list(ways), losses, result.horizons)


def over_updates(axis: Any, runs: Trained, names: tuple[str, ...]) -> None:
    """Validation loss over updates, each policy at its own peak."""
    for name, color in zip(names, COLORS, strict=False):
        peak, losses = runs.best(name)
        low, median, high = np.quantile(losses, [0.25, 0.5, 0.75], axis=0)
        axis.fill_between(runs.horizons, low, high, color=color, alpha=0.15, lw=0)
        axis.plot(runs.horizons, median, color=color, label=f"{name}, peak {peak:.2g}")
    axis.set(xlabel="update", ylabel="validation loss", ylim=(0.17, 0.6), yscale="log")
    axis.set_yticks([0.2, 0.3, 0.4, 0.6], ["0.2", "0.3", "0.4", "0.6"])
    axis.set_title("each at its own peak", fontsize=10)
    axis.minorticks_off()


def over_peaks(axis: Any, runs: Trained, names: tuple[str, ...]) -> None:
    """Last validation loss over the peak: median and half of the seeds."""
    for name, color in zip(names, COLORS, strict=False):
        losses = np.minimum(runs.of(name)[..., -1], 3.0)
        low, median, high = np.quantile(losses, [0.25, 0.5, 0.75], axis=1)
        axis.fill_between(PEAKS, low, high, color=color, alpha=0.15, lw=0)
        axis.plot(PEAKS, median, color=color, marker="o", markersize=3, label=name)
    axis.set(xlabel="peak of the learning rate", ylabel="validation loss at the end")
    axis.set(xscale="log", yscale="log", ylim=(0.17, 3.0))
    axis.set_title(f"after {runs.horizons[-1]} updates", fontsize=10)
    axis.set_yticks([0.2, 0.3, 0.5, 1, 2], ["0.2", "0.3", "0.5", "1", "2"])
    axis.minorticks_off()


def finish(figure: Any, name: str) -> None:
    """Legends, thin frames, and the file."""
    for axis in figure.axes:
        axis.grid(True, alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
        if axis.get_legend_handles_labels()[0]:
            axis.legend(fontsize=8, frameon=False)
    path = IMAGES / f"{name}.png"
    figure.savefig(path, dpi=110, metadata={"Software": None})
    print(f"drew {path.name}: {path.stat().st_size // 1024} KiB")


def pair(name: str, left: Callable[[Any], None], right: Callable[[Any], None]) -> None:
    """A figure of two panels."""
    figure = new_figure(9.0, 3.4)
    axes = figure.subplots(1, 2)
    left(axes[0])
    right(axes[1])
    finish(figure, name)


def table(runs: dict[int, Trained], names: tuple[str, ...]) -> str:
    """A row a policy: its peak and its loss on fresh seeds, for each length."""
    lines = ["| policy |", "| --- |"]
    for steps in runs:
        lines[0] += f" peak, {steps} updates | loss, {steps} updates |"
        lines[1] += " --- | --- |"
    for name in names:
        line = f"| {name} |"
        for run in runs.values():
            peak, losses = run.best(name)
            low, median, high = np.quantile(losses[:, -1], [0, 0.5, 1])
            line += f" {peak:.2g} | {median:.3f} ({low:.3f} to {high:.3f}) |"
        lines.append(line)
    return "\n".join(lines)


def write_table(page: str, text: str) -> None:
    """Put a table between the marks of a page."""
    path = HERE / page
    marks = r"(<!-- table: start -->\n).*?(\n<!-- table: end -->)"
    new, found = re.subn(
        marks,
        lambda mark: f"{mark[1]}\n{text}\n{mark[2]}",
        path.read_text(),
        flags=re.S,
    )
    assert found == 1, page
    path.write_text(new)


def main() -> None:
    """Train, draw all figures, and write all tables."""
    oc.sweep.use_cpu_devices()
    IMAGES.mkdir(parents=True, exist_ok=True)
    runs = {SHORT: trained(SHORT), STEPS: trained(STEPS)}
    cycles = ("constant", "cosine", "triangular", "triangular2")
    pair(
        "cyclical",
        lambda axis: over_updates(axis, runs[STEPS], ("constant", *cycles[2:])),
        lambda axis: over_peaks(axis, runs[STEPS], ("constant", *cycles[2:])),
    )
    write_table("cyclical-rates.md", table(runs, cycles))
    ones = ("constant", "steps", "cosine", "1cycle")
    pair(
        "one_cycle",
        lambda axis: over_updates(axis, runs[STEPS], ones),
        lambda axis: over_peaks(axis, runs[SHORT], ones),
    )
    momenta = ("1cycle", "1cycle, momentum 0.95", "1cycle, momentum 0.85")
    pair(
        "momentum",
        lambda axis: over_peaks(axis, runs[SHORT], momenta),
        lambda axis: over_peaks(axis, runs[STEPS], momenta),
    )
    write_table("one-cycle.md", table(runs, (*ones, *momenta[1:])))
    restarts = ("constant", "cosine", "warm restarts")
    pair(
        "restarts",
        lambda axis: over_updates(axis, runs[STEPS], restarts),
        lambda axis: over_peaks(axis, runs[STEPS], restarts),
    )
    write_table("warm-restarts.md", table(runs, restarts))


if __name__ == "__main__":
    main()
