"""The rule against its definition, written out in NumPy."""

from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from optax_cycles.sweep import Divergence
from optax_cycles.sweep.divergence import observe, start_watch

NAN, INF = float("nan"), float("inf")
LENGTH = 48
EXPLOSION = Divergence(factor=4.0)
BRISK = Divergence(factor=4.0, smoothing=0.5, patience=4)
# Eighths of integers, so that shifts and scales by powers of two are exact.
eighths = st.lists(st.integers(-2000, 2000), min_size=LENGTH, max_size=LENGTH).map(
    lambda numbers: np.array(numbers) / 8
)


@lru_cache
def watching(rule):
    """A program that watches `LENGTH` losses."""
    return jax.jit(partial(jax.lax.scan, partial(observe, rule), start_watch()))


def verdicts(rule, losses):
    """The verdict on each loss; the last loss stands for those that are missing."""
    losses = np.asarray(losses, np.float32)
    padded = np.pad(losses, (0, LENGTH - len(losses)), "edge")
    return np.asarray(watching(rule)(padded)[1])[: len(losses)]


def stop_of(rule, losses):
    """The index of the loss at which a member stops, or None."""
    stops = np.flatnonzero(verdicts(rule, losses))
    return int(stops[0]) if len(stops) else None


def margins(rule, losses):
    """NumPy transcription of the rule's definition: s - b - k max(l_0 - b, d).

    The average is the quotient of two sums, the mean change a mean of differences
    up to the best average, but of no fewer losses than the patience.
    """
    losses = np.asarray(losses, np.float64)
    averages, out = [], []
    for seen in range(1, len(losses) + 1):
        weights = rule.smoothing ** np.arange(seen)[::-1]
        averages.append(np.sum(weights * losses[:seen]) / np.sum(weights))
        best = int(np.argmin(averages))
        upto = max(best + 1, min(seen, rule.patience))
        changes = np.abs(np.diff(losses[:upto]))
        noise = changes.mean() if len(changes) else 0.0
        gained = losses[0] - averages[best]
        excess = averages[-1] - averages[best]
        early = seen <= rule.patience
        out.append(-INF if early else excess - rule.factor * max(gained, noise))
    return np.array(out)


@pytest.mark.parametrize("rule", [EXPLOSION, BRISK])
@given(losses=eighths, growth=st.sampled_from([1.0, 1.1, 1.5]))
def test_the_rule_is_its_definition(rule, losses, growth):
    losses = np.float32(losses * growth ** np.arange(LENGTH))
    margin = margins(rule, losses)
    # Where both sides are equal but for rounding the verdict may be either.
    assume(np.all(np.abs(margin) > 1e-4 * np.abs(losses).max()))
    np.testing.assert_array_equal(verdicts(rule, losses), margin > 0)


@pytest.mark.parametrize("rule", [Divergence(), EXPLOSION])
@pytest.mark.parametrize("bad", [NAN, INF, -INF])
@pytest.mark.parametrize("at", [0, 1, 30])
def test_a_loss_that_is_not_finite_stops_at_once(rule, bad, at):
    losses = np.linspace(2.0, 1.0, LENGTH)
    losses[at] = bad
    assert stop_of(rule, losses) == at


def test_without_a_factor_a_loss_may_rise_and_recover():
    losses = np.concatenate([[1.0, 100.0, 1e30, -1e30], np.ones(20)])
    assert stop_of(Divergence(), losses) is None


def test_a_negative_loss_that_falls_goes_on_and_one_that_explodes_stops():
    falling = np.linspace(-1.0, -5.0, 40)
    assert stop_of(EXPLOSION, falling) is None
    assert stop_of(BRISK, falling) is None
    # k (l_0 - b) is about 16, and the average, of decay 1/2, comes to 7.5 and 13.8.
    assert stop_of(BRISK, np.concatenate([falling, np.full(8, 20.0)])) == 41


@given(
    st.floats(-(2.0**100), 2.0**100, width=32),
    st.sampled_from([EXPLOSION, BRISK, Divergence(4.0, 0.0, 0), Divergence(1e-6)]),
)
def test_a_constant_loss_never_stops(constant, rule):
    assert not verdicts(rule, np.full(LENGTH, constant)).any()


@pytest.mark.parametrize("sign", [1, -1])
def test_a_noisy_plateau_goes_on(sign):
    noise = np.random.default_rng(0).normal(size=LENGTH)
    assert stop_of(EXPLOSION, sign * 10 + noise) is None


def test_a_loss_that_only_rises_stops_after_the_patience():
    """Worked by hand: l_i = i and smoothing 0, so that s = i, b = l_0 = 0, k d = 4.

    Without patience there is nothing to tell the scatter of the losses from: d = 0.
    """
    rising = np.arange(20.0)
    assert stop_of(Divergence(4.0, 0.0, 2), rising) == 5
    assert stop_of(Divergence(4.0, 0.0, 10), rising) == 10
    assert stop_of(Divergence(4.0, 0.0, 0), rising) == 1


@given(eighths, st.integers(-64, 64))
def test_the_rule_does_not_change_when_a_constant_is_added(losses, shift):
    losses = losses * np.linspace(1, 5, LENGTH).round()
    margin = margins(BRISK, losses)
    assume(np.all(np.abs(margin) > 1e-4 * (np.abs(losses).max() + abs(shift))))
    np.testing.assert_array_equal(
        verdicts(BRISK, losses), verdicts(BRISK, losses + shift)
    )


@given(eighths, st.integers(-60, 60))
def test_the_rule_does_not_change_with_a_positive_scale(losses, exponent):
    losses = losses * np.linspace(1, 5, LENGTH).round()
    np.testing.assert_array_equal(
        verdicts(BRISK, losses), verdicts(BRISK, losses * 2.0**exponent)
    )


@pytest.mark.parametrize("smoothing", [0.0, 0.5, 0.98, 0.9999999, 1 - 1e-12])
def test_the_average_is_debiased_however_slow_it_is(smoothing):
    losses = np.random.default_rng(1).normal(size=LENGTH).astype(np.float32)
    rule = Divergence(4.0, smoothing)
    watch, _ = watching(rule)(losses)
    weights = smoothing ** np.arange(LENGTH, dtype=np.float64)[::-1]
    expected = np.sum(weights * losses) / np.sum(weights)
    np.testing.assert_allclose(watch.smooth, expected, rtol=1e-5, atol=1e-6)
    assert int(watch.seen) == LENGTH
    assert watch.first == losses[0]
    assert watch.last == losses[-1]


def test_half_precision_losses_are_watched_in_single_precision():
    watch, _ = observe(EXPLOSION, start_watch(), jnp.bfloat16(1.5))
    assert watch.smooth.dtype == jnp.float32
    assert float(watch.smooth) == 1.5
