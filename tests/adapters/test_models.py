"""Models as they are trained in earnest give what a plain loop of their library gives.

Each loop below is what its library's documentation shows, one member at a time. Only
the keys are taken from the engine: a member of seed s starts from one half of
`fold_in(key, s)`, and folds the update's number into the other.
"""

from typing import Any, NamedTuple

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import optax_cycles as oc
from optax_cycles.adapters import (
    problem_from_equinox,
    problem_from_linen,
    problem_from_nnx,
)
from optax_cycles.sweep import ArrayBatches

KEY = jax.random.key(3)
STEPS = 6
BATCH = 16
DROPOUT = 0.5
# Two programs may round bfloat16 numbers in different places, each by as much.
ROUNDING = 2.0**-8


def make_data(seed, rows):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 4)).astype(np.float32)
    return x, np.sin(x[:, :3]).astype(np.float32)


DATA, VALIDATION = make_data(0, 64), make_data(1, 32)


class Spec(NamedTuple):
    """What varies between the models: a body, perhaps noise, and a head."""

    noisy: bool = False
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32


def loss_fn(outputs, batch):
    """The loss and two more metrics, in float32 as usual in mixed precision."""
    errors = outputs.astype(jnp.float32) - batch[1]
    metrics = {"absolute": jnp.abs(errors).mean(), "largest": jnp.abs(errors).max()}
    return jnp.mean(errors**2), metrics


# Linen.


class LinenModel(nn.Module):
    spec: Spec

    @nn.compact
    def __call__(self, x, train):
        dtypes = {"dtype": self.spec.dtype, "param_dtype": self.spec.param_dtype}
        x = nn.Dense(8, use_bias=False, name="body", **dtypes)(x)
        if self.spec.noisy:
            x = nn.BatchNorm(use_running_average=not train, name="norm")(x)
            x = nn.Dropout(DROPOUT, deterministic=not train)(x)
        return nn.Dense(3, name="head", **dtypes)(nn.relu(x))


def linen_problem(spec):
    return problem_from_linen(LinenModel(spec), loss_fn, DATA, training={"train": True})


def linen_loop(spec, optimizer):
    module = LinenModel(spec)

    def start(hparams, key):
        keys = {"params": jax.random.split(key)[0], "dropout": key}
        variables = module.init(keys, DATA[0], train=True)
        params, stats = variables["params"], variables.get("batch_stats", {})
        return params, stats, optimizer(hparams).init(params)

    @jax.jit
    def step(carry, hparams, batch, key):
        params, stats, opt_state = carry

        def loss(params):
            outputs, changed = module.apply(
                {"params": params, "batch_stats": stats},
                batch[0],
                train=True,
                rngs={"dropout": jax.random.fold_in(key, 0)},
                mutable=["batch_stats"],
            )
            value, metrics = loss_fn(outputs, batch)
            return value, (changed.get("batch_stats", {}), metrics)

        (value, (changed, metrics)), grads = jax.value_and_grad(loss, has_aux=True)(
            params
        )
        updates, opt_state = optimizer(hparams).update(grads, opt_state, params)
        params = optax.apply_updates(params, updates)
        return (params, changed, opt_state), {"loss": value, **metrics}

    @jax.jit
    def evaluate(carry, batch):
        params, stats, _ = carry
        variables = {"params": params, "batch_stats": stats}
        value, metrics = loss_fn(module.apply(variables, batch[0], train=False), batch)
        return {"loss": value, **metrics}

    return start, step, evaluate


# NNX.


class NnxModel(nnx.Module):
    def __init__(self, spec, rngs):
        options = {"dtype": spec.dtype, "param_dtype": spec.param_dtype, "rngs": rngs}
        self.body = nnx.Linear(4, 8, use_bias=False, **options)
        self.head = nnx.Linear(8, 3, **options)
        self.norm = nnx.BatchNorm(8, rngs=rngs) if spec.noisy else None
        self.dropout = nnx.Dropout(DROPOUT, rngs=rngs) if spec.noisy else None

    def __call__(self, x):
        x = self.body(x)
        if self.norm is not None:
            x = self.dropout(self.norm(x))
        return self.head(nnx.relu(x))


def nnx_problem(spec):
    return problem_from_nnx(lambda rngs: NnxModel(spec, rngs), loss_fn)


def nnx_loop(spec, optimizer):
    def start(hparams, key):
        model = NnxModel(spec, nnx.Rngs(key))
        model.train()
        return model, optimizer(hparams).init(nnx.state(model, nnx.Param))

    def step(carry, hparams, batch, key):
        model, opt_state = carry
        opt_state, metrics = train_step(model, opt_state, hparams, batch, key)
        return (model, opt_state), metrics

    @nnx.jit
    def train_step(model, opt_state, hparams, batch, key):
        if model.dropout is not None:
            # Seeded as the adapter seeds it: this is the first of its streams.
            stream = model.dropout.rngs
            stream.key.set_value(jax.random.fold_in(key, 0))
            stream.count.set_value(jnp.zeros((), jnp.uint32))

        def loss(model):
            return loss_fn(model(batch[0]), batch)

        (value, metrics), grads = nnx.value_and_grad(loss, has_aux=True)(model)
        params = nnx.state(model, nnx.Param)
        updates, opt_state = optimizer(hparams).update(grads, opt_state, params)
        nnx.update(model, optax.apply_updates(params, updates))
        return opt_state, {"loss": value, **metrics}

    @nnx.jit
    def metrics_of(model, batch):
        value, metrics = loss_fn(model(batch[0]), batch)
        return {"loss": value, **metrics}

    def evaluate(carry, batch):
        model, _ = carry
        model.eval()
        return metrics_of(model, batch)

    return start, step, evaluate


# Equinox.


class EquinoxModel(eqx.Module):
    body: eqx.nn.Linear
    noise: eqx.nn.Sequential | None
    head: eqx.nn.Linear
    dtype: Any = eqx.field(static=True)

    def __init__(self, spec, key):
        body, head = jax.random.split(key)
        dtype = spec.param_dtype
        self.body = eqx.nn.Linear(4, 8, use_bias=False, dtype=dtype, key=body)
        self.head = eqx.nn.Linear(8, 3, dtype=dtype, key=head)
        self.noise = None
        if spec.noisy:
            norm = eqx.nn.BatchNorm(8, "batch", mode="batch")
            self.noise = eqx.nn.Sequential([norm, eqx.nn.Dropout(DROPOUT)])
        self.dtype = spec.dtype

    def __call__(self, x, state=None, *, key=None):
        body, head = jax.tree.map(
            lambda a: a.astype(self.dtype), (self.body, self.head)
        )
        x = body(x.astype(self.dtype))
        if self.noise is None:
            return head(jax.nn.relu(x))
        x, state = self.noise(x, state, key=key)
        return head(jax.nn.relu(x)), state


def equinox_problem(spec):
    return problem_from_equinox(lambda key: EquinoxModel(spec, key), loss_fn)


def equinox_outputs(spec, model, state, x, keys):
    def one(x, state, key):
        return model(x, state, key=key) if spec.noisy else (model(x), state)

    return jax.vmap(one, (0, None, 0), (0, None), axis_name="batch")(x, state, keys)


def equinox_loop(spec, optimizer):
    def start(hparams, key):
        model, state = eqx.nn.make_with_state(EquinoxModel)(spec, key)
        params = eqx.filter(model, eqx.is_inexact_array)
        return model, state, optimizer(hparams).init(params)

    @eqx.filter_jit
    def step(carry, hparams, batch, key):
        model, state, opt_state = carry

        def loss(model):
            keys = jax.random.split(key, BATCH)
            outputs, changed = equinox_outputs(spec, model, state, batch[0], keys)
            value, metrics = loss_fn(outputs, batch)
            return value, (changed, metrics)

        gradients = eqx.filter_value_and_grad(loss, has_aux=True)
        (value, (changed, metrics)), grads = gradients(model)
        params = eqx.filter(model, eqx.is_inexact_array)
        updates, opt_state = optimizer(hparams).update(grads, opt_state, params)
        model = eqx.apply_updates(model, updates)
        return (model, changed, opt_state), {"loss": value, **metrics}

    @eqx.filter_jit
    def evaluate(carry, batch):
        model = eqx.nn.inference_mode(carry[0])
        outputs, _ = equinox_outputs(spec, model, carry[1], batch[0], None)
        value, metrics = loss_fn(outputs, batch)
        return {"loss": value, **metrics}

    return start, step, evaluate


# What is compared, for each of them.

LIBRARIES = {
    "linen": (linen_problem, linen_loop),
    "nnx": (nnx_problem, nnx_loop),
    "equinox": (equinox_problem, equinox_loop),
}
each_library = pytest.mark.parametrize("library", LIBRARIES)


def plain(library, spec, optimizer, members):
    """Each member's metrics, of seed 0: those of all updates, and the last ones."""
    _, loop = LIBRARIES[library]
    start, step, evaluate = loop(spec, optimizer)
    population, order = jax.random.split(KEY)
    init_key, stream = jax.random.split(jax.random.fold_in(population, 0))
    batches = ArrayBatches(DATA, BATCH, order).indices([0], 0, STEPS)[0]
    runs = []
    for member in members:
        hparams = jax.tree.map(jnp.float32, member)
        carry, logs = start(hparams, init_key), []
        for number, rows in enumerate(batches):
            batch = tuple(array[rows] for array in DATA)
            key = jax.random.fold_in(stream, number)
            carry, metrics = step(carry, hparams, batch, key)
            logs.append(metrics)
        logs = jax.tree.map(lambda *values: np.stack(values), *logs)
        runs.append((logs, evaluate(carry, VALIDATION)))
    return runs


def sweep(library, spec, optimizer, **axes):
    problem, _ = LIBRARIES[library]
    return oc.sweep.run(
        oc.trainable(problem(spec), optimizer),
        oc.sweep.grid(**axes),
        DATA,
        STEPS,
        key=KEY,
        batch_size=BATCH,
        validation=VALIDATION,
        keep_state=True,
    )


def assert_member(result, where, expected, rtol):
    """The member at `where` has the metrics of the plain loop."""
    logs, last = expected
    assert set(result.train) == set(logs) == {"loss", "absolute", "largest"}
    for name, values in logs.items():
        np.testing.assert_allclose(result.train[name][where], values, rtol=rtol)
    for name, value in last.items():
        np.testing.assert_allclose(result.validation[name][where][-1], value, rtol=rtol)


def dtypes_of(tree):
    return {
        str(leaf.dtype)
        for leaf in jax.tree.leaves(tree)
        if jnp.issubdtype(leaf.dtype, jnp.floating)
    }


def by_name(params):
    """The group of each parameter: head or body."""
    return jax.tree.map_with_path(
        lambda path, _: "head" if "head" in jax.tree_util.keystr(path) else "body",
        params,
    )


@each_library
def test_batch_norm_and_dropout_with_accumulated_gradients(library):
    def optimizer(hp):
        return optax.MultiSteps(optax.sgd(hp["learning_rate"]), every_k_schedule=2)

    spec = Spec(noisy=True)
    rates = [0.1, 0.4]
    result = sweep(library, spec, optimizer, learning_rate=rates)
    members = [{"learning_rate": rate} for rate in rates]
    for i, expected in enumerate(plain(library, spec, optimizer, members)):
        assert_member(result, i, expected, rtol=1e-5)
    # Only every other update moves the parameters, so rates tell from the third on.
    loss = result.train["loss"]
    np.testing.assert_array_equal(loss[0, :2], loss[1, :2])
    assert np.all(loss[0, 2:] != loss[1, 2:])


@each_library
def test_groups_with_rates_of_their_own_in_mixed_precision(library):
    def optimizer(hp):
        groups = {name: optax.sgd(hp[f"{name}_rate"]) for name in ("body", "head")}
        return optax.partition(groups, by_name)

    spec = Spec(dtype=jnp.bfloat16)
    body, head = [0.0, 0.2], [0.1, 0.4, 0.0]
    result = sweep(library, spec, optimizer, body_rate=body, head_rate=head)
    places = [(0, 1), (1, 0)]
    members = [{"body_rate": body[i], "head_rate": head[j]} for i, j in places]
    runs = plain(library, spec, optimizer, members)
    for place, expected in zip(places, runs, strict=True):
        assert_member(result, place, expected, rtol=ROUNDING)
    # Far more than rounding tells the two from each other, and from what stands still.
    final = np.sort([result.validation["loss"][*at, -1] for at in [(0, 2), *places]])
    assert np.all(np.diff(final) > 2 * ROUNDING)
    assert dtypes_of(result.state.params) == {"float32"}


@each_library
def test_low_precision_parameters_under_float32_hyperparameters(library):
    def optimizer(hp):
        return oc.inject(optax.adam, {}, learning_rate=hp["learning_rate"])

    spec = Spec(dtype=jnp.bfloat16, param_dtype=jnp.bfloat16)
    rates = [0.003, 0.03]
    result = sweep(library, spec, optimizer, learning_rate=rates)
    members = [{"learning_rate": rate} for rate in rates]
    for i, expected in enumerate(plain(library, spec, adam_in_float32, members)):
        assert_member(result, i, expected, rtol=ROUNDING)
    slow, fast = result.validation["loss"][:, -1]
    assert abs(slow - fast) > 10 * ROUNDING
    assert dtypes_of(result.state.params) == {"bfloat16"}
    assert dtypes_of(result.state.opt_state) == {"float32"}
    used = oc.current_hyperparams(result.state.opt_state)
    np.testing.assert_array_equal(used["learning_rate"], np.float32(rates))
    np.testing.assert_array_equal(used["b2"], np.float32(0.999))


def adam_in_float32(hp):
    """Adam on float32 copies of gradients, its updates rounded to the parameters."""
    adam = optax.adam(hp["learning_rate"])

    def cast(tree, dtype):
        return jax.tree.map(lambda leaf: leaf.astype(dtype), tree)

    def update(grads, state, params=None):
        updates, state = adam.update(cast(grads, jnp.float32), state)
        return cast(updates, jnp.bfloat16), state

    return optax.GradientTransformation(
        lambda params: adam.init(cast(params, jnp.float32)), update
    )
