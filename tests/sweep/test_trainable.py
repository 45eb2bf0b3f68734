import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import optax_cycles as oc
from optax_cycles.sweep.trainable import initial_state

KEY = jax.random.key(0)
HPARAMS = {"learning_rate": 0.1, "momentum": 0.5}


def square(params, model_state, batch, key):
    """The loss |p|^2, whose gradient is 2p, with a counter as model state."""
    return jnp.sum(params**2), (model_state + 1, {"before": model_state, "loss": 7.0})


def problem_of(loss=square, evaluate=None):
    return oc.Problem(lambda key: (jnp.array([1.0, 2.0]), jnp.int32(0)), loss, evaluate)


def sgd(hparams):
    return optax.sgd(hparams["learning_rate"], momentum=hparams["momentum"])


def test_steps_are_gradient_descent_with_momentum():
    """Worked in float64: t <- 2p + m t; p <- p - lr t."""
    trainable = oc.trainable(problem_of(), sgd)
    state = trainable.init(KEY, HPARAMS)
    params, trace = np.array([1.0, 2.0]), np.zeros(2)
    for number in range(3):
        state, metrics = trainable.step(state, HPARAMS, None, KEY)
        assert float(metrics["loss"]) == pytest.approx(np.sum(params**2), rel=1e-6)
        assert int(metrics["before"]) == number
        trace = 2 * params + 0.5 * trace
        params = params - 0.1 * trace
        np.testing.assert_allclose(state.params, params, rtol=1e-6)
        assert int(state.model_state) == number + 1


def test_the_loss_is_the_problems_whatever_its_metrics_say():
    trainable = oc.trainable(problem_of(), sgd)
    _, metrics = trainable.step(trainable.init(KEY, HPARAMS), HPARAMS, None, KEY)
    assert float(metrics["loss"]) == 5.0


def test_hyperparameters_may_change_from_step_to_step():
    trainable = oc.trainable(problem_of(), sgd)
    state = trainable.init(KEY, HPARAMS)
    still, _ = trainable.step(state, HPARAMS | {"learning_rate": 0.0}, None, KEY)
    moved, _ = trainable.step(state, HPARAMS | {"learning_rate": 0.5}, None, KEY)
    assert still.params.tolist() == [1.0, 2.0]
    assert moved.params.tolist() == [0.0, 0.0]


def test_an_optimizer_may_read_the_loss():
    """Polyak's step f / |g|^2 = 5 / 20 takes p to p - p / 2."""
    trainable = oc.trainable(
        problem_of(), lambda hp: optax.polyak_sgd(max_learning_rate=1.0)
    )
    state, _ = trainable.step(trainable.init(KEY, {}), {}, None, KEY)
    np.testing.assert_allclose(state.params, [0.5, 1.0], rtol=1e-6)


def test_the_batch_and_the_key_reach_the_loss():
    def loss(params, model_state, batch, key):
        value = jnp.sum(params * batch) + jax.random.normal(key)
        return value, (model_state, {})

    trainable = oc.trainable(problem_of(loss), sgd)
    state = trainable.init(KEY, HPARAMS)
    key = jax.random.key(9)
    _, metrics = trainable.step(state, HPARAMS, jnp.array([3.0, 4.0]), key)
    assert float(metrics["loss"]) == float(11 + jax.random.normal(key))


def test_evaluation_sees_parameters_and_model_state():
    trainable = oc.trainable(
        problem_of(evaluate=lambda p, model_state, batch: {"loss": p @ batch}), sgd
    )
    state = trainable.init(KEY, HPARAMS)
    assert float(trainable.evaluate(state, jnp.array([1.0, 1.0]))["loss"]) == 3.0
    assert oc.trainable(problem_of(), sgd).evaluate is None


@pytest.mark.parametrize(
    ("loss", "got"),
    [
        (lambda p: p**2, r"float32\[2\]"),
        (lambda p: jnp.sum(p**2)[None], r"float32\[1\]"),
        (lambda p: jnp.int32(1), r"int32\[\]"),
        (lambda p: jnp.sum(p) * 1j, r"complex64\[\]"),
    ],
)
def test_a_loss_that_is_not_a_real_scalar_is_refused(loss, got):
    trainable = oc.trainable(problem_of(lambda p, s, b, k: (loss(p), (s, {}))), sgd)
    state = trainable.init(KEY, HPARAMS)
    with pytest.raises(
        TypeError,
        match=f"trainable: the loss must be a floating-point scalar, got {got}",
    ):
        trainable.step(state, HPARAMS, None, KEY)


def test_wrong_problems_and_optimizers_are_refused():
    with pytest.raises(TypeError, match="trainable: problem must be a Problem"):
        oc.trainable(square, sgd)
    with pytest.raises(TypeError, match="trainable: optimizer must be a callable"):
        oc.trainable(problem_of(), 0.1)


def test_the_initial_state_holds_arrays_of_the_dtype_that_steps_keep():
    weak = oc.Trainable(lambda key, hp: {"x": 1.0, "n": 0, "key": key}, None)
    state = initial_state(weak, KEY, {})
    types = {name: jax.typeof(leaf) for name, leaf in state.items()}
    assert not types["x"].weak_type
    assert not types["n"].weak_type
    assert (types["x"].dtype, types["n"].dtype) == (jnp.float32, jnp.int32)
    assert types["key"] == jax.typeof(KEY)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_a_swept_momentum_keeps_the_dtype_of_low_precision_moments(dtype):
    """A traced hyperparameter is float32; a Python number would not promote."""
    problem = oc.problem_from_loss(
        lambda key: jnp.ones(3, dtype), lambda params, batch, key: jnp.sum(params**2)
    )
    swept = oc.trainable(problem, lambda hp: optax.sgd(0.125, momentum=hp["momentum"]))
    fixed = oc.trainable(problem, lambda hp: optax.sgd(0.125, momentum=0.5))
    hparams = {"momentum": jnp.float32(0.5)}
    key = jax.random.key(0)
    states = [each.init(key, hparams) for each in (swept, fixed)]
    for _ in range(3):
        states = [
            each.step(state, hparams, None, key)[0]
            for each, state in zip((swept, fixed), states, strict=True)
        ]
    assert jax.tree.leaves(states[0].opt_state)[0].dtype == dtype
    # Powers of two: exact in every dtype.
    np.testing.assert_array_equal(
        states[0].params.astype(np.float32), states[1].params.astype(np.float32)
    )


def test_a_metric_reaches_an_optimizer_inside_multi_steps():
    problem = oc.problem_from_loss(
        lambda key: jnp.ones(2), lambda params, batch, key: jnp.sum(params**2)
    )

    def optimizer(hp):
        plateau = oc.scale_by_plateau(patience=0, factor=0.5)
        return optax.MultiSteps(optax.chain(optax.sgd(hp["rate"]), plateau), 2)

    train, hp = oc.trainable(problem, optimizer), {"rate": 0.0}
    state = train.init(jax.random.key(0), hp)
    for _ in range(6):
        state, _ = train.step(state, hp, None, jax.random.key(1))
    # Three emitted updates: a first metric, then two that are no better.
    assert float(state.opt_state.inner_opt_state[-1].value) == 0.25


def test_an_optimizer_that_is_not_called_is_told_so():
    problem = oc.problem_from_loss(lambda key: jnp.ones(2), lambda p, *_: p.sum())
    for built, got in ((optax.adamw, "the function adamw; call it"), (None, "a None")):
        train = oc.trainable(problem, lambda hp, built=built: built)
        message = f"^trainable: optimizer must return an optax.Grad.*, got {got}"
        with pytest.raises(TypeError, match=message):
            train.init(jax.random.key(0), {})
