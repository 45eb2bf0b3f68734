"""One small problem and its engines, compiled once for all the engine's tests."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import optax_cycles as oc

FEATURES, CLASSES = 6, 3


def _make_data(examples=60):
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(examples, FEATURES)).astype(np.float32)
    labels = np.argmax(inputs[:, :CLASSES] + inputs[:, CLASSES:], axis=1)
    return inputs, labels.astype(np.int32)


def _init(key):
    first, second = jax.random.split(key)
    return {
        "hidden": jax.random.normal(first, (FEATURES, 8)) / FEATURES**0.5,
        "out": jax.random.normal(second, (8, CLASSES)) / 8**0.5,
    }


def _loss(params, batch, key):
    inputs, labels = batch
    # Noise on the inputs, so that each member's random stream matters.
    inputs = inputs + 0.1 * jax.random.normal(key, inputs.shape)
    logits = jnp.tanh(inputs @ params["hidden"]) @ params["out"]
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


def _evaluate(params, batch):
    inputs, labels = batch
    logits = jnp.tanh(inputs @ params["hidden"]) @ params["out"]
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    return {
        "loss": losses.mean(),
        "accuracy": jnp.mean(logits.argmax(-1) == labels),
    }


def _optimizer(hparams):
    return optax.sgd(hparams["learning_rate"], momentum=hparams["momentum"])


@pytest.fixture(scope="session")
def data():
    """60 examples, linearly separable into 3 classes."""
    return _make_data()


@pytest.fixture(scope="session")
def problem():
    return oc.problem_from_loss(_init, _loss, evaluate=_evaluate)


@pytest.fixture(scope="session")
def trainable(problem):
    return oc.trainable(problem, _optimizer)


@pytest.fixture(scope="session")
def space():
    """6 members whose training is stable, so that rounding does not grow in it."""
    return oc.sweep.grid(learning_rate=[0.01, 0.03, 0.1], momentum=[0.9], seed=[0, 3])
