import jax
import jax.numpy as jnp
import numpy as np
import pytest
import schedule_oracles as oracle
from hypothesis import given, settings
from hypothesis import strategies as st
from schedule_forms import assert_close, assert_values, ulps

import optax_cycles.schedules as oc

MAX = 2**31 - 1


def test_triangular_numbers():
    assert_values(oc.triangular(1.0, 5.0, 4), [1, 2, 3, 4, 5, 4, 3, 2, 1, 2, 3])


def test_triangular2_numbers():
    first = [1, 2, 3, 4, 5, 4, 3, 2, 1, 1.5, 2, 2.5, 3, 2.5, 2, 1.5]
    then = [1, 1.25, 1.5, 1.75, 2, 1.75]
    assert_values(oc.triangular2(1.0, 5.0, 4), first + then)


def test_uneven_numbers():
    descent = [5, 13 / 3, 11 / 3, 3, 7 / 3, 5 / 3]
    schedule = oc.triangular(1.0, 5.0, 4, step_size_down=6)
    assert_values(schedule, [1, 2, 3, 4, *descent, 1])


def test_exp_range_numbers():
    tri = np.asarray([0, 0.25, 0.5, 0.75, 1, 0.75, 0.5, 0.25, 0, 0.25, 0.5])
    expected = 1 + 4 * tri * 0.9 ** np.arange(11)
    assert_values(oc.exp_range(1.0, 5.0, 4, gamma=0.9), expected)


def test_the_momentum_of_a_cycle_is_its_mirror_image():
    assert_values(oc.triangular(5.0, 1.0, 4), [5, 4, 3, 2, 1, 2, 3, 4, 5, 4, 3])


def test_a_cycle_without_a_descent_is_a_saw():
    assert_values(oc.triangular(0.0, 3.0, 3, step_size_down=0), [0, 1, 2, 0, 1, 2])


def test_the_scale_function_gets_the_cycle_from_1_or_the_step_from_0():
    def inverse(x):
        return 1.0 / (1 + x)

    steps = np.arange(20)
    by_cycle = oc.cyclical(0.0, 6.0, 2, scale_fn=inverse)
    by_step = oc.cyclical(0.0, 6.0, 2, scale_fn=inverse, scale_mode="iterations")
    expected = oracle.over(oracle.clr, steps, 0, 6, 2, scale=lambda t, c: 1 / (1 + c))
    assert_values(by_cycle, expected)
    expected = oracle.over(oracle.clr, steps, 0, 6, 2, scale=lambda t, c: 1 / (1 + t))
    assert_values(by_step, expected)


@pytest.mark.parametrize(("up", "down"), [(3, 4), (1, 1), (1000, 1), (4097, 70001)])
def test_cycles_are_exact_to_the_last_step(up, down):
    period = up + down
    steps = [
        cycle * period + shift
        for cycle in (1, 2, 2**24 // period, 2**24 // period + 1, MAX // period)
        for shift in (-1, 0, 1, up - 1, up, up + 1)
    ]
    steps = [t for t in steps if t <= MAX]
    schedule = jax.jit(oc.triangular(1.0, 3.0, up, step_size_down=down))
    expected = oracle.over(oracle.clr, steps, 1, 3, up, down=down)
    assert ulps(schedule(np.asarray(steps, np.int32)), expected) <= 2


def test_a_cycle_may_be_as_long_as_the_run():
    steps = np.asarray([0, 1, 2**24 + 1, 2**30 - 1, 2**30, MAX - 1], np.int32)
    schedule = oc.triangular(0.0, 1.0, 2**30 - 1)
    expected = oracle.over(oracle.clr, steps, 0.0, 1.0, 2**30 - 1)
    np.testing.assert_allclose(schedule(steps), expected, rtol=3e-7)


def test_traced_lengths_may_add_up_to_more_than_there_are_steps():
    def value(n, t):
        return oc.triangular(0.0, 1.0, n)(t)

    sizes = jnp.asarray([2**30, 2**31 - 1, 2**31 - 1], jnp.int32)
    steps = jnp.asarray([2**29, 2**31 - 1, 2**30], jnp.int32)
    found = jax.jit(jax.vmap(value))(sizes, steps)
    np.testing.assert_allclose(found, [0.5, 1.0, 2**30 / (2**31 - 1)], rtol=1e-6)


def test_a_sum_of_lengths_beyond_int32_is_refused():
    with pytest.raises(
        ValueError, match=r"triangular: step_size \+ step_size_down must be at most"
    ):
        oc.triangular(0.0, 1.0, 2**30, step_size_down=2**30)


@settings(max_examples=40, deadline=None, derandomize=True, database=None)
@given(
    up=st.integers(1, 10**6),
    down=st.integers(0, 10**6),
    t=st.integers(0, MAX - 2 * 10**6),
)
def test_the_wave_is_periodic_in_every_period(up, down, t):
    values = _traced(up, down, np.asarray([t, t + up + down], np.int32))
    assert values[0] == values[1]
    expected = oracle.over(oracle.clr, [t], 1.0, 3.0, up, down=down)
    assert ulps(values[:1], expected) <= 2


@jax.jit
def _traced(up, down, steps):
    return oc.triangular(1.0, 3.0, up, step_size_down=down)(steps)


def test_triangular2_dies_away_without_rounding():
    peaks = np.asarray([8 * k + 4 for k in range(120)], np.int32)
    values = np.asarray(oc.triangular2(0.0, 1.0, 4)(peaks))
    np.testing.assert_array_equal(values, 2.0 ** -np.arange(120.0))


@pytest.mark.peer
@pytest.mark.parametrize("mode", ["triangular", "triangular2", "exp_range"])
@pytest.mark.parametrize("seed", range(3))
def test_torch(mode, seed):
    rng = np.random.default_rng(seed)
    base, peak = sorted(rng.uniform(0.01, 2.0, 2))
    up, down = rng.integers(1, 30, 2).tolist()
    gamma = rng.uniform(0.9, 1.0)
    expected = _torch_values(base, peak, up, down, mode, gamma)
    more = {"gamma": gamma} if mode == "exp_range" else {}
    ours = getattr(oc, mode)(base, peak, up, step_size_down=down, **more)
    assert_close(ours, expected, steps=np.arange(len(expected)))


def _torch_values(base, peak, up, down, mode, gamma, count=150):  # noqa: PLR0917
    import torch

    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = torch.optim.lr_scheduler.CyclicLR(
        optimizer,
        base,
        peak,
        step_size_up=up,
        step_size_down=down,
        mode=mode,
        gamma=gamma,
        cycle_momentum=False,
    )
    values = []
    for _ in range(count):
        values.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    return values


def test_momentum_hyperparameters_may_be_traced_together():
    def total(peak, step_size):
        return oc.triangular(0.1, peak, step_size)(jnp.arange(9)).sum()

    sums = jax.vmap(total)(jnp.asarray([1.0, 2.0]), jnp.asarray([4, 2]))
    assert sums.shape == (2,)
