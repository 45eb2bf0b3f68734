"""Properties of schedules and policies for random lengths and steps.

Each program is compiled once, with its lengths traced, and serves all examples.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from schedule_registry import CASES, compiled

import optax_cycles as oc

MAX = 2**31 - 1
ALL = np.arange(400, dtype=np.int32)
fast = settings(max_examples=30, deadline=None, derandomize=True, database=None)
lengths = st.integers(1, 60)


def program(make):
    """`make(n, m)` at an array of steps, compiled once for all `n` and `m`."""
    return jax.jit(lambda steps, n, m: make(n, m)(steps))


PERIODIC = {
    "triangular": (lambda n, m: oc.triangular(1.0, 3.0, n, step_size_down=m), 1.0),
    "cyclical": (
        lambda n, m: oc.cyclical(
            1.0, 3.0, n, step_size_down=m, scale_fn=lambda cycle: 0.5 + 0 * cycle
        ),
        1.0,
    ),
    "triangular2": (lambda n, m: oc.triangular2(0.0, 2.0, n, step_size_down=m), 0.5),
    "warm_restarts": (lambda n, m: oc.warm_restarts(n + m, 3.0, min_value=1.0), 1.0),
    "warm_restarts, falling peak": (
        lambda n, m: oc.warm_restarts(n + m, 3.0, peak_mult=0.5),
        0.5,
    ),
    "repeat": (lambda n, m: oc.repeat(oc.cosine_decay(1.0, 90), n + m), 1.0),
    "cyclical_policy": (
        lambda n, m: oc.cyclical_policy(1.0, 3.0, n, step_size_down=m)["momentum"],
        1.0,
    ),
    "warm_restarts_policy": (
        lambda n, m: oc.warm_restarts_policy(n + m, 1.0, normalized_decay=1.0)[
            "weight_decay"
        ],
        1.0,
    ),
}


@pytest.mark.parametrize("name", PERIODIC)
def test_cycles_repeat_exactly_or_by_a_factor(name):
    make, factor = PERIODIC[name]
    run = program(make)

    @fast
    @given(n=lengths, m=lengths, cycles=st.integers(1, 8), far=st.booleans())
    def check(n, m, cycles, far):
        period = n + m
        start = MAX // period * period - 9 * period if far and factor == 1.0 else 0
        steps = start + np.arange(64) % period
        here = np.asarray(run(steps, n, m))
        there = np.asarray(run(steps + cycles * period, n, m))
        if factor == 1.0:
            np.testing.assert_array_equal(there, here)
        # A value is counted from the nearer end, which a factor may change.
        np.testing.assert_allclose(there, here * factor**cycles, rtol=3e-7)

    check()


def test_an_exponential_range_shrinks_by_the_same_factor_in_every_cycle():
    run = program(lambda n, m: oc.exp_range(0.0, 1.0, n, step_size_down=m, gamma=0.99))

    @fast
    @given(n=lengths, m=lengths)
    def check(n, m):
        steps = np.arange(64) % (n + m)
        ratio = 0.99 ** (n + m)
        here, there = run(steps, n, m), run(steps + n + m, n, m)
        np.testing.assert_allclose(there, np.asarray(here) * ratio, rtol=3e-6)

    check()


def test_restarts_begin_at_their_peaks_and_fall_in_between():
    @fast
    @given(first=st.integers(4, 40), mult=st.sampled_from([1, 1.2, 1.5, 2, 3]))
    def check(first, mult):
        schedule = oc.warm_restarts(first, 2.0, period_mult=mult, peak_mult=0.5)
        values = np.asarray(schedule(ALL))
        starts = [0, *oc.cycle_starts(schedule, len(ALL)).tolist()]
        expected = 2.0 * 0.5 ** np.arange(len(starts), dtype=np.float32)
        np.testing.assert_array_equal(values[starts], expected)
        rises = set(np.flatnonzero(np.diff(values) > 0) + 1)
        assert rises <= set(starts)

    check()


# Per schedule, the ends of its phases with the sign of the slope in each.
MONOTONE = {
    "triangular": (
        lambda n, m: oc.triangular(1.0, 3.0, n, step_size_down=m),
        lambda n, m: [(n, 1), (n + m, -1)],
    ),
    "one_cycle": (
        lambda n, m: oc.one_cycle(2 * (n + m), 1.0, pct_start=0.5, end="exclusive"),
        lambda n, m: [(n + m, 1), (400, -1)],
    ),
    "one_cycle_annihilated": (
        lambda n, m: oc.one_cycle_annihilated(4 * n, 1.0, annihilation_pct=0.5),
        lambda n, m: [(n, 1), (400, -1)],
    ),
    "one_cycle_smith": (
        lambda n, m: oc.one_cycle_smith(0.1, 1.0, n),
        lambda n, m: [(n, 1), (400, -1)],
    ),
    "warmup_stable_decay": (
        lambda n, m: oc.warmup_stable_decay(1.0, n, m, n),
        lambda n, m: [(n, 1), (n + m, 0), (400, -1)],
    ),
    "noam": (lambda n, m: oc.noam(64, n), lambda n, m: [(n - 1, 1), (400, -1)]),
    "inverse_sqrt": (
        lambda n, m: oc.inverse_sqrt(1.0, n, timescale=m),
        lambda n, m: [(n, 1), (400, -1)],
    ),
    "power_decay": (
        lambda n, m: oc.power_decay(1.0, n, timescale=m, power=0.8),
        lambda n, m: [(n, 1), (400, -1)],
    ),
    "gradual_warmup": (
        lambda n, m: oc.gradual_warmup(oc.linear_decay(1.0, m), n, multiplier=3.0),
        lambda n, m: [(n, 1), (400, -1)],
    ),
    "linear_decay": (lambda n, m: oc.linear_decay(1.0, n, begin=m), None),
    "cosine_decay": (lambda n, m: oc.cosine_decay(1.0, n, begin=m), None),
    "polynomial_decay": (lambda n, m: oc.polynomial_decay(1.0, n, begin=m), None),
    "exponential_decay": (lambda n, m: oc.exponential_decay(1.0, n, 0.8), None),
    "natural_exp_decay": (lambda n, m: oc.natural_exp_decay(1.0, n, 0.5), None),
    "inverse_time_decay": (lambda n, m: oc.inverse_time_decay(1.0, n, 0.5), None),
    "cooldown": (lambda n, m: oc.cooldown(n, m, "1-sqrt"), None),
    "warmup": (lambda n, m: oc.warmup(n, "cosine"), lambda n, m: [(400, 1)]),
    "one_cycle_policy": (
        lambda n, m: oc.one_cycle_policy(
            2 * (n + m), 1.0, pct_start=0.5, end="exclusive"
        )["momentum"],
        lambda n, m: [(n + m, -1), (400, 1)],
    ),
}


@pytest.mark.parametrize("name", MONOTONE)
def test_phases_are_monotone(name):
    make, phases = MONOTONE[name]
    run = program(make)

    @fast
    @given(n=lengths, m=lengths)
    def check(n, m):
        values = np.asarray(run(ALL, n, m))
        begin = 0
        for end, sign in phases(n, m) if phases else [(400, -1)]:
            slopes = np.diff(values[begin : end + 1])
            # A rounding is not a turn.
            room = 2e-7 * np.abs(values).max()
            assert np.all(sign * slopes >= -room) if sign else np.all(slopes == 0)
            begin = end

    check()


CONTINUOUS = {
    "triangular": (lambda n: oc.triangular(0.0, 1.0, n, step_size_down=n // 2), 2.1),
    "warm-up and cosine": (
        lambda n: oc.product(oc.warmup(n, "cosine"), oc.cosine_decay(1.0, 2 * n)),
        3,
    ),
    "one_cycle": (lambda n: oc.one_cycle(n, 1.0), 6),
    "one_cycle, three phases": (lambda n: oc.one_cycle(n, 1.0, three_phase=True), 6),
    "one_cycle_annihilated": (lambda n: oc.one_cycle_annihilated(n, 1.0), 3),
    "one_cycle_smith": (lambda n: oc.one_cycle_smith(0.1, 1.0, n), 1.1),
    "warmup_stable_decay": (
        lambda n: oc.warmup_stable_decay(1.0, n, n, n, decay_shape="cosine"),
        2,
    ),
    "gradual_warmup": (
        lambda n: oc.gradual_warmup(oc.cosine_decay(0.2, n), n, multiplier=5.0),
        2,
    ),
    "inverse_sqrt": (lambda n: oc.inverse_sqrt(1.0, n), 1.1),
    "linear_cosine_decay": (lambda n: oc.linear_cosine_decay(1.0, n), 3),
    "momentum": (lambda n: oc.one_cycle_policy(n, 1.0, momentum=(0, 1))["momentum"], 6),
}


@pytest.mark.parametrize("name", CONTINUOUS)
def test_long_schedules_have_no_jumps(name):
    make, steepest = CONTINUOUS[name]
    run = jax.jit(lambda n: jnp.abs(jnp.diff(make(n)(jnp.arange(4000)))).max())
    for n in (50, 333, 1000, 1777):
        assert float(run(n)) <= steepest / n


@pytest.mark.parametrize("mode", ["triangular", "triangular2", "exp_range"])
def test_momentum_is_the_mirror_image_of_the_rate(mode):
    @jax.jit
    def run(n, m):
        policy = oc.cyclical_policy(
            0.5, 2.5, n, step_size_down=m, mode=mode, gamma=0.98, momentum=(0.75, 1.0)
        )
        return policy["learning_rate"](ALL), policy["momentum"](ALL)

    @fast
    @given(n=lengths, m=lengths)
    def check(n, m):
        rate, momentum = map(np.asarray, run(n, m))
        height = (rate - 0.5) / 2.0
        np.testing.assert_allclose(momentum, 1.0 - 0.25 * height, rtol=3e-7)

    check()


@pytest.mark.parametrize("kind", ["one_cycle", "annihilated", "smith"])
def test_momentum_mirrors_one_cycle_on_both_sides_of_the_peak(kind):
    @jax.jit
    def run(n):
        make = {
            "one_cycle": lambda: oc.one_cycle_policy(
                4 * n, 1.0, pct_start=0.5, final_div_factor=1.0, end="exclusive"
            ),
            "annihilated": lambda: oc.one_cycle_annihilated_policy(
                8 * n, 1.0, annihilation_pct=0.5, div_factor=25.0
            ),
            "smith": lambda: oc.one_cycle_smith_policy(1 / 25, 1.0, 2 * n),
        }
        policy = make[kind]()
        return policy["learning_rate"](ALL), policy["momentum"](ALL)

    @fast
    @given(n=lengths)
    def check(n):
        rate, momentum = map(np.asarray, run(n))
        # Smith's rate aims at 0 on its way down, its momentum at the start.
        last = 2 * n if kind == "smith" else 4 * n
        height = (rate[: last + 1] - 1 / 25) / (1 - 1 / 25)
        expected = 0.95 - 0.1 * height
        np.testing.assert_allclose(momentum[: last + 1], expected[:400], rtol=1e-6)

    check()


@pytest.mark.parametrize("name", [n for n, case in CASES.items() if case.end])
def test_the_end_value_holds_for_all_lengths(name):
    case = CASES[name]
    run, _ = compiled(name)

    @fast
    @given(data=st.data())
    def check(data):
        drawn = {k: data.draw(lengths, label=k) for k in case.lengths}
        # Long after the last phase, and the value that decays to its bound.
        late = 60 * (sum(drawn.values()) + 20)
        steps = np.resize([late, late + 1, 2**24 + 1, MAX], 48).astype(np.int32)
        assert len(set(np.asarray(run({**case.values, **drawn}, steps)).tolist())) == 1

    check()


@pytest.mark.parametrize("name", CASES)
def test_bfloat16_parameters_and_updates_stay_bfloat16(name):
    schedule, params = CASES[name].build(), jnp.ones(3, jnp.bfloat16)
    for optimizer in (
        optax.adam(schedule),
        oc.inject(optax.adam, {"learning_rate": schedule}),
    ):
        state = jax.eval_shape(optimizer.init, params)
        updates, after = jax.eval_shape(optimizer.update, params, state, params)
        assert updates.dtype == jnp.bfloat16
        assert jax.tree.map(lambda x: x.dtype, state) == jax.tree.map(
            lambda x: x.dtype, after
        )
