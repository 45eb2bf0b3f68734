import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import optax_cycles as oc
from optax_cycles.sweep import check_trainable

BATCH = jnp.ones((4, 2))
HPARAMS = {"learning_rate": 0.1, "momentum": 0.9}


def init(key, hparams):
    return {"w": jnp.zeros(2), "n": jnp.int32(0)}


def step(state, hparams, batch, key):
    loss = jnp.mean(batch @ state["w"])
    w = state["w"] - hparams["learning_rate"]
    return {"w": w, "n": state["n"] + 1}, {"loss": loss, "count": state["n"]}


def evaluate(state, batch):
    return {"loss": jnp.mean(batch @ state["w"]), "right": jnp.int32(3)}


GOOD = oc.Trainable(init, step, evaluate)


def returning(state=None, metrics=None):
    """A step whose state or metrics are changed by a function."""

    def changed(*args):
        new_state, new_metrics = step(*args)
        if state is not None:
            new_state = state(new_state)
        if metrics is not None:
            new_metrics = metrics(new_metrics)
        return new_state, new_metrics

    return GOOD._replace(step=changed)


def test_a_good_trainable_passes_with_arrays_shapes_or_a_key():
    check_trainable(GOOD, HPARAMS, BATCH)
    check_trainable(GOOD, HPARAMS, np.ones((4, 2), np.float32), BATCH)
    check_trainable(GOOD, HPARAMS, jax.ShapeDtypeStruct((4, 2), jnp.float32))


def test_nothing_is_run():
    def no_numbers(state, hparams, batch, key):
        new_state, metrics = step(state, hparams, batch, key)
        jax.debug.callback(lambda _: pytest.fail("the step was run"), metrics["loss"])
        return new_state, metrics

    check_trainable(GOOD._replace(step=no_numbers), HPARAMS, BATCH)


def test_python_numbers_in_the_first_state_are_arrays_to_the_step():
    trainable = oc.Trainable(
        lambda key, hparams: {"x": 1.0, "n": 0},
        lambda state, hparams, batch, key: (
            {"x": state["x"] * jnp.float32(0.5), "n": state["n"] + jnp.int32(1)},
            {"loss": state["x"]},
        ),
    )
    check_trainable(trainable, HPARAMS, BATCH)


@pytest.mark.parametrize(
    ("metrics", "error", "message"),
    [
        (lambda m: {"loss": jnp.zeros(3)}, TypeError, r"metric 'loss' .* shape \(3,\)"),
        (lambda m: {"loss": jnp.int32(1)}, TypeError, "loss must be .*dtype int32"),
        (
            lambda m: {"cost": m["loss"]},
            ValueError,
            r"must hold 'loss', got \['cost'\]",
        ),
        (lambda m: {}, ValueError, r"metrics must hold 'loss', got \[\]"),
        (
            lambda m: m["loss"],
            TypeError,
            "metrics must be a dict of scalars, got Shape",
        ),
        (lambda m: m | {"a": jnp.ones(1)}, TypeError, r"'a' must be a scalar.*\(1,\)"),
        (lambda m: m | {"a": None}, TypeError, "'a' must be a scalar, got None"),
        (lambda m: m | {"a": {"b": 1.0}}, TypeError, "'a' must be a scalar, got {'b'"),
    ],
)
def test_metrics_that_are_not_scalars_with_a_loss_are_named(metrics, error, message):
    with pytest.raises(error, match=f"^step: .*{message}"):
        check_trainable(returning(metrics=metrics), HPARAMS, BATCH)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (
            lambda s: s | {"n": s["n"] + 0.5},
            r"state\['n'\] must stay int32\[\] across a step, got float32\[\]",
        ),
        (
            lambda s: s | {"w": s["w"].astype(jnp.bfloat16)},
            r"state\['w'\] must stay float32\[2\] across a step, got bfloat16\[2\]",
        ),
        (
            lambda s: s | {"w": s["w"][None]},
            r"state\['w'\] must stay float32\[2\] across a step, got float32\[1, 2\]",
        ),
        (lambda s: s | {"more": 1.0}, "the state must keep its structure"),
        (lambda s: list(s.values()), "the state must keep its structure"),
    ],
)
def test_a_state_that_changes_across_a_step_is_named(state, message):
    with pytest.raises(TypeError, match=f"^step: {message}"):
        check_trainable(returning(state=state), HPARAMS, BATCH)


@pytest.mark.parametrize("made", [lambda new: new[0], lambda new: (*new, None), list])
def test_a_step_returns_a_state_and_metrics(made):
    wrong = GOOD._replace(step=lambda *args: made(step(*args)))
    with pytest.raises(TypeError, match=r"^step: must return \(state, metrics\), got"):
        check_trainable(wrong, HPARAMS, BATCH)


@pytest.mark.parametrize(
    "use",
    [
        lambda momentum: 1.0 if momentum > 0.5 else 2.0,
        float,
        np.asarray,
        lambda momentum: [0.0, 1.0][momentum.astype(int)],
    ],
    ids=["if", "float", "numpy", "index"],
)
def test_a_hyperparameter_whose_value_python_needs_is_named(use):
    def branching(state, hparams, batch, key):
        use(hparams["momentum"])
        return step(state, hparams, batch, key)

    with pytest.raises(TypeError, match=r"^step: hyperparameter 'momentum' is traced"):
        check_trainable(GOOD._replace(step=branching), HPARAMS, BATCH)


def test_a_branch_in_init_is_named():
    def branching(key, hparams):
        return init(key, hparams) if hparams["learning_rate"] else None

    with pytest.raises(TypeError, match=r"^init: hyperparameter 'learning_rate' is tr"):
        check_trainable(GOOD._replace(init=branching), HPARAMS, BATCH)


def test_a_branch_on_the_state_is_not_blamed_on_a_hyperparameter():
    def branching(state, hparams, batch, key):
        return step(state, hparams, batch, key) if state["n"] > 0 else None

    with pytest.raises(jax.errors.TracerBoolConversionError) as caught:
        check_trainable(GOOD._replace(step=branching), HPARAMS, BATCH)
    assert "hyperparameter" not in str(caught.value)


def test_a_branch_on_two_hyperparameters_at_once_is_not_blamed_on_one():
    def branching(state, hparams, batch, key):
        # Python compares them only where both are traced.
        values = [hparams["learning_rate"], hparams["momentum"]]
        if all(isinstance(v, jax.core.Tracer) for v in values) and values[0] > 0:
            return None
        return step(state, hparams, batch, key)

    with pytest.raises(jax.errors.TracerBoolConversionError) as caught:
        check_trainable(GOOD._replace(step=branching), HPARAMS, BATCH)
    assert "hyperparameter" not in str(caught.value)


def test_evaluation_is_checked_where_there_is_validation_data():
    check_trainable(GOOD._replace(evaluate=None), HPARAMS, BATCH)
    with pytest.raises(ValueError, match="evaluate: validation data was given, but"):
        check_trainable(GOOD._replace(evaluate=None), HPARAMS, BATCH, BATCH)
    wrong = GOOD._replace(evaluate=lambda state, batch: {"accuracy": jnp.float32(1)})
    with pytest.raises(
        ValueError, match=r"evaluate: metrics must hold 'loss', got \['a"
    ):
        check_trainable(wrong, HPARAMS, BATCH, BATCH)


def test_a_loss_per_example_is_named():
    problem = oc.problem_from_loss(
        lambda key: jnp.ones(2), lambda p, batch, key: batch @ p
    )
    trainable = oc.trainable(problem, lambda hp: optax.sgd(hp["learning_rate"]))
    with pytest.raises(TypeError, match=r"the loss must be .*scalar, got float32\[4\]"):
        check_trainable(trainable, HPARAMS, BATCH)
