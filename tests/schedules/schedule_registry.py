"""One row per schedule: what the contract tests run over."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

import optax_cycles.schedules as oc


class Case(NamedTuple):
    """A schedule with every number it takes, split in values and lengths."""

    make: Callable[..., Any]
    values: dict[str, float]
    lengths: dict[str, int]
    options: dict[str, Any] = {}  # noqa: RUF012
    end: int | None = None
    bounds: tuple[float, float] = (0.0, float("inf"))
    # A composition has the dtype of its parts.
    doubles: bool = True

    def build(self, **changes):
        return self.make(**{**self.values, **self.lengths, **self.options, **changes})


WAVE = {"base_value": 0.25, "peak_value": 2.0}
SIZES = {"step_size": 4, "step_size_down": 6}
CYCLE = {
    "peak_value": 2.0,
    "pct_start": 0.3,
    "div_factor": 20.0,
    "final_div_factor": 100.0,
}
DECAY = {"decay_steps": 10, "begin": 3}

CASES = {
    "triangular": Case(oc.triangular, WAVE, SIZES, bounds=(0.25, 2.0)),
    "triangular2": Case(oc.triangular2, WAVE, SIZES, bounds=(0.25, 2.0)),
    "exp_range": Case(oc.exp_range, {**WAVE, "gamma": 0.97}, SIZES, bounds=(0.25, 2.0)),
    "cyclical": Case(
        oc.cyclical,
        WAVE,
        SIZES,
        {"scale_fn": lambda step: 1 / (1 + step.astype(jnp.float32))}
        | {"scale_mode": "iterations"},
        bounds=(0.25, 2.0),
    ),
    "one_cycle": Case(
        oc.one_cycle, CYCLE, {"total_steps": 20}, end=19, bounds=(0.001, 2.0)
    ),
    "one_cycle, three phases, exclusive": Case(
        oc.one_cycle,
        {**CYCLE, "pct_start": 0.31},
        {"total_steps": 20},
        {"three_phase": True, "end": "exclusive", "anneal": "1-sqrt"},
        end=20,
        bounds=(0.001, 2.0),
    ),
    "warm_restarts": Case(
        oc.warm_restarts,
        {"peak_value": 2.0, "period_mult": 1.5, "peak_mult": 0.8, "min_value": 0.01},
        {"first_period": 5},
        bounds=(0.0, 2.0),
    ),
    "noam": Case(
        oc.noam,
        {"model_size": 64.0, "factor": 2.0},
        {"warmup_steps": 7, "offset": 1},
        bounds=(0.0, 0.1),
    ),
    "linear_decay": Case(
        oc.linear_decay,
        {"init_value": 2.0, "end_value": 0.5},
        DECAY,
        end=13,
        bounds=(0.5, 2.0),
    ),
    "cosine_decay": Case(
        oc.cosine_decay,
        {"init_value": 2.0, "end_ratio": 0.1, "exponent": 1.5},
        DECAY,
        end=13,
        bounds=(0.2, 2.0),
    ),
    "exponential_decay": Case(
        oc.exponential_decay,
        {"init_value": 2.0, "decay_rate": 0.8, "end_value": 0.25},
        DECAY,
        end=97,
        bounds=(0.25, 2.0),
    ),
    "exponential_decay, staircase": Case(
        oc.exponential_decay,
        {"init_value": 2.0, "decay_rate": 0.8},
        DECAY,
        {"staircase": True},
        bounds=(0.0, 2.0),
    ),
    "one_cycle_annihilated": Case(
        oc.one_cycle_annihilated,
        {
            "peak_value": 2.0,
            "div_factor": 10.0,
            "annihilation_pct": 0.13,
            "annihilation_div": 50.0,
        },
        {"total_steps": 20},
        end=20,
        bounds=(0.004, 2.0),
    ),
    "one_cycle_smith": Case(
        oc.one_cycle_smith,
        {"base_value": 0.2, "peak_value": 2.0},
        {"step_size": 8},
        end=16,
        bounds=(0.0002, 2.0),
    ),
    "inverse_sqrt": Case(
        oc.inverse_sqrt,
        {"init_value": 2.0},
        {"warmup_steps": 7, "shift": 3},
        bounds=(0.0, 2.0),
    ),
    "power_decay": Case(
        oc.power_decay,
        {"init_value": 2.0, "power": 0.7},
        {"warmup_steps": 7, "timescale": 9, "shift": 0},
        bounds=(0.0, 2.0),
    ),
    "warmup_stable_decay": Case(
        oc.warmup_stable_decay,
        {"peak_value": 2.0, "end_ratio": 0.1, "init_ratio": 0.05},
        {"warmup_steps": 7, "stable_steps": 6, "decay_steps": 9},
        end=22,
        bounds=(0.1, 2.0),
    ),
    "gradual_warmup": Case(
        lambda warmup_steps, decay_steps, multiplier: oc.gradual_warmup(
            oc.linear_decay(1.0, decay_steps), warmup_steps, multiplier=multiplier
        ),
        {"multiplier": 4.0},
        {"warmup_steps": 7, "decay_steps": 9},
        end=16,
        bounds=(0.0, 4.0),
    ),
    "polynomial_decay": Case(
        oc.polynomial_decay,
        {"init_value": 2.0, "end_value": 0.1, "power": 1.5},
        DECAY,
        end=13,
        bounds=(0.1, 2.0),
    ),
    "polynomial_decay, cycle": Case(
        oc.polynomial_decay,
        {"init_value": 2.0, "end_value": 0.1, "power": 0.9},
        DECAY,
        {"cycle": True},
        bounds=(0.1, 2.0),
    ),
    "linear_cosine_decay": Case(
        oc.linear_cosine_decay,
        {"init_value": 2.0, "num_periods": 1.7, "alpha": 0.1, "beta": 0.02},
        DECAY,
        end=13,
        bounds=(0.04, 2.24),
    ),
    "natural_exp_decay": Case(
        oc.natural_exp_decay,
        {"init_value": 2.0, "decay_rate": 0.7},
        DECAY,
        bounds=(0.0, 2.0),
    ),
    "inverse_time_decay": Case(
        oc.inverse_time_decay,
        {"init_value": 2.0, "decay_rate": 0.7},
        DECAY,
        bounds=(0.0, 2.0),
    ),
    "piecewise_constant": Case(
        lambda first, second, a, b, c: oc.piecewise_constant(
            [first, second], [a, b, c], side="left"
        ),
        {"a": 1.0, "b": 2.0, "c": 0.5},
        {"first": 5, "second": 9},
        end=10,
        bounds=(0.5, 2.0),
    ),
    "composed": Case(
        lambda warm, start, cool, period, late, factor, top: oc.clip(
            oc.scale(
                oc.product(
                    oc.warmup(warm, "cosine", start=0.1, offset=1),
                    oc.shift(oc.repeat(oc.linear_decay(1.0, 20), period), late),
                    oc.cooldown(start, cool, "1-sqrt"),
                ),
                factor,
            ),
            maximum=top,
        ),
        {"factor": 2.0, "top": 1.5},
        {"warm": 4, "start": 15, "cool": 9, "period": 7, "late": 2},
        end=24,
        bounds=(0.0, 1.5),
        doubles=False,
    ),
    "join": Case(
        lambda first, second, peak: oc.join(
            [
                oc.linear_decay(0.0, first, end_value=peak),
                lambda t: peak,
                oc.cosine_decay(peak, 8),
            ],
            [first, second],
        ),
        {"peak": 2.0},
        {"first": 5, "second": 9},
        end=17,
        bounds=(0.0, 2.0),
    ),
}


@functools.cache
def compiled(name):
    """A jitted `(numbers, steps) -> values`, with the number of its traces."""
    case, traces = CASES[name], []

    def run(numbers, steps):
        traces.append(name)
        return case.build(**numbers)(steps)

    return jax.jit(run), traces
