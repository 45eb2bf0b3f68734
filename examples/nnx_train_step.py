"""A Flax NNX train step with AdamW's rate and first beta on one cycle.

The model has batch normalization and dropout: two views share its variables, one for
training and one for evaluation.

Run it with `python examples/nnx_train_step.py`; `--steps 200` is quicker.
"""

import argparse

import jax
import numpy as np
import optax
from flax import nnx

import optax_cycles as oc
from optax_cycles.problems import digits

PEAK = 0.01


class Classifier(nnx.Module):
    """64-128-10, with batch normalization and dropout."""

    def __init__(self, rngs):
        self.hidden = nnx.Linear(64, 128, rngs=rngs)
        self.norm = nnx.BatchNorm(128, rngs=rngs)
        self.dropout = nnx.Dropout(0.2, rngs=rngs)
        self.out = nnx.Linear(128, 10, rngs=rngs)

    def __call__(self, images):
        hidden = self.hidden(images.reshape(images.shape[0], -1))
        return self.out(self.dropout(nnx.relu(self.norm(hidden))))


def make_optimizer(steps):
    policy = oc.one_cycle_policy(
        steps,
        1.0,
        learning_rate_name="multiplier",
        momentum=(0.85, 0.95),
        momentum_name="b1",
    )
    return oc.adamw(PEAK, **policy, weight_decay=1e-3)


@nnx.jit
def train_step(model, optimizer, batch):
    """One update in place; returns the loss and the hyperparameters that it used."""
    images, labels = batch

    def loss_fn(model):
        logits = model(images)
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

    loss, grads = nnx.value_and_grad(loss_fn)(model)
    optimizer.update(model, grads)
    return {"loss": loss, **oc.current_hyperparams(optimizer)}


@nnx.jit
def accuracy_of(model, batch):
    images, labels = batch
    return (model(images).argmax(-1) == labels).mean()


def main(argv=None):
    """Train; return the validation accuracy and what was logged at each step."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=600)
    steps = parser.parse_args(argv).steps

    data = digits()
    model = Classifier(nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, make_optimizer(steps), wrt=nnx.Param)
    learner = nnx.view(model, deterministic=False, use_running_average=False)
    predictor = nnx.view(model, deterministic=True, use_running_average=True)

    batches = oc.sweep.ArrayBatches(data.train, 32, jax.random.key(1))
    logs = []
    for step, rows in enumerate(batches.indices([0], 0, steps)[0]):
        batch = tuple(array[rows] for array in data.train)
        logs.append(train_step(learner, optimizer, batch))
        if step % 50 == 0:
            line = " ".join(f"{name} {value:.5f}" for name, value in logs[-1].items())
            print(f"step {step:4d}  {line}")

    accuracy = float(accuracy_of(predictor, data.validation))
    print(f"validation accuracy {accuracy:.4f}")
    return accuracy, jax.tree.map(lambda *values: np.stack(values), *logs)


if __name__ == "__main__":
    main()
