import fractions
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from algorithms import moving, random_gradients, scheduled, trained

import optax_cycles as oc

COUNT, SIZE = 30, 4
THETA = np.linspace(0.5, 2.0, SIZE)
GRADIENTS = random_gradients(COUNT, SIZE)
ETA, DECAY = moving(1.0, 0.1, COUNT), moving(0.02, 0.1, COUNT)
BASES = {
    "lion": lambda: optax.lion(1e-2, weight_decay=0.0),
    "rmsprop": lambda: optax.rmsprop(1e-2),
    "lamb": lambda: optax.lamb(1e-2),
    "sgd": lambda: optax.sgd(1e-3, momentum=0.9),
    "adagrad": lambda: optax.adagrad(1e-1),
}


def by_hand(base, eta, decay):
    """theta + eta (u - lambda theta) in float64, where u comes from the base alone."""
    update = jax.jit(base.update)
    theta, state, seen = THETA, base.init(jnp.asarray(THETA, jnp.float32)), []
    for t in range(COUNT):
        gradient, params = (jnp.asarray(x, jnp.float32) for x in (GRADIENTS[t], theta))
        u, state = update(gradient, state, params)
        theta = theta + eta[t] * (np.asarray(u, np.float64) - decay[t] * theta)
        seen.append(theta)
    return np.stack(seen)


@pytest.mark.parametrize("name", BASES)
def test_any_base_with_a_decay_apart_from_it(name):
    ours = oc.decouple(BASES[name](), scheduled(DECAY), multiplier=scheduled(ETA))
    found = trained(ours, THETA, GRADIENTS)
    expected = by_hand(BASES[name](), ETA, DECAY)
    scale = np.abs(expected).max(axis=0)
    # A rounding of each update, and of its three terms.
    assert (np.abs(found - expected) / scale).max() < 4 * COUNT**0.5 * 2**-24


def test_the_base_moves_as_without_a_decay():
    ours = oc.decouple(BASES["sgd"](), 0.5)
    params = jnp.asarray(THETA, jnp.float32)
    plain = BASES["sgd"]()
    states = ours.init(params), plain.init(params)
    for gradient in jnp.asarray(GRADIENTS[:3], jnp.float32):
        found, ours_state = ours.update(gradient, states[0], params)
        expected, state = plain.update(gradient, states[1], params)
        states = ours_state, state
        np.testing.assert_allclose(found, expected - 0.5 * params, rtol=1e-6)


PARAMS = {
    "body": {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)},
    "head": {"kernel": jnp.ones((2, 1)), "bias": jnp.ones(1)},
}
NO_BIAS = {"kernel": True, "bias": False}
MASKS = {
    "none": (None, {"body/kernel", "body/bias", "head/kernel", "head/bias"}),
    "tree": ({"body": NO_BIAS, "head": NO_BIAS}, {"body/kernel", "head/kernel"}),
    "prefix": ({"body": True, "head": False}, {"body/kernel", "body/bias"}),
    "one": (False, set()),
    "function": (
        lambda params: jax.tree.map(lambda p: p.ndim > 1, params),
        {"body/kernel", "head/kernel"},
    ),
    "function of a prefix": (
        lambda params: {name: name == "head" for name in params},
        {"head/kernel", "head/bias"},
    ),
    "numpy": ({"body": np.False_, "head": np.True_}, {"head/kernel", "head/bias"}),
}
DECOUPLED = {
    "decouple": lambda mask: oc.decouple(optax.sgd(0.5), 0.25, mask=mask),
    "scheduled": lambda mask: oc.decouple(
        optax.sgd(0.5), lambda t: jnp.float32(0.25), mask=mask
    ),
    "part of a chain": lambda mask: optax.chain(
        optax.sgd(0.5), oc.add_decoupled_decay(0.25, mask=mask)
    ),
    "sgdw": lambda mask: oc.sgdw(0.5, weight_decay=0.25, mask=mask),
    "adamw": lambda mask: oc.adamw(0.5, weight_decay=0.25, mask=mask),
}


@pytest.mark.parametrize("make", DECOUPLED)
@pytest.mark.parametrize("name", MASKS)
def test_only_what_the_mask_chooses_decays(make, name):
    mask, chosen = MASKS[name]
    optimizer = DECOUPLED[make](mask)
    gradients = jax.tree.map(jnp.zeros_like, PARAMS)
    updates, _ = optimizer.update(gradients, optimizer.init(PARAMS), PARAMS)
    for path, update in jax.tree_util.tree_leaves_with_path(updates):
        place = jax.tree_util.keystr(path, simple=True, separator="/")
        np.testing.assert_array_equal(update, -0.25 if place in chosen else 0.0)


def test_what_the_mask_leaves_out_still_learns():
    optimizer = DECOUPLED["decouple"](MASKS["tree"][0])
    updates, _ = optimizer.update(PARAMS, optimizer.init(PARAMS), PARAMS)
    np.testing.assert_array_equal(updates["head"]["bias"], -0.5)
    np.testing.assert_array_equal(updates["head"]["kernel"], -0.75)


@pytest.mark.parametrize("eta", [0.5, lambda t: jnp.float32(0.5)], ids=["one", "moves"])
def test_a_metric_reaches_the_base_and_leaves_the_decay(eta):
    # With a patience of 0 the base is scaled by 0.1 as soon as the metric stays.
    base = optax.chain(optax.sgd(1.0), oc.scale_by_plateau(patience=0))
    optimizer = oc.decouple(base, 0.25, multiplier=eta)
    params = jnp.ones(())
    state, seen = optimizer.init(params), []
    for metric in (3.0, 3.0, 2.0, 2.0):
        updates, state = optimizer.update(jnp.ones(()), state, params, value=metric)
        seen.append(float(updates))
    scales = np.asarray([1.0, 0.1, 0.1, 0.01])
    np.testing.assert_allclose(seen, 0.5 * (-scales - 0.25), rtol=1e-6)


def test_what_was_used_can_be_read():
    optimizer = oc.decouple(optax.sgd(0.1), scheduled(DECAY), multiplier=scheduled(ETA))
    params = jnp.ones(())
    state = optimizer.init(params)
    for t in range(5):
        updates, state = optimizer.update(jnp.zeros(()), state, params)
        used = oc.current_hyperparams(state)
        np.testing.assert_allclose(updates, -ETA[t] * DECAY[t], rtol=1e-6)
        assert float(used["multiplier"]) == ETA[t]
        assert float(used["weight_decay"]) == DECAY[t]


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_a_scheduled_decay_does_not_promote(dtype):
    optimizer = oc.decouple(optax.sgd(0.5), scheduled(DECAY))
    params = jnp.full(2, 3.0, dtype)
    updates, _ = optimizer.update(params, optimizer.init(params), params)
    exact = -0.5 * 3.0 - DECAY[0] * 3.0
    np.testing.assert_array_equal(updates, jnp.full(2, exact, dtype))
    assert updates.dtype == dtype


@pytest.mark.parametrize("batches", [1, 4, 391])
@pytest.mark.parametrize("epochs", [1, 2, 100])
def test_the_normalized_decay_is_that_of_the_paper(batches, epochs):
    batch, norm = 32, 0.05
    updates = oc.updates_in_epochs(epochs, batches * batch, batch)
    expected = norm * math.sqrt(batch / (batches * batch * epochs))
    found = oc.normalized_weight_decay(norm, updates)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_the_decay_falls_by_the_root_of_the_period():
    found = [
        oc.normalized_weight_decay(1.0, oc.updates_in_epochs(epochs, 4 * 32, 32))
        for epochs in (2, 4)
    ]
    np.testing.assert_allclose(found, [0.3536, 0.25], atol=5e-5)


@pytest.mark.parametrize("drop", [False, True])
@pytest.mark.parametrize(("examples", "batch"), [(7, 7), (8, 3), (9, 3), (10, 3)])
@pytest.mark.parametrize("epochs", [0, 1, 3])
def test_updates_in_epochs_counts_the_batches_of_a_loader(
    epochs, examples, batch, drop
):
    counted = 0
    for _ in range(epochs):
        for start in range(0, examples, batch):
            counted += not drop or start + batch <= examples
    found = oc.updates_in_epochs(epochs, examples, batch, drop_remainder=drop)
    assert found == counted


@pytest.mark.parametrize("batches", [10, 100, 391])
@pytest.mark.parametrize("epochs", ["0.07", "0.5", "1.1", "2.3", "4.35"])
def test_a_part_of_an_epoch_is_rounded_up_to_whole_updates(epochs, batches):
    exact = math.ceil(fractions.Fraction(epochs) * batches)
    assert oc.updates_in_epochs(float(epochs), batches * 8, 8) == exact


def test_a_module_that_can_be_called_is_a_mask_tree():
    eqx = pytest.importorskip("equinox")
    model = eqx.nn.MLP(2, 1, 3, 1, key=jax.random.key(0))
    params = eqx.filter(model, eqx.is_inexact_array)
    mask = jax.tree.map(lambda leaf: leaf.ndim > 1, params)
    assert callable(mask)
    zeros = jax.tree.map(jnp.zeros_like, params)
    for optimizer in (
        oc.sgdw(0.1, weight_decay=0.5, mask=mask),
        oc.decouple(optax.sgd(0.1), 0.5, mask=mask),
        oc.add_decoupled_decay(0.5, mask=mask),
    ):
        updates, _ = optimizer.update(zeros, optimizer.init(params), params)
        layer = params.layers[0]
        np.testing.assert_array_equal(updates.layers[0].weight, -0.5 * layer.weight)
        np.testing.assert_array_equal(updates.layers[0].bias, 0.0 * layer.bias)


def test_part_of_an_epoch_may_be_a_float32():
    assert oc.updates_in_epochs(np.float32(1.1), 100, 1) == 110
