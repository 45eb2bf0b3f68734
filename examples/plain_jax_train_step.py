"""AdamW with warm restarts in plain JAX, gradients averaged over small batches.

Each epoch is one `lax.scan`. The rate restarts after 2, 6 and 14 epochs; the weight
decay is normalized by the length of each period, so that one number fits them all.
Under `optax.MultiSteps` the schedules advance by updates, not by small batches.

Run it with `python examples/plain_jax_train_step.py`; `--epochs 6` is quicker.
"""

import argparse
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax

import optax_cycles as oc
from optax_cycles.problems import digits

SMALL_BATCH, BATCHES_PER_UPDATE = 16, 4
PEAK = 0.01


def init_params(key, sizes=(64, 128, 10)):
    """Weights and biases of a multilayer perceptron."""
    init = jax.nn.initializers.he_normal()
    keys = jax.random.split(key, len(sizes) - 1)
    return [
        {"weight": init(key, (inputs, outputs)), "bias": jnp.zeros((1, outputs))}
        for key, inputs, outputs in zip(keys, sizes[:-1], sizes[1:], strict=True)
    ]


def predict(params, images):
    *hidden_layers, last = params
    hidden = images.reshape(images.shape[0], -1)
    for layer in hidden_layers:
        hidden = jax.nn.relu(hidden @ layer["weight"] + layer["bias"])
    return hidden @ last["weight"] + last["bias"]


def loss_fn(params, batch):
    images, labels = batch
    logits = predict(params, images)
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


@partial(jax.jit, static_argnames="optimizer")
def train_epoch(optimizer, params, opt_state, data, rows):
    """Go once over the data; returns the log of each update as well."""

    def step(carry, rows):
        params, opt_state = carry
        batch = jax.tree.map(lambda array: array[rows], data)
        loss, grads = jax.value_and_grad(loss_fn)(params, batch)
        updates, opt_state = optimizer.update(grads, opt_state, params)
        params = optax.apply_updates(params, updates)
        return (params, opt_state), {"loss": loss, **oc.current_hyperparams(opt_state)}

    (params, opt_state), logs = jax.lax.scan(step, (params, opt_state), rows)
    # The last small batch of each update is the one that makes it.
    every = BATCHES_PER_UPDATE
    return params, opt_state, jax.tree.map(lambda log: log[every - 1 :: every], logs)


def main(argv=None):
    """Train; return the validation accuracy and what was logged at each update."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=14)
    epochs = parser.parse_args(argv).epochs

    data = jax.tree.map(jnp.asarray, digits())
    images, labels = data.validation
    updates_in_epochs = partial(
        oc.updates_in_epochs,
        num_examples=len(data.train[1]),
        batch_size=SMALL_BATCH * BATCHES_PER_UPDATE,
    )
    adamwr = oc.adamwr(PEAK, updates_in_epochs(2), normalized_decay=0.02, period_mult=2)
    optimizer = optax.MultiSteps(adamwr, BATCHES_PER_UPDATE).gradient_transformation()
    params = init_params(jax.random.key(0))
    opt_state = optimizer.init(params)

    batches = oc.sweep.ArrayBatches(data.train, SMALL_BATCH, jax.random.key(1))
    steps = epochs * updates_in_epochs(1) * BATCHES_PER_UPDATE
    rows_of_epochs = np.split(batches.indices([0], 0, steps)[0], epochs)
    epoch_logs = []
    for epoch, rows in enumerate(rows_of_epochs, start=1):
        params, opt_state, logs = train_epoch(
            optimizer, params, opt_state, data.train, rows
        )
        accuracy = float((predict(params, images).argmax(-1) == labels).mean())
        line = " ".join(f"{name} {values[-1]:.5f}" for name, values in logs.items())
        print(f"epoch {epoch:2d}  {line}  validation accuracy {accuracy:.4f}")
        epoch_logs.append(logs)
    return accuracy, jax.tree.map(lambda *logs: np.concatenate(logs), *epoch_logs)


if __name__ == "__main__":
    main()
