"""Members that start from a snapshot: exactly there, and only where it fits."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from linear import DATA, KEY, PROBLEM

import optax_cycles as oc
from optax_cycles.sweep import started_from

HPARAMS = {"learning_rate": 0.1}
PARAMS = np.array([1.0, -2.0, 3.0, 0.5], np.float32)


def adam(hparams):
    return optax.adam(hparams["learning_rate"])


TRAIN = oc.trainable(PROBLEM, adam)


def trained(trainable=TRAIN, updates=5, hparams=HPARAMS):
    """The state after some updates, by hand."""
    state = trainable.init(jax.random.key(3), hparams)
    step = jax.jit(trainable.step)
    for update in range(updates):
        batch = DATA[update * 8 : update * 8 + 8]
        state, _ = step(state, hparams, batch, jax.random.key(update))
    return state


def assert_equal(found, expected):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_every_member_starts_at_the_snapshot_whatever_its_seed():
    snapshot = trained()
    space = oc.sweep.grid(learning_rate=[1e-3, 1e-2], seed=[0, 1])
    result = oc.sweep.run(
        started_from(TRAIN, snapshot),
        space,
        DATA,
        3,
        key=KEY,
        validation=DATA[:8],
        horizons=[0, 3],
        keep_state=True,
    )
    start = float(jnp.mean((DATA[:8] @ snapshot.params - 1.0) ** 2))
    losses = result.validation["loss"]
    np.testing.assert_allclose(losses[..., 0], start, rtol=1e-6)
    # The seed still orders the data.
    assert len(np.unique(losses[0, :, 1])) == 2
    assert np.all(result.state.opt_state[0].count == 5 + 3)


def test_training_goes_on_as_if_it_had_never_stopped():
    """5 updates, a snapshot, and 3 more are 8 updates."""
    whole, half = trained(updates=8), trained(updates=5)
    state = started_from(TRAIN, half).init(jax.random.key(9), HPARAMS)
    for update in range(5, 8):
        batch = DATA[update * 8 : update * 8 + 8]
        step = jax.jit(TRAIN.step)
        state, _ = step(state, HPARAMS, batch, jax.random.key(update))
    assert_equal(state, whole)


def test_the_last_state_of_a_sweep_is_a_snapshot():
    first = oc.sweep.run(
        TRAIN, {"learning_rate": [0.01, 0.1]}, DATA, 4, key=KEY, keep_state=True
    )
    second = jax.tree.map(lambda leaf: leaf[1], first.state)
    state = started_from(TRAIN, second).init(KEY, HPARAMS)
    np.testing.assert_array_equal(state.params, first.state.params[1])
    assert int(state.opt_state[0].count) == 4


@pytest.mark.parametrize(
    "given", [(PARAMS, ()), oc.TrainState(PARAMS, (), None)], ids=["pair", "state"]
)
def test_without_optimizer_state_the_optimizer_starts_from_the_parameters(given):
    """Lookahead keeps a copy of the parameters: it must be that of the snapshot."""
    state = started_from(TRAIN, given).init(KEY, HPARAMS)
    assert_equal(state.opt_state, adam(HPARAMS).init(jnp.asarray(PARAMS)))
    ema = oc.trainable(PROBLEM, lambda hp: _copying(hp["learning_rate"]))
    state = started_from(ema, given).init(KEY, HPARAMS)
    np.testing.assert_array_equal(state.opt_state[1], PARAMS)


def _copying(rate):
    """An optimizer whose state is a copy of the first parameters."""
    copy = optax.GradientTransformation(
        lambda params: params, lambda updates, state, params=None: (updates, state)
    )
    return optax.chain(optax.scale(-rate), copy)


def test_a_checkpoint_read_back_as_plain_dicts_will_do():
    snapshot = trained()
    slots = snapshot.opt_state[0]
    plain = oc.TrainState(
        np.asarray(snapshot.params),
        (),
        [{"count": np.int32(slots.count), "mu": slots.mu, "nu": slots.nu}, {}],
    )
    assert_equal(started_from(TRAIN, plain).init(KEY, HPARAMS), snapshot)


def test_what_the_tested_optimizer_has_not_is_left_out():
    """A snapshot of a training with a schedule, tested at constant rates."""
    scheduled = oc.trainable(
        PROBLEM, lambda hp: optax.adam(lambda step: hp["learning_rate"] / (step + 1))
    )
    snapshot = trained(scheduled)
    assert int(snapshot.opt_state[1].count) == 5
    state = started_from(TRAIN, snapshot).init(KEY, HPARAMS)
    assert_equal(state.opt_state[0], snapshot.opt_state[0])
    assert jax.tree.leaves(state.opt_state[1]) == []


@pytest.mark.parametrize("wrap", [lambda init: init, jax.jit], ids=["plain", "jit"])
def test_a_slot_that_holds_a_hyperparameter_has_each_members_own(wrap):
    """Otherwise all rates would train at the one of the snapshot.

    The other slots are the snapshot's, also where one call makes all of them.
    """

    def injected(hparams):
        optimizer = optax.inject_hyperparams(optax.sgd)(
            learning_rate=hparams["learning_rate"], momentum=0.9
        )
        return optimizer._replace(init=wrap(optimizer.init))

    train = oc.trainable(PROBLEM, injected)
    snapshot = trained(train, hparams={"learning_rate": jnp.float32(0.1)})
    other = {"learning_rate": jnp.float32(0.025)}
    state = jax.jit(started_from(train, snapshot).init)(KEY, other)
    held = state.opt_state
    assert float(held.hyperparams["learning_rate"]) == np.float32(0.025)
    assert float(snapshot.opt_state.hyperparams["learning_rate"]) == np.float32(0.1)
    assert int(held.count) == 5
    assert_equal(held.inner_state, snapshot.opt_state.inner_state)


def test_a_state_written_by_hand_is_taken_as_a_whole():
    def init(key, hparams):
        return {"x": jax.random.normal(key), "rate": hparams["learning_rate"] * 1.0}

    train = oc.Trainable(init, lambda state, *rest: (state, {"loss": state["x"]}))
    state = started_from(train, {"x": np.float32(7), "rate": np.float32(9)}).init(
        KEY, {"learning_rate": jnp.float32(0.5)}
    )
    assert float(state["x"]) == 7.0
    assert float(state["rate"]) == 0.5
    with pytest.raises(ValueError, match="of another model: it has no 'state/x'"):
        started_from(train, {"rate": np.float32(9)}).init(KEY, HPARAMS)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            (PARAMS[:3], ()),
            r"another model: 'params' must be float32\[4\], got float32",
        ),
        (
            (PARAMS.astype(np.int32), ()),
            r"another model: 'params' must be float32\[4\], got int32\[4\]",
        ),
        (({"w": PARAMS}, ()), "another model: it has no 'params'"),
        ((PARAMS, PARAMS), "another model: it has 'model_state', which is not in"),
        (
            oc.TrainState(PARAMS, (), optax.sgd(0.1, momentum=0.9).init(PARAMS)),
            "another optimizer: it has no 'opt_state/0/count'; opt_state=None st",
        ),
        (
            oc.TrainState(PARAMS, (), optax.adam(0.1).init(PARAMS[:3])),
            r"another optimizer: 'opt_state/0/mu' must be float32\[4\], got float32",
        ),
    ],
    ids=["shape", "dtype", "names", "extra", "optimizer", "slots"],
)
def test_a_snapshot_of_another_model_or_optimizer_is_refused_by_name(given, message):
    with pytest.raises(
        ValueError, match=f"^started_from: the snapshot is of {message}"
    ):
        oc.sweep.run(
            started_from(TRAIN, given), {"learning_rate": [0.1]}, DATA, 1, key=KEY
        )


def test_a_snapshot_of_what_is_no_array_is_refused():
    with pytest.raises(
        TypeError, match="started_from: state/params/w must be an array"
    ):
        started_from(TRAIN, oc.TrainState({"w": "weights"}, (), None))
    with pytest.raises(TypeError, match="started_from: trainable must be a Trainable"):
        started_from(adam, (PARAMS, ()))


def test_later_changes_of_the_callers_arrays_do_not_matter():
    params = PARAMS.copy()
    train = started_from(TRAIN, (params, ()))
    params[:] = 0.0
    np.testing.assert_array_equal(train.init(KEY, HPARAMS).params, PARAMS)


def test_models_of_flax_go_on_with_their_statistics_and_slots():
    """A linen model with BatchNorm, and the `TrainState` of Flax's own training."""
    linen = pytest.importorskip("flax.linen")
    flax_state = pytest.importorskip("flax.training.train_state")

    class Model(linen.Module):
        @linen.compact
        def __call__(self, x, train):
            return linen.Dense(1)(linen.BatchNorm(use_running_average=not train)(x))

    model = Model()
    variables = dict(model.init(jax.random.key(1), DATA[:2], train=True))
    state = flax_state.TrainState.create(
        apply_fn=model.apply, params=variables["params"], tx=optax.adam(0.1)
    )
    state = state.apply_gradients(grads=jax.tree.map(jnp.ones_like, state.params))
    statistics = jax.tree.map(lambda leaf: leaf + 3, variables["batch_stats"])
    problem = oc.problem_from_linen(
        model,
        lambda outputs, batch: jnp.mean(outputs**2),
        (DATA[:2],),
        training={"train": True},
    )
    snapshot = oc.TrainState(state.params, {"batch_stats": statistics}, state.opt_state)
    train = started_from(oc.trainable(problem, adam), snapshot)
    begun = train.init(KEY, HPARAMS)
    assert_equal(begun, snapshot)


def test_nnx_models_go_on_with_their_statistics():
    nnx = pytest.importorskip("flax.nnx")

    class Model(nnx.Module):
        def __init__(self, rngs):
            self.norm = nnx.BatchNorm(4, rngs=rngs)
            self.dropout = nnx.Dropout(0.5, rngs=rngs)
            self.out = nnx.Linear(4, 1, rngs=rngs)

        def __call__(self, x):
            return self.out(self.dropout(self.norm(x)))

    problem = oc.problem_from_nnx(Model, lambda outputs, batch: jnp.mean(outputs**2))
    model = Model(nnx.Rngs(5))
    model(DATA[:8])  # moves the statistics
    _, params, _, rest = nnx.split(model, nnx.Param, nnx.RngState, ...)
    params, rest = nnx.to_pure_dict(params), nnx.to_pure_dict(rest)
    train = started_from(oc.trainable(problem, adam), (params, rest))
    begun = train.init(KEY, HPARAMS)
    assert_equal((begun.params, begun.model_state), (params, rest))
    assert np.any(begun.model_state["norm"]["mean"] != 0)
