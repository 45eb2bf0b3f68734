"""Bad input, and what the error says."""

import jax.numpy as jnp
import numpy as np
import pytest

import optax_cycles.schedules as oc

NAN = float("nan")

VALUE = [
    (lambda: oc.triangular(NAN, 1.0, 4), "triangular: base_value must be a finite"),
    (
        lambda: oc.triangular(0.1, float("inf"), 4),
        "triangular: peak_value must be a fin",
    ),
    (
        lambda: oc.triangular(0.1, 1.0, 0),
        "triangular: step_size must be a positive integer, got 0",
    ),
    (
        lambda: oc.triangular2(0.1, 1.0, 4, step_size_down=-1),
        "triangular2: step_size_down must be a non-negative integer, got -1",
    ),
    (
        lambda: oc.exp_range(0.1, 1.0, 4, gamma=0.0),
        "exp_range: gamma must be a finite number > 0, got 0.0",
    ),
    (
        lambda: oc.cyclical(0.1, 1.0, 4, scale_fn=abs, scale_mode="cycles"),
        "cyclical: scale_mode must be one of cycle, iterations (did you mean 'cycle'",
    ),
    (
        lambda: oc.one_cycle(0, 1.0),
        "one_cycle: total_steps must be a positive integer, got 0",
    ),
    (
        lambda: oc.one_cycle(2**31, 1.0),
        "one_cycle: total_steps must be at most 2**31 - 1, got 2147483648",
    ),
    (
        lambda: oc.one_cycle(10, 1.0, pct_start=1.5),
        "one_cycle: pct_start must be a finite number >= 0 and <= 1, got 1.5",
    ),
    (
        lambda: oc.one_cycle(10, 1.0, div_factor=0),
        "one_cycle: div_factor must be a finite number > 0, got 0",
    ),
    (
        lambda: oc.one_cycle(10, 1.0, final_div_factor=-1.0),
        "one_cycle: final_div_factor must be a finite number > 0, got -1.0",
    ),
    (
        lambda: oc.one_cycle(10, 1.0, anneal="cos"),
        "one_cycle: anneal must be one of 1-",
    ),
    (
        lambda: oc.one_cycle(10, 1.0, end="exclusiv"),
        "one_cycle: end must be one of exclusive, inclusive (did you mean 'exclusive'",
    ),
    (
        lambda: oc.one_cycle(jnp.asarray([5, 6]), 1.0),
        "one_cycle: total_steps must be a positive integer (a scalar), got",
    ),
    (
        lambda: oc.warm_restarts(0, 1.0),
        "warm_restarts: first_period must be a positive integer, got 0",
    ),
    (
        lambda: oc.warm_restarts(5, 1.0, period_mult=0),
        "warm_restarts: period_mult must be a finite number > 0, got 0",
    ),
    (
        lambda: oc.warm_restarts(5, 1.0, peak_mult=-0.5),
        "warm_restarts: peak_mult must be a finite number >= 0, got -0.5",
    ),
    (
        lambda: oc.warm_restarts(5, 1.0, rounding="up"),
        "warm_restarts: rounding must be one of ceil, floor, nearest, got 'up'",
    ),
    (
        lambda: oc.warm_restarts(5, 1.0, max_periods=0),
        "warm_restarts: max_periods must be a positive integer, got 0",
    ),
    (lambda: oc.noam(0, 10), "noam: model_size must be a finite number > 0, got 0"),
    (lambda: oc.noam(64, -1), "noam: warmup_steps must be a non-negative integer"),
    (
        lambda: oc.linear_decay(1.0, -1),
        "linear_decay: decay_steps must be a non-negative integer, got -1",
    ),
    (
        lambda: oc.cosine_decay(1.0, 5, exponent=-1),
        "cosine_decay: exponent must be a finite number >= 0, got -1",
    ),
    (
        lambda: oc.exponential_decay(1.0, 0, 0.5),
        "exponential_decay: decay_steps must be a positive integer, got 0",
    ),
    (
        lambda: oc.exponential_decay(1.0, 5, -0.5),
        "exponential_decay: decay_rate must be a finite number > 0, got -0.5",
    ),
    (
        lambda: oc.exponential_decay(1.0, 5, 0.5, begin=-1),
        "exponential_decay: begin must be a non-negative integer, got -1",
    ),
    (
        lambda: oc.join([abs, abs], [3, 5]),
        "join: boundaries must be one boundary fewer than there are schedules (2), got",
    ),
    (lambda: oc.join([abs, abs, abs], [5, 3]), "join: boundaries must be in ascending"),
    (lambda: oc.join([abs, abs], [-1]), "join: boundaries[0] must be a non-negative"),
    (
        lambda: oc.one_cycle_annihilated(10, 1.0, annihilation_pct=2),
        "one_cycle_annihilated: annihilation_pct must be a finite number >= 0 and <= 1",
    ),
    (
        lambda: oc.one_cycle_annihilated(10, 1.0, div_factor=0),
        "one_cycle_annihilated: div_factor must be a finite number > 0, got 0",
    ),
    (
        lambda: oc.one_cycle_annihilated(10, 1.0, annihilation_div=0),
        "one_cycle_annihilated: annihilation_div must be a finite number > 0, got 0",
    ),
    (
        lambda: oc.one_cycle_smith(0.1, 1.0, 0),
        "one_cycle_smith: step_size must be a positive integer, got 0",
    ),
    (
        lambda: oc.one_cycle_smith(0.1, 1.0, 2**30),
        "one_cycle_smith: 2 * step_size must be at most 2**31 - 1, got 2147483648",
    ),
    (lambda: oc.inverse_sqrt(1.0, -1), "inverse_sqrt: warmup_steps must be a non-neg"),
    (
        lambda: oc.inverse_sqrt(1.0, 5, timescale=0),
        "inverse_sqrt: timescale must be a positive integer, got 0",
    ),
    (lambda: oc.power_decay(1.0, 5, power=-1), "power_decay: power must be a finite n"),
    (
        lambda: oc.warmup_stable_decay(1.0, 5, -1, 5),
        "warmup_stable_decay: stable_steps must be a non-negative integer, got -1",
    ),
    (
        lambda: oc.warmup_stable_decay(1.0, 5, 1, 5, decay_shape="sqrt"),
        "warmup_stable_decay: decay_shape must be one of 1-sqrt, 1-square, arccosine",
    ),
    (
        lambda: oc.gradual_warmup(abs, 5, multiplier=0.5),
        "gradual_warmup: multiplier must be a finite number >= 1, got 0.5",
    ),
    (
        lambda: oc.polynomial_decay(1.0, 5, power=-2),
        "polynomial_decay: power must be a finite number >= 0, got -2",
    ),
    (
        lambda: oc.linear_cosine_decay(1.0, 5, beta=NAN),
        "linear_cosine_decay: beta must be a finite number, got nan",
    ),
    (
        lambda: oc.natural_exp_decay(1.0, 0, 1.0),
        "natural_exp_decay: decay_steps must b",
    ),
    (
        lambda: oc.inverse_time_decay(1.0, 5, -1.0),
        "inverse_time_decay: decay_rate must be a finite number >= 0, got -1.0",
    ),
    (
        lambda: oc.piecewise_constant([5], [1.0]),
        "piecewise_constant: values must be one value more than there are bound",
    ),
    (
        lambda: oc.piecewise_constant([5, 3], [1.0, 2.0, 3.0]),
        "piecewise_constant: boundaries must be in ascending order, got [5, 3]",
    ),
    (
        lambda: oc.piecewise_constant([5], [1.0, 2.0], side="up"),
        "piecewise_constant: side must be one of left, right, got 'up'",
    ),
    (oc.product, "product: schedules must be at least one schedule, got ()"),
    (
        lambda: oc.clip(abs, 2.0, 1.0),
        "clip: minimum must be at most maximum (1), got 2.0",
    ),
    (lambda: oc.repeat(abs, 0), "repeat: period must be a positive integer, got 0"),
    (lambda: oc.warmup(5, "lin"), "warmup: kind must be one of 1-sqrt"),
    (lambda: oc.cooldown(-1, 5), "cooldown: start must be a non-negative integer, got"),
    (
        lambda: oc.reduce_on_plateau(mode="minimum"),
        "reduce_on_plateau: mode must be one of max, min",
    ),
    (
        lambda: oc.reduce_on_plateau(threshold_mode="relative"),
        "reduce_on_plateau: threshold_mode must be one of abs, rel",
    ),
    (
        lambda: oc.reduce_on_plateau(factor=1.0),
        "reduce_on_plateau: factor must be a finite number >= 0 and < 1, got 1.0",
    ),
    (
        lambda: oc.scale_by_plateau(patience=-1),
        "scale_by_plateau: patience must be a non-negative integer, got -1",
    ),
    (
        lambda: oc.polynomial_shape(-1),
        "polynomial_shape: power must be a finite number",
    ),
    (
        lambda: oc.exponential_shape(0),
        "exponential_shape: rate must be a finite number",
    ),
    (
        lambda: oc.tanh_shape(2, 1),
        "tanh_shape: upper must be a finite number > 2, got 1",
    ),
]

TYPE = [
    (
        lambda: oc.gradual_warmup(3, 5),
        "gradual_warmup: after must be a callable, got 3",
    ),
    (lambda: oc.product(abs, 2), "product: schedules[1] must be a callable, got 2"),
    (lambda: oc.scale(2, 2), "scale: schedule must be a callable, got 2"),
    (lambda: oc.scale(abs, "2"), "scale: factor must be a finite number, got '2'"),
    (
        lambda: oc.shift(abs, 2.5),
        "shift: steps must be an integer of at least -21474836",
    ),
    (lambda: oc.clip(2), "clip: schedule must be a callable, got 2"),
    (lambda: oc.repeat(2, 2), "repeat: schedule must be a callable, got 2"),
    (
        lambda: oc.triangular("a", 1.0, 4),
        "triangular: base_value must be a finite number",
    ),
    (
        lambda: oc.triangular(0.1, 1.0, 4.0),
        "triangular: step_size must be a positive int",
    ),
    (
        lambda: oc.triangular(0.1, 1.0, np.float64(4.5)),
        "triangular: step_size must be a",
    ),
    (
        lambda: oc.cyclical(0.1, 1.0, 4, scale_fn=2),
        "cyclical: scale_fn must be a callable",
    ),
    (
        lambda: oc.one_cycle(True, 1.0),
        "one_cycle: total_steps must be a positive integer",
    ),
    (
        lambda: oc.one_cycle(10, 1.0, anneal=3),
        "one_cycle: anneal must be a function of q",
    ),
    (lambda: oc.one_cycle(10, 1.0j), "one_cycle: peak_value must be a finite number"),
    (lambda: oc.warm_restarts(5, None), "warm_restarts: peak_value must be a finite"),
    (lambda: oc.join([abs, 3], [2]), "join: schedules[1] must be a callable, got 3"),
    (lambda: oc.join([abs, abs], [2.5]), "join: boundaries[0] must be a non-negative"),
]


@pytest.mark.parametrize(("call", "message"), VALUE, ids=[m for _, m in VALUE])
def test_value_errors_name_function_argument_and_value(call, message):
    with pytest.raises(ValueError, match=": ") as caught:
        call()
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(("call", "message"), TYPE, ids=[m for _, m in TYPE])
def test_type_errors_name_function_argument_and_value(call, message):
    with pytest.raises(TypeError, match=": ") as caught:
        call()
    assert str(caught.value).startswith(message)
