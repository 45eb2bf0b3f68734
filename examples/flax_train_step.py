"""A Flax train step with learning rate and momentum on a 1cycle policy.

Run it with `python examples/flax_train_step.py`; `--steps 100` is quicker.
"""

import argparse

import jax
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


@jax.jit
def train_step(state, batch):
    """One update; returns the hyperparameters that it used."""

    def loss_fn(params):
        logits = state.apply_fn({"params": params}, batch[0])
        return optax.softmax_cross_entropy_with_integer_labels(logits, batch[1]).mean()

    loss, grads = jax.value_and_grad(loss_fn)(state.params)
    state = state.apply_gradients(grads=grads)
    return state, {"loss": loss, **state.opt_state.hyperparams}


def main(argv=None):
    """Train, print a line now and then, return the validation accuracy."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=600)
    steps = parser.parse_args(argv).steps

    data = digits()
    model = Classifier()
    policy = oc.one_cycle_policy(steps, PEAK)
    state = TrainState.create(
        apply_fn=model.apply,
        params=model.init(jax.random.key(0), data.train[0][:1])["params"],
        tx=oc.inject(optax.sgd, policy),
    )
    batches = oc.sweep.ArrayBatches(data.train, 32, jax.random.key(1))
    for step, rows in enumerate(batches.indices([0], 0, steps)[0]):
        state, logged = train_step(state, tuple(array[rows] for array in data.train))
        if step % (steps // 10) == 0:
            line = " ".join(f"{name} {value:.4f}" for name, value in logged.items())
            print(f"step {step:4d}  {line}")
    logits = model.apply({"params": state.params}, data.validation[0])
    accuracy = float((logits.argmax(-1) == data.validation[1]).mean())
    print(f"validation accuracy {accuracy:.4f}")
    return accuracy


if __name__ == "__main__":
    main()
