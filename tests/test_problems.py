"""The embedded digits: a split that never changes, and models that learn it."""

import hashlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from sklearn.datasets import load_digits

from optax_cycles import problems
from optax_cycles.problems import classification_loss, digits, digits_problem
from optax_cycles.sweep.trainable import trainable


@pytest.fixture(scope="module")
def data():
    return digits()


def _positions(part):
    """Where each image of a part is in scikit-learn's order."""
    pixels = load_digits().images.reshape(-1, 64)
    # The smallest and the largest pixel of a part are 0 and 16.
    images = part[0].reshape(-1, 64)
    low, high = images.min(), images.max()
    restored = np.rint((images - low) / (high - low) * 16).astype(int)
    where = {tuple(row): i for i, row in enumerate(pixels.astype(int))}
    return np.array([where[tuple(row)] for row in restored])


def test_shapes_and_types(data):
    for (images, labels), count in zip(data, (1442, 355), strict=True):
        assert (images.shape, images.dtype) == ((count, 8, 8, 1), np.float32)
        assert (labels.shape, labels.dtype) == ((count,), np.int32)


def test_split_is_disjoint_and_complete(data):
    train, validation = map(_positions, data)
    assert sorted([*train, *validation]) == list(range(1797))
    for part, positions in zip(data, (train, validation), strict=True):
        np.testing.assert_array_equal(part[1], load_digits().target[positions])


def test_split_is_stratified(data):
    counts = [np.bincount(labels, minlength=10) for _, labels in data]
    np.testing.assert_array_equal(counts[1], sum(counts) // 5)


def test_split_never_changes(data):
    positions = np.concatenate([*map(_positions, data)]).astype("<i4")
    digest = hashlib.sha256(positions.tobytes()).hexdigest()
    assert digest[:16] == "fe95415c64dd1861"


def test_train_part_is_standardised_as_a_whole(data):
    images = data.train[0].astype(np.float64)
    np.testing.assert_allclose([images.mean(), images.std()], [0, 1], atol=1e-6)
    raw = load_digits().images[_positions(data.train)]
    np.testing.assert_allclose(
        images[..., 0], (raw - raw.mean()) / raw.std(), atol=1e-6
    )


@pytest.mark.parametrize(("model", "parameters"), [("mlp", 26_122), ("cnn", 13_706)])
def test_models_learn(data, model, parameters):
    training = trainable(
        digits_problem(model), lambda hp: optax.sgd(hp["rate"], momentum=0.9)
    )
    hparams = {"rate": 0.05}
    state = training.init(jax.random.key(0), hparams)
    assert sum(leaf.size for leaf in jax.tree.leaves(state.params)) == parameters
    indices = np.random.RandomState(0).randint(0, 1442, (150, 64))
    batches = tuple(jnp.asarray(array[indices]) for array in data.train)

    @jax.jit
    def train(state):
        return jax.lax.scan(
            lambda state, batch: training.step(
                state, hparams, batch, jax.random.key(0)
            ),
            state,
            batches,
        )

    before = training.evaluate(state, data.validation)
    state, metrics = train(state)
    after = training.evaluate(state, data.validation)
    assert sorted(after) == sorted(metrics) == ["accuracy", "loss"]
    assert before["accuracy"] < 0.3
    assert after["accuracy"] > 0.93


def test_classification_loss_is_the_formula():
    logits = np.random.RandomState(0).normal(size=(7, 4)).astype(np.float32)
    labels = np.array([0, 1, 2, 3, 0, 1, 2], np.int32)
    loss, metrics = classification_loss(logits, (None, labels))
    wide = logits.astype(np.float64)
    likelihood = np.exp(wide)[np.arange(7), labels] / np.exp(wide).sum(1)
    np.testing.assert_allclose(loss, -np.log(likelihood).mean(), rtol=1e-6)
    hits = np.mean(logits.argmax(1) == labels)
    np.testing.assert_allclose(metrics["accuracy"], hits, rtol=1e-6)


def test_unknown_model_names_the_near_ones():
    with pytest.raises(
        ValueError, match=r"model must be one of cnn, mlp .*'mlp'.*'mpl'"
    ):
        digits_problem("mpl")


def test_the_file_read_is_scikit_learns_own_data():
    bunch = load_digits()
    pixels, labels = problems._load_digits()
    np.testing.assert_array_equal(pixels, bunch.data)
    np.testing.assert_array_equal(labels, bunch.target)


def test_scikit_learn_itself_is_asked_where_the_file_has_moved(monkeypatch):
    pixels, labels = problems._load_digits()
    monkeypatch.setattr(problems.Path, "exists", lambda path: False)
    moved = problems._load_digits()
    np.testing.assert_array_equal(moved[0], pixels)
    np.testing.assert_array_equal(moved[1], labels)
