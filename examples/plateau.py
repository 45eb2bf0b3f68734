"""A rate that is cut when the validation loss stops improving.

The plateau must follow the validation loss, each measurement once: the loss of a batch
is noise, and an old measurement that is given again looks like a plateau. So the train
steps right after a validation are given its loss, and all others None.

Run it with `python examples/plateau.py`; `--steps 300` is quicker.
"""

import argparse

import jax
import numpy as np
import optax
from flax import linen as nn
from flax.training.train_state import TrainState

import optax_cycles as oc
from optax_cycles.problems import digits

RATE = 0.1
STEPS_PER_VALIDATION = 20
PLATEAU = {"factor": 0.3, "patience": 2, "threshold": 0.01}


class Classifier(nn.Module):
    """64-128-10."""

    @nn.compact
    def __call__(self, images):
        hidden = nn.relu(nn.Dense(128)(images.reshape(images.shape[0], -1)))
        return nn.Dense(10)(hidden)


def loss_fn(params, state, batch):
    images, labels = batch
    logits = state.apply_fn({"params": params}, images)
    loss = optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()
    return loss, (logits.argmax(-1) == labels).mean()


@jax.jit
def train_step(state, batch, validation_loss=None):
    """One update, whose rate follows `validation_loss` if there is a new one."""
    grads, _ = jax.grad(loss_fn, has_aux=True)(state.params, state, batch)
    # TrainState.apply_gradients has no way to pass a metric on.
    updates, opt_state = state.tx.update(
        grads, state.opt_state, state.params, value=validation_loss
    )
    params = optax.apply_updates(state.params, updates)
    return state.replace(step=state.step + 1, params=params, opt_state=opt_state)


@jax.jit
def validate(state, batch):
    return loss_fn(state.params, state, batch)


def main(argv=None):
    """Train; return the accuracy, the validation losses and the rate after each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=600)
    steps = parser.parse_args(argv).steps
    if steps <= STEPS_PER_VALIDATION:
        parser.error(f"--steps must be above {STEPS_PER_VALIDATION}, got {steps}")

    data = digits()
    model = Classifier()
    state = TrainState.create(
        apply_fn=model.apply,
        params=model.init(jax.random.key(0), data.train[0][:1])["params"],
        tx=oc.sgdw(oc.reduce_on_plateau(RATE, **PLATEAU)),
    )
    batches = oc.sweep.ArrayBatches(data.train, 32, jax.random.key(1))
    losses, rates = [], []
    for step, rows in enumerate(batches.indices([0], 0, steps)[0]):
        batch = tuple(array[rows] for array in data.train)
        if step == 0 or step % STEPS_PER_VALIDATION:
            state = train_step(state, batch)
            continue
        loss, accuracy = validate(state, data.validation)
        state = train_step(state, batch, loss)
        losses.append(float(loss))
        rates.append(float(oc.current_hyperparams(state)["learning_rate"]))
        print(
            f"step {step:4d}  validation loss {loss:.4f}"
            f" accuracy {accuracy:.4f} learning_rate {rates[-1]:.5f}"
        )
    return float(accuracy), np.array(losses), np.array(rates)


if __name__ == "__main__":
    main()
