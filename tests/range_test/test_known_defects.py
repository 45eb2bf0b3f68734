"""Defects of well-known finders, none of which this one has.

Each test is a statement that holds of our code and fails for an implementation with the
defect, so that the statement is known to find it.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import optax_cycles as oc
from optax_cycles.sweep import Divergence
from optax_cycles.sweep.divergence import observe, start_watch

BETA = 0.98


def only_ours(statement, ours, defect):
    """The statement holds of `ours`, and an implementation with the defect fails it."""
    statement(ours)
    with pytest.raises(AssertionError):
        statement(defect)


def debiased_off_by_one(losses, beta=BETA):
    """A moving average that is divided by 1 - beta^(count + 1)."""
    average, out = 0.0, []
    for count, loss in enumerate(losses, start=1):
        average = beta * average + (1 - beta) * loss
        out.append(average / (1 - beta ** (count + 1)))
    return np.array(out)


def test_a_constant_loss_does_not_look_like_a_rise_from_half_its_value():
    def statement(smooth):
        np.testing.assert_allclose(smooth(np.full(60, 3.0)), 3.0, rtol=1e-12)

    assert debiased_off_by_one([3.0])[0] == pytest.approx(3.0 / 1.98)
    only_ours(statement, oc.smooth, debiased_off_by_one)


def test_four_times_the_best_smoothed_loss_is_not_twice_the_loss():
    """The best of a constant loss of 1 is 1, and 2.5 is no four times that."""

    def statement(smooth):
        for level, stops in ((2.5, False), (6.0, True)):
            smoothed = smooth(np.r_[np.ones(200), np.full(400, level)])
            best = np.minimum.accumulate(smoothed)
            assert np.any(smoothed > 4 * best) == stops

    only_ours(statement, oc.smooth, debiased_off_by_one)


def stops_at(rule, losses):
    """The first of the losses at which a rule stops a member, or None."""

    def step(watch, loss):
        return observe(rule, watch, loss)

    stops = jax.lax.scan(step, start_watch(), jnp.float32(losses))[1]
    return int(np.argmax(stops)) if np.any(stops) else None


def test_a_stop_at_four_times_the_gain_is_not_one_at_twice_the_gain():
    """From 2 to 1 the gain is 1: a smoothed loss of 4 is 3 gains up, one of 7 is 6."""

    def statement(rule):
        fall = np.r_[np.linspace(2, 1, 20), np.ones(20)]
        for level, stops in ((4.0, False), (7.0, True)):
            found = stops_at(rule, np.r_[fall, np.full(40, level)])
            assert (found is not None) == stops

    only_ours(statement, Divergence(4.0, 0.5), Divergence(2.0, 0.5))


def stops_at_four_times_zero(losses):
    """A best loss that starts at 0 and is set by the very first update only."""
    best, update = 0.0, 5000
    for index, loss in enumerate(oc.smooth(losses)):
        update += 1
        if update > 1 and loss > 4 * best:
            return index
        if loss < best or update == 1:
            best = loss
    return None


def test_a_test_that_starts_in_the_middle_of_training_does_not_stop_at_once():
    def statement(stop):
        assert stop(np.linspace(0.5, 0.3, 100)) is None

    only_ours(
        statement,
        lambda losses: stops_at(Divergence(4.0), losses),
        stops_at_four_times_zero,
    )


# A member that counts its updates, and a loss that says which one it is.
def init(key, hparams):
    return {"update": jnp.float32(0), "slot": jnp.float32(0)}


def step(state, hparams, batch, key):
    rate = hparams["learning_rate"]
    metrics = {"loss": state["update"] % 7.0, "rate": rate}
    slot = 0.9 * state["slot"] + rate
    return {"update": state["update"] + 1, "slot": slot}, metrics


DATA = np.zeros((12, 1), np.float32)
LOW, HIGH, STEPS = 1e-4, 1.0, 40


@pytest.fixture(scope="module")
def ramp():
    return oc.ramp_range_test(
        oc.Trainable(init, step),
        DATA,
        low=LOW,
        high=HIGH,
        steps=STEPS,
        batch_size=3,
        divergence=Divergence(),
    )


def test_the_first_step_of_the_ladder_is_as_high_as_the_others(ramp):
    def statement(rates):
        assert rates[0] == pytest.approx(LOW)
        # The exponent, up to log(1e4), is rounded to single precision.
        np.testing.assert_allclose(
            rates[1:] / rates[:-1], (HIGH / LOW) ** (1 / STEPS), rtol=1e-5
        )

    places = np.array([0, *range(2, STEPS + 1)])
    squared = LOW * (HIGH / LOW) ** (places / STEPS)
    only_ours(statement, ramp.sweep.train["rate"][0].astype(float), squared)
    statement(ramp.values)


def test_the_loss_of_a_batch_is_not_the_mean_over_the_epoch(ramp):
    """Four updates an epoch; the loss of update i is i modulo 7."""
    batches = np.arange(STEPS) % 7.0

    def statement(losses):
        np.testing.assert_array_equal(losses, batches)

    counts = np.arange(1, 5)
    running = (np.cumsum(batches.reshape(-1, 4), axis=1) / counts).ravel()
    only_ours(statement, ramp.losses[0], running)


def test_a_slope_on_rates_in_equal_ratios_does_not_favour_tiny_ones():
    """The loss is a sigmoid of the logarithm: steepest at its middle."""
    rates = np.geomspace(1e-6, 1.0, 121)
    losses = 2 / (1 + np.exp((np.arange(121) - 80) / 10))

    def against_the_rate(values, losses):
        index = int(np.argmin(np.gradient(losses, values)))
        return oc.Suggestion(float(values[index]), index, "steepest")

    def statement(rule):
        assert 0.5 < rule(rates, losses).value / rates[80] < 2

    only_ours(statement, oc.steep, against_the_rate)
    # Where that axis is asked for, the name says so.
    with pytest.raises(AssertionError):
        statement(oc.steep_by_value)


def test_smoothing_smooths_and_does_not_inflate_the_first_points():
    noise = 1.0 + 0.1 * np.random.default_rng(0).normal(size=400)

    def divided(losses):
        return losses / (1 - BETA ** np.arange(1, len(losses) + 1))

    def statement(smooth):
        smoothed = smooth(noise)
        assert smoothed[0] == noise[0]
        assert smoothed[200:].std() < 0.5 * noise[200:].std()

    np.testing.assert_allclose((divided(noise) / noise)[:2], [50, 25.25], rtol=1e-3)
    only_ours(statement, oc.smooth, divided)


@pytest.mark.parametrize("name", oc.RULES)
def test_a_suggestion_does_not_lie_beside_a_nan(name):
    """NumPy's argmin takes a NaN for the least of all, and a slope beside it is one."""
    place = np.arange(80)
    losses = np.interp(place, [0, 20, 55, 70, 79], [2.3, 2.3, 0.5, 3.0, 9.0])
    losses[70:] = np.nan
    rates = np.geomspace(1e-6, 10.0, 80)

    def least_slope(values, losses):
        index = int(np.argmin(np.gradient(losses)))
        return oc.Suggestion(float(values[index]), index, "steepest")

    def statement(rule):
        found = rule(rates, losses)
        assert found.index <= 55
        assert found.value <= rates[55]

    only_ours(statement, oc.RULES[name], least_slope)


def test_neither_weights_nor_optimizer_slots_of_the_caller_are_changed():
    """The test starts from the caller's own arrays, of which it changes none."""

    def ours(state):
        trainable = oc.Trainable(lambda key, hparams: state, step)
        oc.ramp_range_test(trainable, DATA, low=LOW, high=HIGH, steps=4, batch_size=3)

    def weights_only(state):
        before = state["update"]
        for rate in np.geomspace(LOW, HIGH, 4):
            state.update(step(state, {"learning_rate": rate}, None, None)[0])
        state["update"] = before

    def statement(find):
        state = {"update": jnp.float32(3), "slot": jnp.float32(0.5)}
        find(state)
        assert {name: float(leaf) for name, leaf in state.items()} == {
            "update": 3.0,
            "slot": 0.5,
        }

    only_ours(statement, ours, weights_only)


def test_no_remainder_of_the_grid_is_dropped():
    """21 members in chunks of 4, on two devices; the parabola's losses are known."""
    rates = np.linspace(0.1, 0.7, 7)
    problem = oc.problem_from_loss(
        lambda key: jnp.float32(1), lambda x, batch, key: x**2 / 2
    )

    def ours(rates):
        train = oc.trainable(problem, lambda hp: optax.sgd(hp["learning_rate"]))
        test = oc.parallel_range_test(
            train,
            DATA,
            DATA,
            over={"learning_rate": rates},
            seeds=3,
            steps=2,
            batch_size=3,
            chunk=4,
        )
        return test.validation()

    def whole_chunks_only(rates):
        members = np.repeat(rates, 3)
        losses = np.full(21, np.nan)
        for start in range(0, 21 // 4 * 4, 4):
            losses[start : start + 4] = (1 - members[start : start + 4]) ** 4 / 2
        return losses.reshape(7, 3)

    def statement(sweep):
        expected = np.tile((1 - rates[:, None]) ** 4 / 2, (1, 3))
        np.testing.assert_allclose(sweep(rates), expected, rtol=1e-5)

    only_ours(statement, ours, whole_chunks_only)
