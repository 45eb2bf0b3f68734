"""Hyperparameters that nobody reads are found, however they are read."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import optax_cycles as oc
from optax_cycles.sweep.reads import refusing_unread

HPARAMS = {"rate": jnp.float32(0.1), "decay": jnp.float32(0.2)}
KEY = jax.random.key(0)
DATA = np.ones((32, 2), np.float32)
PARAMS = np.zeros(2, np.float32)


def trainable_of(optimizer):
    problem = oc.problem_from_loss(
        lambda key: jnp.asarray(PARAMS), lambda p, batch, key: jnp.mean(batch @ p)
    )
    return oc.trainable(problem, optimizer)


def by_name(hparams):
    return hparams["rate"] + hparams["decay"]


def by_get(hparams):
    return hparams.get("rate", 1.0) + hparams.get("decay", 1.0)


def unpacked(hparams):
    return by_name(dict(**hparams))


def merged(hparams):
    return by_name({**hparams, "other": 1.0})


def as_items(hparams):
    return sum(value for _, value in hparams.items())


def as_values(hparams):
    return sum(hparams.values())


def as_tree(hparams):
    return sum(jax.tree.leaves(hparams))


def in_a_program(hparams):
    return jax.jit(by_name)(hparams)


def in_a_loop(hparams):
    return jax.lax.fori_loop(0, 1, lambda _, hp: hp, hparams)["rate"]


def step_of(read):
    def step(state, hparams, batch, key):
        return state, {"loss": jnp.asarray(read(hparams), jnp.float32)}

    return refusing_unread("test", oc.Trainable(lambda key, hparams: 0.0, step)).step


@pytest.mark.parametrize(
    "read",
    [by_name, by_get, unpacked, merged, as_items, as_values, as_tree, in_a_program],
)
def test_all_ways_of_reading_count_and_give_the_values(read):
    _, metrics = step_of(read)(0.0, HPARAMS, None, KEY)
    assert float(metrics["loss"]) == pytest.approx(0.3)


def test_hyperparameters_may_go_through_a_loop():
    _, metrics = step_of(in_a_loop)(0.0, HPARAMS, None, KEY)
    assert float(metrics["loss"]) == np.float32(0.1)


@pytest.mark.parametrize(
    "read", [lambda hp: hp["rate"], lambda hp: hp.get("rate", 0.0) + ("decai" in hp)]
)
def test_one_that_is_not_read_is_refused(read):
    with pytest.raises(
        ValueError, match=r"^test: hyperparameter 'decay' is never read; what"
    ):
        step_of(read)(0.0, HPARAMS, None, KEY)


def test_what_only_the_start_reads_is_read():
    train = refusing_unread(
        "test",
        oc.Trainable(
            lambda key, hparams: hparams["decay"],
            lambda state, hparams, batch, key: (state, {"loss": hparams["rate"]}),
        ),
    )
    state = train.init(KEY, HPARAMS)
    assert float(train.step(state, HPARAMS, None, KEY)[1]["loss"]) == np.float32(0.1)


def test_a_trainable_that_reads_nothing_is_told_so():
    with pytest.raises(ValueError, match="is never read; what is trained reads none"):
        step_of(lambda hparams: 1.0)(0.0, HPARAMS, None, KEY)


def test_the_same_trainable_gives_the_same_so_that_programs_are_kept():
    train = oc.Trainable(lambda key, hparams: 0.0, by_name)
    assert refusing_unread("a", train) is refusing_unread("a", train)

    class Unhashable:
        __hash__ = None

        def __call__(self, *args):
            return 0.0, {"loss": jnp.float32(0)}

    odd = oc.Trainable(Unhashable(), Unhashable())
    assert refusing_unread("a", odd).step(0.0, {}, None, KEY)[0] == 0.0


def test_a_sweep_refuses_what_is_mistyped_before_anything_runs():
    """Otherwise all members along that axis would be the same, without a word."""
    train = trainable_of(
        lambda hp: optax.sgd(hp["learning_rate"], hp.get("momentum", 0.9))
    )
    space = {"learning_rate": [0.1, 0.2], "momentun": [0.8, 0.9]}
    message = r"^run: hyperparameter 'momentun' is never read; .* mean 'momentum'\?"
    for swept in (train, oc.sweep.started_from(train, (PARAMS, ()))):
        with pytest.raises(ValueError, match=message):
            oc.sweep.run(swept, space, DATA, 1, key=KEY)


def test_a_sweep_judges_trainables_written_by_hand_and_leaves_seeds_out():
    train = oc.Trainable(
        lambda key, hp: hp["start"] * 1.0,
        lambda state, hp, batch, key: (state, {"loss": hp["rate"] + batch.sum()}),
    )
    space = {"start": [1.0, 2.0], "rate": [1.0, 2.0], "seed": [0, 1]}
    assert oc.sweep.run(train, space, DATA, 1, key=KEY).complete
    with pytest.raises(ValueError, match=r"^run: hyperparameter 'other' is never read"):
        oc.sweep.run(train, space | {"other": [1.0, 2.0]}, DATA, 1, key=KEY)
