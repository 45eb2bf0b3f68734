"""An Equinox train step with SGDW on a cyclical policy.

Rate and momentum go up and down against each other, in triangles whose height halves
after each cycle; only weights decay, not biases.

Run it with `python examples/equinox_train_step.py`; `--steps 200` is quicker.
"""

import argparse

import equinox as eqx
import jax
import numpy as np
import optax

import optax_cycles as oc
from optax_cycles.problems import digits

BASE, PEAK = 0.005, 0.05  # from `optax-cycles range-test`
CYCLES = 3


def make_optimizer(steps):
    policy = oc.cyclical_policy(
        BASE, PEAK, steps // (2 * CYCLES), mode="triangular2", momentum=(0.85, 0.95)
    )

    def is_weight(params):
        return jax.tree.map(lambda array: array.ndim > 1, params)

    return oc.sgdw(**policy, weight_decay=1e-5, mask=is_weight)


def accuracy_of(model, batch):
    images, labels = batch
    return (logits_of(model, images).argmax(-1) == labels).mean()


def logits_of(model, images):
    return jax.vmap(model)(images.reshape(images.shape[0], -1))


@eqx.filter_value_and_grad
def loss_and_grad(model, batch):
    images, labels = batch
    logits = logits_of(model, images)
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


@eqx.filter_jit
def train_step(model, opt_state, optimizer, batch):
    """One update; returns the loss and the hyperparameters that it used."""
    loss, grads = loss_and_grad(model, batch)
    params = eqx.filter(model, eqx.is_inexact_array)
    updates, opt_state = optimizer.update(grads, opt_state, params)
    model = eqx.apply_updates(model, updates)
    return model, opt_state, {"loss": loss, **oc.current_hyperparams(opt_state)}


def main(argv=None):
    """Train; return the validation accuracy and what was logged at each step."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=600)
    steps = parser.parse_args(argv).steps
    if steps < 2 * CYCLES:
        parser.error(f"--steps must be at least {2 * CYCLES}, got {steps}")

    data = digits()
    model = eqx.nn.MLP(64, 10, width_size=128, depth=1, key=jax.random.key(0))
    optimizer = make_optimizer(steps)
    opt_state = optimizer.init(eqx.filter(model, eqx.is_inexact_array))

    batches = oc.sweep.ArrayBatches(data.train, 32, jax.random.key(1))
    logs = []
    for step, rows in enumerate(batches.indices([0], 0, steps)[0]):
        batch = tuple(array[rows] for array in data.train)
        model, opt_state, logged = train_step(model, opt_state, optimizer, batch)
        logs.append(logged)
        if step % 50 == 0:
            line = " ".join(f"{name} {value:.5f}" for name, value in logged.items())
            print(f"step {step:4d}  {line}")

    accuracy = float(accuracy_of(model, data.validation))
    print(f"validation accuracy {accuracy:.4f}")
    return accuracy, jax.tree.map(lambda *values: np.stack(values), *logs)


if __name__ == "__main__":
    main()
