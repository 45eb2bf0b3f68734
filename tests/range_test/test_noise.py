"""What the rules make of noise, on simulated curves whose truth is known.

Counts of a simulation are compared with the share that is claimed, less three standard
deviations of the binomial count.
"""

import numpy as np
import pytest

import optax_cycles as oc
from optax_cycles.range_test.failures import failed

REPEATS = 40


def noisy(curve, seeds, deviation, repeat):
    noise = np.random.default_rng(repeat).normal(size=(len(curve), seeds))
    return np.asarray(curve)[:, None] + deviation * noise


def enough(share):
    return REPEATS * share - 3 * (REPEATS * share * (1 - share)) ** 0.5


def broad_valley(count):
    """Nearly level from 1e-3 to 1, best near 10**-1.5; above, training fails."""
    logs = np.linspace(-5, 1, count)
    level = 0.5 + 0.004 * np.abs(logs + 1.5)
    curve = np.where(logs < -3, level + 0.9 * (-3 - logs), level)
    return 10.0**logs, np.where(logs < 0, curve, np.inf)


@pytest.mark.parametrize(("count", "seeds"), [(64, 5), (17, 5), (17, 3)])
def test_a_broad_valley_is_within_noise_as_a_whole(count, seeds):
    """It was lost in a third of the tests when any one value could break it off."""
    values, curve = broad_valley(count)
    truth, held = values[curve.argmin()], 0
    for repeat in range(REPEATS):
        losses = noisy(curve, seeds, 0.05, repeat)
        held += truth in oc.parallel_best(values, losses, untrained=2.3).within_noise
    assert held >= enough(0.95)


def test_a_curved_valley_is_not_within_noise_far_from_its_best():
    """Beyond three standard deviations of one loss, 5 seeds on 64 values can tell."""
    values = np.geomspace(1e-5, 10, 64)
    curve = 2.3 - 1.8 * np.exp(-((np.log10(values) + 1.7) ** 2))
    for repeat in range(REPEATS):
        found = oc.parallel_best(values, noisy(curve, 5, 0.05, repeat), untrained=2.3)
        assert max(curve[np.isin(values, found.within_noise)]) < curve.min() + 0.15


def test_a_cliff_does_not_push_the_best_value_away():
    """The last value that trains is 18 standard deviations better than three below."""
    values, place = np.geomspace(1e-5, 10, 64), np.arange(64)
    curve = np.where(place <= 40, 2.3 - 0.045 * place, np.inf)
    for repeat in range(10):
        losses = noisy(curve, 5, 0.005, repeat)
        found = oc.parallel_best(values, losses, untrained=2.3)
        assert found.best == values[40]
        assert found.interval == (values[40], values[40])
        joint = oc.joint_best({"rate": values}, losses, untrained=2.3)
        assert joint.best == {"rate": values[40]}


def test_small_gains_have_not_diverged():
    """Fine-tuning gains .02, little more than the seeds' deviation of .015."""
    values = np.geomspace(1e-5, 10, 13)
    logs = np.log10(values)
    curve = np.where(logs < -3.1, 0.5 - 0.01 * (logs + 5), 0.48)
    curve = np.where(logs > -0.9, 0.6, curve)
    peaks = []
    for repeat in range(REPEATS):
        try:
            found = oc.parallel_best(
                values, noisy(curve, 5, 0.015, repeat), untrained=0.5
            )
        except oc.NoSuggestionError:
            continue
        peaks.append(found.peak)
    assert np.median(peaks) == pytest.approx(0.1)


@pytest.mark.parametrize("seeds", [2, 5])
def test_what_learns_nothing_does_not_diverge(seeds):
    values = {"rate": np.geomspace(1e-5, 10, 64)}
    constant = np.ones((64, seeds))
    assert not failed(values, constant, constant).any()
    shares = [
        failed(values, noisy(constant[:, 0], seeds, 0.1, repeat), constant).mean()
        for repeat in range(REPEATS)
    ]
    assert np.mean(shares) < 0.05


SPLIT = [0.5, 1.5, 0.5, 1.5, 0.5]


@pytest.mark.parametrize("lower", [0.0, 0.01])
def test_a_value_at_which_two_of_five_seeds_blow_up_is_not_the_best(lower):
    """Their losses are finite, and no more than half way back to the untrained one."""
    values = np.geomspace(1e-3, 10, 9)
    medians = [2.3, 2.0, 1.5, 0.9, 0.5, 0.5, 2.5, 2.5, 2.5]
    losses = np.repeat(np.array(medians)[:, None], 5, axis=1)
    losses[5] = np.array(SPLIT) - lower
    axes = {"rate": values}
    marked = failed(axes, losses, np.full_like(losses, 2.3))
    assert marked[5].tolist() == [False, True, False, True, False]
    assert marked[6:].all()
    assert not marked[:5].any()
    found = oc.parallel_best(values, losses, untrained=2.3)
    assert found.best == found.peak == values[4]
    assert oc.joint_best(axes, losses, untrained=2.3).best == {"rate": values[4]}


def test_slow_seeds_below_the_best_value_have_not_failed():
    losses = np.repeat(np.array([[2.3], [1.0], [0.5], [0.6]]), 5, axis=1)
    losses[1] += [0.0, 1.2, 0.0, 1.2, 0.0]
    axes = {"rate": np.array([0.01, 0.1, 1.0, 10.0])}
    assert not failed(axes, losses, np.full_like(losses, 2.3)).any()
