import algorithms
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from algorithms import moving, random_gradients, scheduled

import optax_cycles as oc

COUNT = 100
GRADIENTS = random_gradients(COUNT, 4)
FORMS = ["inside", "outside"]


def outputs(transformation, updates):
    start = transformation.init(updates[0])

    def step(state, update):
        out, state = transformation.update(update, state)
        return state, out

    run = jax.jit(lambda updates: jax.lax.scan(step, start, updates)[1])
    return np.asarray(run(jnp.asarray(updates, jnp.float32)))


@pytest.mark.parametrize("nesterov", [False, True])
def test_the_buffer_is_a_sum_that_decays_by_a_moving_factor(nesterov):
    momentum = moving(0.95, 0.5, COUNT)
    found = outputs(
        oc.scale_by_momentum(scheduled(momentum), nesterov=nesterov), GRADIENTS
    )
    # All the factors between two updates, written as a sum and not as a recursion.
    expected = np.zeros_like(GRADIENTS)
    for t in range(COUNT):
        for s in range(t + 1):
            expected[t] += np.prod(momentum[s + 1 : t + 1]) * GRADIENTS[s]
    if nesterov:
        expected = GRADIENTS + momentum[:, None] * expected
    scale = np.abs(expected).max(axis=0)
    # A rounding of 2**-24 in each update, of which the buffer keeps twenty.
    np.testing.assert_array_less(np.abs(found - expected) / scale, 20 * 2**-24)


@pytest.mark.parametrize("nesterov", [False, True])
def test_a_momentum_that_stands_still_is_a_trace(nesterov):
    ours = outputs(oc.scale_by_momentum(0.9, nesterov=nesterov), GRADIENTS)
    theirs = outputs(optax.trace(0.9, nesterov=nesterov), GRADIENTS)
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def descent(rates, form):
    """x of x**2 / 2 from x = 1 after each update, with a momentum of 0.9."""
    optimizer = oc.sgdw(scheduled(rates), 0.9, momentum_form=form)

    def step(carry, _):
        x, state = carry
        updates, state = optimizer.update(x, state, x)
        return (x + updates, state), x + updates

    def run(x):
        return jax.lax.scan(step, (x, optimizer.init(x)), length=len(rates))[1]

    return np.asarray(jax.jit(run)(jnp.ones(())))


def descent_by_hand(rates, form):
    x, buffer, seen = 1.0, 0.0, []
    for rate in rates:
        if form == "inside":
            buffer = 0.9 * buffer + rate * x
            x = x - buffer
        else:
            buffer = 0.9 * buffer + x
            x = x - rate * buffer
        seen.append(x)
    return seen


@pytest.mark.parametrize(("form", "after"), [("inside", 0.51), ("outside", 0.068)])
def test_a_jump_of_the_rate_reaches_the_updates_gradually_or_at_once(form, after):
    rates = np.where(np.arange(11) < 10, 0.01, 0.1)
    found = descent(rates, form)
    np.testing.assert_allclose(found, descent_by_hand(rates, form), rtol=3e-6)
    # The update of the jump is the last one.
    assert found[10] == pytest.approx(after, rel=0.01)


def test_the_two_forms_are_one_while_the_rate_stands_still():
    rates = np.full(30, 0.05)
    inside, outside = (descent(rates, form) for form in FORMS)
    np.testing.assert_allclose(inside, outside, atol=1e-6)
    assert np.abs(inside).max() > 0.5


@pytest.mark.parametrize("form", FORMS)
def test_the_decay_is_in_no_buffer(form):
    # Without gradients only the decay is left, and the parameters shrink by its share.
    optimizer = oc.sgdw(0.1, 0.9, weight_decay=0.25, momentum_form=form)
    found = algorithms.trained(optimizer, np.ones(1), np.zeros((4, 1)))
    np.testing.assert_allclose(found[:, 0], 0.75 ** np.arange(1, 5), rtol=1e-6)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_the_buffer_of_low_precision_parameters_is_float32(dtype):
    transformation = oc.scale_by_momentum(scheduled(moving(0.999, 0.99, 20)))
    state = transformation.init(jnp.ones(2, dtype))
    for _ in range(20):
        out, state = transformation.update(jnp.ones(2, dtype), state)
    assert out.dtype == dtype
    buffers = jax.tree.leaves(state.inner_state)
    assert [leaf.dtype for leaf in buffers] == [jnp.float32]


def test_the_buffer_may_have_a_dtype_of_its_own():
    transformation = oc.scale_by_momentum(0.5, dtype=jnp.bfloat16)
    state = transformation.init(jnp.ones(2))
    out, state = transformation.update(jnp.ones(2), state)
    assert (out.dtype, state.buffer.dtype) == (jnp.float32, jnp.bfloat16)


@pytest.mark.parametrize("kind", [np.uint8, jnp.uint32, np.int64, int])
def test_a_whole_rate_descends_whatever_its_dtype(kind):
    optimizer = oc.sgdw(kind(2), 0.0)
    params = jnp.ones(2)
    updates, _ = optimizer.update(jnp.ones(2), optimizer.init(params), params)
    np.testing.assert_array_equal(updates, [-2.0, -2.0])
