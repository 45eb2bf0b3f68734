import jax
import jax.numpy as jnp
import numpy as np
import pytest
import schedule_oracles as oracle
from schedule_forms import assert_close, ulps

import optax_cycles.schedules as oc
from optax_cycles.schedules._phase import Fraction
from optax_cycles.schedules._shapes import SHAPES, shape_of


def test_the_registry_is_complete():
    assert set(SHAPES) == set(oracle.SHAPES)


@pytest.mark.parametrize("name", SHAPES)
def test_both_weights_are_accurate_at_both_ends(name):
    total = 10_000
    near = [0, 1, 2, 10, 100, 5000]
    positions = np.asarray([*near, *(total - p for p in near), 3333, 6667])
    q = positions.astype(np.float64) / total
    fraction = Fraction(
        jnp.asarray(q, jnp.float32),
        jnp.asarray((total - positions) / total, jnp.float32),
    )
    weights = jax.jit(SHAPES[name].weights)(fraction)
    start = oracle.over(_at(name), positions, total)
    # The oracle itself loses digits by subtracting near the far end.
    np.testing.assert_allclose(weights.start, start, rtol=2e-6, atol=1e-15)
    np.testing.assert_allclose(weights.end, 1 - start, rtol=2e-6, atol=1e-15)
    # acos(2 q - 1) in float64 is good to 1e-8 of its own near the ends.


def _at(name):
    return lambda position, total: oracle.SHAPES[name](position / total)


@pytest.mark.parametrize("name", SHAPES)
def test_shapes_fall_from_exactly_1_to_exactly_0(name):
    q = np.linspace(0, 1, 257)
    values = np.asarray(SHAPES[name](q))
    assert (values[0], values[-1]) == (1.0, 0.0)
    assert np.all(np.diff(values) <= 1e-6)


@pytest.mark.parametrize("name", SHAPES)
def test_both_weights_have_finite_slopes_everywhere(name):
    def weights(q):
        return SHAPES[name].weights(Fraction(q, 1.0 - q))

    for slope in jax.jit(jax.vmap(jax.jacfwd(weights)))(jnp.linspace(0, 1, 11)):
        assert np.all(np.isfinite(slope))


@pytest.mark.parametrize("name", SHAPES)
def test_every_shape_works_in_every_schedule_that_takes_one(name):
    steps = np.arange(31)
    assert_close(
        oc.warm_restarts(10, 2.0, shape=name, min_value=0.01),
        oracle.over(oracle.sgdr, steps, 10, 2.0, low=0.01, shape=name),
        steps=steps,
        rtol=2e-6,
    )
    assert_close(
        oc.one_cycle(30, 2.0, anneal=name, final_div_factor=10.0),
        oracle.over(oracle.one_cycle, steps, 30, [0.08, 2.0, 0.008], shape=name),
        steps=steps,
        rtol=2e-6,
    )


def test_a_function_of_q_is_a_shape():
    def square(q):
        return (1 - q) ** 2

    named = oc.warm_restarts(8, 1.0, shape=oc.polynomial_shape(2))(np.arange(16))
    own = oc.warm_restarts(8, 1.0, shape=square)(np.arange(16))
    np.testing.assert_allclose(own, named, rtol=1e-6)


def test_parameters_of_shapes_can_be_traced():
    def value(power, rate, upper):
        parts = [
            oc.polynomial_shape(power),
            oc.exponential_shape(rate),
            oc.tanh_shape(-upper, upper),
        ]
        return jnp.stack([part(0.25) for part in parts])

    values = jax.jit(value)(2.0, 3.0, 1.0)
    expected = [
        0.5625,
        np.expm1(2.25) / np.expm1(3),
        0.5 + np.tanh(0.5) / np.tanh(1) / 2,
    ]
    assert ulps(values, expected) <= 8
    slopes = jax.jacfwd(lambda p: oc.polynomial_shape(p).weights(_ends()))(0.5)
    assert np.all(np.isfinite(slopes.start) & np.isfinite(slopes.end))


def _ends():
    return Fraction(jnp.asarray([0.0, 0.5, 1.0]), jnp.asarray([1.0, 0.5, 0.0]))


def test_an_exponential_shape_is_the_geometric_interpolation():
    values = oc.warm_restarts(
        10, 1.0, min_value=0.01, shape=oc.exponential_shape(np.log(100.0))
    )(np.arange(10))
    np.testing.assert_allclose(values, 0.01 ** (np.arange(10) / 10), rtol=1e-6)


def test_unknown_shapes_are_refused_with_their_neighbours():
    with pytest.raises(ValueError, match=r"f: shape must be .*did you mean 'cosine'"):
        shape_of("f", "shape", "cosin")
    with pytest.raises(TypeError, match="f: shape must be a function of q or one of"):
        shape_of("f", "shape", 3)


@jax.jit
def _exponential(rate, q):
    return oc.exponential_shape(rate)(q)


@jax.jit
def _tanh(lower, upper, q):
    return oc.tanh_shape(lower, upper)(q)


_tanh_slopes = jax.jit(jax.jacfwd(_tanh, (0, 1)))


@pytest.mark.parametrize("rate", [1e-3, 5.0, 100.0, 1e4])
def test_exponential_shapes_of_any_rate_are_finite(rate):
    q = np.linspace(0, 1, 33)
    expected = np.exp(-rate * q) * np.expm1(-rate * (1 - q)) / np.expm1(-rate)
    shape = oc.exponential_shape(rate)
    np.testing.assert_allclose(shape(q), expected, rtol=1e-5, atol=1e-36)
    np.testing.assert_allclose(_exponential(rate, q), expected, rtol=1e-5, atol=1e-36)
    assert (shape(0), shape(1)) == (1.0, 0.0)


@pytest.mark.parametrize(
    ("lower", "upper"),
    [(-60, 60), (-6, 90), (-200, 3), (-3, 200), (-1, 1), (0, 4), (1, 6), (-6, -1)],
)
def test_tanh_shapes_of_any_bounds_are_finite(lower, upper):
    q = np.linspace(0, 1, 33)
    high, now, low = (np.tanh(lower + (upper - lower) * x) for x in (1.0, q, 0.0))
    expected = (high - now) / (high - low)
    shape = oc.tanh_shape(lower, upper)
    np.testing.assert_allclose(shape(q), expected, rtol=1e-5, atol=1e-10)
    bounds = float(lower), float(upper)
    np.testing.assert_allclose(_tanh(*bounds, q), expected, rtol=1e-5, atol=1e-10)
    assert (shape(0), shape(1)) == (1.0, 0.0)
    assert np.all(np.isfinite(_tanh_slopes(*bounds, q)))


def test_a_wide_tanh_shape_anneals_one_cycle():
    values = oc.one_cycle(10, 1.0, anneal=oc.tanh_shape(-60, 60))(np.arange(10))
    assert np.all(np.isfinite(values))
    assert np.max(values) == 1.0


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0, 2.0])
def test_a_polynomial_shape_has_a_finite_slope_at_its_end(power):
    def last(share):
        shape = oc.polynomial_shape(power)
        return oc.one_cycle(10, 1.0, pct_start=share, anneal=shape)(9)

    assert np.isfinite(jax.jit(jax.grad(last))(0.3))
    left = np.asarray([0.0, 0.25, 1.0], np.float32)
    fraction = Fraction(jnp.asarray(1 - left), jnp.asarray(left))
    for weights in (
        oc.polynomial_shape(power).weights(fraction),
        jax.jit(lambda p: oc.polynomial_shape(p).weights(fraction))(power),
    ):
        np.testing.assert_allclose(weights.start, left.astype(float) ** power)


def test_a_regular_polynomial_shape_keeps_its_slope_at_its_end():
    assert jax.grad(lambda x: _start(1.0, x))(0.0) == 1.0
    assert jax.grad(lambda x: _start(2.0, x))(0.0) == 0.0


def _start(power, left):
    return oc.polynomial_shape(power).weights(Fraction(1.0 - left, left)).start
