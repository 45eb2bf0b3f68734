"""Verdicts on curves of known kind with noise, and on trainings of digits."""

import jax
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st

import optax_cycles as oc
from optax_cycles.problems import digits, digits_problem

PLACE = np.linspace(0, 1, 25)
STEPS = 12 * np.arange(25)
FALL = np.exp(-12 * PLACE)
TURN = 10  # at 0.4, where all but .01 of the fall is done
RISE = np.maximum(PLACE - PLACE[TURN], 0)

# Validation and training loss, from about 2.3 on.
KINDS = {
    "underfitting": (0.1 + 2.2 * np.exp(-1.5 * PLACE), 2.3 * np.exp(-1.6 * PLACE)),
    "balanced": (0.2 + 2.1 * FALL, 0.05 + 2.2 * FALL),
    "overfitting": (0.2 + 2.1 * FALL + 0.4 * RISE, 2.3 * np.exp(-6 * PLACE)),
    "unstable": (0.2 + 2.1 * FALL + 0.8 * RISE, 0.1 + 2.2 * FALL + 0.8 * RISE),
}


def noisy(kind, noise, seeds, seed=0):
    rng = np.random.default_rng(seed)
    pairs = 0.03 * rng.normal(size=(seeds, 1))
    size = (seeds, len(PLACE))
    return [
        clean + pairs + noise * rng.normal(size=size) if seeds > 1 else clean
        for clean in KINDS[kind]
    ]


@pytest.mark.parametrize("seeds", [1, 2, 5])
@pytest.mark.parametrize("noise", [0.0, 0.01, 0.03])
@pytest.mark.parametrize("kind", KINDS)
def test_a_curve_of_known_kind_is_recognised_through_noise(kind, noise, seeds):
    verdicts = [
        oc.diagnose(STEPS, *noisy(kind, noise, seeds, seed)).verdict
        for seed in range(10)
    ]
    # A verdict rests on two standard errors: chance may turn one of ten.
    assert verdicts.count(kind) >= 9


def test_one_noisy_seed_is_recognised_by_the_scatter_of_its_evaluations():
    rng = np.random.default_rng(0)
    for kind, (validation, train) in KINDS.items():
        scattered = validation + 0.02 * rng.normal(size=25)
        assert oc.diagnose(STEPS, scattered, train).verdict == kind


def test_the_evidence_of_overfitting_is_the_turn_and_the_rise():
    validation, train = KINDS["overfitting"]
    found = oc.diagnose(STEPS, validation, train)
    lowest = STEPS[np.argmin(validation)]
    assert abs(found.turn - lowest) <= STEPS[1]  # of two evaluations averaged
    # Means of the last two evaluations, and of the two lowest.
    low = np.sort(validation)[:2].mean()
    assert found.rise == pytest.approx(validation[-2:].mean() - low, abs=1e-12)
    assert found.gap == pytest.approx((validation - train)[-2:].mean())
    assert found.train_change < 0
    assert f"lowest at update {found.turn}" in found.reason
    assert "regularise more" in found.advice


def test_the_trend_is_the_fitted_change_over_the_last_third():
    falling = 3.0 - 2.0 * PLACE
    found = oc.diagnose(STEPS, falling)
    assert found.verdict == "underfitting"
    assert found.trend == pytest.approx(-2 / 3)
    assert found.rise == 0.0
    assert found.turn == STEPS[-1]
    assert found.gap is found.gap_error is found.train_change is None
    assert "train for more updates" in found.advice


def test_errors_are_those_of_the_mean_over_seeds():
    """Three straight lines: no scatter, so that only the seeds tell."""
    slopes = np.array([-2.0, -2.4, -2.2])
    lines = 3.0 + slopes[:, None] * PLACE
    found = oc.diagnose(STEPS, lines, lines + np.array([[0.1], [0.3], [0.2]]))
    assert found.trend == pytest.approx(-2.2 / 3)
    assert found.trend_error == pytest.approx(0.2 / 3 / 3**0.5)
    assert found.gap == pytest.approx(-0.2)
    assert found.gap_error == pytest.approx(0.1 / 3**0.5)


def test_a_change_within_the_tolerance_is_level():
    """The line's fall over the last third is 4 % of the range of 3."""
    corners = np.interp(PLACE, [0, 0.3, 2 / 3, 1], [3.12, 0.16, 0.12, 0.0])
    assert oc.diagnose(STEPS, corners).verdict == "underfitting"
    assert oc.diagnose(STEPS, corners, tolerance=0.05).verdict == "balanced"


def test_one_seed_that_turns_up_does_not_speak_for_the_others():
    validation = np.tile(KINDS["balanced"][0], (5, 1))
    validation[2] += 0.4 * RISE
    assert oc.diagnose(STEPS, validation).verdict == "balanced"


@pytest.mark.parametrize("kind", ["overfitting", "unstable"])
def test_without_training_losses_a_rise_counts_as_overfitting(kind):
    assert oc.diagnose(STEPS, KINDS[kind][0]).verdict == "overfitting"


def test_a_rise_from_the_start_needs_the_training_losses():
    rising = 2.3 + PLACE
    with pytest.raises(oc.NoSuggestionError, match="pass the training losses"):
        oc.diagnose(STEPS, rising)
    assert oc.diagnose(STEPS, rising, 2.3 - PLACE).verdict == "overfitting"
    assert oc.diagnose(STEPS, rising, rising).verdict == "unstable"


@pytest.mark.parametrize("seeds", [1, 3])
def test_what_has_learned_nothing_has_no_verdict(seeds):
    level = 2.3 + 0.02 * np.random.default_rng(3).normal(size=(seeds, 25))
    with pytest.raises(oc.NoSuggestionError, match="never falls by more than noise"):
        oc.diagnose(STEPS, level)
    with pytest.raises(oc.NoSuggestionError, match="does not change; look at the data"):
        oc.diagnose(STEPS, np.full((seeds, 25), 2.3))


def test_a_loss_that_is_not_finite_has_no_verdict():
    validation, train = (np.tile(loss, (3, 1)) for loss in KINDS["balanced"])
    train[1, 20] = np.nan
    assert oc.diagnose(STEPS, validation).verdict == "balanced"
    with pytest.raises(
        oc.NoSuggestionError, match=r"1 of 3 seed\(s\) have a loss that"
    ):
        oc.diagnose(STEPS, validation, train)


@given(
    kind=st.sampled_from(sorted(KINDS)),
    seed=st.integers(0, 99),
    exponent=st.integers(-6, 6),
    shift=st.integers(-8, 8),
    order=st.permutations(range(4)),
)
def test_neither_scale_shift_nor_order_of_seeds_changes_the_verdict(
    kind, seed, exponent, shift, order
):
    # In multiples of 2^-20, so that scale and shift are exact.
    losses = [np.round(loss * 2**20) / 2**20 for loss in noisy(kind, 0.02, 4, seed)]
    found = oc.diagnose(STEPS, *losses)
    moved = [loss[order] * 2.0**exponent + shift * 2.0**exponent for loss in losses]
    again = oc.diagnose(STEPS, *moved)
    assert again.verdict == found.verdict
    assert again.turn == found.turn
    for name in ("trend", "trend_error", "rise", "rise_error", "train_change", "gap"):
        scaled = getattr(found, name) * 2.0**exponent
        rounding = 1e-12 * 2.0**exponent
        assert getattr(again, name) == pytest.approx(scaled, rel=1e-9, abs=rounding)


@pytest.mark.parametrize(
    ("steps", "validation", "options", "message"),
    [
        (STEPS[:9], np.ones(8), {}, r"steps and validation must be shaped \[evaluati"),
        (STEPS, np.ones((25, 2)), {}, r"steps and validation must be shaped \[evalua"),
        (STEPS, np.ones((1, 2, 25)), {}, "steps and validation must be shaped"),
        (STEPS, np.ones((0, 25)), {}, "validation must be of one seed or more"),
        (STEPS[:8], np.ones(8), {}, "steps must be at least 9 evaluations, got 8"),
        (STEPS[::-1], np.ones(25), {}, "steps must be increasing"),
        (STEPS * 0, np.ones(25), {}, "steps must be increasing"),
        (2.0 ** np.arange(25), np.ones(25), {}, "steps must be at least 3 evaluations"),
        (STEPS, np.ones(25), {"train": np.ones(24)}, "train must be of the shape of v"),
        (STEPS, np.ones(25), {"tolerance": 0.0}, "tolerance must be a finite number"),
        (STEPS, np.ones(25), {"tolerance": 1.0}, "tolerance must be a finite number"),
    ],
)
def test_wrong_arguments_are_refused(steps, validation, options, message):
    with pytest.raises(ValueError, match=f"^diagnose: {message}"):
        oc.diagnose(steps, validation, **options)


def train_digits(examples, steps, rate):
    """Validation and mean training loss `[3 seeds, evaluations]` of an MLP."""
    images, labels = digits().train
    chosen = np.random.default_rng(0).permutation(len(images))[:examples]
    trainable = oc.trainable(
        digits_problem("mlp"), lambda hp: optax.sgd(hp["rate"], momentum=0.9)
    )
    every = steps // 15
    result = oc.sweep.run(
        trainable,
        {"rate": np.full(3, rate), "seed": np.arange(3)},
        (images[chosen], labels[chosen]),
        steps,
        key=jax.random.key(0),
        batch_size=32,
        validation=digits().validation,
        horizons=range(0, steps + 1, every),
    )
    batches = result.train["loss"].astype(float)
    train = batches.reshape(3, -1, every).mean(-1)
    # Before the first update, the loss of its batch.
    train = np.concatenate([batches[:, :1], train], axis=1)
    return result.horizons, result.validation["loss"], train


def test_a_tiny_set_of_digits_is_overfitted():
    """32 images, of which every update sees all, are known by heart after 40."""
    found = oc.diagnose(*train_digits(32, 300, 0.1))
    assert found.verdict == "overfitting"
    assert found.turn < 60
    assert found.rise > 0.1
    assert found.train_change < -0.1
    assert found.gap > 1.0


def test_where_the_turn_was_not_seen_the_gap_tells():
    """Evaluated half as often, the loss of the same training falls throughout."""
    steps, validation, train = train_digits(32, 600, 0.1)
    found = oc.diagnose(steps, validation, train)
    assert found.verdict == "overfitting"
    assert found.rise < found.rise_error
    assert found.gap == pytest.approx(np.mean(validation[:, -1]), abs=0.01)
    assert oc.diagnose(steps, validation).verdict != "overfitting"


def test_few_slow_updates_underfit_digits():
    found = oc.diagnose(*train_digits(1442, 60, 0.003))
    assert found.verdict == "underfitting"
    assert found.trend < -10 * found.trend_error
