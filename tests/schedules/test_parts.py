import jax
import numpy as np
import pytest

from optax_cycles.schedules import parts

MAX = 2**31 - 1


def test_places_and_weights_are_exact_to_the_last_step():
    steps = np.asarray([-3, 0, 6, 7, 2**24 + 1, MAX, 2**40])
    place = parts.modulo(parts.whole_step(steps), 7)
    held = np.clip(steps, 0, MAX)
    np.testing.assert_array_equal(place.cycle, held // 7)
    np.testing.assert_array_equal(place.position, held % 7)
    found = parts.weights("linear", place)
    np.testing.assert_allclose(found.end, (held % 7) / 7, rtol=1e-7)
    np.testing.assert_allclose(found.start, (7 - held % 7) / 7, rtol=1e-7)


def test_a_place_of_ones_own_and_a_traced_period():
    def value(period):
        place = parts.Place(0, parts.whole_step(3), period)
        return parts.between(1.0, 5.0, parts.weights("1-square", place))

    np.testing.assert_allclose(jax.vmap(value)(np.asarray([4, 6])), [3.25, 2.0])


def test_a_shape_of_ones_own_is_never_asked_beyond_its_end():
    # A compiled division by 12 is a product that ends a rounding above 1.
    @jax.jit
    def end():
        place = parts.Place(0, parts.whole_step(np.full(12, 12)), 12)
        return parts.weights(lambda q: jax.numpy.sqrt(1.0 - q), place)

    np.testing.assert_array_equal(end().start, 0.0)


def test_unknown_shapes_are_refused():
    place = parts.modulo(parts.whole_step(3), 4)
    with pytest.raises(ValueError, match=r"weights: shape must be .*did you mean 'cos"):
        parts.weights("cosin", place)
