import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import optax_cycles.schedules as oc
from optax_cycles import hyperparams


def after_each(schedule, metrics):
    """The value after each metric, in one `scan`."""

    def step(state, metric):
        state = schedule.update(state, value=metric)
        return state, state.value

    metrics = jnp.asarray(metrics, jnp.float32)
    return np.asarray(
        jax.jit(lambda m: jax.lax.scan(step, schedule.init(), m))(metrics)[1]
    )


def machine(metrics, mode="min", threshold_mode="rel", **options):
    """torch's ReduceLROnPlateau in plain Python, with the margin on abs(best)."""
    o = {
        "init_value": 1.0,
        "factor": 0.1,
        "patience": 10,
        "threshold": 1e-4,
        "cooldown": 0,
        "min_value": 0.0,
        "eps": 1e-8,
    } | options
    sign = 1 if mode == "min" else -1
    value, best, bad, wait, seen = o["init_value"], None, 0, 0, []
    for metric in metrics:
        margin = o["threshold"] * (
            abs(best) if best is not None and threshold_mode == "rel" else 1.0
        )
        first = best is None and not math.isnan(metric)
        if first or (best is not None and sign * metric < sign * best - margin):
            best, bad = metric, 0
        else:
            bad += 1
        if wait > 0:
            wait, bad = wait - 1, 0
        if bad > o["patience"]:
            lower = max(value * o["factor"], o["min_value"])
            value = lower if value - lower > o["eps"] else value
            wait, bad = o["cooldown"], 0
        seen.append(value)
    return seen


def test_flat_metrics():
    schedule = oc.reduce_on_plateau(patience=2)
    expected = [1, 1, 1, 0.1, 0.1, 0.1, 0.01]
    np.testing.assert_allclose(after_each(schedule, [1.0] * 7), expected, rtol=1e-6)


RNG = np.random.default_rng(0)
WALK = np.round(np.cumsum(RNG.normal(size=80)), 2)


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("threshold_mode", ["rel", "abs"])
@pytest.mark.parametrize(
    "options",
    [
        {"patience": 0, "factor": 0.5},
        {"patience": 2, "cooldown": 3, "factor": 0.7, "threshold": 0.05},
        {"patience": 1, "min_value": 0.2, "init_value": 2.0},
        {"patience": 1, "factor": 0.9, "eps": 0.06},
    ],
    ids=str,
)
def test_the_state_machine(mode, threshold_mode, options):
    schedule = oc.reduce_on_plateau(mode=mode, threshold_mode=threshold_mode, **options)
    expected = machine(WALK, mode, threshold_mode, **options)
    np.testing.assert_allclose(after_each(schedule, WALK), expected, rtol=1e-5)


def test_negative_metrics_reduce():
    schedule = oc.reduce_on_plateau(patience=1)
    values = after_each(schedule, [-1.0] * 5)
    np.testing.assert_allclose(values, [1, 1, 0.1, 0.1, 0.01], rtol=1e-6)


def test_nan_is_never_better():
    schedule = oc.reduce_on_plateau(patience=1)
    nan = float("nan")
    values = after_each(schedule, [nan, nan, 1.0, nan, nan])
    np.testing.assert_allclose(values, [1, 0.1, 0.1, 0.1, 0.01], rtol=1e-6)


def test_infinite_metrics_are_not_better_than_none():
    schedule = oc.reduce_on_plateau(patience=0)
    values = after_each(schedule, [float("inf"), 2.0, 1.0])
    np.testing.assert_allclose(values, [0.1, 0.1, 0.1], rtol=1e-6)


def test_every_number_may_be_traced():
    def run(numbers):
        return after_state(oc.reduce_on_plateau(**numbers)).value

    def after_state(schedule):
        return jax.lax.fori_loop(
            0, 7, lambda _, s: schedule.update(s, value=1.0), schedule.init()
        )

    numbers = {
        "init_value": jnp.asarray([1.0, 2.0]),
        "factor": jnp.asarray([0.1, 0.5]),
        "patience": jnp.asarray([2, 1]),
        "threshold": jnp.asarray([1e-4, 0.1]),
        "cooldown": jnp.asarray([0, 1]),
        "min_value": jnp.asarray([0.0, 0.1]),
        "eps": jnp.asarray([1e-8, 0.0]),
    }
    values = jax.jit(jax.vmap(run))(numbers)
    for i in range(2):
        own = {k: np.asarray(v)[i].item() for k, v in numbers.items()}
        np.testing.assert_allclose(values[i], machine([1.0] * 7, **own)[-1], rtol=1e-6)


def test_as_a_stateful_schedule_of_an_optimizer():
    schedule = oc.reduce_on_plateau(0.5, patience=1)
    assert isinstance(schedule, optax.schedules.StatefulSchedule)
    optimizer = hyperparams.inject(optax.sgd, {"learning_rate": schedule})
    params = jnp.zeros(())
    state, used = optimizer.init(params), []
    update = jax.jit(optimizer.update)
    for metric in (1.0, 1.0, 1.0, 1.0):
        updates, state = update(jnp.ones(()), state, params, value=metric)
        assert -updates == state.hyperparams["learning_rate"]
        used.append(float(-updates))
    np.testing.assert_allclose(used, [0.5, 0.5, 0.05, 0.05], rtol=1e-6)
    _, same = optimizer.update(jnp.ones(()), state, params)
    assert same.hyperparams_states["learning_rate"].bad == 1


def test_as_a_transformation():
    optimizer = optax.chain(optax.sgd(1.0), oc.scale_by_plateau(patience=1))
    params = {"a": jnp.zeros(2, jnp.bfloat16)}
    state, grads, seen = optimizer.init(params), {"a": jnp.ones(2, jnp.bfloat16)}, []
    for metric in (1.0, 1.0, 1.0, 0.5):
        updates, state = optimizer.update(grads, state, params, value=metric)
        assert updates["a"].dtype == jnp.bfloat16
        seen.append(float(-updates["a"][0]))
    np.testing.assert_allclose(seen, [1, 1, 0.1, 0.1], rtol=4e-3)


def test_a_transformation_without_its_metric_says_so():
    transform = oc.scale_by_plateau()
    with pytest.raises(TypeError, match="value"):
        transform.update(jnp.ones(2), transform.init(None))


def test_the_state_keeps_its_structure_and_dtypes():
    schedule = oc.reduce_on_plateau()
    before = schedule.init()
    after = schedule.update(before, value=1.0)
    assert jax.tree.map(jnp.shape, before) == jax.tree.map(jnp.shape, after)
    assert [x.dtype for x in before] == [x.dtype for x in after]
    assert not any(x.weak_type for x in after)


def test_optax_fires_early_and_never_on_negative_metrics():
    theirs = optax.contrib.reduce_on_plateau(patience=2, factor=0.1)
    state = theirs.init(jnp.zeros(()))
    scales = []
    for metric in (1.0, 1.0, 1.0, 1.0):
        _, state = theirs.update(jnp.ones(()), state, value=metric)
        scales.append(float(state.scale))
    np.testing.assert_allclose(scales, [1, 1, 0.1, 0.1], rtol=1e-6)
    ours = after_each(oc.reduce_on_plateau(patience=2), [1.0] * 4)
    np.testing.assert_allclose(ours, [1, 1, 1, 0.1], rtol=1e-6)


@pytest.mark.peer
@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("threshold_mode", ["rel", "abs"])
@pytest.mark.parametrize("seed", range(4))
def test_torch(mode, threshold_mode, seed):
    import torch

    rng = np.random.default_rng(seed)
    # Positive metrics, on which the two relative margins are the same.
    metrics = np.round(50 + np.cumsum(rng.normal(size=100)), 1)
    options = {
        "factor": float(rng.uniform(0.3, 0.9)),
        "patience": int(rng.integers(0, 5)),
        "threshold": float(rng.uniform(0.001, 0.03)),
        "cooldown": int(rng.integers(0, 4)),
        "eps": 1e-3,
    }
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, mode=mode, threshold_mode=threshold_mode, min_lr=0.01, **options
    )
    expected = []
    for metric in metrics:
        scheduler.step(metric)
        expected.append(optimizer.param_groups[0]["lr"])
    ours = oc.reduce_on_plateau(
        mode=mode, threshold_mode=threshold_mode, min_value=0.01, **options
    )
    np.testing.assert_allclose(after_each(ours, metrics), expected, rtol=1e-5)
