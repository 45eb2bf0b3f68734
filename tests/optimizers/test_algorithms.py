"""SGDW and AdamW against the paper's algorithms in NumPy float64."""

import itertools

import algorithms
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from algorithms import moving, random_gradients, scheduled, trained

import optax_cycles as oc

COUNT, SIZE = 200, 6
THETA = np.linspace(0.5, 3.0, SIZE)
GRADIENTS = random_gradients(COUNT, SIZE)
# An update rounds a parameter by up to 2**-24 of itself, and so many of these walk at
# random; the updates themselves are a hundred times smaller.
ROUNDING = COUNT**0.5 * 2**-24

RATES = {
    "alpha": moving(0.02, 0.002, COUNT),
    "eta": moving(1.0, 0.1, COUNT),
    "decay": moving(0.003, 0.001, COUNT),
}
MOMENTUM = moving(0.95, 0.85, COUNT)
MOMENTS = {
    "b1": MOMENTUM,
    "b2": moving(0.99, 0.999, COUNT),
    "eps": moving(1e-3, 1e-5, COUNT),
}
OURS = {
    "learning_rate": scheduled(RATES["alpha"]),
    "multiplier": scheduled(RATES["eta"]),
    "weight_decay": scheduled(RATES["decay"]),
}
MOVING_MOMENTS = {name: scheduled(table) for name, table in MOMENTS.items()}
NUMBERS = {"alpha": 0.02, "eta": 0.5, "decay": 0.003}
OUR_NUMBERS = {"learning_rate": 0.02, "multiplier": 0.5, "weight_decay": 0.003}


def assert_same(found, expected, tolerance=ROUNDING):
    """Check against the largest value that each parameter takes."""
    scale = np.abs(expected).max(axis=0)
    error = np.abs(found - expected) / scale
    np.testing.assert_array_less(error, tolerance)


def choices(**options):
    """All combinations, as dicts."""
    return [
        dict(zip(options, values, strict=True))
        for values in itertools.product(*options.values())
    ]


def named(choice):
    return "-".join(str(value) for value in choice.values())


NESTEROV = (False, True)
SGD_CHOICES = choices(form=("inside", "outside"), nesterov=NESTEROV)
ADAM_CHOICES = choices(
    debias=("product", "power"),
    eps_form=("outside", "inside"),
    nesterov=NESTEROV,
    amsgrad=(False, True),
)


@pytest.mark.parametrize("choice", SGD_CHOICES, ids=named)
def test_sgdw_is_algorithm_1_while_everything_moves(choice):
    form, nesterov = choice["form"], choice["nesterov"]
    options = {"momentum_form": form, "nesterov": nesterov}
    ours = oc.sgdw(**OURS, momentum=scheduled(MOMENTUM), **options)
    expected = algorithms.sgdw(THETA, GRADIENTS, **RATES, momentum=MOMENTUM, **choice)
    assert_same(trained(ours, THETA, GRADIENTS), expected)


@pytest.mark.parametrize("choice", ADAM_CHOICES, ids=named)
def test_adamw_is_algorithm_2_while_everything_moves(choice):
    ours = oc.adamw(**OURS, **MOVING_MOMENTS, **choice)
    expected = algorithms.adamw(THETA, GRADIENTS, **RATES, **MOMENTS, **choice)
    assert_same(trained(ours, THETA, GRADIENTS), expected)


def test_the_forms_of_algorithm_2_differ_by_far_more_than_rounding():
    found = [
        algorithms.adamw(THETA, GRADIENTS, **RATES, **MOMENTS, **choice)
        for choice in ADAM_CHOICES
    ]
    for one, other in itertools.combinations(found, 2):
        assert np.abs(one - other).max() > 1e-3


def test_the_decay_may_scale_with_the_learning_rate():
    rates = RATES | {"decay": RATES["decay"] * RATES["alpha"]}
    options = {"decay_scale": "learning_rate"}
    ours = oc.sgdw(**OURS, momentum=scheduled(MOMENTUM), **options)
    expected = algorithms.sgdw(
        THETA, GRADIENTS, **rates, momentum=MOMENTUM, form="outside"
    )
    assert_same(trained(ours, THETA, GRADIENTS), expected)
    ours = oc.adamw(**OURS, **MOVING_MOMENTS, **options)
    expected = algorithms.adamw(THETA, GRADIENTS, **rates, **MOMENTS)
    assert_same(trained(ours, THETA, GRADIENTS), expected)


def test_plain_numbers_are_schedules_that_stand_still():
    ours = oc.sgdw(**OUR_NUMBERS, momentum=0.95)
    expected = algorithms.sgdw(
        THETA, GRADIENTS, **NUMBERS, momentum=0.95, form="outside"
    )
    assert_same(trained(ours, THETA, GRADIENTS), expected)
    ours = oc.adamw(**OUR_NUMBERS)
    expected = algorithms.adamw(THETA, GRADIENTS, **NUMBERS)
    assert_same(trained(ours, THETA, GRADIENTS), expected)


@pytest.mark.parametrize("choice", SGD_CHOICES, ids=named)
def test_sgdw_of_float64_parameters_is_float64(choice):
    form, nesterov = choice["form"], choice["nesterov"]
    with jax.enable_x64(True):
        ours = oc.sgdw(
            **OUR_NUMBERS, momentum=0.95, momentum_form=form, nesterov=nesterov
        )
        found = trained(ours, THETA, GRADIENTS, jnp.float64)
    expected = algorithms.sgdw(THETA, GRADIENTS, **NUMBERS, momentum=0.95, **choice)
    assert_same(found, expected, 1e-12)


@pytest.mark.parametrize(
    "choice", choices(debias=("product", "power"), nesterov=NESTEROV), ids=named
)
def test_adamw_of_float64_parameters_is_float64(choice):
    with jax.enable_x64(True):
        ours = oc.adamw(**OUR_NUMBERS, b1=0.95, b2=0.99, **choice)
        found = trained(ours, THETA, GRADIENTS, jnp.float64)
    expected = algorithms.adamw(THETA, GRADIENTS, **NUMBERS, b1=0.95, b2=0.99, **choice)
    assert_same(found, expected, 1e-12)


# Of a number of these dtypes, the most that its rounding changes, and the spacing of
# the smallest ones.
LOW_PRECISION = {jnp.bfloat16: (2**-8, 0.0), jnp.float16: (2**-11, 2**-24)}


@pytest.mark.parametrize("name", ["sgdw", "adamw"])
@pytest.mark.parametrize("dtype", LOW_PRECISION)
def test_low_precision_updates_are_rounded_once(name, dtype):
    moments = {"momentum": MOMENTUM} if name == "sgdw" else MOMENTS
    form = {"form": "outside"} if name == "sgdw" else {}
    gradients = np.asarray(jnp.asarray(GRADIENTS, dtype), np.float64)
    optimizer = getattr(oc, name)(
        **OURS, **{key: scheduled(table) for key, table in moments.items()}
    )
    params = jnp.asarray(THETA, dtype)

    def step(state, gradient):
        updates, state = optimizer.update(gradient, state, params)
        return state, updates

    start = optimizer.init(params)
    run = jax.jit(lambda gradients: jax.lax.scan(step, start, gradients)[1])
    found = run(jnp.asarray(gradients, dtype))
    # The parameters stay, so that the decay takes the same off in every update.
    rates = {"alpha": RATES["alpha"], "eta": RATES["eta"]}
    moved = getattr(algorithms, name)(
        np.zeros(SIZE), gradients, **rates, **moments, **form
    )
    share = (RATES["eta"] * RATES["decay"])[:, None]
    expected = np.diff(moved, axis=0, prepend=0.0) - share * THETA
    assert found.dtype == dtype
    rtol, spacing = LOW_PRECISION[dtype]
    # A float32 sum of two terms that nearly cancel is off by that of the terms.
    np.testing.assert_allclose(
        np.asarray(found, np.float64), expected, 1.01 * rtol, spacing / 2 + 1e-8
    )


@pytest.mark.parametrize("dtype", LOW_PRECISION)
def test_a_scheduled_decay_keeps_the_dtypes_of_parameters_and_state(dtype):
    params = {"kernel": jnp.ones(2, dtype), "bias": jnp.ones(1, jnp.float32)}
    optimizer = oc.adamw(0.01, weight_decay=scheduled(RATES["decay"]))
    state = optimizer.init(params)
    updates, after = optimizer.update(params, state, params)
    dtypes = [leaf.dtype for leaf in jax.tree.leaves(updates)]
    assert dtypes == [jnp.float32, dtype]
    assert optax.apply_updates(params, updates)["kernel"].dtype == dtype
    before, now = jax.tree.leaves(state), jax.tree.leaves(after)
    assert [leaf.dtype for leaf in now] == [leaf.dtype for leaf in before]
