"""Every argument of every public schedule and policy refuses what it can't be.

The table has one valid call for each function, and a kind for each argument; what is
bad for a kind follows from it. `test_messages.py` has what is particular.
"""

import inspect
import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import optax_cycles as oc

NAN, INF = math.nan, math.inf

# Bad values by the kind of an argument; TypeError for a wrong type.
NOT_A_NUMBER = [("1", TypeError), (None, TypeError), (True, TypeError), (1j, TypeError)]
REAL = [*NOT_A_NUMBER, (NAN, ValueError), (INF, ValueError), (-INF, ValueError)]
REAL += [(np.ones(2), ValueError)]
POSITIVE = [*REAL, (0.0, ValueError), (-1.0, ValueError)]
AT_LEAST_0 = [*REAL, (-0.1, ValueError)]
AT_LEAST_1 = [*REAL, (0.9, ValueError)]
SHARE = [*REAL, (-0.1, ValueError), (1.1, ValueError)]
BELOW_1 = [*SHARE, (1.0, ValueError)]
WHOLE = [*NOT_A_NUMBER, (2.5, TypeError), (2.0, TypeError), (NAN, TypeError)]
WHOLE += [(np.float32(2.5), TypeError), (2**31, ValueError), (-(2**31), ValueError)]
WHOLE += [(jnp.arange(2), ValueError)]
LENGTH = [*WHOLE, (-1, ValueError)]
PERIOD = [*LENGTH, (0, ValueError)]
STATIC = [(0, ValueError), (2.5, TypeError), ("3", TypeError)]
WORD = [("cosin", ValueError), ("", ValueError)]
SHAPE = [*WORD, (3, TypeError), (None, TypeError)]
FUNCTION = [(3, TypeError), ("cosine", TypeError), (None, TypeError)]
FUNCTIONS = [(3, TypeError), ("cosine", TypeError), ([3, abs], TypeError)]
FUNCTIONS += [([abs], ValueError)]
EDGES = [(3, TypeError), ("3", TypeError), ([2.5], TypeError), ([-1], ValueError)]
EDGES += [([1, 2], ValueError), ([], ValueError), ([NAN], TypeError)]
LEVELS = [(3, TypeError), ([1.0], ValueError), ([1.0, NAN], ValueError)]
LEVELS += [(["1", 2.0], TypeError), ([1.0, 2.0, 3.0], ValueError)]
PAIR = [((0.9, 0.8), ValueError), ((0.1, 0.2, 0.3), ValueError), ("1", TypeError)]
PAIR += [((NAN, 0.9), ValueError), (("1", 0.9), TypeError), (INF, ValueError)]
OPTIONAL = [pair for pair in REAL if pair[0] is not None]
FLAG = [("no", TypeError), (1, TypeError), (None, TypeError)]

WAVE = {"base_value": REAL, "peak_value": REAL, "step_size": PERIOD}
WAVE_CALL = {"base_value": 0.1, "peak_value": 1.0, "step_size": 4}
DOWN = {"step_size_down": [pair for pair in LENGTH if pair[0] is not None]}
DECAY = {"init_value": REAL, "decay_steps": LENGTH, "begin": LENGTH}
DECAY_CALL = {"init_value": 1.0, "decay_steps": 4}
RATE = {"init_value": REAL, "decay_steps": PERIOD, "begin": LENGTH, "staircase": FLAG}
CYCLE = {
    "total_steps": PERIOD,
    "peak_value": REAL,
    "div_factor": POSITIVE,
    "final_div_factor": POSITIVE,
    "pct_start": SHARE,
    "anneal": SHAPE,
    "end": WORD,
    "three_phase": FLAG,
}
LINES = {
    "total_steps": PERIOD,
    "peak_value": REAL,
    "div_factor": POSITIVE,
    "annihilation_pct": SHARE,
    "annihilation_div": POSITIVE,
}
RESTARTS = {
    "first_period": PERIOD,
    "peak_value": REAL,
    "period_mult": POSITIVE,
    "peak_mult": AT_LEAST_0,
    "min_value": REAL,
    "shape": SHAPE,
    "rounding": WORD,
    "max_periods": STATIC,
}
POWER = {"init_value": REAL, "warmup_steps": LENGTH, "shift": LENGTH}
POWER |= {"timescale": [pair for pair in PERIOD if pair[0] is not None]}
NAME = [(3, TypeError), ("", ValueError), ("weight_decay", ValueError)]
MOVING = {
    "momentum": PAIR,
    "momentum_name": [*NAME, ("learning_rate", ValueError)],
    "learning_rate_name": NAME,
    "weight_decay": PAIR,
}
PLATEAU = {
    "mode": WORD,
    "factor": BELOW_1,
    "patience": LENGTH,
    "threshold": AT_LEAST_0,
    "threshold_mode": WORD,
    "cooldown": LENGTH,
    "min_value": REAL,
    "eps": AT_LEAST_0,
}
TOTAL_CALL = {"total_steps": 9, "peak_value": 1.0}
FIRST_CALL = {"first_period": 5, "peak_value": 1.0}

# By function: a valid call, and the kinds of all arguments.
TABLE = {
    "triangular": (WAVE_CALL, WAVE | DOWN),
    "triangular2": (WAVE_CALL, WAVE | DOWN),
    "exp_range": (WAVE_CALL | {"gamma": 0.9}, WAVE | DOWN | {"gamma": POSITIVE}),
    "cyclical": (
        WAVE_CALL | {"scale_fn": abs},
        WAVE | DOWN | {"scale_fn": FUNCTION, "scale_mode": WORD},
    ),
    "one_cycle": (TOTAL_CALL, CYCLE),
    "one_cycle_annihilated": (TOTAL_CALL, LINES),
    "one_cycle_smith": (WAVE_CALL, WAVE),
    "warm_restarts": (FIRST_CALL, RESTARTS),
    "noam": (
        {"model_size": 8, "warmup_steps": 4},
        {
            "model_size": POSITIVE,
            "warmup_steps": LENGTH,
            "factor": REAL,
            "offset": LENGTH,
        },
    ),
    "warmup_stable_decay": (
        {"peak_value": 1.0, "warmup_steps": 2, "stable_steps": 2, "decay_steps": 2},
        {
            "peak_value": REAL,
            "warmup_steps": LENGTH,
            "stable_steps": LENGTH,
            "decay_steps": LENGTH,
            "decay_shape": SHAPE,
            "end_ratio": REAL,
            "init_ratio": REAL,
        },
    ),
    "gradual_warmup": (
        {"after": abs, "warmup_steps": 3},
        {"after": FUNCTION, "warmup_steps": LENGTH, "multiplier": AT_LEAST_1},
    ),
    "inverse_sqrt": ({"init_value": 1.0, "warmup_steps": 3}, POWER),
    "power_decay": (
        {"init_value": 1.0, "warmup_steps": 3, "power": 1.0},
        POWER | {"power": AT_LEAST_0},
    ),
    "linear_decay": (DECAY_CALL, DECAY | {"end_value": REAL}),
    "cosine_decay": (DECAY_CALL, DECAY | {"end_ratio": REAL, "exponent": AT_LEAST_0}),
    "polynomial_decay": (
        DECAY_CALL,
        DECAY | {"end_value": REAL, "power": AT_LEAST_0, "cycle": FLAG},
    ),
    "linear_cosine_decay": (
        DECAY_CALL,
        DECAY | {"num_periods": REAL, "alpha": REAL, "beta": REAL},
    ),
    "exponential_decay": (
        DECAY_CALL | {"decay_rate": 0.9},
        RATE | {"decay_rate": POSITIVE, "end_value": OPTIONAL},
    ),
    "natural_exp_decay": (
        DECAY_CALL | {"decay_rate": 0.9},
        RATE | {"decay_rate": REAL},
    ),
    "inverse_time_decay": (
        DECAY_CALL | {"decay_rate": 0.9},
        RATE | {"decay_rate": AT_LEAST_0},
    ),
    "piecewise_constant": (
        {"boundaries": [3], "values": [1.0, 2.0]},
        {"boundaries": EDGES, "values": LEVELS, "side": WORD},
    ),
    "join": (
        {"schedules": [abs, abs], "boundaries": [3]},
        {"schedules": FUNCTIONS, "boundaries": EDGES},
    ),
    "scale": ({"schedule": abs, "factor": 2.0}, {"schedule": FUNCTION, "factor": REAL}),
    "shift": ({"schedule": abs, "steps": 2}, {"schedule": FUNCTION, "steps": WHOLE}),
    "clip": (
        {"schedule": abs},
        {"schedule": FUNCTION, "minimum": OPTIONAL, "maximum": OPTIONAL},
    ),
    "repeat": (
        {"schedule": abs, "period": 2},
        {"schedule": FUNCTION, "period": PERIOD},
    ),
    "warmup": (
        {"steps": 4},
        {"steps": LENGTH, "kind": SHAPE, "start": REAL, "offset": LENGTH},
    ),
    "cooldown": (
        {"start": 4, "steps": 4},
        {"start": LENGTH, "steps": LENGTH, "shape": SHAPE, "end_ratio": REAL},
    ),
    "reduce_on_plateau": ({}, PLATEAU | {"init_value": REAL}),
    "scale_by_plateau": ({}, PLATEAU),
    "greedy": (
        {"init_value": 0.1},
        PLATEAU
        | {
            "init_value": REAL,
            "factor": [*BELOW_1, (0.0, ValueError)],
            "warmup": LENGTH,
            "max_value": REAL,
            "window": STATIC,
            "restart_after": PERIOD,
        },
    ),
    "polynomial_shape": ({"power": 1.0}, {"power": AT_LEAST_0}),
    "exponential_shape": ({"rate": 1.0}, {"rate": POSITIVE}),
    "tanh_shape": ({}, {"lower": REAL, "upper": [*REAL, (-6.0, ValueError)]}),
    "one_cycle_policy": (TOTAL_CALL, CYCLE | MOVING),
    "one_cycle_annihilated_policy": (TOTAL_CALL, LINES | MOVING),
    "one_cycle_smith_policy": (WAVE_CALL, WAVE | MOVING),
    "cyclical_policy": (
        WAVE_CALL | {"mode": "exp_range"},
        WAVE | DOWN | MOVING | {"mode": WORD, "gamma": POSITIVE},
    ),
    "warm_restarts_policy": (
        FIRST_CALL,
        RESTARTS | MOVING | {"normalized_decay": OPTIONAL},
    ),
    "cycle_starts": (
        {"schedule": abs, "steps": 9},
        {"schedule": FUNCTION, "steps": [(0, ValueError), (2.5, TypeError)]},
    ),
}
BAD = [
    pytest.param(name, argument, value, error, id=f"{name}-{argument}-{value}")
    for name, (_, kinds) in TABLE.items()
    for argument, kind in kinds.items()
    for value, error in kind
]


@pytest.mark.parametrize("name", TABLE)
def test_the_table_has_every_argument(name):
    call, kinds = TABLE[name]
    assert set(inspect.signature(getattr(oc, name)).parameters) == set(kinds)
    getattr(oc, name)(**call)


def test_the_table_has_every_function():
    from optax_cycles import policies, schedules

    public = {
        name
        for name in {*vars(schedules), *vars(policies)} & {*vars(oc)}
        if inspect.isfunction(getattr(oc, name))
    }
    assert public - {"product"} == set(TABLE)


@pytest.mark.parametrize(("name", "argument", "value", "error"), BAD)
def test_bad_values_are_named(name, argument, value, error):
    call, _ = TABLE[name]
    with pytest.raises(error) as caught:
        getattr(oc, name)(**{**call, argument: value})
    text = str(caught.value)
    # The function (that of the schedule, for a policy), the argument, what it must be.
    assert re.match(rf"{name.removesuffix('_policy')}(_policy)?: .+ must be ", text), (
        text
    )
    other = {"schedules": "boundaries", "boundaries": "values"}.get(argument, argument)
    assert argument in text or other in text, text


@pytest.mark.parametrize(
    "name", [n for n in TABLE if TABLE[n][0] and n not in ("cycle_starts", "greedy")]
)
def test_tracers_pass_wherever_numbers_may_be_traced(name):
    call, kinds = TABLE[name]
    numbers = {
        key: value
        for key, value in call.items()
        if isinstance(value, int | float) and kinds[key] is not FLAG
    }

    def build(numbers):
        made = getattr(oc, name)(**{**call, **numbers})
        policy = made if isinstance(made, dict) else {"learning_rate": made}
        return [schedule(jnp.float32(0.5)) for schedule in policy.values()]

    jax.eval_shape(build, numbers)
