"""Ramps of members that record the hyperparameter they were given."""

import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import optax_cycles as oc
from optax_cycles.range_test.ramp import exponential, ramped
from optax_cycles.sweep import Divergence, Interrupted, Status

loop_module = importlib.import_module("optax_cycles.sweep.loop")

DATA = np.arange(6, dtype=np.float32)
LOW, HIGH, STEPS = 1e-5, 100.0, 40


def init(key, hparams):
    return {"x": jax.random.normal(key)}


def step(state, hparams, batch, key):
    """Descent of x^2 / 2 with noise, whose factor is 1 - rate."""
    x = state["x"]
    new = x - hparams["learning_rate"] * (x + 0.01 * jax.random.normal(key))
    metrics = {
        "loss": x**2 / 2,
        "learning_rate": hparams["learning_rate"],
        "momentum": hparams.get("momentum", jnp.float32(0)),
    }
    return {"x": new}, metrics


TRAINABLE = oc.Trainable(init, step)


def ramp(**options):
    options = {"low": LOW, "high": HIGH, "steps": STEPS, "batch_size": 3} | options
    return oc.ramp_range_test(TRAINABLE, DATA, **options)


@pytest.fixture(scope="module")
def free():
    """A ramp that only a loss that is not finite would stop."""
    return ramp(seeds=3, divergence=Divergence())


@pytest.fixture(scope="module")
def watched():
    """The same ramp with a rule that stops explosions."""
    return ramp(seeds=3, divergence=Divergence(4.0, 0.5))


def test_update_i_of_n_uses_low_times_the_ratio_to_the_i_over_n(free):
    i = np.arange(STEPS)
    expected = LOW * (HIGH / LOW) ** (i / STEPS)
    np.testing.assert_allclose(free.values, expected, rtol=1e-14)
    used = free.sweep.train["learning_rate"]
    # The exponent, up to log(1e6), is rounded to single precision.
    rounding = np.finfo(np.float32).eps * np.log(HIGH / LOW)
    np.testing.assert_allclose(
        used, np.broadcast_to(expected, used.shape), rtol=rounding
    )


def test_the_first_update_uses_exactly_low_and_none_uses_high(free):
    used = free.sweep.train["learning_rate"]
    assert np.all(used[..., 0] == np.float32(LOW))
    assert free.values[0] == LOW
    assert np.all(used[..., -1] < HIGH)
    assert np.all(np.diff(used) > 0)


def test_losses_are_those_of_the_raw_and_the_smoothed_curve(free):
    assert free.name == "learning_rate"
    assert free.complete
    assert free.losses.shape == free.smoothed().shape == (3, STEPS)
    np.testing.assert_array_equal(free.losses, free.sweep.train["loss"])
    np.testing.assert_array_equal(free.smoothed(0.5), oc.smooth(free.losses, 0.5))
    assert np.all(np.isfinite(free.losses))


def test_seeds_differ_in_start_and_noise(free):
    assert len(np.unique(free.losses[:, 0])) == 3
    assert free.sweep.space.names == ("seed",)


def test_a_run_that_explodes_is_stopped_and_the_others_are_not_touched(free, watched):
    stops = watched.sweep.updates
    assert np.all(watched.sweep.status == Status.DIVERGED)
    # Above a rate of 2 the loss grows.
    first = np.flatnonzero(watched.values > 2)[0]
    assert np.all(stops > first)
    assert np.all(stops < STEPS)
    for seed, count in enumerate(stops):
        np.testing.assert_array_equal(
            watched.losses[seed, :count], free.losses[seed, :count]
        )
        assert np.all(np.isnan(watched.losses[seed, count:]))


def test_any_hyperparameter_climbs_while_constants_stay():
    test = ramp(name="momentum", low=0.5, high=0.99, constants={"learning_rate": 0.1})
    expected = 0.5 * (0.99 / 0.5) ** (np.arange(STEPS) / STEPS)
    used = test.sweep.train["momentum"].ravel()
    np.testing.assert_allclose(used, expected, rtol=np.finfo(np.float32).eps * 2)
    assert np.all(test.sweep.train["learning_rate"] == np.float32(0.1))
    assert test.losses.shape == (1, STEPS)
    assert test.sweep.space.names == ("learning_rate", "seed")


def test_a_ramp_may_span_all_of_single_precision():
    low, high = 1e-30, 1e15
    test = ramp(low=low, high=high, divergence=Divergence())
    used = test.sweep.train["learning_rate"].ravel()
    count = int(test.sweep.updates[0])
    expected = low * (high / low) ** (np.arange(count) / STEPS)
    rounding = np.finfo(np.float32).eps * np.log(high / low)
    np.testing.assert_allclose(used[:count], expected, rtol=rounding)


def test_the_optimizer_starts_with_the_lowest_value():
    seen = []

    def remembering(key, hparams):
        seen.append(hparams["learning_rate"])
        return init(key, hparams)

    inside = ramped(
        TRAINABLE._replace(init=remembering),
        {"learning_rate": exponential(0.25, 1.0)},
        4,
    )
    inside.init(jax.random.key(0), {})
    assert [float(value) for value in seen] == [0.25]


def test_rules_see_each_seeds_whole_curve(watched):
    seen = []

    def rule(values, losses):
        seen.append((values, losses))
        return oc.Suggestion(value=values[2], index=2, reason="the third point")

    suggestions = watched.suggest(rule, beta=0.5)
    assert len(suggestions) == len(seen) == 3
    for curve, (values, losses) in zip(watched.smoothed(0.5), seen, strict=True):
        np.testing.assert_array_equal(values, watched.values)
        np.testing.assert_array_equal(losses, curve)
    assert [found.index for found in suggestions] == [2, 2, 2]


def test_a_rule_by_name_leaves_out_what_its_library_leaves_out(watched):
    """fastai: a tenth of all points, and the last five before the run stopped."""
    smoothed = watched.smoothed(0.5)
    for name in ("valley", "steep"):
        for seed, found in enumerate(watched.suggest(name, beta=0.5)):
            kept = slice(STEPS // 10, watched.sweep.updates[seed] - 5)
            rule = getattr(oc, name)
            trimmed = rule(watched.values[kept], smoothed[seed, kept])
            assert found.value == trimmed.value
            assert found.index == trimmed.index + STEPS // 10
    with pytest.raises(ValueError, match=r"suggest: rule must be one of .*'valley'"):
        watched.suggest("valey")


def test_rules_are_compared_on_the_same_curves(watched):
    compared = watched.compare(beta=0.5)
    assert compared["valley"].values == tuple(
        found.value for found in watched.suggest("valley", beta=0.5)
    )


def test_values_that_are_not_positive_are_left_out():
    """A linear ramp from 0: a logarithmic axis has no place for its first point."""
    test = ramp(ramp="linear", low=0.0, high=1.0)
    (found,) = test.suggest(
        lambda v, losses: oc.Suggestion(v[3], 3, f"{losses[3]:.9g}")
    )
    assert (found.index, found.value) == (4, test.values[4])
    assert found.reason == f"{test.smoothed()[0, 4]:.9g}"


def test_rules_answer_within_the_fall_of_the_loss(watched):
    for rule in ("valley", "steep"):
        for found in watched.suggest(rule, beta=0.5):
            assert 1e-3 < found.value < 2
            assert found.value == watched.values[found.index]


def test_a_run_that_is_too_short_for_a_rule_is_refused():
    test = ramp(steps=6, divergence=Divergence())
    with pytest.raises(
        oc.NoSuggestionError, match="valley: losses must be at least 3 losses"
    ):
        test.suggest("valley")


def test_nothing_of_the_callers_is_changed(free):
    data = {"inputs": DATA.copy(), "device": jnp.asarray(DATA)}
    again = oc.ramp_range_test(
        TRAINABLE,
        data,
        low=LOW,
        high=HIGH,
        steps=STEPS,
        seeds=3,
        batch_size=3,
        divergence=Divergence(),
        key=jax.random.key(0),
    )
    np.testing.assert_array_equal(data["inputs"], DATA)
    np.testing.assert_array_equal(data["device"], DATA)
    np.testing.assert_array_equal(again.losses, free.losses)


def test_an_interrupted_ramp_hands_over_what_had_run(free):
    def stop(progress):
        if progress.done >= 3 * STEPS / 2:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted) as caught:
        ramp(seeds=3, divergence=Divergence(), progress=stop)
    test = caught.value.result
    assert isinstance(test, oc.RampTest)
    assert not test.complete
    half = STEPS // 2
    np.testing.assert_array_equal(test.losses[:, :half], free.losses[:, :half])
    assert np.all(np.isnan(test.losses[:, half:]))
    message = f"the ramp was interrupted: 3 of 3 seed.s. came to update {half} of"
    for ask in (lambda: test.suggest("minimum"), test.compare):
        with pytest.raises(oc.NoSuggestionError, match=message):
            ask()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            {"moving": {"train_loss": (0.0, 1.0)}},
            ValueError,
            "the name of a hyperparameter must be none of .* got 'train_loss'",
        ),
        ({"low": 0.0}, ValueError, "low must be a finite number > 0, got 0.0"),
        ({"low": -1.0}, ValueError, "low must be a finite number > 0, got -1.0"),
        ({"low": "1e-5"}, TypeError, "low must be a finite number > 0, got '1e-5'"),
        ({"low": 1.0, "high": 0.1}, ValueError, r"low must be below high \(0.1\)"),
        ({"low": 1.0, "high": 1.0}, ValueError, r"low must be below high \(1.0\)"),
        ({"high": float("inf")}, ValueError, "high must be a finite number"),
        ({"steps": 0}, ValueError, "steps must be a positive integer, got 0"),
        ({"seeds": 0}, ValueError, "seeds must be a positive integer, got 0"),
        ({"seeds": [-1]}, ValueError, "seeds must be non-negative integers"),
        ({"constants": {"seed": 1}}, ValueError, "hyperparameter 'seed' is given twi"),
        (
            {"constants": {"learning_rate": 0.1}},
            ValueError,
            "hyperparameter 'learning_rate' is given twice",
        ),
        (
            {"constants": {"momentum": float("nan")}},
            ValueError,
            "momentum must be a sequence of finite numbers",
        ),
    ],
    ids=str,
)
def test_arguments_that_make_no_sense_are_refused(change, error, message):
    with pytest.raises(error, match=f"^ramp_range_test: {message}"):
        ramp(**change)


def test_a_ramp_needs_a_trainable():
    with pytest.raises(TypeError, match="ramp_range_test: trainable must be a Trainab"):
        oc.ramp_range_test(step, DATA)


@pytest.mark.parametrize("change", [{"low": 1e-40}, {"high": 1e39}])
def test_ends_that_float32_does_not_hold_are_refused(change):
    (name,) = change
    with pytest.raises(ValueError, match=f"ramp_range_test: {name} must be"):
        oc.ramp_range_test(oc.Trainable(None, None), np.zeros(3), **change)


def test_a_ramp_over_the_whole_range_of_floats_stays_finite():
    low, high = 1e-30, 1e30
    trainable = ramped(
        oc.Trainable(
            lambda key, hparams: 0.0,
            lambda state, hparams, batch, key: (state, {"loss": hparams["rate"]}),
        ),
        {"rate": exponential(low, high)},
        steps=10,
    )
    key = jax.random.key(0)
    seen = []
    for update in range(10):
        state = trainable.init(key, {})._replace(update=jnp.int32(update))
        seen.append(float(trainable.step(state, {}, None, key)[1]["loss"]))
    expected = low * np.exp(np.log(high / low) * np.arange(10) / 10)
    np.testing.assert_allclose(seen, expected, rtol=3e-5)
    assert seen[0] == np.float32(low)


def test_update_i_of_n_of_a_linear_ramp_uses_low_plus_its_share_of_the_way():
    test = ramp(name="momentum", low=0.0, high=1.0, ramp="linear", over={
        "learning_rate": [0.1, 0.2]
    })  # fmt: skip
    expected = np.arange(STEPS) / STEPS
    np.testing.assert_allclose(test.values, expected, rtol=0, atol=1e-15)
    used = test.train("momentum")
    assert used.shape == (2, 1, STEPS)
    rounding = np.finfo(np.float32).eps
    np.testing.assert_allclose(
        used, np.broadcast_to(expected, used.shape), rtol=0, atol=rounding
    )
    assert np.all(used[..., 0] == 0.0)


@pytest.fixture(scope="module")
def engines():
    """The engines that the fixture below was run with."""
    return []


@pytest.fixture(scope="module")
def cycling(engines):
    """Momentum falls while the rate climbs, for three floors of the loss."""
    with pytest.MonkeyPatch.context() as patch:

        def build(*args, **options):
            engines.append(oc.sweep.build(*args, **options))
            return engines[-1]

        patch.setattr(loop_module, "build", build)
        return climb_and_fall()


def climb_and_fall():
    model = oc.Trainable(init, floored, lambda state, batch: {"loss": state["x"] ** 2})
    return oc.ramp_range_test(
        model,
        DATA,
        DATA,
        low=1e-3,
        high=1.0,
        steps=STEPS,
        moving={"momentum": (0.95, 0.8)},
        over={"floor": [0.0, 1.0, 3.0]},
        validate_every=15,
        seeds=2,
        batch_size=3,
        keep_state=True,
    )


def floored(state, hparams, batch, key):
    state, metrics = step(state, hparams, batch, key)
    return state, metrics | {"loss": metrics["loss"] + hparams["floor"]}


def test_a_grid_of_ramps_is_one_program(cycling, engines):
    (engine,) = engines
    assert engine.compiles == {"init": 1, "advance": 1, "evaluate": 1}


def test_another_hyperparameter_may_fall_meanwhile(cycling):
    expected = 0.95 - 0.15 * np.arange(STEPS) / STEPS
    np.testing.assert_allclose(cycling.moving["momentum"], expected, rtol=1e-15)
    used = cycling.train("momentum")
    assert used.shape == (3, 2, STEPS)
    np.testing.assert_allclose(
        used, np.broadcast_to(expected, used.shape), rtol=3 * np.finfo(np.float32).eps
    )
    assert repr(cycling) == "RampTest(learning_rate; floor: 3, seed: 2; 40 updates)"


def test_further_hyperparameters_are_axes_of_the_same_program(cycling):
    assert cycling.over == ("floor",)
    assert cycling.axes["floor"].tolist() == [0.0, 1.0, 3.0]
    assert cycling.losses.shape == cycling.smoothed().shape == (3, 2, STEPS)
    for index, floor in enumerate([0.0, 1.0, 3.0]):
        np.testing.assert_allclose(
            cycling.losses[index], cycling.losses[0] + floor, rtol=1e-6
        )


def test_validation_runs_along_the_ramp_and_at_its_end(cycling):
    assert cycling.sweep.horizons.tolist() == [15, 30, 40]
    np.testing.assert_array_equal(cycling.validated, cycling.values[[14, 29, 39]])
    validation = cycling.validation()
    assert validation.shape == (3, 2, 3)
    # The loss of an update is that before it: x^2 / 2 of the update before.
    after = 2 * (cycling.losses[0][:, [15, 30]])
    np.testing.assert_allclose(validation[0][:, :2], after, rtol=1e-6)
    final = np.asarray(cycling.sweep.state.inner["x"]).reshape(3, 2)
    np.testing.assert_allclose(validation[..., -1], final**2, rtol=1e-6)


def test_a_rule_is_asked_at_a_point_of_the_grid_and_of_either_curve(cycling):
    def first(values, losses):
        return oc.Suggestion(values[0], 0, f"{losses[0]:.9g}")

    for index, floor in enumerate([0.0, 1.0, 3.0]):
        found = cycling.suggest(first, at={"floor": floor})
        assert [one.index for one in found] == [0, 0]
        curve = cycling.smoothed()[index, :, 0]
        assert [one.reason for one in found] == [f"{loss:.9g}" for loss in curve]
        (one, _) = cycling.suggest(first, at={"floor": floor}, on="validation")
        assert one.value == cycling.values[14]
        assert one.reason == f"{cycling.validation()[index, 0, 0]:.9g}"
    for at in (None, {}, {"floor": 0.0, "rate": 1.0}, {"flor": 0.0}):
        with pytest.raises(
            ValueError, match=r"suggest: at must be a value for each of"
        ):
            cycling.suggest(first, at=at)
    with pytest.raises(ValueError, match=r"at\['floor'\] must be one of \[0.0, 1.0"):
        cycling.suggest(first, at={"floor": 2.0})


def test_a_saved_ramp_is_read_back(cycling, tmp_path):
    cycling.save(tmp_path / "ramp.nc")
    again = oc.RampTest.load(tmp_path / "ramp.nc")
    assert (again.name, again.over) == ("learning_rate", ("floor",))
    np.testing.assert_array_equal(again.values, cycling.values)
    np.testing.assert_array_equal(again.moving["momentum"], cycling.moving["momentum"])
    np.testing.assert_array_equal(again.losses, cycling.losses)
    np.testing.assert_array_equal(again.validated, cycling.validated)


def test_a_notebook_shows_what_climbed(cycling):
    shown = cycling._repr_html_()
    assert "<th>momentum</th><td>moves, 0.95 to 0.80375</td>" in shown
    assert "<th>floor</th><td>0 to 3, 3 values</td>" in shown


@pytest.mark.parametrize("steps", [1, 7])
def test_a_ramp_is_shorter_than_an_epoch_or_many_of_them(steps):
    """6 examples in batches of 3: 2 updates are an epoch."""
    test = ramp(steps=steps, divergence=Divergence())
    assert test.losses.shape == (1, steps)
    assert np.isfinite(test.losses).all()
    assert test.values[0] == LOW


def test_all_runs_start_from_the_snapshot():
    test = ramp(seeds=3, start={"x": np.float32(2.0)}, divergence=Divergence())
    assert np.all(test.losses[:, 0] == 2.0)
    assert len(np.unique(test.losses[:, 25])) == 3


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"ramp": "cosine"}, ValueError, "ramp must be one of exponential, linear"),
        (
            {"ramp": "linear", "low": 1.0, "high": 0.5},
            ValueError,
            r"low must be below high \(0.5\)",
        ),
        ({"moving": {"momentum": 0.9}}, ValueError, r".*momentum'\] must be a pair"),
        ({"moving": {"momentum": (0.9, "x")}}, TypeError, "moving.* a finite number"),
        ({"moving": [0.9, 0.8]}, TypeError, "moving must be a dict from hyperparamet"),
        (
            {"moving": {"learning_rate": (0.9, 0.8)}},
            ValueError,
            "hyperparameter 'learning_rate' is given twice",
        ),
        (
            {"over": {"learning_rate": [0.1, 0.2]}},
            ValueError,
            "hyperparameter 'learning_rate' is given twice",
        ),
        ({"over": {"momentum": [0.9]}}, ValueError, "over.* at least 2 increasing num"),
        ({"validate_every": 5}, ValueError, "validate_every needs validation, got non"),
        ({"name": "batch_size"}, ValueError, "a batch_size can't climb"),
        (
            {"name": "learning_rat"},
            ValueError,
            "hyperparameter 'learning_rat' is never read",
        ),
    ],
    ids=str,
)
def test_ramps_that_make_no_sense_are_refused(change, error, message):
    if "name" in change:
        change = change | {"constants": {"learning_rate": 0.1}}
    with pytest.raises(error, match=f"^ramp_range_test: {message}"):
        ramp(**change)


@pytest.mark.parametrize(
    ("every", "message"),
    [(0, "a positive integer, got 0"), (41, r"at most steps \(40\), got 41")],
)
def test_intervals_that_make_no_sense_are_refused(every, message):
    with pytest.raises(ValueError, match=f"validate_every must be {message}"):
        oc.ramp_range_test(TRAINABLE, DATA, DATA, steps=STEPS, validate_every=every)
