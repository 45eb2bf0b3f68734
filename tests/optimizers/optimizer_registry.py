"""One row per optimizer and transformation: what the contract tests run over."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import optax_cycles as oc

STEPS = 6

# What a number is as a schedule: all of them move in every one of the STEPS updates.
SCHEDULES = {
    "learning_rate": oc.linear_decay(0.1, 8, end_value=0.04),
    "momentum": oc.linear_decay(0.9, 8, end_value=0.5),
    "b1": oc.linear_decay(0.95, 8, end_value=0.8),
    "b2": oc.linear_decay(0.99, 8, end_value=0.9),
    "eps": oc.linear_decay(1e-3, 8, end_value=1e-2),
    "weight_decay": oc.linear_decay(0.02, 8, end_value=0.1),
    "multiplier": oc.warm_restarts(4, 1.0, min_value=0.1),
}


class Case(NamedTuple):
    """An optimizer with the numbers that may be schedules, and those that may not."""

    make: Callable[..., optax.GradientTransformationExtraArgs]
    numbers: dict[str, float]
    constants: dict[str, float] = {}  # noqa: RUF012
    options: dict[str, Any] = {}  # noqa: RUF012
    # Numbers with which a target is found: no decay, and a rate that fits.
    search: dict[str, float] = {}  # noqa: RUF012
    # Whether all the arithmetic is ours, so that what we promise of it holds.
    own: bool = True

    def build(self, **changes):
        return self.make(
            **{**self.numbers, **self.constants, **self.options, **changes}
        )

    def policy(self):
        """The numbers as schedules."""
        return {name: SCHEDULES[name] for name in self.numbers}

    def form(self, form):
        return self.build(**(self.policy() if form == "schedules" else {}))


def is_matrix(params):
    """The usual mask: matrices decay, vectors and scalars don't."""
    return jax.tree.map(lambda p: jnp.ndim(p) > 1, params)


def places(params):
    """Labels: the place of each parameter among all of them."""
    return jax.tree.unflatten(
        jax.tree.structure(params), range(len(jax.tree.leaves(params)))
    )


def lion(learning_rate, b1, b2, weight_decay, multiplier):
    base = optax.lion(learning_rate, b1, b2, weight_decay=0.0)
    return oc.decouple(base, weight_decay, multiplier=multiplier)


def rmsprop(learning_rate, eps, weight_decay, multiplier):
    base = optax.rmsprop(learning_rate, eps=eps)
    return oc.decouple(base, weight_decay, multiplier=multiplier, mask=is_matrix)


def lamb(*, learning_rate, b1, b2, eps, weight_decay, multiplier):
    base = optax.lamb(learning_rate, b1, b2, eps)
    return oc.decouple(base, weight_decay, multiplier=multiplier)


def moments(learning_rate, b1, b2, eps):
    direction = oc.scale_by_moments(b1, b2, eps)
    return optax.chain(direction, optax.scale_by_learning_rate(learning_rate))


def momentum(learning_rate, momentum):
    buffer = oc.scale_by_momentum(momentum)
    return optax.chain(buffer, optax.scale_by_learning_rate(learning_rate))


def decay(learning_rate, weight_decay):
    parts = [oc.scale_by_momentum(0.9), optax.scale_by_learning_rate(learning_rate)]
    return optax.chain(*parts, oc.add_decoupled_decay(weight_decay))


def layers(learning_rate, b1, weight_decay, decay):
    optimizer = oc.adamw(learning_rate, b1, weight_decay=weight_decay)
    return optax.chain(optimizer, oc.layerwise_scale(places, decay))


RATES = {"learning_rate": 0.1, "weight_decay": 0.05, "multiplier": 0.5}
SGD = {**RATES, "momentum": 0.8}
MOMENTS = {"b1": 0.9, "b2": 0.95, "eps": 1e-3}
ADAM = {**RATES, **MOMENTS}
PERIODS = {
    "first_period": 3,
    "normalized_decay": 0.1,
    "period_mult": 1.5,
    "min_multiplier": 0.1,
}
SLOW = {"learning_rate": 1e-3, "weight_decay": 0.0, "multiplier": 1.0}
QUICK = {**SLOW, "learning_rate": 3e-3}
STEADY = {"learning_rate": 1e-2, "weight_decay": 0.0, "multiplier": 1.0}
RESTARTED = {"first_period": 500, "normalized_decay": 0.0, "min_multiplier": 0.0}

CASES = {
    "sgdw": Case(oc.sgdw, SGD, search=SLOW),
    "sgdw, inside": Case(
        oc.sgdw, SGD, options={"momentum_form": "inside"}, search=SLOW
    ),
    "sgdw, nesterov": Case(oc.sgdw, SGD, options={"nesterov": True}, search=SLOW),
    "sgdw, decay by rate": Case(
        oc.sgdw, SGD, options={"decay_scale": "learning_rate"}, search=SLOW
    ),
    "sgdw, masked": Case(oc.sgdw, SGD, options={"mask": is_matrix}, search=SLOW),
    "adamw": Case(oc.adamw, ADAM, search=STEADY),
    "adamw, power": Case(oc.adamw, ADAM, options={"debias": "power"}, search=STEADY),
    "adamw, eps inside": Case(
        oc.adamw, ADAM, options={"eps_form": "inside"}, search=STEADY
    ),
    "adamw, nesterov": Case(oc.adamw, ADAM, options={"nesterov": True}, search=STEADY),
    "adamw, power, nesterov": Case(
        oc.adamw, ADAM, options={"debias": "power", "nesterov": True}, search=STEADY
    ),
    "adamw, amsgrad": Case(oc.adamw, ADAM, options={"amsgrad": True}, search=STEADY),
    "adamw, masked": Case(oc.adamw, ADAM, options={"mask": is_matrix}, search=STEADY),
    "sgdwr": Case(
        oc.sgdwr,
        {"learning_rate": 0.1, "momentum": 0.8},
        PERIODS,
        {"max_periods": 3},
        search={"learning_rate": 1e-3, **RESTARTED},
    ),
    "adamwr": Case(
        oc.adamwr,
        {"learning_rate": 0.1, **MOMENTS},
        PERIODS,
        {"amsgrad": True, "max_periods": 3},
        search={"learning_rate": 2e-2, **RESTARTED},
    ),
    "decouple, lion": Case(
        lion, RATES, {"b1": 0.9, "b2": 0.95}, search=QUICK, own=False
    ),
    "decouple, rmsprop": Case(rmsprop, RATES, {"eps": 1e-3}, search=QUICK, own=False),
    "decouple, lamb": Case(lamb, RATES, MOMENTS, search=QUICK, own=False),
    "scale_by_moments": Case(
        moments,
        {"learning_rate": 0.1, **MOMENTS},
        search={"learning_rate": 1e-2},
    ),
    "scale_by_momentum": Case(
        momentum,
        {"learning_rate": 0.1, "momentum": 0.8},
        search={"learning_rate": 1e-3},
    ),
    "add_decoupled_decay": Case(
        decay,
        {"learning_rate": 0.1, "weight_decay": 0.05},
        search={"learning_rate": 1e-3, "weight_decay": 0.0},
    ),
    "layerwise_scale": Case(
        layers,
        {"learning_rate": 0.1, "b1": 0.9, "weight_decay": 0.05},
        {"decay": 0.5},
        search={"learning_rate": 1e-2, "weight_decay": 0.0},
    ),
}
FORMS = ("numbers", "schedules")

# What a plain run checks with compiled programs; the others are for the slow one.
FEW = ("sgdw, inside", "adamwr", "decouple, lion", "layerwise_scale")
_SLOW = pytest.mark.slow
every = pytest.mark.parametrize("name", CASES)
both = pytest.mark.parametrize("form", FORMS)
compiled = pytest.mark.parametrize(
    "name", [n if n in FEW else pytest.param(n, marks=_SLOW) for n in CASES]
)
compiled_both = pytest.mark.parametrize(
    "form", [pytest.param("numbers", marks=_SLOW), "schedules"]
)


def parameters(dtype=jnp.float32):
    """A nested tree with a matrix, a vector, a scalar and a None."""
    values = jnp.linspace(-1.0, 1.0, 6).astype(dtype)
    body = {"kernel": values.reshape(2, 3), "none": None}
    return {"body": body, "head": [values[3:], (values[0],)]}


def gradients(params, step):
    """Gradients that differ from leaf to leaf and from step to step."""
    return jax.tree.map(lambda p: jnp.sin(3 * p + step).astype(p.dtype), params)


def step(optimizer, params, state, t):
    """Parameters and state after update t."""
    updates, state = optimizer.update(gradients(params, t), state, params)
    return optax.apply_updates(params, updates), state


def train(optimizer, params):
    """The parameters after each of the STEPS updates, in one scan."""

    def scanned(carry, t):
        carry = step(optimizer, *carry, t)
        return carry, carry[0]

    carry = (params, optimizer.init(params))
    return jax.lax.scan(scanned, carry, jnp.arange(STEPS))[1]


@functools.cache
def trained(name, form):
    """`train` for the nested parameters, compiled once for all the tests."""
    optimizer = CASES[name].form(form)
    return jax.jit(lambda params: train(optimizer, params))(parameters())


def at(trajectory, t):
    """The parameters after update t."""
    return jax.tree.map(lambda leaf: leaf[t], trajectory)


def close(actual, expected, rtol=2e-6, atol=2e-7):
    """Assert that two trees are the same to rounding of parameters around 1."""
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=rtol, atol=atol),
        actual,
        expected,
    )
