"""An NNX module as a problem: its values, its state, its streams, its errors."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import optax_cycles as oc
from optax_cycles.adapters import problem_from_nnx
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


class Mlp(nnx.Module):
    def __init__(self, rngs):
        self.layers = nnx.List(
            [nnx.Linear(4, 8, rngs=rngs), nnx.Linear(8, 3, rngs=rngs)]
        )

    def __call__(self, x):
        return self.layers[1](nnx.relu(self.layers[0](x)))


class Noisy(nnx.Module):
    """BatchNorm, two dropouts and a counter of its own."""

    def __init__(self, rngs):
        self.first = nnx.Linear(4, 8, rngs=rngs)
        self.norm = nnx.BatchNorm(8, rngs=rngs)
        self.dropouts = nnx.List([nnx.Dropout(0.5, rngs=rngs) for _ in range(2)])
        self.last = nnx.Linear(8, 3, rngs=rngs)
        self.calls = nnx.Variable(jnp.zeros((), jnp.int32))

    def __call__(self, x):
        self.calls.set_value(self.calls.get_value() + 1)
        x = self.norm(self.first(x))
        return self.last(self.dropouts[0](x) + self.dropouts[1](x))


class Opposed(Noisy):
    """Two dropouts that cancel where their masks are the same."""

    def __call__(self, x):
        x = self.first(x)
        return self.last(self.dropouts[0](x) - self.dropouts[1](x))


class Sowing(Mlp):
    def __call__(self, x):
        self.sow(nnx.Intermediate, "input", x)
        return super().__call__(x)


def assert_trees_close(got, expected, atol=1e-6):
    assert jax.tree.structure(got) == jax.tree.structure(expected)
    for one, other in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_allclose(one, other, rtol=0, atol=atol)


def test_mlp_has_the_loss_and_gradients_of_the_formula():
    def formula(params, batch):
        x, y = batch
        first, second = params["layers"][0], params["layers"][1]
        hidden = jnp.maximum(x @ first["kernel"] + first["bias"][None], 0)
        return jnp.mean((hidden @ second["kernel"] + second["bias"][None] - y) ** 2)

    problem = problem_from_nnx(Mlp, squared)
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


def test_initial_parameters_are_those_of_the_module():
    _, expected = nnx.split(Mlp(nnx.Rngs(KEY)))
    params, _ = problem_from_nnx(Mlp, squared).init(KEY)
    assert_trees_close(params, nnx.to_pure_dict(expected), atol=0)


def test_state_moves_in_training_only():
    problem, batch = problem_from_nnx(Noisy, with_metric), make_batch()
    params, state = problem.init(KEY)
    hidden = batch[0] @ params["first"]["kernel"] + params["first"]["bias"][None]
    _, (moved, metrics) = problem.loss(params, state, batch, KEY)
    assert jax.tree.structure(moved) == jax.tree.structure(state)
    assert sorted(state) == ["calls", "norm"]
    assert list(metrics) == ["largest"]
    np.testing.assert_array_equal(state["norm"]["mean"], 0.0)
    np.testing.assert_allclose(moved["norm"]["mean"], 0.01 * hidden.mean(0), atol=1e-6)
    assert (state["calls"], moved["calls"]) == (0, 1)
    assert set(problem.evaluate(params, moved, batch)) == {"largest", "loss"}


def test_evaluation_uses_the_statistics_and_no_dropout():
    def formula(params, state, batch):
        x = batch[0] @ params["first"]["kernel"] + params["first"]["bias"][None]
        spread = jnp.sqrt(state["norm"]["var"] + 1e-5)[None]
        x = (x - state["norm"]["mean"][None]) / spread
        outputs = 2 * x @ params["last"]["kernel"] + params["last"]["bias"][None]
        return squared(outputs, batch)

    problem, batch = problem_from_nnx(Noisy, squared), make_batch()
    params, state = problem.init(KEY)
    _, (moved, _) = problem.loss(params, state, batch, KEY)
    for statistics in (state, moved):
        first, again = (problem.evaluate(params, statistics, batch) for _ in range(2))
        assert first["loss"] == again["loss"]
        expected = formula(params, statistics, batch)
        np.testing.assert_allclose(first["loss"], expected, rtol=1e-5)


def test_the_key_alone_decides_the_dropout():
    problem, batch = problem_from_nnx(Noisy, squared), make_batch()
    params, state = problem.init(KEY)
    losses = [
        float(problem.loss(params, state, batch, jax.random.key(seed))[0])
        for seed in (1, 1, 2)
    ]
    assert losses[0] == losses[1] != losses[2]


def test_streams_differ_from_each_other():
    problem, batch = problem_from_nnx(Opposed, squared), make_batch()
    params, state = problem.init(KEY)
    trained = problem.loss(params, state, batch, KEY)[0]
    assert trained != squared(params["last"]["bias"][None], batch)


def test_members_under_vmap_equal_separate_runs():
    problem, batch = problem_from_nnx(Noisy, squared), make_batch()
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


@pytest.mark.filterwarnings("ignore:Using 'Module.sow:DeprecationWarning")
def test_what_a_module_sows_is_dropped():
    problem, batch = problem_from_nnx(Sowing, squared), make_batch()
    params, state = problem.init(KEY)
    loss, (state, _) = problem.loss(params, state, batch, KEY)
    assert state == {}
    assert problem.evaluate(params, state, batch)["loss"] == loss


def test_inputs_reads_any_batch():
    x, y = make_batch()
    batch = {"x": x, "y": y}
    problem = problem_from_nnx(
        Mlp,
        lambda outputs, batch: squared(outputs, (None, batch["y"])),
        inputs=lambda batch: batch["x"],
    )
    params, state = problem.init(KEY)
    expected = problem_from_nnx(Mlp, squared).loss(params, state, (x, y), KEY)[0]
    assert problem.loss(params, state, batch, KEY)[0] == expected


def test_a_batch_that_needs_inputs():
    problem = problem_from_nnx(Mlp, squared)
    params, state = problem.init(KEY)
    with pytest.raises(TypeError, match=r"^problem_from_nnx: inputs must be given"):
        problem.loss(params, state, {"x": make_batch()[0]}, KEY)


@pytest.mark.parametrize(
    ("build", "options", "message"),
    [
        (3, {}, "build must be a callable, got 3"),
        (lambda rngs: jnp.zeros(3), {}, "build must be .* returns an nnx.Module"),
        (Mlp, {"loss_fn": 3}, "loss_fn must be a callable, got 3"),
        (Mlp, {"inputs": 3}, "inputs must be a callable, got 3"),
    ],
)
def test_bad_arguments(build, options, message):
    options = {"loss_fn": squared, **options}
    with pytest.raises(TypeError, match=f"^problem_from_nnx: {message}"):
        problem_from_nnx(build, **options)


@pytest.mark.parametrize("result", [(1.0,), (1.0, 2.0), (1.0, {}, {})])
def test_a_loss_that_is_no_scalar_with_metrics(result):
    problem = problem_from_nnx(Mlp, lambda outputs, batch: result)
    with pytest.raises(TypeError, match="loss_fn must return a scalar or"):
        problem.evaluate(*problem.init(KEY), make_batch())


def test_a_bare_array_as_an_attribute_is_named():
    class Scaled(nnx.Module):
        def __init__(self, rngs):
            self.out = nnx.Linear(4, 2, rngs=rngs)
            self.weights = jnp.ones(4)

        def __call__(self, x):
            return self.out(x * self.weights)

    with pytest.raises(TypeError, match=r"Scaled\.weights must not be a bare array"):
        problem_from_nnx(Scaled, lambda out, batch: out.sum())


def test_a_module_in_place_of_its_builder_is_named():
    module = nnx.Linear(4, 2, rngs=nnx.Rngs(0))
    with pytest.raises(TypeError, match=r"build must be a function of nnx\.Rngs that"):
        problem_from_nnx(module, lambda out, batch: out.sum())


def adam_of(hparams):
    return optax.adam(hparams["learning_rate"])


def test_the_best_state_goes_back_into_a_module_for_predictions():
    batch = make_batch()
    train = oc.trainable(problem_from_nnx(Noisy, squared), adam_of)
    result = oc.sweep.run(
        train,
        {"learning_rate": [0.1]},
        batch,
        2,
        key=KEY,
        batch_size=16,
        validation=batch,
        keep_state=True,
    )
    model, state = Noisy(nnx.Rngs(0)), result.best_state()
    nnx.update(model, state.params, state.model_state)
    model.eval()
    expected = result.validation["loss"].item()
    assert float(squared(model(batch[0]), batch)) == pytest.approx(expected, rel=1e-5)


def test_members_start_from_the_slots_of_an_nnx_optimizer():
    model, batch = Mlp(nnx.Rngs(1)), make_batch()
    optimizer = nnx.Optimizer(model, optax.adam(0.1), wrt=nnx.Param)
    grads = nnx.grad(lambda model: squared(model(batch[0]), batch))(model)
    optimizer.update(model, grads)
    params = nnx.split(model, nnx.Param)[1]
    snapshot = oc.TrainState(params, {}, optimizer.opt_state)
    train = oc.trainable(problem_from_nnx(Mlp, squared), adam_of)
    state = oc.sweep.started_from(train, snapshot).init(KEY, {"learning_rate": 0.1})
    assert int(state.opt_state[0].count) == 1
    first = state.opt_state[0].mu["layers"][0]["kernel"]
    # Adam's first moment after one update is a tenth of the gradient.
    expected = 0.1 * np.asarray(grads["layers"][0]["kernel"].get_value(), np.float64)
    np.testing.assert_allclose(first, expected, rtol=1e-5, atol=1e-9)
