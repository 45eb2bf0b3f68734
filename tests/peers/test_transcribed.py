"""Our schedules against peers that can't be imported here, from their sources."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import transcriptions as peers

import optax_cycles as oc


def assert_same(schedule, expected, *, first=0, rtol=1e-6, atol=0.0):
    steps = np.arange(first, first + len(expected))
    found = jax.jit(schedule)(steps)
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=atol)


def over(count, function, *args, first=0, **kwargs):
    return [function(t, *args, **kwargs) for t in range(first, first + count)]


@pytest.mark.parametrize("mode", ["triangular", "triangular2", "exp_range"])
def test_bckenstler_clr(mode):
    expected = over(60, peers.clr_callback, 0.01, 0.4, 7, mode=mode, gamma=0.98)
    gamma = {"gamma": 0.98} if mode == "exp_range" else {}
    # Theirs rounds t / size before it subtracts the cycle: 1e-16 of the peak.
    assert_same(
        getattr(oc, mode)(0.01, 0.4, 7, **gamma), expected, rtol=1e-6, atol=1e-15
    )


@pytest.mark.parametrize("total", [100, 137])
def test_titu1994_one_cycle_at_its_defaults(total):
    policy = oc.one_cycle_annihilated_policy(total, 0.7)
    rates = over(total, peers.titu1994, total, 0.7)
    assert_same(policy["learning_rate"], rates, atol=1e-15)
    assert_same(policy["momentum"], over(total, peers.titu1994_momentum, total))


def test_titu1994_one_cycle_reaches_its_peak_only_at_its_defaults():
    # At another scale s theirs peaks at 100 s^2 times what it was given.
    theirs = max(over(100, peers.titu1994, 100, 1.0, scale=0.2))
    assert theirs == pytest.approx(4.0)
    ours = oc.one_cycle_annihilated(100, 1.0, div_factor=5.0)(np.arange(100))
    assert float(ours.max()) == 1.0


@pytest.mark.parametrize("div", [10, 25])
def test_nachiket273_one_cycle(div):
    ours = oc.one_cycle_annihilated(120, 0.7, div_factor=div, annihilation_div=div)
    assert_same(ours, over(120, peers.nachiket273, 120, 0.7, div=div))


def test_nachiket273_one_cycle_with_cosines():
    ours = oc.one_cycle(
        120, 0.7, pct_start=0.25, div_factor=10, final_div_factor=1, end="exclusive"
    )
    assert_same(ours, over(120, peers.nachiket273_cosine, 120, 0.7))


POLICIES = {
    "cosine": "cosine",
    "arccosine": "arccosine",
    "triangular": lambda q: jnp.where(q < 0.25, q / 0.25, (1 - q) / 0.75),
}


@pytest.mark.parametrize("policy", POLICIES)
def test_mpyrozhok_restarts(policy):
    batches, first, mult, count = 5, 2, 2, 70
    rates, decays = peers.adamwr(count, batches, first, mult, policy=policy, ratio=0.25)
    ours = oc.warm_restarts_policy(
        first * batches,
        0.5,
        period_mult=mult,
        shape=POLICIES[policy],
        normalized_decay=0.1,
    )
    # Theirs takes the rate of a restart's first batch from the end of the cycle
    # before it; ours begins the new cycle there.
    restarts = [10, 30]
    kept = np.setdiff1d(np.arange(count), restarts)
    found = {name: np.asarray(jax.jit(ours[name])(np.arange(count))) for name in ours}
    # q is rounded in theirs too: 1e-7 of the peak where the factor is near 0.
    np.testing.assert_allclose(
        found["learning_rate"][kept], 0.5 * np.asarray(rates)[kept], 1e-6, 1e-7
    )
    np.testing.assert_allclose(
        found["weight_decay"][kept], 0.1 * np.asarray(decays)[kept], 1e-6, 1e-7
    )
    start = 0.0 if policy == "triangular" else 0.5
    np.testing.assert_array_equal(found["learning_rate"][restarts], start)
    assert max(rates[t] for t in restarts) < 1e-7


@pytest.mark.parametrize("multiplier", [1.0, 8.0])
def test_ildoonet_gradual_warmup(multiplier):
    after = oc.cosine_decay(0.3, 50)
    ours = oc.gradual_warmup(after, 9, multiplier=multiplier)
    assert_same(ours, over(10, peers.gradual_warmup, 0.3, multiplier, 9))
    # Theirs then gives one step of `after` without the multiplier.
    assert float(ours(10)) == pytest.approx(multiplier * float(after(1)), rel=1e-6)


def test_tensor2tensor_noam():
    # Its constants, 5000 and 0.002 for Adam, are a factor of 10.
    ours = oc.noam(512, 16, factor=10 * 0.2)
    assert_same(ours, over(60, peers.tensor2tensor_noam, 512, 16, 0.2))


def test_the_noam_opt_class():
    theirs = peers.NoamOpt(512, 2.0, 16)
    assert_same(oc.noam(512, 16, factor=2.0), [theirs.step() for _ in range(60)])


@pytest.mark.parametrize(("total", "pct"), [(100, 0.25), (40, 0.3)])
def test_fastai_fit_one_cycle(total, pct):
    levels = [0.3 / 25, 0.3, 0.3 / 1e5]
    policy = oc.one_cycle_policy(
        total, 0.3, pct_start=pct, final_div_factor=1e5 / 25, end="exclusive"
    )
    expected = over(total, peers.fastai, total, pct, levels)
    assert_same(policy["learning_rate"], expected)
    momentum = over(total, peers.fastai, total, pct, [0.95, 0.85, 0.95])
    assert_same(policy["momentum"], momentum)


def test_fastai_fit_flat_cos():
    expected = over(80, peers.fastai, 80, 0.75, [0.3, 0.3, 0.3 / 1e5])
    assert_same(oc.cosine_decay(0.3, 20, end_ratio=1e-5, begin=60), expected)


def test_fastai_fit_sgdr():
    expected = over(70, peers.fastai_sgdr, 10, 2, 3, 0.3)
    assert_same(oc.warm_restarts(10, 0.3, period_mult=2), expected, atol=1e-16)


def _tanh(q):
    return 0.5 * (1 - math.tanh(-7 * (1 - q) + 3 * q))


TIMM = {
    "CosineLRScheduler": ("cosine", lambda q: 0.5 * (1 + math.cos(math.pi * q))),
    # timm's tanh is not stretched to reach both ends, so it is given as a function.
    "TanhLRScheduler": (lambda q: 0.5 * (1 - jnp.tanh(-7 * (1 - q) + 3 * q)), _tanh),
    "PolyLRScheduler": (oc.polynomial_shape(0.5), lambda q: (1 - q) ** 0.5),
    "CosineLRScheduler(k_decay=1.5)": (
        lambda q: 0.5 * (1 + jnp.cos(jnp.pi * q**1.5)),
        lambda q: 0.5 * (1 + math.cos(math.pi * q**1.5)),
    ),
}


@pytest.mark.parametrize("mult", [1, 2])
@pytest.mark.parametrize("name", TIMM)
def test_timm_cycles(name, mult):
    shape, curve = TIMM[name]
    limit, first = 3, 8
    ends = {1: 24, 2: 56}[mult]
    ours = oc.join(
        [
            oc.warm_restarts(
                first,
                0.5,
                period_mult=mult,
                peak_mult=0.7,
                min_value=1e-3,
                shape=shape,
            ),
            lambda t: 1e-3,
        ],
        [ends],
    )
    expected = over(
        ends + 5,
        peers.timm,
        0.5,
        first,
        curve,
        low=1e-3,
        mult=mult,
        decay=0.7,
        limit=limit,
    )
    # A function of one's own is evaluated, and subtracted from 1, in float32.
    assert_same(ours, expected, atol=0 if isinstance(shape, str) else 2e-7)


@pytest.mark.parametrize("prefix", [False, True])
def test_timm_warm_up_before_or_into_the_cycle(prefix):
    cosine = oc.cosine_decay(0.5, 40, end_ratio=0.01)
    after = cosine if prefix else oc.shift(cosine, -6)
    ours = oc.join([oc.linear_decay(1e-4, 6, end_value=0.5), after], [6])

    def theirs(t):
        if t < 6:
            return 1e-4 + t * (0.5 - 1e-4) / 6
        curve = TIMM["CosineLRScheduler"][1]
        return peers.timm(t - 6 if prefix else t, 0.5, 40, curve, low=0.005)

    assert_same(ours, over(60, theirs))


@pytest.mark.parametrize(("first", "mult", "missed"), [(1, 3, 121), (1, 10, 111)])
def test_ours_restarts_on_the_step_where_timm_is_a_cycle_behind(first, mult, missed):
    # Theirs is floor(log(1 - t (1 - m) / T, m)), in floats.
    number = [first * (mult**i - 1) // (mult - 1) for i in range(8)].index(missed)
    assert peers.timm_logarithm(missed, first, mult) == number - 1
    assert float(oc.warm_restarts(first, 1.0, period_mult=mult)(missed)) == 1.0


WSD = {
    "1-sqrt": ("1-sqrt", lambda q: 1 - math.sqrt(q)),
    "linear": ("linear", lambda q: 1 - q),
    "cosine": ("cosine", lambda q: 0.5 * (1 + math.cos(math.pi * q))),
    "power 2": ("1-square", lambda q: 1 - q**2),
    "exp": (oc.exponential_shape(math.log(10)), lambda q: (0.1**q - 0.1) / 0.9),
}


@pytest.mark.parametrize("name", WSD)
def test_timm_wsd(name):
    shape, curve = WSD[name]
    ours = oc.warmup_stable_decay(
        0.5, 6, 20, 12, decay_shape=shape, end_ratio=0.02, init_ratio=0.002
    )
    expected = over(
        45, peers.timm_wsd, 0.5, 32, 12, warm=6, curve=curve, low=0.01, start=0.001
    )
    assert_same(ours, expected)


def test_timm_wsd_with_a_stable_phase_that_decays():
    ours = oc.product(oc.inverse_sqrt(0.5, 6), oc.cooldown(6 + 20, 12, "linear"))
    expected = over(
        45,
        peers.timm_wsd,
        0.5,
        32,
        12,
        warm=6,
        curve=lambda q: 1 - q,
        stable=lambda since: (1 + since / 6) ** -0.5,
    )
    assert_same(ours, expected)


@pytest.mark.parametrize("staircase", [False, True])
def test_tf1_decays(staircase):
    natural = oc.natural_exp_decay(0.5, 7, 0.4, staircase=staircase)
    assert_same(natural, over(40, peers.tf1_natural_exp, 0.5, 7, 0.4, staircase))
    inverse = oc.inverse_time_decay(0.5, 7, 0.4, staircase=staircase)
    assert_same(inverse, over(40, peers.tf1_inverse_time, 0.5, 7, 0.4, staircase))


def test_tf1_linear_cosine_decay():
    ours = oc.linear_cosine_decay(0.5, 30, num_periods=1.5, alpha=0.1, beta=0.01)
    expected = over(
        40, peers.tf1_linear_cosine, 0.5, 30, periods=1.5, alpha=0.1, beta=0.01
    )
    assert_same(ours, expected)


@pytest.mark.parametrize("shift", [0, 20])
def test_big_vision_rsqrt_with_a_cooldown(shift):
    ours = oc.product(
        oc.inverse_sqrt(0.5, 6, timescale=50, shift=shift), oc.cooldown(48, 12)
    )
    expected = over(
        60, peers.big_vision_rsqrt, 0.5, 60, warm=6, timescale=50, shift=shift, cool=12
    )
    assert_same(ours, expected)
