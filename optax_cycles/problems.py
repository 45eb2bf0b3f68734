"""The embedded default problem: scikit-learn's handwritten digits."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import optax

from optax_cycles import _checks
from optax_cycles._extras import require
from optax_cycles._typing import Array, Batch, Metrics
from optax_cycles.adapters import problem_from_linen
from optax_cycles.sweep.problem import Problem

_CLASSES = 10
_VALIDATION_EVERY = 5


class Data(NamedTuple):
    """Arrays to train on and to validate with.

    Attributes:
      train: a tuple of arrays, the examples along their leading axis.
      validation: the same of examples that are not in `train`.
    """

    train: tuple[np.ndarray, ...]
    validation: tuple[np.ndarray, ...]


class Task(NamedTuple):
    """A problem with its data: what a command needs to train.

    Attributes:
      problem: the model and its loss.
      train: pytree of arrays, the examples along the leading axis.
      validation: one batch of the same structure.
    """

    problem: Problem
    train: Any
    validation: Any


def digits_task(model: str = "mlp") -> Task:
    """The digits with a small classifier; see `digits` and `digits_problem`.

    Raises:
      MissingExtraError: if scikit-learn or Flax is not installed.
      ValueError: if `model` is unknown.

    Examples:
      >>> task = digits_task("mlp")
      >>> task.validation[1].shape
      (355,)
    """
    return Task(digits_problem(model), *digits())


def digits() -> Data:
    """Scikit-learn's digits: 1,797 images of 8 x 8 pixels in ten classes.

    The split has no randomness: in the data set's own order, every fifth image of
    a class is for validation. It is the same on every machine and in every
    version, holds as near to a fifth of each class as can be, and takes from all
    the writers, whose images follow one another. One mean and one standard
    deviation, those of all the pixels of the training part, standardise both
    parts; per pixel, those that are nearly always empty would be blown up.

    Returns:
      `Data(train, validation)`, each `(images, labels)`: float32 of shape
      [n, 8, 8, 1] and int32 of shape [n], with n = 1,442 and 355.

    Raises:
      MissingExtraError: if scikit-learn is not installed.

    Examples:
      >>> data = digits()
      >>> [part.shape for part in data.train]
      [(1442, 8, 8, 1), (1442,)]
    """
    pixels, labels = _load_digits()
    images = pixels.reshape(-1, 8, 8, 1)
    held_out = _held_out(labels)
    mean, deviation = images[~held_out].mean(), images[~held_out].std()
    standardised = ((images - mean) / deviation).astype(np.float32)
    return Data(
        (standardised[~held_out], labels[~held_out]),
        (standardised[held_out], labels[held_out]),
    )


def _load_digits() -> tuple[np.ndarray, np.ndarray]:
    """Pixels [n, 64] and labels [n], from the file that scikit-learn ships.

    Importing scikit-learn takes longer than a whole range test, so where the file is
    at its usual place it is read without that.
    """
    spec = importlib.util.find_spec("sklearn")
    for package in (spec and spec.submodule_search_locations) or ():
        file = Path(package) / "datasets" / "data" / "digits.csv.gz"
        if file.exists():
            table = np.loadtxt(file, delimiter=",")
            return table[:, :-1], table[:, -1].astype(np.int32)
    datasets = require("sklearn.datasets", "problems", "digits")
    bunch = datasets.load_digits()
    return np.asarray(bunch.data, np.float64), np.asarray(bunch.target, np.int32)


def _held_out(labels: np.ndarray) -> np.ndarray:
    """Which examples are for validation: every fifth of each class, in order."""
    rank = np.empty_like(labels)
    for label in np.unique(labels):
        members = labels == label
        rank[members] = np.arange(members.sum())
    held_out: np.ndarray = rank % _VALIDATION_EVERY == _VALIDATION_EVERY - 1
    return held_out


def digits_problem(model: str = "mlp") -> Problem:
    """A small classifier of the digits, to try a sweep on.

    Args:
      model: `"mlp"`: dense layers 64-128-128-10 (26,122 parameters); or `"cnn"`:
        3 x 3 convolutions to 16 and 32 features, each of stride 2, then dense
        layers 128-64-10 (13,706 parameters). All with ReLU.

    Returns:
      A `Problem` for batches `(images, labels)` of `digits()`. Its loss is the
      mean cross-entropy, its further metric `"accuracy"`, a fraction.

    Raises:
      MissingExtraError: if Flax is not installed.
      ValueError: if `model` is not one of the two names.

    Examples:
      >>> import jax
      >>> problem = digits_problem("cnn")
      >>> params, model_state = problem.init(jax.random.key(0))
      >>> metrics = problem.evaluate(params, model_state, digits().validation)
      >>> sorted(metrics)
      ['accuracy', 'loss']
    """
    _checks.choice("digits_problem", "model", model, _MODELS)
    linen = require("flax.linen", "flax", "digits_problem")
    example = (np.zeros((1, 8, 8, 1), np.float32),)
    return problem_from_linen(_MODELS[model](linen), classification_loss, example)


def classification_loss(logits: Array, batch: Batch) -> tuple[Array, Metrics]:
    """Mean cross-entropy and accuracy of `logits` for a batch `(inputs, labels)`.

    Args:
      logits: of shape [n, classes].
      batch: a tuple whose second element is the labels, integers of shape [n].

    Returns:
      The loss, and `{"accuracy": fraction of the labels hit}`.

    Examples:
      >>> import jax.numpy as jnp
      >>> loss, metrics = classification_loss(jnp.eye(4), (None, jnp.zeros(4, int)))
      >>> float(metrics["accuracy"])
      0.25
    """
    labels = batch[1]
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    accuracy = jnp.mean(jnp.argmax(logits, axis=-1) == labels)
    return jnp.mean(losses), {"accuracy": accuracy}


def _mlp(linen: Any) -> Any:
    return linen.Sequential(
        [
            _flatten,
            linen.Dense(128),
            linen.relu,
            linen.Dense(128),
            linen.relu,
            linen.Dense(_CLASSES),
        ]
    )


def _cnn(linen: Any) -> Any:
    return linen.Sequential(
        [
            linen.Conv(16, (3, 3), strides=2),
            linen.relu,
            linen.Conv(32, (3, 3), strides=2),
            linen.relu,
            _flatten,
            linen.Dense(64),
            linen.relu,
            linen.Dense(_CLASSES),
        ]
    )


def _flatten(images: Array) -> Array:
    return images.reshape(images.shape[0], -1)


_MODELS: dict[str, Callable[[Any], Any]] = {"mlp": _mlp, "cnn": _cnn}
