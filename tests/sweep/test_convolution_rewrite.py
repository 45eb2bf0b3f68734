"""Models keep their loss and gradients when convolutions become matrix products."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax import nnx
from jax import lax

from optax_cycles.sweep.convolution import with_matmul_convolutions

KEY = jax.random.key(1)

# Nearly all time would go into optimising programs that run once.
compiled = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


def _normal(seed, shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


IMAGES, KERNEL = _normal(0, (2, 3, 6, 6)), _normal(1, (3, 3, 3, 3)) / 5


def _convolution(kernel, images):
    return lax.conv(images, kernel, (1, 1), "SAME", precision="highest")


def _has_convolution(function, *args):
    return "conv_general_dilated[" in str(jax.make_jaxpr(function)(*args))


def _assert_close(ours, theirs, tolerance=1e-5):
    """Equal relative to the largest element of all, and of the same types."""
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    leaves = jax.tree.leaves(theirs)
    scale = max(float(jnp.max(jnp.abs(leaf))) for leaf in leaves)
    for got, expected in zip(jax.tree.leaves(ours), leaves, strict=True):
        assert jax.typeof(got) == jax.typeof(expected)
        np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance * scale)


class Block(nn.Module):
    """A residual block with batch statistics and dropout."""

    features: int = 4

    @nn.compact
    def __call__(self, x, train):
        y = nn.Conv(self.features, (3, 3), use_bias=False)(x)
        y = nn.BatchNorm(use_running_average=not train)(y)
        y = nn.Dropout(0.2, deterministic=not train)(nn.relu(y))
        return x + nn.Conv(self.features, (3, 3))(y)


class Residual(nn.Module):
    """A small residual network with a rematerialised block."""

    @nn.compact
    def __call__(self, x, train=True):
        x = nn.relu(nn.Conv(4, (3, 3), strides=2)(x))
        x = nn.remat(Block, static_argnums=2)()(x, train)
        return nn.Dense(3)(jnp.mean(x, (1, 2)))


class Transposed(nn.Module):
    """An autoencoder: down by a strided convolution, up by a transposed one."""

    @nn.compact
    def __call__(self, x, train=True):
        x = nn.relu(nn.Conv(4, (3, 3), strides=2)(x))
        return nn.ConvTranspose(2, (3, 3), strides=(2, 2))(x)


class Repeated(nn.Module):
    """Three layers with stacked parameters, one loop over them."""

    @nn.compact
    def __call__(self, x, train=True):
        class Layer(nn.Module):
            @nn.compact
            def __call__(self, x, _):
                return nn.relu(nn.Conv(3, (3, 3))(x)), None

        over = {"variable_axes": {"params": 0}, "split_rngs": {"params": True}}
        return nn.scan(Layer, length=3, **over)()(x, None)[0]


def _linen_loss(model, images):
    state = dict(compiled(model.init)({"params": KEY, "dropout": KEY}, images))
    initial = state.pop("params")

    def loss(params, images):
        out, new = model.apply(
            {"params": params, **state},
            images,
            train=True,
            rngs={"dropout": KEY},
            mutable=list(state),
        )
        return jnp.mean(jnp.sin(out)), new

    return loss, initial


def _nnx_loss(images):
    class Network(nnx.Module):
        def __init__(self, rngs):
            self.first = nnx.Conv(3, 4, (3, 3), strides=2, rngs=rngs)
            self.norm = nnx.BatchNorm(4, rngs=rngs)
            self.depthwise = nnx.Conv(4, 4, (3, 3), feature_group_count=4, rngs=rngs)

        def __call__(self, x):
            return self.depthwise(nnx.relu(self.norm(self.first(x))))

    definition, params, rest = nnx.split(Network(nnx.Rngs(0)), nnx.Param, ...)

    def loss(params, images):
        model = nnx.merge(definition, params, rest, copy=True)
        out = jnp.mean(jnp.sin(model(images)))
        return out, nnx.state(model, nnx.BatchStat)

    return loss, params


MODELS = {
    "residual": lambda images: _linen_loss(Residual(), images),
    "transposed": lambda images: _linen_loss(Transposed(), images),
    "scanned": lambda images: _linen_loss(Repeated(), images),
    "nnx": _nnx_loss,
}


@pytest.mark.parametrize("name", MODELS)
def test_models_keep_loss_state_and_gradients_without_a_convolution(name):
    images = _normal(0, (4, 8, 8, 3))
    loss, params = MODELS[name](images)
    plain = jax.value_and_grad(loss, has_aux=True)
    fast = jax.value_and_grad(with_matmul_convolutions(loss), has_aux=True)

    @compiled
    def population(params, members):
        """Members one after another, and side by side."""
        step = partial(fast, params)
        return lax.map(step, members), jax.vmap(step)(members)

    one = compiled(plain)
    members = jnp.stack([images, images[::-1] * 2])
    program = population.lower(params, members).compile()
    assert "convolution(" not in program.as_text()
    assert "convolution(" in one.lower(params, images).as_text("hlo")
    each = jax.device_get([one(params, images) for images in members])
    expected = jax.tree.map(lambda *rows: np.stack(rows), *each)
    for result in program(params, members):
        _assert_close(result, expected)


def _shard_map(kernel, images, check_vma=False):
    mesh = jax.make_mesh((2,), ("x",), axis_types=(jax.sharding.AxisType.Auto,))
    return jax.shard_map(
        _convolution,
        mesh=mesh,
        in_specs=(jax.P(), jax.P("x")),
        out_specs=jax.P("x"),
        check_vma=check_vma,
    )(kernel, images)


def _while(kernel, images):
    def body(carry):
        step, x = carry
        return step + 1, _convolution(kernel, x)

    def more(carry):
        step, x = carry
        return (step < 3) & (jnp.sum(_convolution(kernel, x)) < 1e9)

    return lax.while_loop(more, body, (0, images))[1]


def _scan(kernel, images):
    def body(x, row):
        return _convolution(kernel * row, x), x.sum()

    return lax.scan(body, images, jnp.arange(1.0, 3.0), reverse=True)


def _cond(kernel, images):
    branches = [lambda x: x, partial(_convolution, kernel), jnp.sin]
    return [lax.switch(i, branches, images) for i in jnp.arange(3)]


@jax.custom_jvp
def _with_jvp(kernel, images):
    return _convolution(kernel, images)


_with_jvp.defjvp(lambda primals, tangents: (_with_jvp(*primals), 7 * tangents[1]))


@jax.custom_vjp
def _with_vjp(kernel, images):
    return _convolution(kernel, images)


_with_vjp.defvjp(
    lambda kernel, images: (_convolution(kernel, images), kernel),
    lambda kernel, g: (jnp.full_like(kernel, 7), 7 * g),
)

CALLS = {
    "jit": jax.jit(_convolution),
    "remat": jax.checkpoint(_convolution),
    "nested": jax.jit(jax.checkpoint(jax.jit(_scan))),
    "while": _while,
    "scan": _scan,
    "cond": _cond,
    "custom_jvp": _with_jvp,
    "custom_vjp": _with_vjp,
    "shard_map": _shard_map,
}


@pytest.mark.parametrize("name", CALLS)
def test_reaches_into(name):
    call = CALLS[name]
    fast = with_matmul_convolutions(call)
    assert _has_convolution(call, KERNEL, IMAGES)
    assert not _has_convolution(fast, KERNEL, IMAGES)
    _assert_close(jax.jit(fast)(KERNEL, IMAGES), call(KERNEL, IMAGES))


@pytest.mark.parametrize("call", [_with_jvp, _with_vjp])
def test_leaves_custom_derivatives_alone(call):
    along = jnp.ones_like(IMAGES)
    fast = with_matmul_convolutions(call)
    gradient = jax.grad(lambda x: jnp.vdot(fast(KERNEL, x), along))(IMAGES)
    np.testing.assert_array_equal(gradient, 7 * along)


def test_leaves_what_it_does_not_know_alone():
    @jax.custom_batching.custom_vmap
    def call(kernel, images):
        return _convolution(kernel, images)

    call.def_vmap(lambda size, batched, kernel, images: (images, batched[1]))
    fast = with_matmul_convolutions(call)
    assert _has_convolution(fast, KERNEL, IMAGES)
    np.testing.assert_array_equal(fast(KERNEL, IMAGES), call(KERNEL, IMAGES))
    stacked = jnp.stack([IMAGES, 2 * IMAGES])
    mapped = jax.vmap(fast, (None, 0))(KERNEL, stacked)
    np.testing.assert_array_equal(mapped, stacked)


def test_leaves_types_that_vary_over_a_mesh_alone():
    call = partial(_shard_map, check_vma=True)
    fast = with_matmul_convolutions(call)
    assert _has_convolution(fast, KERNEL, IMAGES)
    _assert_close(jax.jit(fast)(KERNEL, IMAGES), call(KERNEL, IMAGES))


def test_leaves_a_function_without_convolutions_as_it_is():
    def call(x):
        return jax.jit(lambda x: lax.fori_loop(0, 3, lambda _, x: jnp.sin(x), x))(x)

    fast = with_matmul_convolutions(call)
    assert str(jax.make_jaxpr(fast)(IMAGES)) == str(jax.make_jaxpr(call)(IMAGES))


def test_a_program_called_twice_stays_one_program():
    block = jax.jit(_convolution)

    def call(kernel, images):
        return block(kernel, block(kernel, images))

    program = jax.make_jaxpr(with_matmul_convolutions(call))(KERNEL, IMAGES)
    first, second = (eqn.params["jaxpr"] for eqn in program.eqns)
    assert first is second


def test_keeps_structure_types_and_arguments_that_are_no_arrays():
    def call(kernel, options, *, scale, double=False, activation="none"):
        out = _convolution(kernel, options["images"])
        assert isinstance(scale, float)
        if double:
            out = 2 * out
        if activation == "tanh":
            out = jnp.tanh(out)
        weak = jnp.asarray(scale) * 2
        return {"out": out.astype(jnp.bfloat16), "none": None}, (weak, out.shape[0])

    args = KERNEL, {"images": IMAGES, "unused": None}
    for options in ({"scale": 0.5}, {"scale": 0.5, "double": True}):
        given = partial(call, activation="tanh", **options)
        ours, theirs = with_matmul_convolutions(given)(*args), given(*args)
        assert jax.tree.structure(ours) == jax.tree.structure(theirs)
        for got, expected in zip(*map(jax.tree.leaves, (ours, theirs)), strict=True):
            assert jax.typeof(got) == jax.typeof(expected)
            assert jax.typeof(got).weak_type == jax.typeof(expected).weak_type
            np.testing.assert_allclose(got, expected, rtol=2**-7)


def test_numpy_arguments_and_random_keys_are_traced_as_arrays():
    def call(key, images):
        return _convolution(KERNEL, images) * jax.random.key_data(key)[1]

    images = np.asarray(IMAGES)
    _assert_close(with_matmul_convolutions(call)(KEY, images), call(KEY, IMAGES))


def test_closed_over_arrays_may_be_differentiated():
    def loss(kernel, wrap):
        return jnp.sum(wrap(lambda x: _convolution(kernel, x))(IMAGES) ** 2)

    ours = jax.grad(lambda kernel: loss(kernel, with_matmul_convolutions))(KERNEL)
    _assert_close(ours, jax.grad(lambda kernel: loss(kernel, lambda f: f))(KERNEL))


def test_collectives_over_a_mapped_axis_go_on_working():
    def call(kernel, images):
        out = jax.jit(_convolution)(kernel, images)
        return out - lax.pmean(out, "members")

    members = jnp.stack([IMAGES, 2 * IMAGES, IMAGES**2])
    ours, theirs = (
        jax.vmap(partial(f, KERNEL), axis_name="members")(members)
        for f in (with_matmul_convolutions(call), call)
    )
    _assert_close(ours, theirs)


def test_effects_happen_as_often_as_before():
    seen = []

    def call(kernel, images):
        def body(x, _):
            jax.debug.callback(lambda x: seen.append(float(x)), jnp.sum(x))
            return _convolution(kernel, x), None

        return lax.scan(body, images, None, 3)[0]

    jax.jit(with_matmul_convolutions(call))(KERNEL, IMAGES).block_until_ready()
    jax.effects_barrier()
    assert len(seen) == 3


def test_keeps_the_name_of_the_function():
    assert with_matmul_convolutions(_convolution).__name__ == "_convolution"


def test_traces_once_inside_a_compiled_function():
    traced = []

    @jax.jit
    def step(kernel, images):
        traced.append(1)
        return with_matmul_convolutions(_convolution)(kernel, images)

    for scale in (1.0, 2.0):
        step(scale * KERNEL, IMAGES)
    assert len(traced) == 1
