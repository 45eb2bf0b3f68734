"""The examples run at a small size, and reach what they claim."""

import runpy
from collections import Counter
from pathlib import Path

import jax
import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


def example(name):
    return runpy.run_path(str(EXAMPLES / name))


def run(name, *argv):
    return example(name)["main"]([str(word) for word in argv])


def one_cycle(steps, first, peak, last):
    """Up in 30 % of the steps and down in the others, both along a cosine."""
    t, up, end = np.arange(steps), 0.3 * steps - 1, steps - 1
    rise, fall = (1 - np.cos(np.pi * t / up)) / 2, (t - up) / (end - up)
    fall = (1 - np.cos(np.pi * fall)) / 2
    return np.where(t <= up, first + (peak - first) * rise, peak + (last - peak) * fall)


def assert_follows(values, expected):
    """Equal but for the rounding of float32, at the scale of the schedule."""
    np.testing.assert_allclose(
        values, expected, rtol=1e-6, atol=1e-6 * np.max(expected)
    )


def test_a_linen_step_moves_rate_momentum_and_decay_on_one_cycle():
    accuracy, log = run("linen_train_step.py", "--steps", 200)
    assert accuracy > 0.95
    assert_follows(log["multiplier"], one_cycle(200, 0.04, 1.0, 4e-6))
    assert_follows(log["momentum"], one_cycle(200, 0.95, 0.85, 0.95))
    assert_follows(log["weight_decay"], one_cycle(200, 1e-3, 1e-4, 1e-3))


def test_an_nnx_step_moves_rate_and_first_beta_on_one_cycle():
    accuracy, log = run("nnx_train_step.py", "--steps", 200)
    assert accuracy > 0.95
    assert_follows(log["multiplier"], one_cycle(200, 0.04, 1.0, 4e-6))
    assert_follows(log["b1"], one_cycle(200, 0.95, 0.85, 0.95))


def test_a_plain_jax_loop_restarts_by_updates_and_not_by_small_batches():
    accuracy, log = run("plain_jax_train_step.py", "--epochs", 6)
    assert accuracy > 0.95
    # 23 updates an epoch, as 1,442 examples are 22.5 batches of 64.
    periods = [2 * 23, 4 * 23]
    descents = [(1 + np.cos(np.pi * np.arange(n) / n)) / 2 for n in periods]
    assert_follows(log["multiplier"], np.concatenate(descents))
    decays = [np.full(n, 0.02 / np.sqrt(n)) for n in periods]
    assert_follows(log["weight_decay"], np.concatenate(decays))


def test_an_equinox_step_moves_rate_and_momentum_in_halving_triangles():
    accuracy, log = run("equinox_train_step.py", "--steps", 198)
    assert accuracy > 0.95
    cycle, position = np.divmod(np.arange(198) / 33, 2)
    wave = (1 - np.abs(position - 1)) / 2**cycle
    assert_follows(log["learning_rate"], 0.005 + 0.045 * wave)
    assert_follows(log["momentum"], 0.95 - 0.1 * wave)


def plateau(losses, rate, factor, patience, threshold):
    """The rate after each loss: the state machine of PyTorch, in plain Python."""
    best, bad, rates = float("inf"), 0, []
    for loss in losses:
        if loss < best * (1 - threshold):
            best, bad = loss, 0
        else:
            bad += 1
        if bad > patience:
            rate, bad = rate * factor, 0
        rates.append(rate)
    return rates


def test_a_plateau_cuts_the_rate_when_the_validation_loss_stops_improving():
    accuracy, losses, rates = run("plateau.py", "--steps", 300)
    assert accuracy > 0.96
    assert len(losses) == 14  # after 20, 40, ..., 280 of 300 steps
    np.testing.assert_allclose(rates, plateau(losses, 0.1, 0.3, 2, 0.01), rtol=1e-6)
    assert rates[-1] < 0.2 * rates[0]


def test_a_resumed_run_ends_bit_for_bit_where_a_straight_one_does(tmp_path):
    def train(folder, *argv):
        words = ["--steps", 200, "--directory", tmp_path / folder, *argv]
        return run("checkpoint_and_resume.py", *words)

    _, straight = train("straight")
    train("interrupted", "--stop", 130)
    first, resumed = train("interrupted")
    assert (first, int(resumed.step)) == (100, 200)
    assert jax.tree.all(jax.tree.map(np.array_equal, straight.params, resumed.params))
    moments = jax.tree.leaves(straight.opt_state)
    for moment, other in zip(moments, jax.tree.leaves(resumed.opt_state), strict=True):
        np.testing.assert_array_equal(moment, other)


@pytest.mark.slow
def test_a_transformer_with_noam_beats_every_bigram_model_of_the_text():
    bits, rates = run(
        "transformer_noam.py", "--steps", 240, "--width", 64, "--warmup", 80
    )
    _, text = example("transformer_noam.py")["read_corpus"]()
    pairs = Counter(zip(text[:-1].tolist(), text[1:].tolist(), strict=True))
    before = Counter(text[:-1].tolist())
    bigram = -sum(
        count * np.log2(count / before[first]) for (first, _), count in pairs.items()
    ) / (len(text) - 1)
    assert bits < bigram - 0.25
    number = np.arange(1, 241)
    assert_follows(rates, 64**-0.5 * np.minimum(number**-0.5, number * 80**-1.5))


def test_the_transformer_does_not_see_what_it_predicts():
    from flax import nnx

    transformer = example("transformer_noam.py")["Transformer"]
    model, predict = transformer(8, 1, nnx.Rngs(0)), nnx.jit(transformer.__call__)
    text = np.arange(6)[None]
    changed = np.where(np.arange(6) == 3, 99, text)
    differs = (predict(model, text) != predict(model, changed)).any((0, 2))
    assert differs.tolist() == [False, False, False, True, True, True]


def test_a_cnn_learns_the_digits_in_one_cycle():
    accuracy, log = run("cnn_one_cycle.py", "--epochs", 4)
    assert accuracy > 0.97
    steps = 4 * 46  # 1,442 examples are 45.1 batches of 32
    assert_follows(log["multiplier"], one_cycle(steps, 0.04, 1.0, 4e-6))
    assert_follows(log["momentum"], one_cycle(steps, 0.95, 0.85, 0.95))


def test_the_cnn_decays_kernels_only():
    names = example("cnn_one_cycle.py")
    optimizer = names["make_optimizer"](10)
    params = {"Conv": {"kernel": np.ones((3, 3, 1, 2), np.float32)}}
    params["BatchNorm"] = {"scale": np.ones(2, np.float32)}
    still = jax.tree.map(np.zeros_like, params)
    updates, _ = optimizer.update(still, optimizer.init(params), params)
    np.testing.assert_allclose(updates["Conv"]["kernel"], -5e-4 / 25, rtol=1e-6)
    assert not updates["BatchNorm"]["scale"].any()


def smith(*figures):
    return run("smith_range_tests.py", *figures, "--steps", 200, "--seeds", 3)


def test_smiths_diagnoses_tell_a_small_rate_from_too_few_examples(tmp_path):
    found = run(
        "smith_range_tests.py", "diagnoses", "--steps", 200, "--out", tmp_path / "new"
    )
    assert found["diagnoses"]["verdicts"] == ["underfitting", "overfitting"]
    assert (tmp_path / "new" / "diagnoses.png").stat().st_size > 10_000


def test_smiths_momenta_want_smaller_rates_and_fall_as_the_rate_grows():
    found = smith("momenta", "moving_momenta")
    rates = found["momenta"]["rate"]
    assert np.all(np.diff(rates) <= 0)
    assert rates[0] > 5 * rates[-1]
    losses = found["moving_momenta"]
    assert losses["falling"] < losses["constant"] < losses["growing"]


@pytest.mark.slow
def test_smiths_other_figures_say_on_digits_what_his_say():
    found = smith(
        "rates", "batch_sizes", "weight_decays", "constant_rates", "from_a_snapshot"
    )
    # Figure 1: the loss falls to a basin, and turns up long before the ramp's end.
    rates = found["rates"]
    assert 0.02 < rates["rate"] < 0.3
    assert rates["accuracy"] > 0.85
    ends = np.median(np.nan_to_num(rates["validation"], nan=np.inf), axis=0)
    assert min(ends[0], ends[-1]) > 5 * rates["loss"]
    # Figure 6: larger batches take larger rates, and need more examples.
    assert np.all(np.diff(found["batch_sizes"]["best"]) > 0)
    assert np.all(np.diff(found["batch_sizes"]["loss"]) > 0)
    # Figures 9 to 11: too much decay costs, and wants a smaller rate.
    for name, key in (("weight_decays", "rate"), ("constant_rates", "best")):
        losses = found[name]["loss"]
        assert losses[-1] > 2 * losses.min()
        assert found[name][key][-1] < found[name][key][0]
    # Figure 12: a snapshot ranks the decays like a fresh start.
    fresh, later = found["from_a_snapshot"].values()
    assert np.argsort(fresh).tolist() == np.argsort(later).tolist()
