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


class Greedy:
    """GreedyLR's state machine in plain Python."""

    def __init__(self, init_value, mode="min", threshold_mode="abs", **options):
        self.first, self.mode, self.threshold_mode = init_value, mode, threshold_mode
        self.o = {
            "factor": 0.95,
            "patience": 10,
            "threshold": 1e-6,
            "cooldown": 0,
            "warmup": 0,
            "min_value": 1e-3,
            "max_value": 1.0,
            "eps": 1e-8,
            "window": 1,
            "restart_after": 500,
        } | options
        self.wait = 0
        self.start()

    def start(self):
        self.value, self.best = self.first, None
        self.good = self.bad = self.low = 0
        self.recent = []

    def is_better(self, metric):
        if self.best is None:
            return not math.isnan(metric)
        relative = self.threshold_mode == "rel"
        margin = self.o["threshold"] * (abs(self.best) if relative else 1)
        if self.mode == "min":
            return metric < self.best - margin
        return metric > self.best + margin

    def after(self, metric):
        o = self.o
        self.recent = [*self.recent, metric][-o["window"] :]
        mean = sum(self.recent) / len(self.recent)
        if self.wait:
            self.wait, self.good, self.bad = self.wait - 1, 0, 0
        elif self.is_better(mean):
            self.best, self.good, self.bad = mean, self.good + 1, 0
        else:
            self.good, self.bad = 0, self.bad + 1
        if self.good > o["patience"]:
            self.move(min(self.value / o["factor"], o["max_value"]), 1)
            self.good, self.low, self.wait = 0, 0, o["warmup"]
        if self.bad > o["patience"]:
            self.move(max(self.value * o["factor"], o["min_value"]), -1)
            self.low += self.is_low()
            if self.low >= o["restart_after"]:
                self.start()
            self.bad, self.wait = 0, o["cooldown"]
        return self.value

    def is_low(self):
        return self.value <= self.o["min_value"]

    def move(self, target, sign):
        if sign * (target - self.value) > self.o["eps"]:
            self.value = target


RNG = np.random.default_rng(0)
WALK = np.round(np.cumsum(RNG.normal(size=60)) - np.arange(60) % 30, 2)


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize(
    "options",
    [
        {"patience": 0, "factor": 0.5},
        {"patience": 1, "cooldown": 2, "factor": 0.7, "min_value": 0.05},
        {"patience": 1, "warmup": 2, "factor": 0.8, "threshold_mode": "rel"},
        {"patience": 0, "factor": 0.5, "min_value": 0.1, "restart_after": 3},
        {"patience": 0, "factor": 0.5, "window": 4, "restart_after": 8},
        {"patience": 0, "factor": 0.9, "eps": 0.02},
    ],
    ids=str,
)
def test_the_state_machine(mode, options):
    schedule = oc.greedy(0.3, mode=mode, **options)
    machine = Greedy(0.3, mode, **options)
    expected = [machine.after(metric) for metric in WALK]
    assert len(set(expected)) > 2
    np.testing.assert_allclose(after_each(schedule, WALK), expected, rtol=1e-5)


def test_it_starts_anew_though_a_rounding_is_left_above_the_minimum():
    options = {"factor": 0.6, "patience": 0, "min_value": 0.05, "max_value": 3.0}
    schedule = oc.greedy(1.0, restart_after=3, **options)
    metrics = [5.0] * 8 + [4.0] + [4.0] * 12
    found = after_each(schedule, metrics)
    machine = Greedy(1.0, restart_after=3, **options)
    # In float64 the minimum is reached exactly.
    machine.is_low = lambda: machine.value <= options["min_value"] + 1e-12
    expected = [machine.after(metric) for metric in metrics]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert 1.0 in found[10:]


def test_nan_counts_as_bad_and_leaves_the_window():
    schedule = oc.greedy(0.5, patience=0, factor=0.5, window=2)
    metrics = [float("nan"), 1.0, 1.0, 0.5, 0.25]
    found = after_each(schedule, metrics)
    np.testing.assert_allclose(found, [0.25, 0.125, 0.25, 0.5, 1.0])


def test_every_number_but_the_window_may_be_traced():
    numbers = {
        "init_value": jnp.asarray([0.3, 0.5]),
        "factor": jnp.asarray([0.5, 0.8]),
        "patience": jnp.asarray([0, 1]),
        "threshold": jnp.asarray([0.1, 0.0]),
        "cooldown": jnp.asarray([0, 2]),
        "warmup": jnp.asarray([1, 0]),
        "min_value": jnp.asarray([0.1, 0.2]),
        "max_value": jnp.asarray([0.6, 0.9]),
        "eps": jnp.asarray([0.0, 0.01]),
        "restart_after": jnp.asarray([2, 3]),
    }

    def last(numbers):
        schedule = oc.greedy(**numbers)

        def step(state, metric):
            return schedule.update(state, value=metric), None

        return jax.lax.scan(step, schedule.init(), jnp.asarray(WALK))[0].value

    found = jax.jit(jax.vmap(last))(numbers)
    for member in range(2):
        own = {k: np.asarray(v)[member].item() for k, v in numbers.items()}
        machine = Greedy(**own)
        expected = [machine.after(metric) for metric in WALK][-1]
        np.testing.assert_allclose(found[member], expected, rtol=1e-5)


def test_as_a_stateful_schedule_of_an_optimizer():
    schedule = oc.greedy(0.25, patience=0, factor=0.5)
    assert isinstance(schedule, optax.schedules.StatefulSchedule)
    optimizer = hyperparams.inject(optax.sgd, {"learning_rate": schedule})
    state = optimizer.init(jnp.zeros(()))
    update = jax.jit(optimizer.update)
    for metric, expected in ((2.0, 0.5), (1.0, 1.0), (1.0, 0.5)):
        updates, state = update(jnp.ones(()), state, value=metric)
        assert float(-updates) == expected
    _, same = optimizer.update(jnp.ones(()), state)
    assert same.hyperparams_states["learning_rate"].count == 3


def test_the_state_keeps_its_structure_and_dtypes():
    schedule = oc.greedy(0.1, window=3)
    before = schedule.init()
    after = schedule.update(before, value=1.0)
    assert jax.tree.map(jnp.shape, before) == jax.tree.map(jnp.shape, after)
    assert [x.dtype for x in before] == [x.dtype for x in after]
    assert not any(x.weak_type for x in after)
