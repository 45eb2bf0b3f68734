"""A linear regression with known members, shared by tests of whole sweeps."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

import optax_cycles as oc

KEY = jax.random.key(5)
DATA = np.random.default_rng(0).normal(size=(64, 4)).astype(np.float32)
VALIDATION = DATA[:16]
SPACE = oc.sweep.grid(learning_rate=oc.sweep.log_space(1e-3, 1.0, 5), seed=[0, 1])
STEPS = 40
PROBLEM = oc.problem_from_loss(
    lambda key: jax.random.normal(key, (4,)),
    lambda params, batch, key: jnp.mean((batch @ params - 1.0) ** 2),
)
TRAIN = oc.trainable(PROBLEM, lambda hp: optax.adam(hp["learning_rate"]))


def sweep(data=DATA, space=SPACE, steps=STEPS, trainable=TRAIN, **options):
    options = {"key": KEY, "validation": VALIDATION, "keep_state": True} | options
    return oc.sweep.run(trainable, space, data, steps, **options)


def assert_same(result, expected):
    """Bit for bit the same numbers, states included."""
    for name in expected.train:
        np.testing.assert_array_equal(result.train[name], expected.train[name])
    for name in expected.validation:
        found, wanted = result.validation[name], expected.validation[name]
        np.testing.assert_array_equal(found, wanted)
    np.testing.assert_array_equal(result.status, expected.status)
    np.testing.assert_array_equal(result.updates, expected.updates)
    jax.tree.map(np.testing.assert_array_equal, result.state, expected.state)
