"""Inputs that once gave wrong results without a word."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import optax_cycles as oc
from optax_cycles.sweep import ArrayBatches

KEY = jax.random.key(0)
X = np.random.default_rng(0).normal(size=(24, 3)).astype(np.float32)


def trained(loss, init=lambda key: jnp.ones(3)):
    problem = oc.problem_from_loss(init, loss)
    return oc.trainable(problem, lambda hp: optax.sgd(hp["learning_rate"]))


TRAIN = trained(lambda p, batch, key: jnp.mean((batch @ p - 1) ** 2))


def losses(train=TRAIN, data=X, steps=12, rates=(0.1,), **options):
    if isinstance(data, np.ndarray):
        options = {"batch_size": 4} | options
    result = oc.sweep.run(
        train, {"learning_rate": np.asarray(rates)}, data, steps, key=KEY, **options
    )
    return result.train["loss"]


def plain(batches, rate=0.1):
    """The losses of gradient descent, in NumPy and float64."""
    p, found = np.ones(3), []
    for batch in np.asarray(batches, np.float64):
        residual = batch @ p - 1
        found.append(np.mean(residual**2))
        p = p - rate * 2 * batch.T @ residual / len(batch)
    return found


@pytest.mark.parametrize("jitted", ["loss", "init"])
def test_constants_inside_a_jitted_function_are_part_of_the_problem(jitted, tmp_path):
    def train(value):
        value = np.full(3, value, np.float32)
        loss = lambda p, batch, key: jnp.sum((p - value) ** 2)  # noqa: E731
        init = lambda key: jnp.asarray(value) * 2  # noqa: E731
        if jitted == "loss":
            return trained(jax.jit(loss))
        return trained(lambda p, batch, key: jnp.sum(p**2), jax.jit(init))

    losses(train(0.0), checkpoint=tmp_path)
    with pytest.raises(ValueError, match="differs in problem"):
        losses(train(9.0), checkpoint=tmp_path)
    losses(train(0.0), checkpoint=tmp_path)


@pytest.mark.parametrize("segment", [1, 5])
def test_an_iterable_may_fill_one_buffer_again_and_again(segment):
    batches = X.reshape(6, 4, 3)

    def reusing():
        buffer = np.empty((4, 3), np.float32)
        for batch in batches:
            buffer[:] = batch
            yield buffer

    found = losses(data=reusing(), steps=6, segment=segment)
    np.testing.assert_allclose(found[0], plain(batches), rtol=1e-5)


def test_unsigned_hyperparameters_do_not_wrap():
    unsigned = losses(rates=np.array([0, 1], np.uint8))
    np.testing.assert_array_equal(unsigned, losses(rates=np.array([0, 1])))


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int16, jnp.int32])
def test_small_integers_do_not_overflow(kind):
    found = losses(batch_size=kind(16), steps=kind(40), segment=kind(20))
    np.testing.assert_array_equal(found, losses(batch_size=16, steps=40, segment=20))
    batches = ArrayBatches(np.arange(24), kind(16), KEY)
    np.testing.assert_array_equal(
        batches.indices([0], 100, 3),
        ArrayBatches(np.arange(24), 16, KEY).indices([0], 100, 3),
    )


def test_orders_of_very_many_examples_do_not_overflow():
    count = 2**31 - 1
    many = ArrayBatches(np.broadcast_to(np.int8(0), (count,)), 1000, KEY)
    last = count // 1000 - 3
    together = many.indices([0], last, 8)
    alone = [many.indices([0], last + i, 1)[0, 0] for i in range(8)]
    np.testing.assert_array_equal(together[0], alone)
    assert together.min() >= 0


def test_keys_whose_numbers_depend_on_neighbours_are_refused_side_by_side():
    options = {"batch_size": 4, "key": jax.random.key(0, impl="rbg")}
    space = oc.sweep.grid(learning_rate=[0.1, 0.2], seed=[0, 1])
    with pytest.raises(ValueError, match="key must be of a kind whose numbers don't"):
        oc.sweep.run(TRAIN, space, X, 5, placement="vmap", **options)
    noisy = trained(
        lambda p, batch, key: jnp.mean((batch @ p) ** 2),
        lambda key: jax.random.normal(key, (3,)),
    )
    found = oc.sweep.run(noisy, space, X, 5, placement="map", **options)
    # Members of one seed begin alike.
    first = found.train["loss"][:, :, 0]
    np.testing.assert_array_equal(first[0], first[1])


def test_programs_are_traced_anew_under_another_configuration():
    noisy = trained(
        lambda p, b, key: jnp.sum(p) * 0 + jax.random.normal(jax.random.key(0))
    )
    usual = losses(noisy, steps=3)
    with jax.enable_x64(True):
        other = losses(noisy, steps=3)
        expected = float(jax.random.normal(jax.random.key(0)))
    assert usual[0, 0] != np.float32(other[0, 0])
    assert other[0, 0] == expected


def test_states_with_empty_arrays_are_saved(tmp_path):
    def train():
        return trained(
            lambda p, batch, key: jnp.mean((batch @ p["w"]) ** 2),
            lambda key: {"w": jnp.ones(3), "empty": jnp.zeros((0, 2))},
        )

    def stop(progress):
        if progress.done >= 6:
            raise KeyboardInterrupt

    saved = {"checkpoint": tmp_path, "checkpoint_every": 0.0, "segment": 3}
    with pytest.raises(oc.sweep.Interrupted):
        losses(train(), progress=stop, **saved)
    np.testing.assert_array_equal(losses(train(), **saved), losses(train(), segment=3))


@pytest.mark.parametrize("name", ["train_loss", "validation_loss", "hparams_x"])
def test_names_of_results_are_no_hyperparameters(name):
    with pytest.raises(ValueError, match="can't be the name of a hyperparameter"):
        oc.sweep.run(TRAIN, {name: [0.1]}, X, 2, key=KEY)


def test_errors_come_back_from_another_process():
    error = oc.sweep.SweepError("stopped", {"a": 1})
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.result) == (str(error), {"a": 1})


def test_a_segment_makes_no_more_updates_than_it_has():
    with pytest.raises(ValueError, match=r"length must be at most steps \(3\), got 6"):
        ArrayBatches(X, 4, KEY).segment([0], 0, 3, 6)
