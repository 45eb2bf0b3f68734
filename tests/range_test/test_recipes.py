"""Range tests of what people tune: groups, schedules, a training in progress."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import optax_cycles as oc

DATA = np.zeros((4, 1), np.float32)
# Of x^2 c / 2, the best constant rate is 1 / c.
HEAD, BODY = 4.0, 0.5
RATES = [1 / 16, 1 / 4, 1 / 2, 2.0, 16.0]


def two_groups(params, batch, key):
    return HEAD * params["head"] ** 2 / 2 + BODY * params["body"] ** 2 / 2


PROBLEM = oc.problem_from_loss(
    lambda key: {"head": jnp.float32(1.0), "body": jnp.float32(2.0)}, two_groups
)


def test_groups_of_parameters_have_rates_of_their_own():
    def optimizer(hparams):
        return optax.partition(
            {
                "head": optax.sgd(hparams["head_learning_rate"]),
                "body": optax.sgd(hparams["body_learning_rate"]),
            },
            {"head": "head", "body": "body"},
        )

    test = oc.parallel_range_test(
        oc.trainable(PROBLEM, optimizer),
        DATA,
        DATA,
        over={"head_learning_rate": RATES, "body_learning_rate": RATES},
        seeds=1,
        steps=4,
        batch_size=2,
    )
    assert test.joint().best == {"head_learning_rate": 0.25, "body_learning_rate": 2.0}
    # The groups don't touch one another: the best head rate is that at any body rate.
    profile = test.best_along("body_learning_rate")
    np.testing.assert_array_equal(profile.best["head_learning_rate"][:4], 0.25)


def test_the_numbers_of_a_schedule_are_hyperparameters():
    """The grid's losses are those of each 1cycle, trained alone in NumPy."""
    steps, peaks, factors = 12, np.array([0.1, 0.3, 0.6]), np.array([2.0, 10.0, 30.0])

    def optimizer(hparams):
        policy = oc.one_cycle_policy(
            steps, hparams["peak"], div_factor=hparams["div_factor"], momentum=None
        )
        return oc.inject(optax.sgd, policy)

    test = oc.parallel_range_test(
        oc.trainable(PROBLEM, optimizer),
        DATA,
        DATA,
        over={"peak": peaks, "div_factor": factors},
        seeds=1,
        steps=steps,
        horizons=[1],
        batch_size=2,
    )
    for i, peak in enumerate(peaks):
        for j, factor in enumerate(factors):
            schedule = oc.one_cycle(steps, peak, div_factor=factor)
            rates = np.asarray(schedule(np.arange(steps)), np.float64)
            losses = []
            head, body = 1.0, 2.0
            for rate in rates:
                losses.append(HEAD * head**2 / 2 + BODY * body**2 / 2)
                head, body = head * (1 - HEAD * rate), body * (1 - BODY * rate)
            np.testing.assert_allclose(
                test.sweep.train["loss"][i, j, 0], losses, rtol=1e-4, atol=1e-10
            )


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("momentum", [0.0, 0.5, 0.9]),
        ("weight_decay", [0.0, 1e-3, 1e-1]),
        ("b1", [0.5, 0.9, 0.99]),
        ("eps", [1e-10, 1e-8, 1e-2]),
    ],
)
def test_any_hyperparameter_of_an_optimizer_can_be_tested(name, values):
    """Each value's training is that of optax itself at that number."""

    def optimizer(hparams):
        if name == "momentum":
            return optax.sgd(0.1, momentum=hparams["momentum"])
        return optax.adamw(0.1, **{name: hparams[name]})

    test = oc.parallel_range_test(
        oc.trainable(PROBLEM, optimizer),
        DATA, DATA, over={name: values}, seeds=1, steps=5, batch_size=2,
    )  # fmt: skip
    for index, value in enumerate(values):
        plain = optimizer({name: value})
        params = {"head": jnp.float32(1.0), "body": jnp.float32(2.0)}
        state = plain.init(params)
        losses = []
        for _ in range(5):
            loss, grads = jax.value_and_grad(two_groups)(params, None, None)
            losses.append(loss)
            updates, state = plain.update(grads, state, params)
            params = optax.apply_updates(params, updates)
        np.testing.assert_allclose(
            test.sweep.train["loss"][index, 0], losses, rtol=1e-5
        )


def test_a_test_in_the_middle_of_training_starts_where_the_training_is():
    """Near the optimum of the head, only the body is left to train."""
    train = oc.trainable(PROBLEM, lambda hp: optax.sgd(hp["learning_rate"]))
    options = {
        "over": {"learning_rate": RATES},
        "seeds": 2,
        "steps": 4,
        "batch_size": 2,
    }
    fresh = oc.parallel_range_test(train, DATA, DATA, **options)
    params = {"head": jnp.float32(1e-8), "body": jnp.float32(2.0)}
    later = oc.parallel_range_test(train, DATA, DATA, start=(params, ()), **options)
    assert fresh.suggest().best == 1 / 4
    assert later.suggest().best == 2.0
    np.testing.assert_allclose(later.untrained(), BODY * 2.0**2 / 2, rtol=1e-6)


def test_a_snapshot_of_another_model_is_refused_before_anything_is_trained():
    train = oc.trainable(PROBLEM, lambda hp: optax.sgd(hp["learning_rate"]))
    for test, more in ((oc.parallel_range_test, (DATA,)), (oc.ramp_range_test, ())):
        with pytest.raises(ValueError, match="another model: it has no 'params/body'"):
            test(train, DATA, *more, start=({"head": jnp.float32(1)}, ()), batch_size=2)
