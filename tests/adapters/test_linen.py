"""A Linen module as a problem: its values, its state, its streams, its errors."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from optax_cycles.adapters import problem_from_linen
from optax_cycles.sweep.problem import Problem

KEY = jax.random.key(0)


def squared(outputs, batch):
    return jnp.mean((outputs - batch[1]) ** 2)


def with_metric(outputs, batch):
    return squared(outputs, batch), {"largest": jnp.max(outputs)}


def make_batch(seed=0, rows=16):
    rng = np.random.default_rng(seed)
    return (
        jnp.asarray(rng.normal(1.0, 2.0, (rows, 4)), jnp.float32),
        jnp.asarray(rng.normal(size=(rows, 3)), jnp.float32),
    )


class Mlp(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.Dense(8)(x))
        return nn.Dense(3)(x)


class Noisy(nn.Module):
    """BatchNorm and Dropout; it sows what a problem has to drop."""

    @nn.compact
    def __call__(self, x, train):
        x = nn.BatchNorm(use_running_average=not train)(nn.Dense(8)(x))
        self.sow("intermediates", "hidden", x)
        x = nn.Dropout(0.5, deterministic=not train)(nn.relu(x))
        return nn.Dense(3)(x)


class Deterministic(nn.Module):
    @nn.compact
    def __call__(self, x, *, deterministic=True):
        return nn.Dense(3)(nn.Dropout(0.5)(x, deterministic=deterministic))


class TwoStreams(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.Dense(3)(x)
        if not self.has_rng("noise"):
            return x
        mask = jax.random.normal(self.make_rng("dropout"), x.shape)
        return x + mask - jax.random.normal(self.make_rng("noise"), x.shape)


def noisy(**options):
    options = {"training": {"train": True}, **options}
    return problem_from_linen(Noisy(), with_metric, make_batch(), **options)


def assert_trees_close(got, expected, atol=1e-6):
    assert jax.tree.structure(got) == jax.tree.structure(expected)
    for one, other in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_allclose(one, other, rtol=0, atol=atol)


def assert_trees_equal(got, expected):
    jax.tree.map(np.testing.assert_array_equal, got, expected)


def test_mlp_has_the_loss_and_gradients_of_the_formula():
    def formula(params, batch):
        x, y = batch
        first, second = params["Dense_0"], params["Dense_1"]
        hidden = jnp.maximum(x @ first["kernel"] + first["bias"][None], 0)
        return jnp.mean((hidden @ second["kernel"] + second["bias"][None] - y) ** 2)

    problem = problem_from_linen(Mlp(), squared, make_batch())
    assert isinstance(problem, Problem)
    params, state = problem.init(KEY)
    batch = make_batch(1)
    (loss, (new_state, metrics)), grads = jax.value_and_grad(
        problem.loss, has_aux=True
    )(params, state, batch, KEY)
    expected, expected_grads = jax.value_and_grad(formula)(params, batch)
    np.testing.assert_allclose(loss, expected, rtol=1e-6)
    assert_trees_close(grads, expected_grads)
    assert (state, new_state, metrics) == ({}, {}, {})
    evaluated = problem.evaluate(params, state, batch)
    assert list(evaluated) == ["loss"]
    np.testing.assert_allclose(evaluated["loss"], expected, rtol=1e-6)


def test_statistics_move_in_training_only():
    problem, batch = noisy(), make_batch()
    params, state = problem.init(KEY)
    hidden = batch[0] @ params["Dense_0"]["kernel"] + params["Dense_0"]["bias"][None]
    _, (moved, metrics) = problem.loss(params, state, batch, KEY)
    assert list(state) == list(moved) == ["batch_stats"]
    assert list(metrics) == ["largest"]
    np.testing.assert_array_equal(state["batch_stats"]["BatchNorm_0"]["mean"], 0.0)
    np.testing.assert_allclose(
        moved["batch_stats"]["BatchNorm_0"]["mean"], 0.01 * hidden.mean(0), atol=1e-6
    )
    assert set(problem.evaluate(params, moved, batch)) == {"largest", "loss"}


def test_evaluation_uses_the_statistics_and_no_dropout():
    problem, batch = noisy(), make_batch()
    params, state = problem.init(KEY)
    plain = Noisy().apply({"params": params, **state}, batch[0], train=False)
    first, again = (problem.evaluate(params, state, batch) for _ in range(2))
    assert_trees_equal(first, again)
    np.testing.assert_allclose(first["loss"], squared(plain, batch), rtol=1e-6)


def test_the_key_alone_decides_the_dropout():
    problem, batch = noisy(), make_batch()
    params, state = problem.init(KEY)
    losses = [
        float(problem.loss(params, state, batch, jax.random.key(seed))[0])
        for seed in (1, 1, 2)
    ]
    assert losses[0] == losses[1] != losses[2]


def test_streams_differ_from_each_other():
    names = ("dropout", "noise")
    problem = problem_from_linen(TwoStreams(), squared, make_batch(), rngs=names)
    params, state = problem.init(KEY)
    batch = make_batch()
    trained = problem.loss(params, state, batch, KEY)[0]
    assert trained != problem.evaluate(params, state, batch)["loss"]


def test_inverted_argument():
    problem = problem_from_linen(
        Deterministic(), squared, make_batch(), training={"deterministic": False}
    )
    params, state = problem.init(KEY)
    batch = make_batch()
    clean = squared(Deterministic().apply({"params": params}, batch[0]), batch)
    np.testing.assert_allclose(
        problem.evaluate(params, state, batch)["loss"], clean, rtol=1e-6
    )
    assert problem.loss(params, state, batch, KEY)[0] != clean


def test_members_under_vmap_equal_separate_runs():
    problem, batch = noisy(), make_batch()
    keys = jax.random.split(KEY, 3)
    gradients = jax.value_and_grad(problem.loss, has_aux=True)

    def run(key):
        def step(carry, step_key):
            params, state = carry
            (loss, (state, _)), grads = gradients(params, state, batch, step_key)
            params = jax.tree.map(lambda p, g: p - 0.1 * g, params, grads)
            return (params, state), loss

        carry, losses = jax.lax.scan(step, problem.init(key), jax.random.split(key, 5))
        return carry, losses, problem.evaluate(*carry, batch)

    together = jax.jit(jax.vmap(run))(keys)
    mapped = jax.jit(lambda keys: jax.lax.map(run, keys))(keys)
    for i, key in enumerate(keys):
        alone = jax.jit(run)(key)
        for results in (together, mapped):
            assert_trees_close(jax.tree.map(lambda x, i=i: x[i], results), alone, 1e-5)


def test_example_may_be_shapes():
    shapes = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), make_batch(rows=1)
    )
    from_shapes = problem_from_linen(Mlp(), squared, shapes).init(KEY)
    assert_trees_equal(
        from_shapes, problem_from_linen(Mlp(), squared, make_batch()).init(KEY)
    )


def test_inputs_reads_any_batch():
    def loss_fn(outputs, batch):
        return squared(outputs, (None, batch["y"]))

    x, y = make_batch()
    batch = {"x": x, "y": y}
    problem = problem_from_linen(Mlp(), loss_fn, batch, inputs=lambda batch: batch["x"])
    params, state = problem.init(KEY)
    expected = problem_from_linen(Mlp(), squared, (x, y))
    assert (
        problem.loss(params, state, batch, KEY)[0]
        == (expected.loss(params, state, (x, y), KEY)[0])
    )


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"module": Mlp}, TypeError, "module must be an instance of flax.linen.Module"),
        ({"loss_fn": 3}, TypeError, "loss_fn must be a callable, got 3"),
        ({"inputs": 3}, TypeError, "inputs must be a callable, got 3"),
        ({"example": {"x": 1}}, TypeError, "inputs must be given .* type dict"),
        ({"example": ()}, TypeError, "inputs must be given .* type tuple"),
        ({"example": (1.0,)}, TypeError, "example must be a batch of arrays"),
        ({"rngs": "dropout"}, TypeError, "rngs must be a sequence of names"),
        ({"training": {"train": 1}}, TypeError, "training must be a dict"),
        ({"training": "train"}, TypeError, "training must be a dict"),
        (
            {"training": {"trian": True}},
            ValueError,
            "training's names must be one of .*did you mean 'train'.*got 'trian'",
        ),
        (
            {"training": None},
            ValueError,
            "training must be .* Noisy .* such as {'train': True}, or {}, got None",
        ),
    ],
)
def test_bad_arguments(change, error, message):
    arguments = {
        "module": Noisy(),
        "loss_fn": squared,
        "example": make_batch(),
        "training": {"train": True},
    }
    arguments |= change
    module, loss_fn, example = (
        arguments.pop(name) for name in ("module", "loss_fn", "example")
    )
    with pytest.raises(error, match=f"^problem_from_linen: {message}"):
        problem_from_linen(module, loss_fn, example, **arguments)


@pytest.mark.parametrize("result", [(1.0,), (1.0, 2.0), (1.0, {}, {})])
def test_a_loss_that_is_no_scalar_with_metrics(result):
    problem = problem_from_linen(Mlp(), lambda outputs, batch: result, make_batch())
    with pytest.raises(TypeError, match="loss_fn must return a scalar or"):
        problem.evaluate(*problem.init(KEY), make_batch())


def test_a_collection_that_grows_is_named():
    class Sowing(nn.Module):
        @nn.compact
        def __call__(self, x):
            self.sow("losses", "l2", jnp.sum(x**2))
            return nn.Dense(2)(x)

    batch = (jnp.ones((8, 3)), jnp.zeros(8, "int32"))
    problem = problem_from_linen(Sowing(), lambda out, batch: out.sum(), batch)
    params, model_state = problem.init(jax.random.key(0))
    with pytest.raises(TypeError, match="the collection 'losses' must keep its struct"):
        problem.loss(params, model_state, batch, jax.random.key(1))
