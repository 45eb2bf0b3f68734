"""Draw the figure of `warm-up.md`: what a warm-up does for a small transformer.

    python docs/warm_up_figure.py

Each of the digits' eight rows is a token. The blocks are normalised after their
residual sums, as in "Attention Is All You Need", which is what makes them fragile.
"""

from __future__ import annotations

from typing import Any

import concept_figures as concepts
import jax
import numpy as np

import optax_cycles as oc
from optax_cycles import problems

STEPS, BATCH, SEEDS, DEPTH, WIDTH = 200, 32, 4, 4, 32
WARMUPS = (1, 20, 80)
PEAKS = np.geomspace(1e-3, 1.6e-2, 5)


def problem() -> oc.Problem:
    """A transformer of four post-norm blocks with two heads."""
    import flax.linen as nn

    class Block(nn.Module):
        @nn.compact
        def __call__(self, x: Any) -> Any:
            x = nn.LayerNorm()(x + nn.MultiHeadDotProductAttention(2)(x))
            inner = nn.relu(nn.Dense(2 * WIDTH)(x))
            return nn.LayerNorm()(x + nn.Dense(WIDTH)(inner))

    class Transformer(nn.Module):
        @nn.compact
        def __call__(self, images: Any) -> Any:
            rows = images.reshape(-1, 8, 8)
            place = self.param("place", nn.initializers.normal(0.5), (1, 8, WIDTH))
            x = nn.Dense(WIDTH)(rows) + place
            for _ in range(DEPTH):
                x = Block()(x)
            return nn.Dense(10)(x.mean(1))

    example = (np.zeros((1, 8, 8, 1), np.float32),)
    return oc.problem_from_linen(Transformer(), problems.classification_loss, example)


def losses() -> np.ndarray:
    """Validation losses `[warm-ups, peaks, seeds]`, infinite where training failed."""

    def optimizer(hp: Any) -> Any:
        # Shifted, so that the first update is the first step of the warm-up.
        rise = oc.shift(oc.warmup(hp["warmup"]), -1)
        rate = oc.product(rise, oc.cosine_decay(hp["peak"], STEPS))
        return oc.adamw(rate, weight_decay=0.0)

    train, validation = problems.digits()
    result = oc.sweep.run(
        oc.trainable(problem(), optimizer),
        oc.sweep.grid(warmup=WARMUPS, peak=PEAKS, seed=range(SEEDS)),
        train,
        STEPS,
        key=jax.random.key(0),
        batch_size=BATCH,
        validation=validation,
    )
    return result.score()


def main() -> None:
    """Train, draw, and write the table."""
    oc.sweep.use_cpu_devices()
    found = np.minimum(losses(), 3.0)
    figure = concepts.new_figure(5.6, 3.4)
    axis = figure.subplots()
    rows = ["| warm-up |" + "".join(f" peak {peak:.2g} |" for peak in PEAKS)]
    rows.append("| --- |" + " --- |" * len(PEAKS))
    for warmup, values, color in zip(WARMUPS, found, concepts.COLORS, strict=False):
        label = "none" if warmup == 1 else f"{warmup} updates"
        low, median, high = np.quantile(values, [0, 0.5, 1], axis=1)
        axis.fill_between(PEAKS, low, high, color=color, alpha=0.15, lw=0)
        axis.plot(PEAKS, median, color=color, marker="o", markersize=3, label=label)
        rows.append(f"| {label} |" + "".join(f" {value:.2f} |" for value in median))
    axis.set(xlabel="peak of the learning rate", ylabel="validation loss at the end")
    axis.set(xscale="log", yscale="log", ylim=(0.1, 3.0))
    axis.set_yticks([0.1, 0.2, 0.5, 1, 2], ["0.1", "0.2", "0.5", "1", "2"])
    axis.minorticks_off()
    concepts.finish(figure, "warm_up")
    concepts.write_table("warm-up.md", "\n".join(rows))


if __name__ == "__main__":
    main()
