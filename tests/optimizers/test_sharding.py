"""Parameters that are spread over two devices, and the states of theirs."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from optimizer_registry import CASES, close, compiled, compiled_both, every, step

SPECS = {"kernel": PartitionSpec(None, "model"), "bias": PartitionSpec("model")}


def parameters(dtype=jnp.float32):
    kernel = jnp.linspace(-1.0, 1.0, 8).astype(dtype).reshape(2, 4)
    return {"bias": kernel[0], "kernel": kernel}


def on_two_devices(params):
    mesh = Mesh(np.asarray(jax.devices()[:2]), ("model",))
    return {
        key: jax.device_put(leaf, NamedSharding(mesh, SPECS[key]))
        for key, leaf in params.items()
    }


def assert_sharded_alike(tree, params):
    """That all that belongs to a parameter lies where the parameter does."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        for key, param in params.items():
            if f"'{key}'" in jax.tree_util.keystr(path):
                assert leaf.sharding.is_equivalent_to(param.sharding, leaf.ndim), path
                assert len(leaf.sharding.device_set) == 2


@compiled
@compiled_both
def test_states_and_updates_lie_where_the_parameters_do(name, form):
    optimizer = CASES[name].form(form)
    run = jax.jit(functools.partial(step, optimizer))
    whole = parameters()
    parts = sharded = on_two_devices(whole)
    state, alone = optimizer.init(parts), optimizer.init(whole)
    assert_sharded_alike(state, sharded)
    for t in range(3):
        parts, state = run(parts, state, t)
        whole, alone = run(whole, alone, t)
        assert_sharded_alike((parts, state), sharded)
        close(parts, whole)
        close(state, alone)


@every
def test_float32_moments_of_bfloat16_parameters_are_sharded_too(name):
    optimizer = CASES[name].form("numbers")
    params = on_two_devices(parameters(jnp.bfloat16))
    assert_sharded_alike(optimizer.init(params), params)
