"""Draw `gallery.md`: every schedule, policy and shape, with its call above its curve.

    python docs/gallery.py

The calls below are the whole registry; `tests/test_docs.py` holds it against the
package, so that nothing public is missing from the page.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import optax_cycles as oc
from optax_cycles.plot import BLUE, ORANGE, mark_cycles, new_figure

HERE = Path(__file__).parent
IMAGES = HERE / "images" / "gallery"
STEPS = 200
# The same file from every run; text as text, so that images stay small.
STYLE = {"svg.hashsalt": "gallery", "svg.fonttype": "none"}

SECTIONS = {
    "Cycles": (
        "oc.triangular(0.01, 0.1, 25)",
        "oc.triangular2(0.01, 0.1, 25)",
        "oc.exp_range(0.01, 0.1, 25, gamma=0.99)",
        "oc.cyclical(0.01, 0.1, 20, scale_fn=lambda cycle: 1 / cycle)",
        "oc.warm_restarts(25, 0.1, period_mult=2, peak_mult=0.8)",
    ),
    "One cycle": (
        "oc.one_cycle(200, 0.1)",
        "oc.one_cycle_annihilated(200, 0.1, annihilation_pct=0.2)",
        "oc.one_cycle_smith(0.01, 0.1, 90)",
    ),
    "Warm-up and decay": (
        "oc.warmup_stable_decay(0.1, 20, 120, 60)",
        "oc.noam(512, 40)",
        "oc.inverse_sqrt(0.1, 20)",
        "oc.power_decay(0.1, 20, power=1.0)",
        "oc.gradual_warmup(oc.cosine_decay(0.1, 170), 30, multiplier=4.0)",
    ),
    "Decay": (
        "oc.linear_decay(0.1, 150)",
        "oc.cosine_decay(0.1, 150, end_ratio=0.05)",
        "oc.polynomial_decay(0.1, 50, power=2, cycle=True)",
        "oc.exponential_decay(0.1, 40, 0.5, staircase=True)",
        "oc.natural_exp_decay(0.1, 40, 0.7)",
        "oc.inverse_time_decay(0.1, 40, 1.0)",
        "oc.linear_cosine_decay(0.1, 150, num_periods=3)",
        "oc.piecewise_constant([60, 120], [0.1, 0.03, 0.01])",
        "oc.reduce_on_plateau(0.1, patience=20, factor=0.5)",
        "oc.scale_by_plateau(patience=20, factor=0.5)",
        "oc.greedy(0.05, patience=5, factor=0.8, min_value=0.01, max_value=0.2)",
    ),
    "Composition": (
        "oc.join([oc.linear_decay(0.0, 40, end_value=0.1), "
        "oc.cosine_decay(0.1, 160)], [40])",
        "oc.product(oc.warmup(20), oc.triangular(0.05, 0.1, 20), oc.cooldown(160, 40))",
        "oc.warmup(50, 'cosine')",
        "oc.cooldown(120, 80, '1-sqrt')",
        "oc.scale(oc.triangular(0.01, 0.1, 25), 0.5)",
        "oc.clip(oc.triangular(0.0, 0.1, 25), 0.02, 0.08)",
        "oc.shift(oc.cosine_decay(0.1, 100), 50)",
        "oc.repeat(oc.exponential_decay(0.1, 20, 0.5), 50)",
    ),
    "Policies": (
        "oc.one_cycle_policy(200, 0.1)",
        "oc.one_cycle_annihilated_policy(200, 0.1, annihilation_pct=0.2)",
        "oc.one_cycle_smith_policy(0.01, 0.1, 80)",
        "oc.cyclical_policy(0.01, 0.1, 25, mode='triangular2')",
        "oc.warm_restarts_policy(25, 0.1, period_mult=2, normalized_decay=0.1)",
    ),
    "Shapes": (
        "oc.warm_restarts(200, 1.0, shape='linear')",
        "oc.warm_restarts(200, 1.0, shape='cosine')",
        "oc.warm_restarts(200, 1.0, shape='arccosine')",
        "oc.warm_restarts(200, 1.0, shape='1-sqrt')",
        "oc.warm_restarts(200, 1.0, shape='1-square')",
        "oc.warm_restarts(200, 1.0, shape='exp')",
        "oc.warm_restarts(200, 1.0, shape='rex')",
        "oc.warm_restarts(200, 1.0, shape='tanh')",
        "oc.warm_restarts(200, 1.0, shape=oc.polynomial_shape(3))",
        "oc.warm_restarts(200, 1.0, shape=oc.exponential_shape(2.0))",
        "oc.warm_restarts(200, 1.0, shape=oc.tanh_shape(-3, 3))",
    ),
}
INTRODUCTION = f"""\
# Gallery

Every schedule and policy over {STEPS} steps, each with its call above its curve. Thin
grey lines mark where cycles begin. `optax-cycles plot` draws your own; this page is
drawn by `docs/gallery.py`.
"""


def image_name(section: str, number: int, call: str) -> str:
    """A file name that a reader can find the call by."""
    function = call.removeprefix("oc.").partition("(")[0]
    return f"{section.lower().replace(' ', '-')}-{number:02d}-{function}.svg"


def images() -> dict[str, str]:
    """The call behind each image."""
    return {
        image_name(section, number, call): call
        for section, calls in SECTIONS.items()
        for number, call in enumerate(calls, 1)
    }


def page() -> str:
    """The text of `gallery.md`."""
    parts = [INTRODUCTION]
    for section, calls in SECTIONS.items():
        parts.append(f"\n## {section}\n")
        for number, call in enumerate(calls, 1):
            name = image_name(section, number, call)
            function = name.split("-")[-1].removesuffix(".svg")
            parts.append(f"\n```python {{.no-copy}}\n{call}\n```\n")
            parts.append(f"\n![Values of {function}](images/gallery/{name})\n")
    return "".join(parts).replace("```python {.no-copy}", "``` { .python .gallery }")


def curves(call: str) -> dict[str, Any]:
    """What a call draws: schedules by the name of the hyperparameter."""
    made = eval(call, {"oc": oc, "jnp": jnp})
    if isinstance(made, Mapping):
        return dict(made)
    if not callable(made):  # a transformation: draw what it makes of updates of 1
        return {
            "scale": _over_metric(
                lambda s, v: made.update(jnp.ones(()), s, value=v), made.init(None)
            )
        }
    if hasattr(made, "update"):
        schedule = made

        def update(state: Any, value: Any) -> Any:
            state = schedule.update(state, value=value)
            return state.value, state

        return {"learning rate": _over_metric(update, schedule.init())}
    factor = call.startswith(("oc.warmup(", "oc.cooldown("))
    return {"factor" if factor or "1.0, shape" in call else "learning rate": made}


def _over_metric(update: Any, state: Any) -> Any:
    """A stateful schedule over a metric that improves for 40 steps, then no more."""
    metrics = jnp.maximum(1.0 - jnp.arange(STEPS) / 80, 0.5)

    def body(state: Any, metric: Any) -> Any:
        value, state = update(state, metric)
        return state, value

    values = jax.lax.scan(body, state, metrics)[1]
    return lambda steps: values[steps]


def draw(call: str, path: Path) -> None:
    """Draw one call: a panel for each hyperparameter."""
    steps = np.arange(STEPS)
    panels = curves(call)
    figure = new_figure(5.6, 1.1 + 1.15 * len(panels))
    axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    for axis, (name, schedule), color in zip(
        axes, panels.items(), (BLUE, ORANGE, BLUE), strict=False
    ):
        values = np.asarray(schedule(steps))
        jumps = "steps-post" if name in ("scale",) else "default"
        axis.plot(steps, values, color=color, linewidth=1.8, drawstyle=jumps)
        mark_cycles(axis, oc.cycle_starts(schedule, STEPS))
        axis.set_ylabel(name.replace("_", " "), fontsize=9)
        axis.tick_params(labelsize=8)
        axis.margins(x=0.01)
        axis.grid(True, alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    axes[-1].set_xlabel("step", fontsize=9)
    figure.savefig(path, metadata={"Date": None, "Creator": None})


def main() -> None:
    """Draw all images, and write the page."""
    import matplotlib

    matplotlib.rcParams.update(STYLE)
    IMAGES.mkdir(parents=True, exist_ok=True)
    for old in IMAGES.glob("*.svg"):
        old.unlink()
    for name, call in images().items():
        draw(call, IMAGES / name)
    (HERE / "gallery.md").write_text(page())
    print(f"drew {len(images())} images")


if __name__ == "__main__":
    main()
