"""A convolutional network in one cycle, with batch normalization and weight decay.

Kernels decay; biases and the scales of the normalization, which are no weights, do not.
Each epoch is one `lax.scan`.

Run it with `python examples/cnn_one_cycle.py`; `--epochs 5` is quicker.
"""

import argparse
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from flax.training import train_state

import optax_cycles as oc
from optax_cycles.problems import digits
from optax_cycles.sweep.convolution import conv_general_dilated

PEAK = 0.1
BATCH = 32


class Classifier(nn.Module):
    """Three convolutions, the mean over the image, and a dense layer."""

    @nn.compact
    def __call__(self, images, train=False):
        x = images
        for features, stride in ((16, 1), (32, 2), (64, 2)):
            # On a CPU, the convolutions of `lax` are slow in a scan.
            x = nn.Conv(
                features,
                (3, 3),
                stride,
                use_bias=False,
                conv_general_dilated=conv_general_dilated,
            )(x)
            x = nn.relu(nn.BatchNorm(use_running_average=not train, momentum=0.9)(x))
        return nn.Dense(10)(x.mean((1, 2)))


class TrainState(train_state.TrainState):
    """With the running means and variances of the normalization."""

    batch_stats: Any


def make_optimizer(steps):
    policy = oc.one_cycle_policy(steps, 1.0, learning_rate_name="multiplier")

    def is_kernel(params):
        return jax.tree.map(lambda array: array.ndim > 1, params)

    return oc.sgdw(PEAK, **policy, nesterov=True, weight_decay=5e-4, mask=is_kernel)


def loss_fn(params, state, batch, train=False):
    """Mean cross-entropy, accuracy and new running averages."""
    images, labels = batch
    logits, updated = state.apply_fn(
        {"params": params, "batch_stats": state.batch_stats},
        images,
        train=train,
        mutable=["batch_stats"],
    )
    loss = optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()
    accuracy = (logits.argmax(-1) == labels).mean()
    return loss, (accuracy, updated["batch_stats"])


@jax.jit
def train_epoch(state, data, rows):
    """Scan over the batches of an epoch; returns what was logged at each of them."""

    def step(state, rows):
        batch = jax.tree.map(lambda array: array[rows], data)
        (loss, (_, batch_stats)), grads = jax.value_and_grad(loss_fn, has_aux=True)(
            state.params, state, batch, train=True
        )
        state = state.apply_gradients(grads=grads, batch_stats=batch_stats)
        return state, {"loss": loss, **oc.current_hyperparams(state)}

    return jax.lax.scan(step, state, rows)


@jax.jit
def accuracy_of(state, batch):
    return loss_fn(state.params, state, batch)[1][0]


def main(argv=None):
    """Train; return the validation accuracy and what was logged at each step."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=12)
    epochs = parser.parse_args(argv).epochs

    data = jax.tree.map(jnp.asarray, digits())
    steps = epochs * oc.updates_in_epochs(1, len(data.train[1]), BATCH)
    model = Classifier()
    variables = jax.jit(model.init)(jax.random.key(0), data.train[0][:1])
    state = TrainState.create(
        apply_fn=model.apply, tx=make_optimizer(steps), **variables
    )
    batches = oc.sweep.ArrayBatches(data.train, BATCH, jax.random.key(1))
    rows_of_epochs = np.split(batches.indices([0], 0, steps)[0], epochs)
    epoch_logs = []
    for epoch, rows in enumerate(rows_of_epochs, start=1):
        state, logs = train_epoch(state, data.train, rows)
        accuracy = float(accuracy_of(state, data.validation))
        line = " ".join(f"{name} {values[-1]:.5f}" for name, values in logs.items())
        print(f"epoch {epoch:2d}  {line}  validation accuracy {accuracy:.4f}")
        epoch_logs.append(logs)
    return accuracy, jax.tree.map(lambda *logs: np.concatenate(logs), *epoch_logs)


if __name__ == "__main__":
    main()
