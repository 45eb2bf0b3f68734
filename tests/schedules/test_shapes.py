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
