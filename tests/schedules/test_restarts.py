import fractions
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import schedule_oracles as oracle
from schedule_forms import assert_close, assert_values, ulps

import optax_cycles.schedules as oc
from optax_cycles.schedules import restarts

MAX = 2**31 - 1
FIRSTS = [1, 2, 5, 10, 1000]
MULTS = [1, 2, 3, 10, 1.1, 1.2, 1.5, 2.5]


def walked(first, mult, *, rows=60, round_up=math.ceil):
    """Starts and periods by repeated exact multiplication."""
    factor, start, period = fractions.Fraction(str(mult)), 0, first
    table = []
    while start <= MAX and len(table) < rows:
        table.append((start, period))
        start, period = start + period, max(round_up(period * factor), 1)
    return table


def test_numbers():
    expected = [0.5, 0.5, 0.25, 0.5, (2 + 2**0.5) / 8, 0.25, (2 - 2**0.5) / 8, 0.5]
    assert_values(oc.warm_restarts(1, 0.5, period_mult=2), expected)


def test_fractional_factors_round_each_period_up():
    assert [p for _, p in walked(5, 1.2)][:9] == [5, 6, 8, 10, 12, 15, 18, 22, 27]
    starts, periods = restarts._table(5, 1.2, "ceil", 9)
    assert periods.tolist() == [5, 6, 8, 10, 12, 15, 18, 22, 27]
    assert starts.tolist() == [0, 5, 11, 19, 29, 41, 56, 74, 96]


@pytest.mark.parametrize("first", FIRSTS)
@pytest.mark.parametrize("mult", MULTS)
def test_every_restart_is_on_its_step(first, mult):
    table = walked(first, mult)
    place_of = jax.jit(restarts.restarts("f", first, mult, "ceil", None))
    for i, (start, period) in enumerate(table[1:], 1):
        for t in (start - 1, start, start + 1):
            if t > MAX:
                continue
            row = i - 1 if t < start else i
            if t == start + 1 and period == 1:
                row = i + 1
            place = place_of(np.int32(t))
            begin, length = table[row] if row < len(table) else (t, place.period)
            assert (place.cycle, place.position) == (row, t - begin), t
            assert place.period == min(length, MAX)


@jax.jit
def traced_table(first, mult):
    return restarts._traced_table(first, mult, "ceil", 24)


@pytest.mark.parametrize("first", FIRSTS)
def test_traced_tables_are_the_concrete_ones(first):
    for mult in MULTS:
        starts, periods = traced_table(first, float(mult))
        table = [row for row in walked(first, mult, rows=24) if row[1] < 2**20]
        assert starts[: len(table)].tolist() == [start for start, _ in table]
        assert periods[: len(table)].tolist() == [period for _, period in table]


@pytest.mark.parametrize("rounding", ["ceil", "floor", "nearest"])
def test_shrinking_periods_stop_at_one_step(rounding):
    rounded = {
        "ceil": math.ceil,
        "floor": math.floor,
        "nearest": lambda x: math.floor(x + fractions.Fraction(1, 2)),
    }[rounding]
    table = walked(40, 0.5, rows=8, round_up=rounded)
    _, periods = restarts._table(40, 0.5, rounding, None)
    traced = jax.jit(lambda n, m: restarts._traced_table(n, m, rounding, 8))(40, 0.5)
    assert periods.tolist() == [p for _, p in table][: len(periods)]
    assert traced[1].tolist() == [p for _, p in table]


def test_integer_factors_are_exact_when_traced():
    starts, _ = jax.jit(lambda n, m: restarts._traced_table(n, m, "ceil", 32))(3, 3)
    exact = [3 * (3**i - 1) // 2 for i in range(32)]
    assert starts.tolist() == [min(start, 2**31) for start in exact]


@pytest.mark.parametrize(
    ("first", "mult", "t"), [(1, 3, 121), (1, 10, 111), (1, 1.2, 22)]
)
def test_restarts_that_logarithms_miss(first, mult, t):
    # floor(log(t (m - 1) / T_0 + 1, m)) is one off here, in float32 or in float64.
    schedule = oc.warm_restarts(first, 1.0, period_mult=mult)
    starts = [start for start, _ in walked(first, mult)]
    near = [s for s in starts if abs(s - t) <= 4]
    assert near
    for start in near:
        assert float(schedule(start)) == 1.0


def test_the_peak_decays_with_the_restarts():
    steps = np.arange(40)
    schedule = oc.warm_restarts(5, 2.0, period_mult=2, peak_mult=0.5, min_value=0.1)
    expected = oracle.over(
        oracle.sgdr, steps, 5, 2.0, mult=2, peak_mult=0.5, low=0.1, shape="cosine"
    )
    assert_close(schedule, expected, steps=steps)
    assert float(schedule(5)) == 1.0
    assert float(schedule(15)) == 0.5


def test_equal_periods_go_on_for_ever():
    schedule = jax.jit(oc.warm_restarts(7, 1.0, shape="linear"))
    steps = np.asarray([6, 7, 2**24 + 1, MAX // 7 * 7 - 1, MAX // 7 * 7, MAX], np.int32)
    expected = [1 - t % 7 / 7 for t in steps.tolist()]
    assert ulps(schedule(steps), expected) <= 2


def test_the_last_period_of_a_table_repeats():
    schedule = oc.warm_restarts(2, 1.0, period_mult=2, max_periods=2, shape="linear")
    expected = [1, 0.5, 1, 0.75, 0.5, 0.25, 1, 0.75, 0.5, 0.25, 1]
    assert_values(schedule, expected)


def test_a_traced_period_with_a_factor_of_1_needs_one_row():
    jaxpr = jax.make_jaxpr(lambda n: oc.warm_restarts(n, 1.0)(jnp.asarray(3)))(7)
    assert " ceil" not in str(jaxpr)


@pytest.mark.parametrize("first", [7, 13811, 123457, 600001])
@pytest.mark.parametrize("mult", [1.05, 1.0625, 1.2, 1.2345, 1.5, 2.5, 10.1])
@pytest.mark.parametrize("rounding", ["ceil", "floor", "nearest"])
def test_traced_decimal_factors_are_exact_up_to_the_last_step(first, mult, rounding):
    rounded = {
        "ceil": math.ceil,
        "floor": math.floor,
        "nearest": lambda x: math.floor(x + fractions.Fraction(1, 2)),
    }[rounding]
    table = walked(first, mult, rows=24, round_up=rounded)
    starts, periods = traced_rounded(first, mult, rounding)
    assert starts[: len(table)].tolist() == [start for start, _ in table]
    exact = [min(period, MAX) for _, period in table]
    assert periods[: len(table)].tolist() == exact


@functools.partial(jax.jit, static_argnums=2)
def traced_rounded(first, mult, rounding):
    return restarts._traced_table(first, mult, rounding, 24)


def test_factors_of_more_decimals_are_the_traced_number():
    # 1 + 2**-5 and 1 + 2**-14 are exact in float32, and not four decimals.
    for mult in (1.03125, 1 + 2**-14):
        starts, periods = traced_rounded(600001, mult, "ceil")
        table = walked(600001, mult, rows=24)
        assert starts.tolist() == [start for start, _ in table]
        assert periods.tolist() == [period for _, period in table]


def test_a_traced_restart_is_not_one_step_early():
    @jax.jit
    def value(first, mult, step):
        return oc.warm_restarts(first, 1.0, period_mult=mult)(step)

    start = 600001 + math.ceil(600001 * fractions.Fraction(3, 2))
    assert float(value(600001, 1.5, start)) == 1.0
    assert float(value(600001, 1.5, start - 1)) < 1e-10


def test_growing_peaks_stay_at_the_largest_float():
    schedule = oc.warm_restarts(11, 1.4, peak_mult=1.23)
    limit = 1.4 * math.exp(85.0)
    for step in (11 * 455, 11 * 10**5, MAX // 11 * 11):
        assert float(schedule(step)) == pytest.approx(limit, rel=1e-6)
        slope = jax.grad(lambda g, t: oc.warm_restarts(11, 1.4, peak_mult=g)(t))
        assert np.isfinite(slope(1.23, step))
    assert np.all(np.isfinite(schedule(np.asarray([5000, 10**6, MAX]))))
    assert float(schedule(22)) == pytest.approx(1.4 * 1.23**2, rel=1e-6)
    assert float(oc.warm_restarts(11, 1.4, peak_mult=0.0)(11)) == 0.0


@pytest.mark.peer
@pytest.mark.parametrize(("first", "mult"), [(1, 1), (1, 2), (3, 3), (10, 1), (7, 2)])
def test_torch(first, mult):
    import torch

    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.3)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(
        optimizer, first, mult, eta_min=0.01
    )
    values = []
    for _ in range(200):
        values.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    ours = oc.warm_restarts(first, 0.3, period_mult=mult, min_value=0.01)
    assert_close(ours, values, steps=np.arange(200))


def test_the_gradient_of_a_peak_factor_of_0_is_finite():
    def value(factor, t):
        return oc.warm_restarts(5, 0.5, peak_mult=factor)(t)

    gradients = [float(jax.grad(value)(0.0, t)) for t in (0, 5, 10)]
    np.testing.assert_allclose(gradients, [0.0, 0.5, 0.0], rtol=1e-6)


def test_a_shape_that_is_constant_keeps_the_shape_of_the_steps():
    schedule = oc.warm_restarts(4, 0.5, shape=lambda q: 0.5)
    np.testing.assert_array_equal(schedule(np.arange(5)), np.full(5, 0.25))


@pytest.mark.parametrize("kind", [float, np.float32, np.float64, jnp.float32])
def test_a_factor_is_the_decimal_that_was_written_in_any_dtype(kind):
    schedule = oc.warm_restarts(10, 1.0, period_mult=kind(1.1))
    assert schedule(np.arange(40)).tolist().count(1.0) == 4
    assert [float(schedule(t)) for t in (10, 21, 34)] == [1.0, 1.0, 1.0]


@functools.cache
def _of_traced_period(mult):
    return jax.jit(lambda first, t: oc.warm_restarts(first, 1.0, period_mult=mult)(t))


@pytest.mark.parametrize("mult", [1, 2, 3, 7])
@pytest.mark.parametrize("first", [1, 7, 1000, 2**30 + 1, 2**31 - 1])
def test_a_traced_period_with_a_whole_factor_has_the_starts_of_the_series(first, mult):
    """The starts are first (mult^i - 1) / (mult - 1), in Python's integers."""
    starts = [sum(first * mult**j for j in range(i)) for i in range(6)]
    starts = [start for start in starts if start < 2**31]
    steps = np.array([*starts, *(s - 1 for s in starts[1:])], np.int32)
    # One size, so that each factor is compiled once.
    values = np.asarray(_of_traced_period(mult)(np.int32(first), np.resize(steps, 11)))
    np.testing.assert_array_equal(values[: len(starts)], 1.0)
    assert np.all(values[len(starts) : len(steps)] < 1.0 if first > 1 else True)
