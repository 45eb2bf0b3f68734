"""Whether learning rate and weight decay can be chosen one after the other.

The figure that the paper on decoupled weight decay is known for (I. Loshchilov and F.
Hutter, 2019, figures 1 and 2), on the digits: the validation loss after training at
every point of a grid of learning rates and weight decays, for SGD with momentum and
for Adam, with L2 regularisation (the decay is added to the gradient, before the
optimizer) and with decoupled decay (`oc.sgdw`, `oc.adamw`). All follow a cosine. Few
examples, a fifth of them labelled at random, make the decay matter.

The valley of the loss is measured, not looked at: the best decay at each rate, then the
slope of its logarithm over that of the rate (Theil-Sen: the median over pairs of
rates). Where rate times decay is what acts, the slope is -1; where the best decay is
the same at every rate, it is 0. The spread is a 90 % bootstrap interval over seeds.

As in the paper, whose residual networks have batch normalisation, the output of every
layer is normalised: only the direction of its weights counts. `plain` is the same
network without normalisation and with biases, where decay changes the function itself
and there is another best decay; its slopes are reported, without a goal.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import _measure
import jax
import numpy as np
import optax
from _measure import Row, Spread

import optax_cycles as oc
from optax_cycles import problems

FIGURE = Path(__file__).parent.parent / "docs" / "images" / "decay_grid.png"
EXAMPLES, MISLABELLED, BATCH = 512, 0.2, 32
WIDTH, CLASSES = 64, 10
# Normalised logits have a standard deviation of 1: too little to be sure of a class.
LOGIT_SCALE = 4.0
# Largest loss with a colour of its own, over the least of all.
COLOURED = 2.5
# How far above the least loss of its rate, in logarithms, a decay still counts.
TOLERANCE = 0.05
RESAMPLES = 1000


class Size(NamedTuple):
    """How much is run."""

    networks: tuple[str, ...] = ("normalised", "plain")
    rates: int = 9
    decays: int = 13
    seeds: int = 4
    steps: int = 1000


QUICK = Size(("normalised",), rates=3, decays=4, seeds=2, steps=40)


class Method(NamedTuple):
    """A way of decaying weights.

    Attributes:
      title: its name in the figure.
      decoupled: whether the decay is decoupled from the gradient.
      make: the optimizer, from the rate, the decay and the multiplier's schedule.
    """

    title: str
    decoupled: bool
    make: Callable[[Any, Any, Any], optax.GradientTransformation]


def regularised(optimizer: Callable[..., Any]) -> Callable[..., Any]:
    """The same optimizer with L2 regularisation: the decay goes through it."""

    def make(rate: Any, decay: Any, eta: Any) -> optax.GradientTransformation:
        return optax.chain(optax.add_decayed_weights(decay), optimizer(rate, 0.0, eta))

    return make


def sgdw(rate: Any, decay: Any, eta: Any) -> optax.GradientTransformation:
    """SGDW as in the paper's Algorithm 1."""
    return oc.sgdw(rate, weight_decay=decay, multiplier=eta, momentum_form="inside")


def adamw(rate: Any, decay: Any, eta: Any) -> optax.GradientTransformation:
    """AdamW as in the paper's Algorithm 2."""
    return oc.adamw(rate, weight_decay=decay, multiplier=eta)


METHODS = {
    "sgd_l2": Method("SGD with L2 regularisation", False, regularised(sgdw)),
    "sgdw": Method("SGDW: decoupled decay", True, sgdw),
    "adam_l2": Method("Adam with L2 regularisation", False, regularised(adamw)),
    "adamw": Method("AdamW: decoupled decay", True, adamw),
}


def data() -> tuple[Any, Any]:
    """Few of the digits, some of them mislabelled, and those held out."""
    (images, labels), validation = problems.digits()
    rng = np.random.default_rng(0)
    some = rng.permutation(len(labels))[:EXAMPLES]
    wrong = rng.random(EXAMPLES) < MISLABELLED
    noisy = np.where(wrong, rng.integers(0, CLASSES, EXAMPLES), labels[some])
    return (images[some], noisy.astype(np.int32)), validation


def problem(network: str) -> oc.Problem:
    """A classifier of the digits, 64-64-64-10, with or without normalisation."""
    import flax.linen as nn

    layers: list[Any] = [lambda images: images.reshape(images.shape[0], -1)]
    for width in (WIDTH, WIDTH, CLASSES):
        layers.append(nn.Dense(width, use_bias=network == "plain"))
        if network == "normalised":
            layers.append(nn.LayerNorm(use_bias=False, use_scale=False))
        layers.append(nn.relu)
    layers.pop()  # the logits
    if network == "normalised":
        layers.append(lambda logits: LOGIT_SCALE * logits)
    example = (np.zeros((1, 8, 8, 1), np.float32),)
    return oc.problem_from_linen(
        nn.Sequential(layers), problems.classification_loss, example
    )


def axes(size: Size) -> tuple[np.ndarray, np.ndarray]:
    """The rates and the decays of the grid."""
    return np.geomspace(1e-2, 1.0, size.rates), np.geomspace(1e-3, 1.0, size.decays)


def losses_of(network: str, method: str, size: Size) -> dict[str, np.ndarray]:
    """`[rates, decays, seeds]`: losses after training, infinite where it failed.

    `validation` is that of all examples held out, `train` the mean over the batches of
    the last epoch.
    """
    eta = oc.cosine_decay(1.0, size.steps)
    make = METHODS[method].make
    train, validation = data()
    rates, decays = axes(size)
    result = oc.sweep.run(
        oc.trainable(problem(network), lambda hp: make(hp["rate"], hp["decay"], eta)),
        oc.sweep.grid(rate=rates, decay=decays, seed=range(size.seeds)),
        train,
        size.steps,
        key=jax.random.key(0),
        batch_size=BATCH,
        validation=validation,
    )
    last = result.train["loss"][..., -(EXAMPLES // BATCH) :].mean(axis=-1)
    return {
        "validation": result.score(),
        "train": np.where(np.isfinite(last), last, np.inf),
    }


def over_seeds(losses: np.ndarray) -> np.ndarray:
    """The geometric mean over the last axis, infinite where a training failed."""
    return np.exp(np.log(losses).mean(axis=-1))


def valley(losses: np.ndarray, decays: np.ndarray) -> np.ndarray:
    """`[rates]`: the logarithm of the best decay at each rate.

    Args:
      losses: `[rates, decays]`.
      decays: the decays.
    """
    above = np.log(losses) - np.log(losses).min(axis=1, keepdims=True)
    weights = np.exp(-above / TOLERANCE)
    return weights @ np.log(decays) / weights.sum(axis=1)


def slope(losses: np.ndarray, rates: np.ndarray, decays: np.ndarray) -> float:
    """The valley's slope: powers of the decay for one power of the rate.

    Args:
      losses: `[rates, decays, seeds]`; their geometric mean over seeds counts.
      rates: the rates.
      decays: the decays.
    """
    best = valley(over_seeds(losses), decays)
    pairs = itertools.combinations(range(len(rates)), 2)
    log = np.log(rates)
    return float(np.median([(best[j] - best[i]) / (log[j] - log[i]) for i, j in pairs]))


def slope_interval(losses: np.ndarray, rates: Any, decays: Any) -> Spread:
    """The slope with its 90 % bootstrap interval over seeds."""
    seeds = losses.shape[-1]
    draws = np.random.default_rng(0).integers(seeds, size=(RESAMPLES, seeds))
    drawn = [slope(losses[..., draw], rates, decays) for draw in draws]
    low, high = np.quantile(drawn, [0.05, 0.95])
    return Spread(slope(losses, rates, decays), float(low), float(high))


def measured(network: str, method: str, size: Size) -> dict[str, Any]:
    """The losses of a grid, its best point and the slopes of its valleys."""
    rates, decays = axes(size)
    found: dict[str, Any] = {}
    for part, losses in losses_of(network, method, size).items():
        mean = over_seeds(losses)
        i, j = np.unravel_index(mean.argmin(), mean.shape)
        found[part] = {
            "losses": losses,
            "slope": slope_interval(losses, rates, decays),
            "best": {"rate": rates[i], "decay": decays[j], "loss": mean[i, j]},
        }
    return found


def row(method: str, found: dict[str, Any]) -> Row:
    """The row of a valley: steep for L2 regularisation, level for decoupled decay."""
    got, best = found["validation"]["slope"], found["validation"]["best"]
    flat = METHODS[method].decoupled
    tilt = got
    note = (
        f"slope {got.median:+.2f}; best loss {best['loss']:.3f} at rate "
        f"{best['rate']:.2g}, decay {best['decay']:.2g}"
    )
    if flat:
        # The size of a slope whose interval may hold 0.
        low = 0.0 if got.low < 0 < got.high else min(abs(got.low), abs(got.high))
        tilt = Spread(abs(got.median), low, max(abs(got.low), abs(got.high)))
    unit = "powers of decay a power of rate"
    work = f"{METHODS[method].title}: the valley's slope"
    against = "0, whatever the rate" if flat else "-1, rate x decay"
    return Row(work, against, tilt, unit, 0.25 if flat else -0.5, True, note)


def draw(found: dict[str, Any], size: Size, path: Path) -> None:
    """The heat maps of the validation loss, with the valley and the best point."""
    from matplotlib.colors import LogNorm
    from matplotlib.ticker import NullLocator

    from optax_cycles.plot import new_figure, save_figure

    rates, decays = axes(size)
    means = {
        name: over_seeds(one["validation"]["losses"]) for name, one in found.items()
    }
    least = min(mean.min() for mean in means.values())
    norm = LogNorm(least, COLOURED * least)
    figure = new_figure(8.0, 7.0)
    panels = figure.subplots(2, 2, sharex=True, sharey=True)
    for panel, (name, mean) in zip(panels.flat, means.items(), strict=True):
        drawn = panel.pcolormesh(
            decays, rates, mean, norm=norm, cmap="cividis", shading="nearest"
        )
        panel.set(xscale="log", yscale="log")
        mark(panel, found[name]["validation"], np.exp(valley(mean, decays)), rates)
        got = found[name]["validation"]["slope"]
        words = f"slope {got.median:+.2f} ({got.low:+.2f} to {got.high:+.2f})"
        panel.set_title(f"{METHODS[name].title}\n{words}", fontsize=11)
    for panel, place in zip(panels[-1], ("in the gradient", "decoupled"), strict=True):
        panel.set_xlabel(f"weight decay, {place}")
    for panel in panels[:, 0]:
        panel.set_ylabel("learning rate")
    figure.legend(
        *panels[0, 0].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=2,
        facecolor="grey",
        labelcolor="white",
    )
    bar = figure.colorbar(drawn, ax=panels, extend="max", shrink=0.8)
    ticks = least * COLOURED ** np.linspace(0, 1, 5)
    bar.ax.yaxis.set_minor_locator(NullLocator())
    bar.set_ticks(ticks, labels=[f"{tick:.2f}" for tick in ticks])
    bar.set_label("validation loss")
    save_figure(figure, path)


def mark(panel: Any, found: dict[str, Any], best: np.ndarray, rates: Any) -> None:
    """The best decay at each rate, and the best point of all."""
    from optax_cycles.plot import RED

    valley = {"color": "white", "markersize": 4, "linewidth": 1.3}
    panel.plot(best, rates, "o-", **valley, label="best decay at each rate")
    star = {"color": RED, "markersize": 17, "markeredgecolor": "white"}
    point = found["best"]
    panel.plot(point["decay"], point["rate"], "*", **star, label="best point of all")


def as_json(found: Any) -> Any:
    """Arrays as lists and numbers that JSON knows; None where training failed."""
    if isinstance(found, dict):
        return {name: as_json(part) for name, part in found.items()}
    if isinstance(found, Spread):
        return found._asdict()
    values = np.asarray(found)
    return np.where(np.isfinite(values), values.round(6), None).tolist()


def main() -> None:
    parser = _measure.arguments(__doc__ or "", ())
    parser.add_argument("--figure", type=Path, default=FIGURE, help="where to draw it")
    given = parser.parse_args()
    size = QUICK if given.quick else Size()
    environment = _measure.environment()
    oc.sweep.use_cpu_devices()
    found: dict[str, Any] = {}
    for network in size.networks:
        found[network] = {}
        for method, known in METHODS.items():
            one = measured(network, method, size)
            found[network][method] = one
            words = ", ".join(
                f"{part} {values['slope'].median:+.2f} ({values['slope'].low:+.2f} to "
                f"{values['slope'].high:+.2f})"
                for part, values in one.items()
            )
            print(f"{network}, {known.title}: slope {words}", flush=True)
    given.figure.parent.mkdir(parents=True, exist_ok=True)
    draw(found["normalised"], size, given.figure)
    rates, decays = axes(size)
    record = {
        "environment": environment,
        "settings": size._asdict(),
        "rates": rates.tolist(),
        "decays": decays.tolist(),
        "networks": as_json(found),
    }
    rows = [row(name, one) for name, one in found["normalised"].items()]
    _measure.finish("decay_grid", given.results, record, rows)


if __name__ == "__main__":
    main()
