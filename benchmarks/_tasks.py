"""Small tasks that differ in model, optimizer, difficulty and noise.

A task is a problem (model and data) with an optimizer. All data but the digits are
drawn from a fixed seed. On one core a member makes an update in 20 to 60
microseconds, that of the transformer in 200.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from _models import mlp

import optax_cycles as oc
from optax_cycles import problems
from optax_cycles.problems import Task

BATCH = 16
EXAMPLES, VALIDATION = 8192, 256
SYMBOLS, CONTEXT, WIDTH, HEADS = 8, 6, 16, 2


class Optimizer(NamedTuple):
    """An optimizer and where its good rates lie.

    Attributes:
      make: from the learning rate.
      low: the least rate of the fine grid.
      high: the largest one.
    """

    make: Callable[[Any], optax.GradientTransformation]
    low: float
    high: float


OPTIMIZERS = {
    "sgd": Optimizer(optax.sgd, 1e-4, 1e2),
    "momentum": Optimizer(lambda rate: optax.sgd(rate, momentum=0.9), 1e-5, 1e1),
    "adam": Optimizer(optax.adam, 1e-6, 1e0),
    "adamw": Optimizer(lambda rate: optax.adamw(rate, weight_decay=0.01), 1e-6, 1e0),
    "rmsprop": Optimizer(optax.rmsprop, 1e-6, 1e0),
    "adagrad": Optimizer(optax.adagrad, 1e-5, 1e1),
    "lion": Optimizer(optax.lion, 1e-7, 1e-1),
}


def _split(train: int, *arrays: np.ndarray) -> list[tuple[np.ndarray, ...]]:
    """The first examples to train on, the others to validate with."""
    return [tuple(a[:train] for a in arrays), tuple(a[train:] for a in arrays)]


def _mislabelled(labels: np.ndarray, share: float, classes: int) -> np.ndarray:
    """The labels, a share of which is drawn anew among all classes."""
    rng = np.random.default_rng(0)
    wrong = rng.random(len(labels)) < share
    drawn = rng.integers(classes, size=len(labels))
    return np.where(wrong, drawn, labels).astype(np.int32)


def _digits_mlp() -> Task:
    """The digits as they are: little data, a small loss, slight overfitting."""
    return Task(mlp((64, 32, 32, 10)), *problems.digits())


def _digits_cnn() -> Task:
    """The digits, a tenth of them mislabelled: noise that a network can learn."""
    (images, labels), (others, theirs) = problems.digits()
    noisy = _mislabelled(np.concatenate([labels, theirs]), 0.1, 10)
    train, validation = noisy[: len(labels)], noisy[len(labels) :]
    return Task(_cnn(), (images, train), (others, validation))


def _cnn() -> oc.Problem:
    """3 x 3 convolutions of stride 2 to 8 and 16 features, then a dense layer."""
    shapes = ((3, 3, 1, 8), (3, 3, 8, 16), (64, 10))

    def init(key: Any) -> Any:
        keys = jax.random.split(key, len(shapes))
        return [
            (_drawn(k, shape), jnp.zeros(shape[-1]))
            for k, shape in zip(keys, shapes, strict=True)
        ]

    def loss(params: Any, batch: Any, _: Any) -> Any:
        hidden, labels = batch
        for kernel, bias in params[:-1]:
            hidden = jax.lax.conv_general_dilated(
                hidden,
                kernel,
                (2, 2),
                "SAME",
                dimension_numbers=("NHWC", "HWIO", "NHWC"),
            )
            hidden = jax.nn.relu(hidden + bias[None, None, None])
        kernel, bias = params[-1]
        return _cross_entropy(
            _affine(hidden.reshape(len(labels), -1), kernel, bias), labels
        )

    return oc.problem_from_loss(init, loss)


def _drawn(key: Any, shape: tuple[int, ...]) -> Any:
    """Weights of which outputs keep the variance of inputs under ReLU."""
    return jax.random.normal(key, shape) * (2 / np.prod(shape[:-1])) ** 0.5


def _affine(inputs: Any, kernel: Any, bias: Any) -> Any:
    outputs = inputs @ kernel
    return outputs + bias.reshape((1,) * (outputs.ndim - 1) + (-1,))


def _cross_entropy(logits: Any, labels: Any) -> Any:
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


def _clusters_mlp() -> Task:
    """Ten overlapping clusters in 16 dimensions, a fifth mislabelled: easy, noisy."""
    rng = np.random.default_rng(1)
    count = EXAMPLES + VALIDATION
    labels = rng.integers(10, size=count)
    centres = rng.normal(size=(10, 16))
    inputs = (centres[labels] + 0.7 * rng.normal(size=(count, 16))).astype(np.float32)
    noisy = _mislabelled(labels, 0.2, 10)
    return Task(mlp((16, 32, 10)), *_split(EXAMPLES, inputs, noisy))


def _teacher(rng: Any, inputs: np.ndarray, layers: tuple[int, ...]) -> np.ndarray:
    """What a random tanh network makes of standardised inputs, standardised."""
    hidden = inputs
    for before, after in itertools.pairwise((inputs.shape[1], *layers)):
        hidden = np.tanh(hidden @ rng.normal(size=(before, after)) * 2 / before**0.5)
    outputs: np.ndarray = (hidden - hidden.mean(0)) / hidden.std(0)
    return outputs


def _teacher_mlp() -> Task:
    """Classes of a random network, five layers to learn them: hard, without noise."""
    rng = np.random.default_rng(2)
    inputs = rng.normal(size=(EXAMPLES + VALIDATION, 12)).astype(np.float32)
    labels = _teacher(rng, inputs, (12, 5)).argmax(1).astype(np.int32)
    return Task(mlp((12, 24, 24, 24, 24, 5)), *_split(EXAMPLES, inputs, labels))


def _regression_mlp() -> Task:
    """A random network's output plus noise; inputs of scales from 3 to 0.1."""
    rng = np.random.default_rng(3)
    inputs = rng.normal(size=(EXAMPLES + VALIDATION, 12))
    targets = _teacher(rng, inputs, (12, 1))
    targets += 0.5 * rng.normal(size=targets.shape)
    scaled = inputs * np.geomspace(3.0, 0.1, 12)
    parts = _split(EXAMPLES, scaled.astype(np.float32), targets.astype(np.float32))
    return Task(_regression((12, 32, 32, 1)), *parts)


def _regression(layers: tuple[int, ...]) -> oc.Problem:
    """Half the mean squared error of a network with tanh."""

    def init(key: Any) -> Any:
        pairs = list(itertools.pairwise(layers))
        keys = jax.random.split(key, len(pairs))
        return [
            (jax.random.normal(k, pair) / pair[0] ** 0.5, jnp.zeros(pair[1]))
            for k, pair in zip(keys, pairs, strict=True)
        ]

    def loss(params: Any, batch: Any, _: Any) -> Any:
        hidden, targets = batch
        for kernel, bias in params[:-1]:
            hidden = jnp.tanh(_affine(hidden, kernel, bias))
        return jnp.mean((_affine(hidden, *params[-1]) - targets) ** 2) / 2

    return oc.problem_from_loss(init, loss)


def _markov_transformer() -> Task:
    """The next symbol of a chain in which the last two decide; the loss has a floor."""
    rng = np.random.default_rng(4)
    chances = rng.dirichlet(np.full(SYMBOLS, 0.3), size=(SYMBOLS, SYMBOLS))
    count = EXAMPLES + VALIDATION
    chain = rng.integers(SYMBOLS, size=(count, CONTEXT + 1)).astype(np.int32)
    for place in range(2, CONTEXT + 1):
        bounds = chances[chain[:, place - 2], chain[:, place - 1]].cumsum(1)
        drawn = (rng.random((count, 1)) > bounds).sum(1)
        chain[:, place] = np.minimum(drawn, SYMBOLS - 1)
    return Task(_transformer(), *_split(EXAMPLES, chain))


def _transformer() -> oc.Problem:
    """One causal block with a norm before each part, and learned positions."""
    shapes = {
        "symbols": (SYMBOLS, WIDTH),
        "positions": (CONTEXT, WIDTH),
        "attention": (WIDTH, 3 * WIDTH),
        "project": (WIDTH, WIDTH),
        "expand": (WIDTH, 2 * WIDTH),
        "contract": (2 * WIDTH, WIDTH),
        "out": (WIDTH, SYMBOLS),
    }

    def init(key: Any) -> Any:
        keys = jax.random.split(key, len(shapes))
        return {
            name: (jax.random.normal(k, shape) / shape[0] ** 0.5, jnp.zeros(shape[1]))
            for k, (name, shape) in zip(keys, shapes.items(), strict=True)
        }

    def loss(params: Any, batch: Any, _: Any) -> Any:
        (chain,) = batch
        x = jax.nn.one_hot(chain[:, :-1], SYMBOLS) @ params["symbols"][0]
        x = x + params["positions"][0][None]
        x = x + _affine(
            _attend(_affine(_norm(x), *params["attention"])), *params["project"]
        )
        hidden = jax.nn.relu(_affine(_norm(x), *params["expand"]))
        x = x + _affine(hidden, *params["contract"])
        return _cross_entropy(_affine(_norm(x), *params["out"]), chain[:, 1:])

    return oc.problem_from_loss(init, loss)


def _norm(x: Any) -> Any:
    return jax.nn.standardize(x, epsilon=1e-6)


def _attend(mixed: Any) -> Any:
    """Causal attention from queries, keys and values side by side.

    As products that are summed: matrix products of this size cost more to start.
    """
    parts = mixed.reshape(mixed.shape[0], CONTEXT, 3, HEADS, WIDTH // HEADS)
    queries, keys, values = parts[:, :, 0], parts[:, :, 1], parts[:, :, 2]
    scores = (queries[:, :, None] * keys[:, None]).sum(-1) / (WIDTH // HEADS) ** 0.5
    seen = np.tril(np.ones((CONTEXT, CONTEXT), bool))[None, :, :, None]
    weights = jax.nn.softmax(jnp.where(seen, scores, -jnp.inf), axis=2)
    heads = (weights[..., None] * values[:, None]).sum(2)
    return heads.reshape(mixed.shape[0], CONTEXT, WIDTH)


PROBLEMS: dict[str, Callable[[], Task]] = {
    "digits-mlp": _digits_mlp,
    "digits-cnn": _digits_cnn,
    "clusters-mlp": _clusters_mlp,
    "teacher-mlp": _teacher_mlp,
    "regression-mlp": _regression_mlp,
    "markov-transformer": _markov_transformer,
}
# Whatever is tuned is tuned on the first three and published on all.
DEVELOPMENT = ("digits-mlp", "clusters-mlp", "regression-mlp")
TASKS = tuple(f"{p}/{o}" for p in PROBLEMS for o in OPTIMIZERS)
