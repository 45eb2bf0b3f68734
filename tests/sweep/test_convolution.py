"""The convolution as a matrix product equals `lax`'s, in value and gradient."""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from jax import lax

from optax_cycles.sweep.convolution import conv_general_dilated

SPACE = "DHW"


def _normal(seed, shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def _value_and_gradients(convolution, args, kwargs):
    """The convolution, and its gradients under a fixed cotangent."""

    @jax.jit
    def call(lhs, rhs):
        out, back = jax.vjp(lambda x, k: convolution(x, k, *args, **kwargs), lhs, rhs)
        return out, back(_normal(2, out.shape).astype(out.dtype))

    return call


def _assert_same(lhs, rhs, *args, **kwargs):
    """Values and both gradients agree to a few float32 roundings of the sum."""
    kwargs = {"precision": "highest", **kwargs}
    ours = _value_and_gradients(conv_general_dilated, args, kwargs)(lhs, rhs)
    theirs = _value_and_gradients(lax.conv_general_dilated, args, kwargs)(lhs, rhs)
    for got, expected in zip(*map(jax.tree.leaves, (ours, theirs)), strict=True):
        assert got.dtype == expected.dtype
        scale = max(1.0, float(jnp.max(jnp.abs(expected), initial=0)))
        np.testing.assert_allclose(got, expected, rtol=0, atol=4e-6 * scale)


@st.composite
def _calls(draw):
    """Arguments of a convolution of 1 to 3 spatial dimensions, in any layout."""
    n = draw(st.integers(1, 3))
    few = {1: 9, 2: 6, 3: 4}[n]

    def each(low, high):
        return draw(st.tuples(*[st.integers(low, high)] * n))

    size, window, strides, dilation = each(1, few), each(1, 3), each(1, 3), each(1, 2)
    pairs = st.tuples(st.integers(-1, 2), st.integers(-1, 2))
    padding = draw(
        st.one_of(
            st.sampled_from(["SAME", "SAME_LOWER", "VALID"]), st.tuples(*[pairs] * n)
        )
    )
    groups = draw(st.integers(1, 3))
    inside, outside = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    batch = draw(st.integers(1, 3))
    sizes = {"N": batch, "C": inside * groups, **dict(zip(SPACE, size, strict=False))}
    kernel = {"I": inside, "O": outside * groups}
    kernel |= dict(zip(SPACE, window, strict=False))
    space = SPACE[:n]
    specs = tuple(
        "".join(draw(st.permutations(features + space)))
        for features in ("NC", "IO", "NC")
    )
    # Strides, padding and dilation follow the order of space in the kernel's spec.
    lhs = _normal(0, [sizes[axis] for axis in specs[0]])
    rhs = _normal(1, [kernel[axis] for axis in specs[1]])
    options = {
        "rhs_dilation": dilation,
        "dimension_numbers": specs,
        "feature_group_count": groups,
    }
    return lhs, rhs, strides, padding, options


@settings(max_examples=40, deadline=None, derandomize=True)
@given(_calls())
def test_equals_lax_in_value_and_gradient(call):
    lhs, rhs, strides, padding, options = call
    try:
        lax_call = partial(lax.conv_general_dilated, padding=padding, **options)
        jax.eval_shape(partial(lax_call, window_strides=strides), lhs, rhs)
    except (TypeError, ValueError):
        assume(False)
    _assert_same(lhs, rhs, strides, padding, **options)


@pytest.mark.parametrize(
    "options",
    [
        {"padding": [(1, 2)], "lhs_dilation": (2,)},
        {"padding": "SAME", "batch_group_count": 2},
        {"padding": [(0, -4)]},
    ],
    ids=["lhs_dilation", "batch_group_count", "empty"],
)
def test_passes_the_rest_on_to_lax(options):
    lhs, rhs = _normal(0, (4, 3, 5)), _normal(1, (4, 3, 2))
    jaxpr = jax.make_jaxpr(
        partial(conv_general_dilated, window_strides=(1,), **options)
    )
    assert "conv_general_dilated" in str(jaxpr(lhs, rhs))
    _assert_same(lhs, rhs, (1,), **options)


def test_is_a_single_matrix_product():
    call = partial(conv_general_dilated, window_strides=(2, 2), padding="SAME")
    text = str(jax.make_jaxpr(call)(jnp.ones((2, 3, 8, 8)), jnp.ones((4, 3, 3, 3))))
    assert text.count("dot_general[") == 1
    assert "conv_general_dilated" not in text


@pytest.mark.parametrize("preferred", [None, jnp.float32])
def test_bfloat16_types_are_those_of_lax(preferred):
    lhs, rhs = jnp.ones((1, 2, 6), jnp.bfloat16), jnp.ones((3, 2, 3), jnp.bfloat16)
    options = {"preferred_element_type": preferred}
    ours = conv_general_dilated(lhs, rhs, (1,), "SAME", **options)
    theirs = lax.conv_general_dilated(lhs, rhs, (1,), "SAME", **options)
    assert ours.dtype == theirs.dtype
    np.testing.assert_array_equal(ours.astype(jnp.float32), theirs.astype(jnp.float32))


@pytest.mark.parametrize(
    ("rhs_shape", "strides", "padding"),
    [
        ((4, 2, 3), (1,), "SAME"),
        ((4, 3, 3), (1, 1), "SAME"),
        ((4, 3, 3), (1,), "OTHER"),
        ((4, 3, 3), (1,), 1),
    ],
)
def test_raises_what_lax_raises(rhs_shape, strides, padding):
    lhs, rhs = jnp.ones((2, 3, 8)), jnp.ones(rhs_shape)
    with pytest.raises((TypeError, ValueError, RuntimeError)) as expected:
        lax.conv_general_dilated(lhs, rhs, strides, padding)
    with pytest.raises(expected.type) as got:
        conv_general_dilated(lhs, rhs, strides, padding)
    assert str(got.value) == str(expected.value)


def test_vmap_over_kernels_equals_one_by_one():
    lhs, kernels = _normal(0, (4, 3, 7, 7)), _normal(1, (5, 6, 3, 3, 3))
    call = partial(conv_general_dilated, window_strides=(2, 1), padding="SAME")
    together = jax.vmap(call, in_axes=(None, 0))(lhs, kernels)
    alone = jnp.stack([call(lhs, kernel) for kernel in kernels])
    np.testing.assert_allclose(together, alone, rtol=0, atol=2e-5)


@pytest.mark.parametrize(
    ("padding", "strides", "groups"),
    list(itertools.product(["SAME", "CIRCULAR", "VALID"], [1, 2], [1, 2])),
)
def test_fits_the_conv_of_linen_and_nnx(padding, strides, groups):
    from flax import linen, nnx

    options = {"padding": padding, "strides": strides, "feature_group_count": groups}
    image = _normal(0, (2, 8, 8, 4))
    plain = linen.Conv(6, (3, 3), **options)
    ours = linen.Conv(6, (3, 3), conv_general_dilated=conv_general_dilated, **options)
    variables = plain.init(jax.random.key(0), image)
    expected = plain.apply(variables, image)
    np.testing.assert_allclose(ours.apply(variables, image), expected, atol=1e-5)

    layer = nnx.Conv(
        4,
        6,
        (3, 3),
        conv_general_dilated=conv_general_dilated,
        rngs=nnx.Rngs(0),
        **options,
    )
    layer.kernel.set_value(variables["params"]["kernel"])
    np.testing.assert_allclose(layer(image), expected, atol=1e-5)
