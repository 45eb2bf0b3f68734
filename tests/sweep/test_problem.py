import jax
import jax.numpy as jnp
import pytest

import optax_cycles as oc

KEY = jax.random.key(1)
BATCH = jnp.array([[1.0, 2.0], [3.0, 4.0]])


def init(key):
    return jnp.array([1.0, -1.0])


def loss(params, batch, key):
    return jnp.mean((batch @ params) ** 2)


def noisy_loss(params, batch, key):
    return loss(params, batch, key) + jax.random.normal(key)


def test_a_plain_loss_has_no_model_state_and_no_metrics():
    problem = oc.problem_from_loss(init, loss)
    params, model_state = problem.init(KEY)
    assert params.tolist() == [1.0, -1.0]
    assert model_state == ()
    value, (model_state, metrics) = problem.loss(params, (), BATCH, KEY)
    assert float(value) == 1.0
    assert (model_state, metrics) == ((), {})


def test_auxiliary_metrics_are_passed_on():
    problem = oc.problem_from_loss(
        init, lambda *args: (loss(*args), {"norm": 2.0}), has_aux=True
    )
    value, (_, metrics) = problem.loss(jnp.ones(2), (), BATCH, KEY)
    assert float(value) == (9 + 49) / 2
    assert metrics == {"norm": 2.0}
    evaluation = problem.evaluate(jnp.ones(2), (), BATCH)
    assert evaluation == {"norm": 2.0, "loss": (9 + 49) / 2}


def test_initial_parameters_come_from_the_key():
    problem = oc.problem_from_loss(lambda key: jax.random.normal(key, (2,)), loss)
    params, _ = problem.init(KEY)
    assert params.tolist() == jax.random.normal(KEY, (2,)).tolist()


def test_a_random_loss_is_evaluated_with_one_fixed_key():
    problem = oc.problem_from_loss(init, noisy_loss)
    first = problem.evaluate(jnp.ones(2), (), BATCH)["loss"]
    again = problem.evaluate(jnp.ones(2), (), BATCH)["loss"]
    other = problem.evaluate(jnp.zeros(2), (), BATCH)["loss"]
    assert float(first) == float(again)
    assert float(first) - float(other) == pytest.approx(29.0, rel=1e-6)


def test_an_evaluation_of_its_own_replaces_the_loss():
    problem = oc.problem_from_loss(
        init,
        loss,
        evaluate=lambda params, batch: {"loss": params.sum(), "n": len(batch)},
    )
    assert problem.evaluate(jnp.ones(2), (), BATCH) == {"loss": 2.0, "n": 2}


@pytest.mark.parametrize("name", ["init", "loss", "evaluate"])
def test_what_can_not_be_called_is_refused(name):
    functions = {"init": init, "loss": loss, "evaluate": loss, name: 3}
    with pytest.raises(
        TypeError, match=f"problem_from_loss: {name} must be a callable, got 3"
    ):
        oc.problem_from_loss(**functions)


def test_a_pair_and_has_aux_belong_together():
    def with_metrics(*args):
        return loss(*args), {"norm": 2.0}

    message = (
        "problem_from_loss: loss must return the loss alone, .*: give has_aux=True"
    )
    with pytest.raises(TypeError, match=message):
        oc.problem_from_loss(init, with_metrics).loss(jnp.ones(2), (), BATCH, KEY)
    message = r"loss must return the pair \(loss, metrics\), got "
    with pytest.raises(TypeError, match=message):
        oc.problem_from_loss(init, loss, has_aux=True).loss(jnp.ones(2), (), BATCH, KEY)
