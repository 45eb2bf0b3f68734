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

# Shapes are many and small: nearly all time would go into optimising programs.
compiled = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


def _normal(seed, shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def _lax_of_padded(lhs, rhs, strides, padding, lhs_dilation=None, **options):
    """`lax`'s convolution, the input padded and dilated before.

    On a CPU, XLA reads beyond the image where padding is negative, which in the
    gradient is wherever padding is larger than the window reaches.
    """
    if not isinstance(padding, str):
        specs = options.get("dimension_numbers")
        dims = lax.conv_dimension_numbers(lhs.shape, rhs.shape, specs)
        pads = [(0, 0, 0)] * lhs.ndim
        rates = lhs_dilation or [1] * len(padding)
        axes = zip(dims.lhs_spec[2:], padding, rates, strict=True)
        for axis, (low, high), rate in axes:
            pads[axis] = (low, high, rate - 1)
        lhs = lax.pad(lhs, jnp.zeros((), lhs.dtype), pads)
        padding, lhs_dilation = "VALID", None
    return lax.conv_general_dilated(
        lhs, rhs, strides, padding, lhs_dilation=lhs_dilation, **options
    )


def _call(convolution, args, kwargs, lhs, rhs):
    return convolution(lhs, rhs, *args, **kwargs)


def _value_and_gradients(convolution, lhs, rhs):
    """The convolution, and its gradients under a fixed cotangent."""
    out, back = jax.vjp(convolution, lhs, rhs)
    return out, back(_normal(2, out.shape).astype(out.dtype))


def _assert_close(ours, theirs):
    """Equal to a few float32 roundings of the largest element."""
    # NumPy, since JAX would compile every operation for every shape.
    ours, theirs = jax.device_get((jax.tree.leaves(ours), jax.tree.leaves(theirs)))
    for got, expected in zip(ours, theirs, strict=True):
        assert got.dtype == expected.dtype
        scale = max(1.0, float(np.max(np.abs(expected), initial=0)))
        np.testing.assert_allclose(got, expected, rtol=0, atol=4e-6 * scale)


def _assert_same(lhs, rhs, *args, reference=lax.conv_general_dilated, **kwargs):
    """Values and both gradients agree with those of `reference`."""
    kwargs = {"precision": "highest", **kwargs}

    @compiled
    def both(lhs, rhs):
        return [
            _value_and_gradients(partial(_call, conv, args, kwargs), lhs, rhs)
            for conv in (conv_general_dilated, reference)
        ]

    _assert_close(*both(lhs, rhs))


@st.composite
def _calls(draw):
    """Arguments of a convolution of 1 to 3 spatial dimensions, in any layout."""
    n = draw(st.integers(1, 3))
    few = {1: 9, 2: 6, 3: 4}[n]

    def each(low, high):
        return draw(st.tuples(*[st.integers(low, high)] * n))

    size, window, strides = each(1, few), each(1, 3), each(1, 3)
    lhs_dilation = draw(st.one_of(st.none(), st.tuples(*[st.integers(1, 3)] * n)))
    rhs_dilation = draw(st.one_of(st.none(), st.tuples(*[st.integers(1, 2)] * n)))
    pairs = st.tuples(*[st.tuples(st.integers(-1, 2), st.integers(-1, 2))] * n)
    words = st.sampled_from(["SAME", "SAME_LOWER", "VALID"])
    # `lax` takes no words for the padding of a dilated input.
    padding = draw(st.one_of(words, pairs) if lhs_dilation is None else pairs)
    features, images = draw(st.sampled_from([(1, 1), (2, 1), (3, 1), (1, 2), (1, 3)]))
    inside, outside = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    batch = draw(st.integers(1, 3))
    space = dict(zip(SPACE, size, strict=False))
    sizes = {"N": batch * images, "C": inside * features, **space}
    kernel = {"I": inside, "O": outside * features * images}
    kernel |= dict(zip(SPACE, window, strict=False))
    specs = tuple(
        "".join(draw(st.permutations(letters + SPACE[:n])))
        for letters in ("NC", "IO", "NC")
    )
    # Strides, padding and dilation follow the order of space in the kernel's spec.
    lhs = _normal(0, [sizes[axis] for axis in specs[0]])
    rhs = _normal(1, [kernel[axis] for axis in specs[1]])
    options = {
        "lhs_dilation": lhs_dilation,
        "rhs_dilation": rhs_dilation,
        "dimension_numbers": specs,
        "feature_group_count": features,
        "batch_group_count": images,
    }
    call = partial(lax.conv_general_dilated, padding=padding, **options)
    try:
        result = jax.eval_shape(partial(call, window_strides=strides), lhs, rhs)
    except (TypeError, ValueError):
        assume(False)
    assume(result.size)
    return lhs, rhs, strides, padding, options


def _assert_equals_lax(call):
    lhs, rhs, strides, padding, options = call
    _assert_same(lhs, rhs, strides, padding, reference=_lax_of_padded, **options)


@settings(max_examples=10, deadline=None, derandomize=True)
@given(_calls())
def test_equals_lax_in_value_and_gradient(call):
    _assert_equals_lax(call)


@pytest.mark.slow
@settings(max_examples=50, deadline=None, derandomize=True)
@given(_calls())
def test_equals_lax_in_value_and_gradient_whatever_the_shapes(call):
    _assert_equals_lax(call)


@settings(max_examples=5, deadline=None, derandomize=True)
@given(_calls())
def test_equals_lax_under_vmap_and_in_scan(call):
    lhs, rhs, strides, padding, options = call
    images = np.stack([lhs, lhs[::-1]])
    kernels = np.stack([rhs, 2 * rhs])

    def one(conv, image, kernel):
        kwargs = {"precision": "highest", **options}
        call = partial(_call, conv, (strides, padding), kwargs)
        return _value_and_gradients(call, image, kernel)

    @compiled
    def all_ways(images, kernels):
        ours = partial(one, conv_general_dilated)
        shared = jax.vmap(ours, (None, 0))(images[0], kernels)
        both = jax.vmap(ours)(images, kernels)
        in_scan = jax.lax.map(lambda pair: ours(*pair), (images, kernels))
        theirs = [
            [one(_lax_of_padded, image, kernel) for image, kernel in pairs]
            for pairs in (
                [(images[0], kernels[0]), (images[0], kernels[1])],
                [(images[0], kernels[0]), (images[1], kernels[1])],
            )
        ]
        each = [jax.tree.map(lambda *rows: jnp.stack(rows), *rows) for rows in theirs]
        return [shared, both, in_scan], [each[0], each[1], each[1]]

    _assert_close(*all_ways(images, kernels))


@pytest.mark.parametrize("groups", [1, 2])
def test_transposed_convolution_equals_that_of_lax(groups):
    lhs, rhs = _normal(0, (2, 4, 5, 4)), _normal(1, (4, 4 // groups, 3, 4))
    options = {"lhs_dilation": (2, 3), "feature_group_count": groups}
    _assert_same(lhs, rhs, (1, 1), [(2, 1), (2, 2)], **options)


def test_negative_padding_crops_the_image():
    lhs, rhs = _normal(0, (2, 4, 7)), _normal(1, (4, 4, 3))
    got = conv_general_dilated(lhs, rhs, (1,), [(-2, -1)])
    expected = lax.conv_general_dilated(lhs[:, :, 2:-1], rhs, (1,), "VALID")
    np.testing.assert_allclose(got, expected, rtol=0, atol=2e-5)


def test_passes_empty_arrays_on_to_lax():
    lhs, rhs = _normal(0, (4, 3, 5)), _normal(1, (4, 3, 2))
    _assert_same(lhs, rhs, (1,), [(0, -4)])
    _assert_same(lhs[:0], rhs, (1,), "VALID")


def test_passes_symbolic_shapes_on_to_lax():
    (size,) = jax.export.symbolic_shape("n")
    image = jax.ShapeDtypeStruct((2, 3, size), jnp.float32)
    call = partial(conv_general_dilated, window_strides=(1,), padding="SAME")
    exported = jax.export.export(jax.jit(call))(image, _normal(1, (4, 3, 2)))
    lhs, rhs = _normal(0, (2, 3, 7)), _normal(1, (4, 3, 2))
    expected = lax.conv_general_dilated(lhs, rhs, (1,), "SAME")
    np.testing.assert_allclose(exported.call(lhs, rhs), expected, atol=1e-5)


def test_passes_arrays_that_are_sharded_in_their_type_on_to_lax():
    mesh = jax.make_mesh((2,), ("x",), axis_types=(jax.sharding.AxisType.Explicit,))
    with jax.set_mesh(mesh):
        lhs = jax.device_put(_normal(0, (4, 3, 7)), jax.P("x"))
        rhs = jax.device_put(_normal(1, (4, 3, 2)), jax.P())
        ours = conv_general_dilated(lhs, rhs, (1,), "SAME")
        theirs = lax.conv_general_dilated(lhs, rhs, (1,), "SAME")
    assert jax.typeof(ours) == jax.typeof(theirs)
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_forward_derivatives_equal_those_of_lax(groups):
    lhs, rhs = _normal(0, (2, 4, 5, 5)), _normal(1, (4, 4 // groups, 3, 3))
    options = {
        "window_strides": (2, 1),
        "padding": "SAME",
        "feature_group_count": groups,
        "precision": "highest",
    }
    along = lhs[::-1], rhs[::-1]
    ours, theirs = (
        jax.jvp(partial(convolution, **options), (lhs, rhs), along)
        for convolution in (conv_general_dilated, lax.conv_general_dilated)
    )
    for got, expected in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(got, expected, rtol=0, atol=5e-5)


def test_is_a_single_matrix_product():
    call = partial(conv_general_dilated, window_strides=(2, 2), padding="SAME")
    text = str(jax.make_jaxpr(call)(jnp.ones((2, 3, 8, 8)), jnp.ones((4, 3, 3, 3))))
    assert text.count("dot_general[") == 1
    assert "conv_general_dilated" not in text


def test_depthwise_has_no_matrix_product_and_no_patches():
    call = partial(
        conv_general_dilated,
        window_strides=(1, 1),
        padding="SAME",
        feature_group_count=3,
    )
    text = str(jax.make_jaxpr(call)(jnp.ones((2, 3, 8, 8)), jnp.ones((6, 1, 3, 3))))
    for absent in ("conv_general_dilated", "dot_general", "concatenate"):
        assert absent not in text


TYPES = [
    (jnp.bfloat16, None),
    (jnp.bfloat16, jnp.float32),
    (jnp.float16, None),
    (jnp.int8, jnp.int32),
    (jnp.complex64, None),
]


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize(("dtype", "preferred"), TYPES)
def test_types_are_those_of_lax(dtype, preferred, groups):
    # Small integers: every sum is exact in each of the types.
    values = np.random.default_rng(0).integers(-2, 3, size=200)
    lhs = jnp.asarray(values[:48].reshape(2, 4, 6), dtype)
    rhs = jnp.asarray(values[48 : 48 + 48 // groups].reshape(4, -1, 3), dtype)
    options = {"preferred_element_type": preferred, "feature_group_count": groups}

    @compiled
    def both(lhs, rhs):
        return [
            convolution(lhs, rhs, (1,), "SAME", **options)
            for convolution in (conv_general_dilated, lax.conv_general_dilated)
        ]

    ours, theirs = both(lhs, rhs)
    assert jax.typeof(ours) == jax.typeof(theirs)
    np.testing.assert_array_equal(*jax.device_get((ours, theirs)))


@pytest.mark.parametrize("groups", [1, 16])
def test_bfloat16_adds_up_in_float32(groups):
    lhs = _normal(0, (2, 16, 40)).astype(jnp.bfloat16)
    rhs = _normal(1, (16, 16 // groups, 31)).astype(jnp.bfloat16)
    got = conv_general_dilated(lhs, rhs, (1,), "SAME", feature_group_count=groups)
    exact = lax.conv_general_dilated(
        lhs.astype(jnp.float32),
        rhs.astype(jnp.float32),
        (1,),
        "SAME",
        feature_group_count=groups,
        precision="highest",
    )
    # One rounding of the result, to 8 bits.
    np.testing.assert_allclose(got.astype(jnp.float32), exact, rtol=2**-8, atol=1e-4)


@pytest.mark.parametrize("preferred", [None, jnp.float32])
def test_gradients_keep_the_types_of_their_arguments(preferred):
    lhs, rhs = jnp.ones((1, 2, 6), jnp.bfloat16), jnp.ones((3, 2, 3), jnp.bfloat16)
    call = partial(
        conv_general_dilated,
        window_strides=(1,),
        padding="SAME",
        preferred_element_type=preferred,
    )
    out, back = jax.vjp(call, lhs, rhs)
    assert out.dtype == (preferred or jnp.bfloat16)
    assert [g.dtype for g in back(out)] == [jnp.bfloat16] * 2


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
