"""The engine trains each member as if it were alone."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import optax_cycles as oc
from optax_cycles.sweep import ArrayBatches, Status

KEY = jax.random.key(7)
STEPS = 50
PLACEMENTS = ["map", "vmap"]
DEVICES = [1, 2]


def train(trainable, hparams, data, *, placement="map", devices=2, steps=STEPS):
    """Train a population in one segment; returns members, metrics and engine."""
    engine = oc.sweep.build(
        trainable, placement=placement, devices=jax.devices()[:devices]
    )
    members = engine.init(KEY, hparams)
    seeds = np.unique(members.seed)
    batches = ArrayBatches(data, 8, KEY).segment(seeds, 0, steps, steps)
    members, metrics = engine.advance(members, batches)
    return members, metrics, engine


def alone(trainable, hparams, seed, data):
    """The same training as a plain Python loop over jitted steps: the oracle."""
    init_key, stream = jax.random.split(jax.random.fold_in(KEY, seed))
    hparams = {name: jnp.float32(value) for name, value in hparams.items()}
    state = trainable.init(init_key, hparams)
    rows = ArrayBatches(data, 8, KEY).indices(np.array([seed]), 0, STEPS)[0]
    step = jax.jit(trainable.step)
    losses = []
    for number, row in enumerate(rows):
        batch = jax.tree.map(lambda array, row=row: jnp.asarray(array[row]), data)
        key = jax.random.fold_in(stream, number)
        state, metrics = step(state, hparams, batch, key)
        losses.append(float(metrics["loss"]))
    return state, np.array(losses)


@pytest.fixture(scope="module")
def lone_runs(trainable, space, data):
    members = space.members()
    return [
        alone(
            trainable,
            {"learning_rate": rate, "momentum": momentum},
            int(seed),
            data,
        )
        for rate, momentum, seed in zip(
            members["learning_rate"], members["momentum"], members["seed"], strict=True
        )
    ]


@pytest.fixture(scope="module")
def runs(trainable, space, data):
    """The same population under every placement."""
    return {
        (placement, devices): train(
            trainable, space, data, placement=placement, devices=devices
        )
        for placement in PLACEMENTS
        for devices in DEVICES
    }


@pytest.mark.parametrize("devices", DEVICES)
@pytest.mark.parametrize("placement", PLACEMENTS)
def test_a_member_equals_the_same_run_alone(runs, lone_runs, placement, devices):
    members, metrics, _ = runs[placement, devices]
    for index, (state, losses) in enumerate(lone_runs):
        np.testing.assert_allclose(metrics["loss"][index], losses, rtol=1e-5)
        member = oc.sweep.member_at(members, index)
        chex.assert_trees_all_close(member.state, state, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_devices_do_not_change_results(runs, placement):
    one, two = runs[placement, 1], runs[placement, 2]
    chex.assert_trees_all_equal(
        jax.device_get(one[1]["loss"]), jax.device_get(two[1]["loss"])
    )


def test_members_are_spread_over_the_devices(runs):
    members, _, _ = runs["map", 2]
    assert len(members.step.sharding.device_set) == 2
    assert members.step.addressable_shards[0].data.shape == (3,)


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_permuting_members_permutes_results(trainable, space, data, runs, placement):
    order = np.array([3, 1, 5, 0, 4, 2])
    permuted = {name: values[order] for name, values in space.members().items()}
    _, metrics, _ = train(trainable, permuted, data, placement=placement)
    straight = np.asarray(runs[placement, 2][1]["loss"])
    if placement == "map":
        np.testing.assert_array_equal(metrics["loss"], straight[order])
    np.testing.assert_allclose(metrics["loss"], straight[order], rtol=1e-6)


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_a_nan_member_leaves_the_others_bit_equal(
    trainable, space, data, runs, placement
):
    hparams = dict(space.members())
    hparams["learning_rate"] = hparams["learning_rate"].copy()
    hparams["learning_rate"][2] = 3e38
    members, metrics, _ = train(trainable, hparams, data, placement=placement)
    losses, straight = np.asarray(metrics["loss"]), runs[placement, 2][1]["loss"]
    others = [0, 1, 3, 4, 5]
    np.testing.assert_array_equal(losses[others], np.asarray(straight)[others])
    assert members.status.tolist() == [0, 0, Status.DIVERGED, 0, 0, 0]
    stopped = int(members.step[2])
    assert stopped < STEPS
    assert not np.isfinite(losses[2, stopped - 1])
    assert np.all(np.isnan(losses[2, stopped:]))


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_segments_do_not_change_results(trainable, space, data, runs, placement):
    engine = oc.sweep.build(trainable, placement=placement)
    members = engine.init(KEY, space)
    batches = ArrayBatches(data, 8, KEY)
    parts = []
    for start, length in [(0, 20), (20, 13), (33, 17)]:
        segment = batches.segment(np.array([0, 3]), start, 20, length)
        members, metrics = engine.advance(members, segment)
        loss = np.asarray(metrics["loss"])
        assert np.all(np.isnan(loss[:, length:]))
        parts.append(loss[:, :length])
    np.testing.assert_array_equal(
        np.concatenate(parts, 1), runs[placement, 2][1]["loss"]
    )
    assert engine.compiles == {"init": 1, "advance": 1, "evaluate": 0}


def test_padding_rows_are_marked_and_never_trained(trainable, data):
    hparams = {"learning_rate": [0.1, 0.2, 0.3], "momentum": [0.9] * 3}
    members, metrics, engine = train(trainable, hparams, data)
    assert members.ident.tolist() == [0, 1, 2, -1]
    assert members.step.tolist() == [STEPS, STEPS, STEPS, 0]
    assert np.all(np.isnan(metrics["loss"][3]))
    evaluation = engine.evaluate(members, data)
    assert np.isnan(evaluation["loss"][3])
    assert np.all(np.isfinite(evaluation["loss"][:3]))


def test_members_of_one_seed_start_alike_and_seeds_differ(trainable, space):
    members = oc.sweep.build(trainable).init(KEY, space)
    hidden = np.asarray(members.state.params["hidden"])
    same, other = [0, 2, 4], [1, 3, 5]
    for index in same:
        np.testing.assert_array_equal(hidden[index], hidden[0])
    for index in other:
        assert np.any(hidden[index] != hidden[0])


def test_a_members_results_do_not_depend_on_its_neighbours(trainable, data, runs):
    hparams = {"learning_rate": [0.1], "momentum": [0.9], "seed": [3]}
    _, metrics, _ = train(trainable, hparams, data, devices=1)
    np.testing.assert_array_equal(
        metrics["loss"][0], np.asarray(runs["map", 1][1]["loss"])[5]
    )


def test_evaluation_is_the_problems_own(trainable, problem, runs, data):
    members, _, engine = runs["map", 2]
    metrics = engine.evaluate(members, data)
    for index in range(6):
        params = oc.sweep.member_at(members, index).state.params
        want = problem.evaluate(params, (), data)
        for name in want:
            np.testing.assert_allclose(metrics[name][index], want[name], rtol=1e-5)


def test_an_optimizer_by_schedule_has_its_numbers_traced(problem, data):
    """One program serves 8 different warm-up lengths and peaks."""
    train_ = oc.trainable(
        problem,
        lambda hp: optax.sgd(
            oc.one_cycle(40, hp["peak"], pct_start=hp["warmup"], anneal="linear")
        ),
    )
    hparams = {"peak": np.linspace(0.1, 0.8, 8), "warmup": np.linspace(0.1, 0.8, 8)}
    _, metrics, engine = train(train_, hparams, data)
    assert engine.compiles["advance"] == 1
    assert np.all(np.isfinite(metrics["loss"]))


@pytest.mark.parametrize("length", ["warm_up", "cycle"])
def test_64_lengths_of_a_phase_are_one_program(problem, data, length):
    """Warm-ups of 1 to 64 updates, or cycles of as many, in one compile."""

    def optimizer(hp):
        steps = hp[length]
        if length == "warm_up":
            return optax.sgd(oc.product(oc.warmup(steps), oc.cosine_decay(0.3, STEPS)))
        return optax.sgd(oc.warm_restarts(steps, 0.3, period_mult=2))

    lengths = np.arange(1, 65)
    train_ = oc.trainable(problem, optimizer)
    members, metrics, engine = train(train_, {length: lengths}, data)
    assert engine.compiles["advance"] == 1
    assert len(np.unique(np.asarray(metrics["loss"])[:, -1])) > 48
    state, _ = alone(train_, {length: 7}, 0, data)
    chex.assert_trees_all_close(
        oc.sweep.member_at(members, 6).state, state, rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"placement": "gpu"}, "build: placement must be one of auto, map, vmap"),
        ({"devices": []}, "build: devices must be a non-empty sequence"),
        (
            {"divergence": oc.sweep.Divergence(factor=-1.0)},
            "build: divergence.factor must be a finite number > 0, got -1.0",
        ),
        (
            {"divergence": oc.sweep.Divergence(smoothing=1.0)},
            "build: divergence.smoothing must be a finite number",
        ),
    ],
)
def test_build_names_what_is_wrong(trainable, change, message):
    with pytest.raises(ValueError, match=message):
        oc.sweep.build(trainable, **change)


def test_build_and_init_refuse_wrong_things(trainable):
    with pytest.raises(TypeError, match="build: trainable must be a Trainable"):
        oc.sweep.build(lambda x: x)
    engine = oc.sweep.build(trainable)
    hparams = {"learning_rate": [0.1] * 3, "momentum": [0.9] * 3}
    with pytest.raises(ValueError, match="init: size must be at least 3 and a multip"):
        engine.init(KEY, hparams, size=2)
    with pytest.raises(ValueError, match="evaluate: the trainable has no evaluate"):
        oc.sweep.build(trainable._replace(evaluate=None)).evaluate(None, None)


def test_a_state_may_hold_arrays_of_size_zero(data):
    problem = oc.problem_from_loss(
        lambda key: {"w": jnp.zeros(6), "empty": jnp.zeros((0,))},
        lambda params, batch, key: jnp.mean((batch[0] @ params["w"] - 1.0) ** 2),
    )
    trainable = oc.trainable(problem, lambda hp: optax.sgd(hp["learning_rate"]))
    members, metrics, _ = train(trainable, {"learning_rate": [0.1, 0.2]}, data, steps=3)
    assert members.state.params["empty"].shape == (2, 0)
    assert np.all(np.isfinite(metrics["loss"]))


def test_members_gathered_between_segments_go_on_in_their_new_places(
    trainable, space, data, runs
):
    """What a search does: the rows of a population in another order."""
    order = jnp.array([3, 1, 5, 0, 4, 2])
    engine = oc.sweep.build(trainable)
    members = engine.init(KEY, space)
    batches = ArrayBatches(data, 8, KEY)
    seeds = np.array([0, 3])
    members, _ = engine.advance(members, batches.segment(seeds, 0, 25, 25))
    members = jax.tree.map(lambda leaf: leaf[order], members)
    members, metrics = engine.advance(members, batches.segment(seeds, 25, 25, 25))
    whole = np.asarray(runs["map", 2][1]["loss"])
    np.testing.assert_array_equal(metrics["loss"], whole[np.asarray(order), 25:])
    assert members.ident.tolist() == order.tolist()
