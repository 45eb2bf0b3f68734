"""An Equinox module as a problem: its values, its state, its keys, its errors."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import optax_cycles as oc
from optax_cycles.adapters import problem_from_equinox
from optax_cycles.sweep.problem import Problem

KEY = jax.random.key(0)
RATES = (0.05, 0.2)
STEPS = 5


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


def make_mlp(key):
    return eqx.nn.MLP(4, 3, 8, 1, key=key)


class Noisy(eqx.Module):
    """BatchNorm and Dropout; state and key as in Equinox's own examples."""

    first: eqx.nn.Linear
    norm: eqx.nn.BatchNorm
    dropout: eqx.nn.Dropout
    last: eqx.nn.Linear

    def __init__(self, key, axis_name="batch"):
        first, last = jax.random.split(key)
        # BatchNorm takes a bias away, whose gradient is then rounding alone.
        self.first = eqx.nn.Linear(4, 8, use_bias=False, key=first)
        self.norm = eqx.nn.BatchNorm(8, axis_name, mode="batch")
        self.dropout = eqx.nn.Dropout(0.5)
        self.last = eqx.nn.Linear(8, 3, key=last)

    def __call__(self, x, state, *, key=None):
        x, state = self.norm(self.first(x), state)
        return self.last(self.dropout(jax.nn.relu(x), key=key)), state


class Dropping(eqx.Module):
    """Dropout without state; the key has no default."""

    linear: eqx.nn.Linear
    dropout: eqx.nn.Dropout

    def __init__(self, key):
        self.linear = eqx.nn.Linear(4, 3, key=key)
        self.dropout = eqx.nn.Dropout(0.5)

    def __call__(self, x, key):
        return self.dropout(self.linear(x), key=key)


class Constants(eqx.Module):
    """Arrays that are not trained, two of them different for each key."""

    linear: eqx.nn.Linear
    order: jax.Array
    key: jax.Array
    table: np.ndarray
    slope: float

    def __init__(self, key):
        self.linear = eqx.nn.Linear(4, 3, key=key)
        self.order = jax.random.permutation(key, 4)
        self.key = key
        self.table = np.arange(1, 4)
        self.slope = 0.5

    def __call__(self, x):
        noise = jax.random.normal(self.key, (4,))
        return self.slope * self.linear(x[self.order] + noise) * jnp.array(self.table)


class Lambda(eqx.Module):
    """A static field that no two calls make equal."""

    linear: eqx.nn.Linear
    activation: object = eqx.field(static=True)

    def __init__(self, key):
        self.linear = eqx.nn.Linear(4, 3, key=key)
        self.activation = lambda x: jnp.maximum(x, 0)

    def __call__(self, x):
        return self.activation(self.linear(x))


@eqx.filter_jit
def plain_step(carry, optimizer, batch, key):
    """One update as the documentation of Equinox writes it."""
    model, state, opt_state = carry

    def loss(model, state):
        over = jax.vmap(
            lambda x, state, key: model(x, state, key=key),
            in_axes=(0, None, 0),
            out_axes=(0, None),
            axis_name="batch",
        )
        keys = jax.random.split(key, len(batch[0]))
        outputs, state = over(batch[0], state, keys)
        return squared(outputs, batch), state

    (value, state), grads = eqx.filter_value_and_grad(loss, has_aux=True)(model, state)
    params = eqx.filter(model, eqx.is_inexact_array)
    updates, opt_state = optimizer.update(grads, opt_state, params)
    return (eqx.apply_updates(model, updates), state, opt_state), value


def plain_training(rate, key):
    """The parameters, the statistics and the losses of a plain loop."""
    model, state = eqx.nn.make_with_state(Noisy)(key)
    optimizer = optax.adam(jnp.float32(rate))
    carry = (model, state, optimizer.init(eqx.filter(model, eqx.is_inexact_array)))
    losses = []
    for step in range(STEPS):
        step_key = jax.random.fold_in(key, step)
        carry, value = plain_step(carry, optimizer, make_batch(step), step_key)
        losses.append(value)
    model, state, _ = carry
    return eqx.filter(model, eqx.is_inexact_array), state, jnp.stack(losses)


@pytest.fixture(scope="module")
def plain():
    """The plain loop for each rate, on one initial model."""
    return [plain_training(rate, KEY) for rate in RATES]


def our_training(rate):
    """The same training as one traceable function, of the adapter's problem."""
    problem = problem_from_equinox(Noisy, squared)
    train = oc.trainable(problem, lambda hp: optax.adam(hp["learning_rate"]))
    hparams = {"learning_rate": rate}
    batches = jax.tree.map(
        lambda *leaves: jnp.stack(leaves), *map(make_batch, range(STEPS))
    )

    def step(state, numbered):
        number, batch = numbered
        state, metrics = train.step(
            state, hparams, batch, jax.random.fold_in(KEY, number)
        )
        return state, metrics["loss"]

    start = train.init(KEY, hparams)
    state, losses = jax.lax.scan(step, start, (jnp.arange(STEPS), batches))
    return state.params, state.model_state.state, losses


def assert_trees_close(got, expected, atol=1e-6):
    one, other = (
        jax.tree.leaves(eqx.filter(tree, eqx.is_array)) for tree in (got, expected)
    )
    for a, b in zip(one, other, strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        np.testing.assert_allclose(a, b, rtol=0, atol=atol)


def test_mlp_has_the_loss_and_gradients_of_the_formula():
    def formula(params, batch):
        x, y = batch
        first, second = params.layers
        hidden = jnp.maximum(x @ first.weight.T + first.bias[None], 0)
        return jnp.mean((hidden @ second.weight.T + second.bias[None] - y) ** 2)

    problem = problem_from_equinox(make_mlp, squared)
    assert isinstance(problem, Problem)
    params, state = problem.init(KEY)
    batch = make_batch(1)
    gradients = jax.jit(jax.value_and_grad(problem.loss, has_aux=True))
    (loss, (new_state, metrics)), grads = gradients(params, state, batch, KEY)
    expected, expected_grads = jax.jit(jax.value_and_grad(formula))(params, batch)
    np.testing.assert_allclose(loss, expected, rtol=1e-6)
    assert_trees_close(grads, expected_grads)
    assert jax.tree.leaves((state, new_state, metrics)) == []
    evaluated = problem.evaluate(params, state, batch)
    assert list(evaluated) == ["loss"]
    np.testing.assert_allclose(evaluated["loss"], expected, rtol=1e-6)


def test_initial_parameters_are_those_of_the_module():
    params, _ = problem_from_equinox(make_mlp, squared).init(KEY)
    expected = eqx.filter(make_mlp(KEY), eqx.is_inexact_array)
    assert jax.tree.structure(params) == jax.tree.structure(expected)
    assert_trees_close(params, expected, atol=0)


def test_training_is_that_of_a_plain_loop(plain):
    @jax.jit
    def members(rates):
        return jax.vmap(our_training)(rates), jax.lax.map(our_training, rates)

    together, mapped = members(jnp.array(RATES))
    for i, alone in enumerate(plain):
        for results in (together, mapped):
            member = jax.tree.map(lambda leaf, i=i: leaf[i], results)
            assert_trees_close(member, alone, atol=1e-5)


def test_rates_differ_in_what_they_train(plain):
    slow, fast = (losses for _, _, losses in plain)
    assert slow[0] == fast[0]
    assert abs(slow[-1] - fast[-1]) > 1e-2


def test_statistics_move_in_training_only():
    problem, batch = problem_from_equinox(Noisy, with_metric), make_batch()
    params, state = problem.init(KEY)
    hidden = batch[0] @ params.first.weight.T
    _, (moved, metrics) = problem.loss(params, state, batch, KEY)
    assert jax.tree.structure(moved) == jax.tree.structure(state)
    assert list(metrics) == ["largest"]
    index = params.norm.batch_state_index
    np.testing.assert_array_equal(state.state.get(index)[0], 0.0)
    np.testing.assert_allclose(
        moved.state.get(index)[0], 0.01 * hidden.mean(0), atol=1e-6
    )
    before = jax.tree.map(np.asarray, moved)
    assert set(problem.evaluate(params, moved, batch)) == {"largest", "loss"}
    jax.tree.map(np.testing.assert_array_equal, moved, before)


def test_evaluation_uses_the_statistics_and_no_dropout():
    def formula(params, state, batch):
        mean, var = state.state.get(params.norm.batch_state_index)
        count = state.state.get(params.norm.batch_counter)
        # Equinox keeps sums that start from nothing, not averages.
        scale = jnp.where(count == 0, 1, 1 - 0.99**count)
        x = batch[0] @ params.first.weight.T
        x = (x - (mean / scale)[None]) / jnp.sqrt(var / scale + 1e-5)[None]
        outputs = jnp.maximum(x, 0) @ params.last.weight.T + params.last.bias[None]
        return squared(outputs, batch)

    problem, batch = problem_from_equinox(Noisy, squared), make_batch()
    params, state = problem.init(KEY)
    _, (moved, _) = problem.loss(params, state, batch, KEY)
    for statistics in (state, moved):
        first, again = (problem.evaluate(params, statistics, batch) for _ in range(2))
        assert first["loss"] == again["loss"]
        expected = formula(params, statistics, batch)
        np.testing.assert_allclose(first["loss"], expected, rtol=1e-5)


def test_the_key_alone_decides_the_dropout():
    problem, batch = problem_from_equinox(Dropping, squared), make_batch()
    params, state = problem.init(KEY)
    losses = [
        float(problem.loss(params, state, batch, jax.random.key(seed))[0])
        for seed in (1, 1, 2)
    ]
    assert losses[0] == losses[1] != losses[2]
    clean = batch[0] @ params.linear.weight.T + params.linear.bias[None]
    np.testing.assert_allclose(
        problem.evaluate(params, state, batch)["loss"],
        squared(clean, batch),
        rtol=1e-6,
    )


def test_examples_have_masks_of_their_own():
    def kept(outputs, batch):
        return jnp.mean(outputs), {"masks": jnp.sum(outputs[0] != outputs[1])}

    problem = problem_from_equinox(Dropping, kept)
    batch = (jnp.ones((2, 4)),)
    params, state = problem.init(KEY)
    counts = [
        int(problem.loss(params, state, batch, jax.random.key(i))[1][1]["masks"])
        for i in range(5)
    ]
    assert max(counts) > 0


def test_layers_that_are_made_for_inference_stay_so():
    def frozen(key):
        return eqx.nn.inference_mode(Noisy(key))

    problem, batch = problem_from_equinox(frozen, squared), make_batch()
    params, state = problem.init(KEY)
    loss, (moved, _) = problem.loss(params, state, batch, KEY)
    jax.tree.map(np.testing.assert_array_equal, moved, state)
    assert loss == problem.evaluate(params, state, batch)["loss"]


def test_a_sequence_of_layers_with_state():
    def make(key):
        norm = eqx.nn.BatchNorm(3, "batch", mode="ema")
        dropout = eqx.nn.Dropout(0.5)
        return eqx.nn.Sequential([eqx.nn.Linear(4, 3, key=key), norm, dropout])

    problem, batch = problem_from_equinox(make, squared), make_batch()
    params, state = problem.init(KEY)
    hidden = batch[0] @ params[0].weight.T + params[0].bias[None]
    _, (moved, _) = problem.loss(params, state, batch, KEY)
    mean, _ = moved.state.get(params[1].ema_state_index)
    np.testing.assert_allclose(mean, hidden.mean(0), atol=1e-6)
    normalised = (hidden - hidden.mean(0)[None]) / jnp.sqrt(hidden.var(0) + 1e-5)[None]
    np.testing.assert_allclose(
        problem.evaluate(params, moved, batch)["loss"],
        squared(normalised, batch),
        rtol=1e-5,
    )


def test_other_arrays_belong_to_the_member_and_stay():
    problem, batch = problem_from_equinox(Constants, squared), make_batch()
    keys = jax.random.split(KEY, 2)
    params, states = jax.jit(jax.vmap(problem.init))(keys)
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype("float32")}

    over = jax.jit(jax.vmap(problem.loss, (0, 0, None, None)))
    losses, (moved, _) = over(params, states, batch, KEY)
    for i, key in enumerate(keys):
        outputs = jax.vmap(Constants(key))(batch[0])
        np.testing.assert_allclose(losses[i], squared(outputs, batch), rtol=1e-6)
    np.testing.assert_array_equal(moved.constants.order, states.constants.order)
    assert not np.array_equal(*states.constants.order)


def test_constants_go_through_a_sweep():
    problem = problem_from_equinox(Constants, squared)
    train = oc.trainable(problem, lambda hp: optax.sgd(hp["learning_rate"]))
    result = oc.sweep.run(
        train,
        oc.sweep.grid(learning_rate=[0.0, 0.01], seed=[0, 1]),
        make_batch(),
        3,
        key=KEY,
        batch_size=16,
        keep_state=True,
    )
    for i in range(4):
        # With all examples in each batch, a rate of 0 repeats its first loss.
        params, state = jax.tree.map(lambda leaf, i=i: leaf[i], result.state[:2])
        other, _ = eqx.nn.make_with_state(Constants)(KEY)
        model = eqx.combine(params, state.constants, other)
        loss = squared(jax.vmap(model)(make_batch()[0]), make_batch())
        last = result.train["loss"].reshape(4, 3)[i, -1]
        assert (i < 2) == bool(np.isclose(loss, last, rtol=1e-6))


def test_static_fields_that_each_call_makes_anew():
    problem, batch = problem_from_equinox(Lambda, squared), make_batch()
    params, state = problem.init(KEY)
    again, _ = problem.init(KEY)
    assert jax.tree.structure(params) == jax.tree.structure(again)
    outputs = jax.vmap(Lambda(KEY))(batch[0])
    np.testing.assert_allclose(
        problem.evaluate(params, state, batch)["loss"],
        squared(outputs, batch),
        rtol=1e-6,
    )


def test_a_wrapped_model_gets_its_key():
    problem = problem_from_equinox(
        lambda key: eqx.filter_checkpoint(Dropping(key)), squared
    )
    expected = problem_from_equinox(Dropping, squared)
    batch = make_batch()
    losses = [p.loss(*p.init(KEY), batch, KEY)[0] for p in (problem, expected)]
    np.testing.assert_allclose(*losses, rtol=1e-6)


def test_the_axis_of_the_examples_has_any_name():
    problem = problem_from_equinox(
        lambda key: Noisy(key, "rows"), squared, axis_name="rows"
    )
    expected = problem_from_equinox(Noisy, squared)
    batch = make_batch()
    losses = [p.loss(*p.init(KEY), batch, KEY)[0] for p in (problem, expected)]
    assert losses[0] == losses[1]


def test_another_name_of_the_axis_is_named():
    problem = problem_from_equinox(lambda key: Noisy(key, "rows"), squared)
    message = r"^problem_from_equinox: axis_name must be what .*, got 'batch' \(.*rows"
    with pytest.raises(ValueError, match=message):
        problem.loss(*problem.init(KEY), make_batch(), KEY)


def test_an_undefined_name_in_a_model_stays_what_it_is():
    class Broken(Dropping):
        def __call__(self, x, key):
            return undefined  # noqa: F821

    problem = problem_from_equinox(Broken, squared)
    with pytest.raises(NameError, match="name 'undefined' is not defined"):
        problem.evaluate(*problem.init(KEY), make_batch())


def test_inputs_reads_any_batch():
    x, y = make_batch()
    batch = {"x": x, "y": y}
    problem = problem_from_equinox(
        make_mlp,
        lambda outputs, batch: squared(outputs, (None, batch["y"])),
        inputs=lambda batch: batch["x"],
    )
    params, state = problem.init(KEY)
    expected = problem_from_equinox(make_mlp, squared).loss(params, state, (x, y), KEY)
    assert problem.loss(params, state, batch, KEY)[0] == expected[0]


def test_a_batch_that_needs_inputs():
    problem = problem_from_equinox(make_mlp, squared)
    with pytest.raises(TypeError, match=r"^problem_from_equinox: inputs must be given"):
        problem.loss(*problem.init(KEY), {"x": make_batch()[0]}, KEY)


def test_examples_that_are_not_equally_many():
    problem = problem_from_equinox(make_mlp, squared, inputs=lambda batch: batch)
    message = r"^problem_from_equinox: the model input must be .* equally many examples"
    with pytest.raises(ValueError, match=message):
        problem.evaluate(*problem.init(KEY), (jnp.ones((2, 4)), jnp.ones((3, 4))))


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (3, {}, "make must be a callable, got 3"),
        (
            make_mlp(KEY),
            {},
            "make must be a function of a key that makes .* not a model, got 'MLP'",
        ),
        (lambda key: jnp.zeros(3), {}, "make must be .* returns a callable equinox"),
        (
            eqx.nn.make_with_state(Noisy),
            {},
            r"make must be .* equinox\.Module, its state inside, got 'tuple'",
        ),
        (make_mlp, {"loss_fn": 3}, "loss_fn must be a callable, got 3"),
        (make_mlp, {"inputs": 3}, "inputs must be a callable, got 3"),
        (make_mlp, {"axis_name": None}, "axis_name must be a string, got None"),
    ],
)
def test_bad_arguments(make, options, message):
    options = {"loss_fn": squared, **options}
    with pytest.raises(TypeError, match=f"^problem_from_equinox: {message}"):
        problem_from_equinox(make, **options)


def test_a_model_that_does_not_return_its_state():
    class Forgetful(Noisy):
        def __call__(self, x, state, *, key=None):
            return super().__call__(x, state, key=key)[0]

    problem = problem_from_equinox(Forgetful, squared)
    message = r"a model with state must return \(output, state\), got a .*Tracer"
    with pytest.raises(TypeError, match=f"^problem_from_equinox: {message}"):
        problem.evaluate(*problem.init(KEY), make_batch())


@pytest.mark.parametrize("result", [(1.0,), (1.0, 2.0), (1.0, {}, {})])
def test_a_loss_that_is_no_scalar_with_metrics(result):
    problem = problem_from_equinox(make_mlp, lambda outputs, batch: result)
    with pytest.raises(TypeError, match="loss_fn must return a scalar or"):
        problem.evaluate(*problem.init(KEY), make_batch())
