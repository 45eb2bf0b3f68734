import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from algorithms import correction, moving, scheduled

import optax_cycles as oc

CONSTANT = np.asarray([1e-3, -0.7, 30.0], np.float32)
LOW_PRECISION = [jnp.bfloat16, jnp.float16]


def directions(transformation, gradients, params=None):
    """What comes out for each of the gradients."""
    start = transformation.init(gradients[0] if params is None else params)

    def step(state, gradient):
        out, state = transformation.update(gradient, state, params)
        return state, out

    run = jax.jit(lambda gradients: jax.lax.scan(step, start, gradients)[1])
    return np.asarray(run(jnp.asarray(gradients)))


def repeated(count):
    return np.broadcast_to(CONSTANT, (count, len(CONSTANT)))


def first_moments(transformation, count):
    """m_hat / g of a constant gradient g: without eps, v_hat is its square."""
    return directions(transformation, repeated(count)) * np.sign(CONSTANT)


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("count", [30, 100, 300])
def test_a_constant_gradient_is_its_own_first_moment_while_b1_moves(count, nesterov):
    b1 = oc.one_cycle_policy(count, 1.0, momentum_name="b1")["b1"]
    ours = oc.scale_by_moments(b1, eps=0.0, nesterov=nesterov)
    # A moment and its weight round alike but for the gradient's factor: their ratio is
    # off by a sum of roundings that decays with b1, 2**-24 / (1 - 0.95) at most.
    np.testing.assert_allclose(first_moments(ours, count), 1.0, rtol=20 * 2**-24)


def test_a_constant_gradient_has_its_square_as_second_moment_while_b2_moves():
    b2 = scheduled(moving(0.9, 0.999, 100))
    ours = oc.scale_by_moments(0.0, b2, eps=0.0)
    np.testing.assert_allclose(first_moments(ours, 100), 1.0, rtol=1e-6)


@pytest.mark.parametrize(
    ("end", "count", "smallest"),
    [
        ("exclusive", 30, 0.735),
        ("exclusive", 100, 0.831),
        ("exclusive", 300, 0.927),
        ("inclusive", 30, 0.727),
        ("inclusive", 100, 0.827),
        ("inclusive", 300, 0.926),
    ],
)
def test_the_power_of_the_last_b1_makes_first_moments_too_small(end, count, smallest):
    b1 = oc.one_cycle_policy(count, 1.0, momentum_name="b1", end=end)["b1"]
    adam = optax.inject_hyperparams(optax.scale_by_adam)(b1=b1, eps=0.0)
    theirs = first_moments(adam, count)
    assert theirs.min() == pytest.approx(smallest, abs=5e-4)
    ours = oc.scale_by_moments(b1, eps=0.0, debias="power")
    # Both take 1 - b2 from a rounded b2 of 0.999, one of them in float32.
    np.testing.assert_allclose(first_moments(ours, count), theirs, rtol=3e-5)
    values = np.asarray(jax.jit(b1)(np.arange(count)), np.float64)
    expected = [
        correction(values, t, "product") / correction(values, t, "power")
        for t in range(count)
    ]
    np.testing.assert_allclose(theirs[:, 0], expected, rtol=3e-5)


def test_the_power_of_the_last_b1_makes_first_moments_too_large_too():
    b1 = oc.one_cycle_policy(30, 1.0, momentum_name="b1")["b1"]
    ours = oc.scale_by_moments(b1, eps=0.0, debias="power")
    assert first_moments(ours, 30).max() == pytest.approx(1.226, abs=5e-4)


@pytest.mark.parametrize(("eps_form", "factor"), [("outside", 1.0), ("inside", 0.1)])
def test_eps_is_added_after_or_before_the_correction(eps_form, factor):
    # In the first update sqrt(1 - b2) is 0.1: eps inside counts ten times as much.
    gradient, eps = 0.5, 0.25
    ours = oc.scale_by_moments(b2=0.99, eps=eps, eps_form=eps_form)
    found = directions(ours, np.full((1, 1), gradient, np.float32))
    expected = gradient / (gradient + eps / factor)
    np.testing.assert_allclose(found, [[expected]], rtol=1e-6)


def test_amsgrad_never_forgets_the_largest_gradient():
    gradients = np.full((400, 1), 1e-3, np.float32)
    gradients[0] = 1.0
    options = {"b1": 0.0, "b2": 0.9, "eps": 0.0}
    kept = directions(oc.scale_by_moments(**options, amsgrad=True), gradients)
    # v stays (1 - b2) 1**2, and the correction has come to 1.
    np.testing.assert_allclose(kept[-1], 1e-3 / 0.1**0.5, rtol=1e-6)
    forgotten = directions(oc.scale_by_moments(**options), gradients)
    np.testing.assert_allclose(forgotten[-1], 1.0, rtol=1e-6)


def test_the_second_moment_of_complex_gradients_is_that_of_their_size():
    draws = np.random.default_rng(0).normal(size=(2, 20, 3))
    gradients = draws[0] + 1j * draws[1]
    ours = oc.scale_by_moments(0.9, 0.99, 1e-3)
    found = directions(ours, gradients.astype(np.complex64))
    weights = 0.9 ** np.arange(19, -1, -1), 0.99 ** np.arange(19, -1, -1)
    first, second = (w / w.sum() for w in weights)
    expected = first @ gradients / (np.sqrt(second @ np.abs(gradients) ** 2) + 1e-3)
    np.testing.assert_allclose(found[-1], expected, rtol=3e-6)


@pytest.mark.parametrize("dtype", LOW_PRECISION)
def test_the_second_moment_of_low_precision_parameters_keeps_growing(dtype):
    count, b2 = 3000, 1 - 2**-10  # a float32, unlike 0.999
    gradients = jnp.ones((count, 1), dtype)

    def second_moments(transformation):
        def step(state, gradient):
            state = transformation.update(gradient, state)[1]
            return state, state.nu[0]

        start = transformation.init(jnp.zeros(1, dtype))
        return jax.jit(lambda g: jax.lax.scan(step, start, g)[1])(gradients)

    ours = second_moments(oc.scale_by_moments(b2=b2))
    exact = 1 - b2 ** np.arange(1, count + 1)
    # At most 2**-25 is rounded in an update, of which 2**10 are remembered.
    np.testing.assert_allclose(ours, exact, rtol=2**-15)
    # Optax keeps it in the dtype of the parameters, where a thousandth of what is
    # missing is soon too little to add.
    theirs = second_moments(optax.scale_by_adam(b2=b2))
    assert theirs.dtype == dtype
    assert theirs[count // 2] == theirs[-1] < 0.8 * exact[-1]


@pytest.mark.parametrize("dtype", LOW_PRECISION)
def test_directions_keep_the_dtype_of_the_gradients(dtype):
    gradients = jnp.asarray(repeated(5), dtype)
    b1 = scheduled(moving(0.95, 0.85, 5))
    assert directions(oc.scale_by_moments(b1), gradients).dtype == dtype


def test_the_first_moment_may_be_kept_in_a_lower_precision():
    gradients = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    ours = oc.scale_by_moments(mu_dtype=jnp.bfloat16)
    state = ours.init(jnp.zeros(3))
    assert (state.mu.dtype, state.nu.dtype) == (jnp.bfloat16, jnp.float32)
    found = directions(ours, gradients)
    exact = directions(oc.scale_by_moments(), gradients)
    assert found.dtype == np.float32
    # Each update rounds m by up to 2**-9, and forgets a tenth of what was rounded.
    error = np.abs(found - exact).max()
    assert 1e-5 < error < 10 * 2**-9


def test_the_state_counts_and_weighs():
    ours = oc.scale_by_moments(0.5, 0.75)
    state = ours.init(jnp.zeros(1))
    for _ in range(3):
        _, state = ours.update(jnp.full(1, 2.0), state)
    assert int(state.count) == 3
    np.testing.assert_allclose(state.mu_weight, 1 - 0.5**3, rtol=1e-6)
    np.testing.assert_allclose(state.nu_weight, 1 - 0.75**3, rtol=1e-6)
    np.testing.assert_allclose(state.mu, [2 * (1 - 0.5**3)], rtol=1e-6)
    np.testing.assert_allclose(state.nu, [4 * (1 - 0.75**3)], rtol=1e-6)


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("amsgrad", [False, True])
def test_a_parameter_without_a_gradient_keeps_its_moments(nesterov, amsgrad):
    ours = oc.scale_by_moments(nesterov=nesterov, amsgrad=amsgrad)
    params = {"seen": jnp.zeros(2), "skipped": jnp.zeros(2)}
    _, state = ours.update(
        {"seen": jnp.ones(2), "skipped": jnp.ones(2)}, ours.init(params)
    )
    out, after = ours.update({"seen": jnp.ones(2), "skipped": None}, state)
    assert out["skipped"] is None
    for name in ("mu", "nu"):
        before, now = getattr(state, name), getattr(after, name)
        np.testing.assert_array_equal(now["skipped"], before["skipped"])
        assert float(now["seen"][0]) > float(before["seen"][0])


def test_a_gradient_may_be_a_python_number_and_a_leaf_an_integer():
    transformation = oc.scale_by_moments(eps=0.0)
    state = transformation.init({"x": 1.0, "n": jnp.int32(3)})
    assert state.mu["n"].dtype == state.nu["n"].dtype == jnp.int32
    updates, _ = transformation.update({"x": 2.0, "n": None}, state)
    assert float(updates["x"]) == pytest.approx(1.0)
    assert updates["n"] is None


def test_the_moments_of_optax_go_on():
    gradients = [jnp.full(2, 0.1 * t) for t in range(1, 21)]
    theirs, ours = optax.scale_by_adam(), oc.scale_by_moments()
    state, half = theirs.init(jnp.zeros(2)), None
    for t, gradient in enumerate(gradients):
        if t == 10:
            half = state
        expected, state = theirs.update(gradient, state)
    weights = {"mu_weight": 1 - 0.9**half.count, "nu_weight": 1 - 0.999**half.count}
    moments = oc.MomentsState(
        count=half.count, mu=half.mu, nu=half.nu, nu_max=None, **weights
    )
    for gradient in gradients[10:]:
        found, moments = ours.update(gradient, moments)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
