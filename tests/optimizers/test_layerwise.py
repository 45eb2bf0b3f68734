import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import optax_cycles as oc

PARAMS = {
    "embedding": {"table": jnp.ones((2, 2))},
    "body": {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)},
    "head": {"kernel": jnp.ones((2, 1)), "bias": jnp.ones(1)},
}
DEPTHS = {"embedding": 2, "body": 1, "head": 0}
FULL_DEPTHS = {
    "embedding": {"table": 2},
    "body": {"kernel": 1, "bias": 1},
    "head": {"kernel": 0, "bias": 0},
}


def scales(transformation, params=PARAMS):
    """By what updates of 1 are multiplied, by layer and name."""
    ones = jax.tree.map(jnp.ones_like, params)
    state = transformation.init(params)
    scaled, _ = transformation.update(ones, state, params)
    found = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(scaled):
        values = set(np.asarray(leaf, np.float64).ravel().tolist())
        (found[jax.tree_util.keystr(path, simple=True, separator="/")],) = values
    return found


def of_layers(embedding, body, head):
    """The same scale for all that is in a layer."""
    return {
        "body/bias": body,
        "body/kernel": body,
        "embedding/table": embedding,
        "head/bias": head,
        "head/kernel": head,
    }


def assert_scales(transformation, expected):
    assert scales(transformation) == pytest.approx(expected, rel=1e-6)


ULMFIT = of_layers(1 / 2.6**2, 1 / 2.6, 1.0)


def test_ulmfit_divides_the_rate_by_2_6_from_layer_to_layer():
    assert_scales(oc.layerwise_scale(DEPTHS, 1 / 2.6), ULMFIT)


def test_the_rates_of_ulmfit_in_an_optimizer():
    # The paper's 0.01 for the last layer makes 0.0038 and 0.0015 of the two before it.
    optimizer = optax.chain(optax.sgd(0.01), oc.layerwise_scale(DEPTHS, 1 / 2.6))
    found = scales(optimizer)
    assert found["head/kernel"] == pytest.approx(-0.01)
    assert found["body/kernel"] == pytest.approx(-0.0038, abs=5e-5)
    assert found["embedding/table"] == pytest.approx(-0.0015, abs=5e-5)


LABELS = {
    "tree": FULL_DEPTHS,
    "prefix": DEPTHS,
    "function": lambda params: FULL_DEPTHS,
    "function of a prefix": lambda params: {name: DEPTHS[name] for name in params},
    "numpy": {name: np.int64(depth) for name, depth in DEPTHS.items()},
}


@pytest.mark.parametrize("form", LABELS)
def test_depths_are_a_tree_or_a_prefix_or_a_function(form):
    assert_scales(oc.layerwise_scale(LABELS[form], 1 / 2.6), ULMFIT)


def test_one_depth_is_a_prefix_of_everything():
    assert_scales(oc.layerwise_scale(2, 0.5), of_layers(0.25, 0.25, 0.25))


def test_a_mapping_gives_the_scale_of_each_label():
    labels = {"embedding": "frozen", "body": {"kernel": "slow", "bias": "fast"}}
    labels["head"] = "fast"
    found = scales(
        oc.layerwise_scale(labels, {"frozen": 0.0, "slow": 0.25, "fast": 2.0})
    )
    expected = of_layers(0.0, 0.25, 2.0) | {"body/bias": 2.0}
    assert found == expected


def test_a_decay_of_0_freezes_all_but_the_last_layer():
    assert scales(oc.layerwise_scale(DEPTHS, 0.0)) == of_layers(0.0, 0.0, 1.0)


def test_labels_may_come_from_the_updates_alone():
    transformation = oc.layerwise_scale(lambda updates: DEPTHS, 0.5)
    updates, _ = transformation.update(PARAMS, transformation.init(PARAMS))
    np.testing.assert_array_equal(updates["embedding"]["table"], 0.25)


def embedding_scales(make, values):
    """How the first layer is scaled, for all the values in one program."""

    def one(value):
        transformation = make(value)
        updates, _ = transformation.update(PARAMS, transformation.init(PARAMS), PARAMS)
        return updates["embedding"]["table"][0, 0]

    return jax.jit(jax.vmap(one))(values)


def test_a_decay_may_be_traced():
    decays = jnp.asarray([0.0, 0.25, 0.5, 1 / 2.6])
    found = embedding_scales(lambda decay: oc.layerwise_scale(DEPTHS, decay), decays)
    expected = np.asarray(decays, np.float64) ** 2
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_the_scales_of_a_mapping_may_be_traced():
    labels = {"embedding": "slow", "body": "fast", "head": "fast"}
    values = jnp.asarray([0.0, 0.25, 2.0])
    found = embedding_scales(
        lambda slow: oc.layerwise_scale(labels, {"slow": slow, "fast": 1.0}), values
    )
    np.testing.assert_array_equal(found, values)


def test_a_decay_may_be_differentiated():
    def scale(decay):
        return embedding_scales(
            lambda d: oc.layerwise_scale(DEPTHS, d), decay[None]
        ).sum()

    np.testing.assert_allclose(jax.grad(scale)(jnp.float32(0.3)), 0.6, rtol=1e-6)


@pytest.mark.parametrize("is_last", [True, False])
def test_only_what_comes_before_it_is_scaled(is_last):
    decay, scale = oc.add_decoupled_decay(0.25), oc.layerwise_scale(DEPTHS, 0.5)
    parts = [decay, scale] if is_last else [scale, decay]
    found = scales(optax.chain(optax.sgd(1.0), *parts))
    # Parameters and gradients of 1: the rate takes 1 and the decay 0.25.
    expected = (1.25 * 0.25) if is_last else (0.25 + 0.25)
    assert found["embedding/table"] == -expected


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_updates_keep_their_dtype(dtype):
    updates = {"body": jnp.full(2, 3.0, dtype), "head": jnp.full(2, 3.0)}
    transformation = oc.layerwise_scale({"body": 1, "head": 0}, jnp.float32(1 / 2.6))
    scaled, _ = transformation.update(updates, transformation.init(updates), updates)
    assert (scaled["body"].dtype, scaled["head"].dtype) == (dtype, jnp.float32)
    np.testing.assert_array_equal(scaled["body"], jnp.full(2, 3.0 / 2.6, dtype))
