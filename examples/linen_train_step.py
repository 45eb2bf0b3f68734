"""A Flax linen train step with three hyperparameters on one cycle.

Rate, momentum and weight decay of SGDW share the position in a 1cycle policy. The rate
moves as the multiplier, which multiplies the decay too, as the paper has it.

Run it with `python examples/linen_train_step.py`; `--steps 200` is quicker.
"""

import argparse

import jax
import numpy as np
import optax
from flax import linen as nn
from flax.training.train_state import TrainState

import optax_cycles as oc
from optax_cycles.problems import digits

PEAK = 0.05  # from `optax-cycles range-test`


class Classifier(nn.Module):
    """64-128-10."""

    @nn.compact
    def __call__(self, images):
        hidden = nn.relu(nn.Dense(128)(images.reshape(images.shape[0], -1)))
        return nn.Dense(10)(hidden)


def make_optimizer(steps):
    policy = oc.one_cycle_policy(
        steps,
        1.0,
        learning_rate_name="multiplier",
        momentum=(0.85, 0.95),
        weight_decay=(1e-4, 1e-3),
    )
    return oc.sgdw(PEAK, **policy)


@jax.jit
def train_step(state, batch):
    """One update; returns the loss and the hyperparameters that it used."""
    images, labels = batch

    def loss_fn(params):
        logits = state.apply_fn({"params": params}, images)
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

    loss, grads = jax.value_and_grad(loss_fn)(state.params)
    state = state.apply_gradients(grads=grads)
    return state, {"loss": loss, **oc.current_hyperparams(state)}


def main(argv=None):
    """Train; return the validation accuracy and what was logged at each step."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=600)
    steps = parser.parse_args(argv).steps

    data = digits()
    model = Classifier()
    state = TrainState.create(
        apply_fn=model.apply,
        params=model.init(jax.random.key(0), data.train[0][:1])["params"],
        tx=make_optimizer(steps),
    )
    batches = oc.sweep.ArrayBatches(data.train, 32, jax.random.key(1))
    logs = []
    for step, rows in enumerate(batches.indices([0], 0, steps)[0]):
        state, logged = train_step(state, tuple(array[rows] for array in data.train))
        logs.append(logged)
        if step % 50 == 0:
            line = " ".join(f"{name} {value:.5f}" for name, value in logged.items())
            print(f"step {step:4d}  {line}")

    images, labels = data.validation
    logits = model.apply({"params": state.params}, images)
    accuracy = float((logits.argmax(-1) == labels).mean())
    print(f"validation accuracy {accuracy:.4f}")
    return accuracy, jax.tree.map(lambda *values: np.stack(values), *logs)


if __name__ == "__main__":
    main()
