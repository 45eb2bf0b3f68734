import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import schedule_oracles as oracle
from hypothesis import given, settings
from hypothesis import strategies as st
from schedule_forms import assert_close, assert_values, ulps

import optax_cycles.schedules as oc

MAX = 2**31 - 1


def test_two_phases():
    schedule = oc.one_cycle(10, 25.0, final_div_factor=2.0, anneal="linear")
    assert_values(schedule, [1, 13, 25, 21.5, 18, 14.5, 11, 7.5, 4, 0.5, 0.5, 0.5])


def test_three_phases():
    schedule = oc.one_cycle(
        10, 25.0, pct_start=0.4, final_div_factor=4.0, anneal="linear", three_phase=True
    )
    assert_values(schedule, [1, 9, 17, 25, 17, 9, 1, 0.75, 0.5, 0.25, 0.25])


def test_first_peak_and_last_values_are_exact():
    schedule = oc.one_cycle(1000, 0.1)
    assert float(schedule(0)) == np.float32(0.1 / 25)
    assert float(schedule(299)) == np.float32(0.1)
    for t in (999, 1000, MAX):
        assert float(schedule(t)) == np.float32(0.1 / 25 / 1e4)


@pytest.mark.parametrize("shape", ["cosine", "linear"])
@pytest.mark.parametrize("three_phase", [False, True])
@pytest.mark.parametrize("end", ["inclusive", "exclusive"])
def test_short_runs_and_extreme_shares(shape, three_phase, end):
    for total, pct in itertools.product((1, 2, 3, 7), (0.0, 0.1, 0.3, 0.5, 1.0)):
        levels = [0.04, 1.0, 0.004]
        if three_phase:
            levels.insert(2, 0.04)
        steps = np.arange(total + 3)
        values = _traced(total, pct, shape, three_phase, end, steps)
        expected = oracle.over(
            oracle.one_cycle,
            steps,
            total,
            levels,
            pct=pct,
            shape=shape,
            three_phase=three_phase,
            end=end,
        )
        np.testing.assert_allclose(values, expected, rtol=2e-6)


def _traced(total, pct, shape, three_phase, end, steps):  # noqa: PLR0917
    key = (shape, three_phase, end)
    if key not in _compiled:

        def run(total, pct, steps):
            return oc.one_cycle(
                total,
                1.0,
                pct_start=pct,
                final_div_factor=10.0,
                anneal=shape,
                three_phase=three_phase,
                end=end,
            )(steps)

        _compiled[key] = jax.jit(run)
    values = _compiled[key](total, pct, np.resize(steps, 10))
    return values[: len(steps)]


_compiled = {}


@pytest.mark.parametrize("total", [1_000_003, 2**24 + 9, MAX])
def test_long_runs_keep_their_steps_apart(total):
    edge = int(0.3 * total)
    steps = np.asarray(
        [0, 1, edge - 2, edge - 1, edge, total - 3, total - 2, total - 1]
    )
    levels = [1.0, 25.0, 1e-3]
    expected = oracle.over(oracle.one_cycle, steps, total, levels, pct=0.3)

    def schedule(total, pct=0.3):
        return oc.one_cycle(
            total, 25.0, pct_start=pct, final_div_factor=1e3, anneal="linear"
        )

    assert ulps(jax.jit(schedule(total))(steps), expected) <= 3
    assert ulps(jax.jit(lambda n: schedule(n)(steps))(total), expected) <= 3


def test_the_peak_hit_with_a_traced_share_is_the_same():
    steps = jnp.arange(10)
    run = jax.jit(jax.vmap(lambda p: oc.one_cycle(10, 1.0, pct_start=p)(steps)))
    values = run(jnp.asarray([0.2, 0.3, 0.5]))
    assert values.argmax(1).tolist() == [1, 2, 4]
    assert np.all(values.max(1) == 1.0)


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(total=st.integers(1, 10**6), pct=st.floats(0, 1), t=st.integers(0, 10**6))
def test_values_lie_between_the_last_and_the_peak(total, pct, t):
    steps = np.asarray([t, t + 1, total - 1, total, MAX], np.int32)
    values = np.asarray(_traced(total, pct, "cosine", False, "inclusive", steps))
    assert np.all((values >= np.float32(0.004)) & (values <= 1.0))
    assert len(set(values[2:].tolist())) == 1


def test_it_rises_then_falls():
    values = np.asarray(oc.one_cycle(200, 1.0)(np.arange(200)))
    assert np.all(np.diff(values[:60]) > 0)
    assert np.all(np.diff(values[59:]) < 0)


@pytest.mark.parametrize(("total", "pct"), [(10, 0.3), (200, 0.25), (1000, 0.3)])
def test_optax_with_an_exclusive_end(total, pct):
    steps = np.arange(total + 5)
    theirs = optax.cosine_onecycle_schedule(total, 0.7, pct, 20.0, 300.0)
    ours = oc.one_cycle(
        total,
        0.7,
        pct_start=pct,
        div_factor=20.0,
        final_div_factor=300.0,
        end="exclusive",
    )
    levels = [0.035, 0.7, 0.035 / 300]
    expected = oracle.over(
        oracle.one_cycle, steps, total, levels, pct=pct, shape="cosine", end="exclusive"
    )
    assert_close(ours, expected, steps=steps)
    # optax works in float32 and subtracts near the end, where its last digits are
    # lost: against float64 it is off by up to 1e-4 of its value, so the comparison with
    # it can't be closer than that. How much depends on the version of its cosine.
    values = np.asarray(jax.jit(jax.vmap(theirs))(steps), np.float64)
    error = np.max(np.abs(values / expected - 1))
    assert error < 1e-4


def test_annihilated():
    steps = np.asarray([0, 45, 90, 100, 101, MAX])
    assert_values(
        oc.one_cycle_annihilated(100, 1.0), [0.1, 1, 0.1, 1e-3, 1e-3, 1e-3], steps=steps
    )


@pytest.mark.parametrize("total", [1, 2, 3, 10, 97, 1000])
@pytest.mark.parametrize("pct", [0.0, 0.1, 0.3, 1.0])
def test_annihilated_is_three_lines(total, pct):
    steps = np.arange(0, total, max(total // 50, 1))
    expected = oracle.over(
        oracle.annihilated, steps, total, [0.2, 1.0, 0.2, 0.004], pct=pct
    )
    schedule = oc.one_cycle_annihilated(
        total, 1.0, div_factor=5.0, annihilation_pct=pct, annihilation_div=50.0
    )
    if int(total * (1 - pct) / 2) > 0:
        assert_close(schedule, expected, steps=steps)
    assert np.all(np.isfinite(schedule(np.arange(3))))


def test_annihilated_meets_whole_steps_when_traced():
    def peak(pct, total):
        steps = jnp.arange(100)
        return oc.one_cycle_annihilated(total, 1.0, annihilation_pct=pct)(
            steps
        ).argmax()

    traced = jax.jit(jax.vmap(peak, (0, None)))
    shares = jnp.asarray([0.1, 0.2, 0.3, 0.6, 0.7, 0.9])
    assert traced(shares, 100).tolist() == [45, 40, 35, 20, 15, 5]


SMITH = {
    # Learning rates of the logs behind Smith (2018): base, peak, size -> t: value.
    (0.002, 0.02, 2246): {
        400: 0.0052057,
        2400: 0.0186287,
        4400: 0.000819235,
        4800: 2e-6,
    },
    (0.08, 0.8, 4003): {1000: 0.259865, 5000: 0.600749, 8000: 0.00119905, 9000: 8e-5},
    (0.1, 1.0, 2246): {1200: 0.580855, 2400: 0.931434, 4400: 0.0409617, 4600: 1e-4},
    (0.1, 1.0, 4394): {4000: 0.919299, 7000: 0.406919, 9000: 1e-4, 9600: 1e-4},
}


@pytest.mark.parametrize("run", SMITH)
def test_smith_is_what_the_paper_ran(run):
    points = SMITH[run]
    schedule = oc.one_cycle_smith(*run)
    assert_values(schedule, list(points.values()), steps=list(points), rtol=5e-5)
    steps = np.linspace(0, 2 * run[2] + 100, 60).astype(int)
    expected = oracle.over(oracle.smith, steps, *run)
    assert_close(schedule, expected, steps=steps)


@pytest.mark.peer
@pytest.mark.parametrize("three_phase", [False, True])
@pytest.mark.parametrize("anneal", ["cos", "linear"])
@pytest.mark.parametrize("seed", range(3))
def test_torch(three_phase, anneal, seed):
    import torch

    rng = np.random.default_rng(seed)
    total, peak = int(rng.integers(5, 200)), rng.uniform(0.01, 3.0)
    pct = rng.uniform(0.05, 0.5 if three_phase else 0.95)
    div, final_div = rng.uniform(2, 50), rng.uniform(2, 1000)
    optimizer = torch.optim.SGD(
        [torch.nn.Parameter(torch.zeros(1))], lr=1.0, momentum=0.9
    )
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        peak,
        total_steps=total,
        pct_start=pct,
        anneal_strategy=anneal,
        div_factor=div,
        final_div_factor=final_div,
        three_phase=three_phase,
    )
    values = [scheduler.get_last_lr()[0]]
    for _ in range(total - 1):
        optimizer.step()
        scheduler.step()
        values.append(scheduler.get_last_lr()[0])
    ours = oc.one_cycle(
        total,
        peak,
        pct_start=pct,
        div_factor=div,
        final_div_factor=final_div,
        anneal={"cos": "cosine", "linear": "linear"}[anneal],
        three_phase=three_phase,
    )
    assert_close(ours, values, steps=np.arange(total), rtol=2e-6)


def test_a_traced_size_of_smiths_cycle_may_end_after_all_steps():
    steps = jnp.asarray([750_000_000, 1_500_000_000, 2**31 - 1], jnp.int32)
    size = 1_500_000_000
    found = jax.jit(lambda n: oc.one_cycle_smith(0.1, 1.0, n)(steps))(size)
    down = 1 - (2**31 - 1 - size) / size
    np.testing.assert_allclose(found, [0.55, 1.0, down], rtol=1e-6)
