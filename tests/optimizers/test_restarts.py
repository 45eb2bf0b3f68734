import math

import algorithms
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from algorithms import moving, random_gradients, scheduled, trained

import optax_cycles as oc

# Four batches an epoch, a first period of two epochs, then of four, then of eight.
PERIODS = [8, 16, 32]
COUNT, SIZE = sum(PERIODS), 4
THETA = np.linspace(0.5, 2.0, SIZE)
GRADIENTS = random_gradients(COUNT, SIZE)
ROUNDING = COUNT**0.5 * 2**-24
RESTARTS = {"first_period": 8, "period_mult": 2}


def by_hand(periods, norm, low=0.0):
    """The multiplier and the decay of every update, period after period."""
    eta, decay = [], []
    for period in periods:
        for position in range(period):
            cosine = 0.5 * (1 + math.cos(math.pi * position / period))
            eta.append(low + (1 - low) * cosine)
            decay.append(norm / math.sqrt(period))
    return np.asarray(eta), np.asarray(decay)


def used_by(optimizer, count):
    """What `current_hyperparams` says after each update, and these updates."""
    params = jnp.ones(())

    def step(state, _):
        updates, state = optimizer.update(jnp.zeros(()), state, params)
        return state, (oc.current_hyperparams(state), updates)

    start = optimizer.init(params)
    run = jax.jit(lambda start: jax.lax.scan(step, start, length=count)[1])
    return jax.tree.map(np.asarray, run(start))


def assert_same(found, expected, tolerance=ROUNDING):
    error = np.abs(found - expected) / np.abs(expected).max(axis=0)
    np.testing.assert_array_less(error, tolerance)


MAKERS = {
    "sgdwr": lambda **options: oc.sgdwr(0.1, normalized_decay=1.0, **options),
    "adamwr": lambda **options: oc.adamwr(0.1, normalized_decay=1.0, **options),
}
makers = pytest.mark.parametrize("name", MAKERS)


@makers
def test_the_multiplier_and_the_decay_of_the_paper(name):
    used, _ = used_by(MAKERS[name](**RESTARTS), 25)
    eta, decay = used["multiplier"], used["multiplier"] * used["weight_decay"]
    np.testing.assert_allclose(eta[[0, 1, 7]], [1.0, 0.9619, 0.0381], atol=5e-5)
    np.testing.assert_allclose(decay[[0, 1, 7]], [0.3536, 0.3401, 0.0135], atol=5e-5)
    np.testing.assert_allclose(eta[[8, 24]], [1.0, 1.0], rtol=1e-6)
    np.testing.assert_allclose(decay[[8, 24]], [0.25, 0.1768], atol=5e-5)


@makers
@pytest.mark.parametrize("low", [0.0, 0.125])
def test_what_can_be_read_is_what_was_used(name, low):
    used, updates = used_by(MAKERS[name](**RESTARTS, min_multiplier=low), COUNT)
    eta, decay = by_hand(PERIODS, 1.0, low)
    np.testing.assert_allclose(used["multiplier"], eta, rtol=1e-6)
    np.testing.assert_allclose(used["weight_decay"], decay, rtol=1e-6)
    # Of parameters of 1 and gradients of 0 an update is the decay alone.
    np.testing.assert_allclose(-updates, eta * decay, rtol=1e-6)


@makers
def test_periods_are_rounded_up_to_whole_updates(name):
    used, _ = used_by(MAKERS[name](first_period=5, period_mult=1.2), 57)
    eta, decay = by_hand([5, 6, 8, 10, 12, 15, 18], 1.0)
    np.testing.assert_allclose(used["multiplier"], eta[:57], rtol=1e-6)
    np.testing.assert_allclose(used["weight_decay"], decay[:57], rtol=1e-6)


@pytest.mark.parametrize("form", ["inside", "outside"])
@pytest.mark.parametrize("nesterov", [False, True])
def test_sgdwr_is_sgdw_with_schedules_made_by_hand(form, nesterov):
    alpha, momentum = moving(0.02, 0.01, COUNT), moving(0.95, 0.85, COUNT)
    ours = oc.sgdwr(
        scheduled(alpha),
        momentum=scheduled(momentum),
        normalized_decay=0.1,
        momentum_form=form,
        nesterov=nesterov,
        **RESTARTS,
    )
    eta, decay = by_hand(PERIODS, 0.1)
    expected = algorithms.sgdw(
        THETA,
        GRADIENTS,
        alpha=alpha,
        eta=eta,
        decay=decay,
        momentum=momentum,
        form=form,
        nesterov=nesterov,
    )
    assert_same(trained(ours, THETA, GRADIENTS), expected)


@pytest.mark.parametrize("debias", ["product", "power"])
@pytest.mark.parametrize("amsgrad", [False, True])
def test_adamwr_is_adamw_with_schedules_made_by_hand(debias, amsgrad):
    moments = {
        "b1": moving(0.95, 0.85, COUNT),
        "b2": moving(0.9, 0.99, COUNT),
        "eps": moving(1e-3, 1e-4, COUNT),
    }
    options = {"debias": debias, "amsgrad": amsgrad, "eps_form": "inside"}
    ours = oc.adamwr(
        0.02,
        **{name: scheduled(table) for name, table in moments.items()},
        normalized_decay=0.1,
        **options,
        **RESTARTS,
    )
    eta, decay = by_hand(PERIODS, 0.1)
    expected = algorithms.adamw(
        THETA, GRADIENTS, alpha=0.02, eta=eta, decay=decay, **moments, **options
    )
    assert_same(trained(ours, THETA, GRADIENTS), expected)


def test_schedules_made_by_hand_give_the_same_optimizer():
    eta, decay = by_hand(PERIODS, 0.1)
    schedules = {"multiplier": scheduled(eta), "weight_decay": scheduled(decay)}
    pairs = [
        (oc.sgdwr(0.02, normalized_decay=0.1, **RESTARTS), oc.sgdw(0.02, **schedules)),
        (
            oc.adamwr(0.02, normalized_decay=0.1, **RESTARTS),
            oc.adamw(0.02, **schedules),
        ),
    ]
    for ours, made in pairs:
        found, expected = (trained(o, THETA, GRADIENTS) for o in (ours, made))
        # Their multipliers round apart by one unit.
        assert_same(found, expected)


def first_and_then_none(optimizer):
    """The updates of a gradient of 1 in the first 8 updates, and of 0 from then on."""
    gradients = np.where(np.arange(COUNT) < 8, 1.0, 0.0)
    params = trained(optimizer, np.zeros(1), gradients[:, None])
    return np.diff(params[:, 0], prepend=0.0)


def test_the_momentum_goes_on_through_a_restart():
    updates = first_and_then_none(oc.sgdwr(0.5, normalized_decay=0.0, **RESTARTS))
    # At the restart the multiplier is 1, and the buffer a sum of eight gradients.
    buffer = sum(0.9**age for age in range(1, 9))
    np.testing.assert_allclose(updates[8], -0.5 * buffer, rtol=1e-5)


def test_the_moments_go_on_through_a_restart():
    optimizer = oc.adamwr(0.5, 8, 0.9, 0.99, 0.0, normalized_decay=0.0, period_mult=2)
    updates = first_and_then_none(optimizer)
    first, second = 0.9 * (1 - 0.9**8), 0.99 * (1 - 0.99**8)
    ratio = first / (1 - 0.9**9) / math.sqrt(second / (1 - 0.99**9))
    np.testing.assert_allclose(updates[8], -0.5 * ratio, rtol=1e-5)
    state, update = optimizer.init(jnp.zeros(1)), jax.jit(optimizer.update)
    for _ in range(9):
        _, state = update(jnp.zeros(1), state, jnp.zeros(1))
    counts = [leaf for leaf in jax.tree.leaves(state) if leaf.dtype == jnp.int32]
    assert {int(count) for count in counts} == {9}


def test_the_mask_of_the_options_is_kept():
    optimizer = oc.adamwr(
        0.1, 8, normalized_decay=1.0, mask={"kernel": True, "bias": False}
    )
    params = {"bias": jnp.ones(1), "kernel": jnp.ones(1)}
    gradients = jax.tree.map(jnp.zeros_like, params)
    updates, _ = optimizer.update(gradients, optimizer.init(params), params)
    assert float(updates["bias"][0]) == 0.0
    np.testing.assert_allclose(updates["kernel"], [-(8**-0.5)], rtol=1e-6)
