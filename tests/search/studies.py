"""A parabola whose rate and momentum are searched for with Optuna's studies."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

import optax_cycles as oc

ONE = np.ones((4, 1), np.float32)
SPACE = {
    "learning_rate": oc.search.log_uniform(1e-3, 1000.0),
    "momentum": oc.search.choice([0.0, 0.5, 0.9]),
}
PROBLEM = oc.problem_from_loss(
    lambda key: jnp.array([1.0, 3.0]), lambda x, batch, key: jnp.sum(x**2) / 2
)
TRAIN = oc.trainable(
    PROBLEM, lambda hp: optax.sgd(hp["learning_rate"], momentum=hp["momentum"])
)


def search(space=SPACE, **options):
    return oc.search.optuna(
        TRAIN,
        space,
        ONE,
        20,
        key=jax.random.key(0),
        validation=ONE,
        batch_size=2,
        **{"trials": 12, "batch": 4, **options},
    )


def states(study):
    return [trial.state.name for trial in study.trials]
