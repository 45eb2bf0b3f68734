"""The surface through scores: what it makes of luck."""

import numpy as np
import pytest
from sklearn.kernel_ridge import KernelRidge

from optax_cycles.tuning.candidate import Candidate
from optax_cycles.tuning.family import family_of
from optax_cycles.tuning.surface import (
    CONSIDERED,
    OF_A_SWEEP,
    Surface,
    standardised,
)
from optax_cycles.tuning.work import Scored

SGDW = family_of("test", "sgdw")


def setting(rate, momentum=0.9, decay=1e-3, schedule="one_cycle"):
    return Candidate(schedule, rate, (momentum, momentum), decay)


def scored(rates, scores, **others):
    return [
        Scored(setting(float(rate), **others), np.atleast_1d(score))
        for rate, score in zip(rates, scores, strict=True)
    ]


def bowl(rates, centre=0.1):
    return np.log(np.asarray(rates) / centre) ** 2


def test_means_are_those_of_ridge_regression_with_the_same_kernel():
    rates = np.geomspace(0.01, 1.0, 12)
    noise = np.random.default_rng(0).normal(0, 0.3, 12)
    sweeps = [
        scored(rates[:6], (bowl(rates) + noise)[:6]),
        scored(rates[6:], (bowl(rates) + noise)[6:]),
    ]
    surface = Surface(SGDW, sweeps)
    # The surface's own order: that of each sweep is by score.
    known = np.log([one.learning_rate for one in surface.settings])
    asked = np.geomspace(0.02, 0.5, 7)
    likeliest = np.inf
    for ridge in (0.03, 0.1, 0.3, 1.0):
        for length in (0.7, 1.4, 2.8):

            def kernel(a, b, length=length):
                return np.exp(-((a[:, None] - b) ** 2) / (2 * length**2))

            same = np.equal.outer(np.arange(12) // 6, np.arange(12) // 6)
            gram = kernel(known, known) + OF_A_SWEEP * same
            whole = gram + ridge * np.eye(12)
            fit = surface.scores @ np.linalg.solve(whole, surface.scores)
            cost = 12 * np.log(fit) + np.linalg.slogdet(whole)[1]
            if cost < likeliest:
                likeliest = cost
                model = KernelRidge(alpha=ridge, kernel="precomputed")
                model.fit(gram, surface.scores)
                expected = model.predict(kernel(np.log(asked), known))
    found = surface.mean([setting(rate) for rate in asked])
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-8)


def test_the_luck_of_a_sweep_is_not_that_of_its_settings():
    rates = np.geomspace(0.01, 1.0, 9)
    # The same settings, all of them luckier the second time, and worse ones with them.
    first = scored(rates, bowl(rates))
    again = scored([0.1, 0.32, 1.0, 3.2], bowl([0.1, 0.32, 1.0, 3.2]) - 1.5)
    lucky = again[1]
    assert lucky.score < first[4].score
    surface = Surface(SGDW, [first, again])
    best = surface.sorted([one.candidate for one in (*first, *again)])[0]
    assert best.learning_rate == pytest.approx(0.1)


def test_one_lucky_score_among_poor_ones_is_not_the_best():
    rates = np.geomspace(0.01, 1.0, 25)
    noise = np.random.default_rng(1).normal(0, 0.5, 25)
    scores = bowl(rates) + noise
    scores[20] = scores.min() - 0.1
    surface = Surface(SGDW, [scored(rates, scores)])
    best = surface.sorted([setting(rate) for rate in rates])[0]
    assert 0.04 < best.learning_rate < 0.25


def test_what_is_worth_trying_is_not_all_in_one_place():
    rates = np.geomspace(0.001, 10.0, 33)
    two = np.minimum(bowl(rates, 0.01), bowl(rates, 1.0))
    noise = np.random.default_rng(2).normal(0, 0.1, 33)
    surface = Surface(SGDW, [scored(rates, two + noise)])
    taken = surface.worth_trying([setting(rate) for rate in rates], 4)
    assert len(set(taken)) == 4
    low = [one for one in taken if one.learning_rate < 0.1]
    assert 1 <= len(low) <= 3


def test_failures_are_not_tried_again():
    rates = np.geomspace(0.01, 1.0, 9)
    scores = np.where(rates > 0.3, np.inf, bowl(rates))
    surface = Surface(SGDW, [scored(rates, scores)])
    ranked = surface.sorted([setting(rate) for rate in rates])
    assert ranked[0].learning_rate == pytest.approx(0.1)
    assert all(np.isfinite(surface.mean(ranked)))
    nothing = Surface(SGDW, [scored(rates, np.full(9, np.inf))])
    assert all(np.isfinite(nothing.mean(ranked)))


def test_no_more_settings_are_compared_than_take_no_time():
    rates = np.geomspace(0.01, 1.0, 9)
    surface = Surface(SGDW, [scored(rates, bowl(rates))])
    many = [setting(rate) for rate in np.geomspace(0.001, 10.0, 3 * CONSIDERED)]
    taken = surface.worth_trying(many, CONSIDERED + 1)
    assert len(taken) == CONSIDERED + 1
    assert taken == surface.sorted(many)[: CONSIDERED + 1]


def test_what_failed_is_expected_to_be_worse_than_what_trained():
    """Wherever the one that trained is among neighbours that did not."""
    rates = np.geomspace(0.01, 10, 12)
    for alive in range(2, 10):
        scores = np.where(np.arange(12) == alive, 0.1, np.inf)
        sweep = scored(rates, scores)
        surface = Surface(SGDW, [sweep])
        best = surface.sorted([one.candidate for one in sweep])[0]
        assert best.learning_rate == rates[alive]


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_a_surface_of_any_scale_is_the_same(scale):
    scores = scale * np.array([3.0, 1.0, 2.0, np.inf])
    # (3, 1, 2) without what is above the middle, and a failure one further up.
    expected = np.array([2.0, 1.0, 2.0, 3.0])
    expected = (expected - 2.0) / expected.std()
    np.testing.assert_allclose(standardised(scores), expected, rtol=1e-9, atol=1e-12)
    same = standardised(np.full(3, scale))
    np.testing.assert_array_equal(same, np.zeros(3))
