"""Whole sweeps of gradient descent on a parabola, whose course is known in full."""

import importlib
import re
from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import optax_cycles as oc
from optax_cycles.sweep import Divergence, Interrupted, Status

# The name `run` in the package is the function.
loop_module = importlib.import_module("optax_cycles.sweep.loop")

KEY = jax.random.key(3)
DATA = np.array([-1.0, 0.0, 2.0, 5.0, 9.0], np.float32)
VALIDATION = np.array([1.0, 3.0], np.float32)
RATES = [0.05, 0.1, 0.2, 0.4, 1e30]
SPACE = oc.sweep.grid(rate=RATES, seed=[0, 3])
STEPS = 11


def init(key, hparams):
    return {"x": jax.random.normal(key)}


def evaluate(state, batch):
    return {"loss": jnp.mean((state["x"] - batch) ** 2), "x": state["x"]}


def parabola(noise):
    """Members that descend mean((x - batch)^2), and a list with an item a trace."""
    traces = []

    def step(state, hparams, batch, key):
        traces.append(batch)
        x = state["x"]
        gradient = 2 * jnp.mean(x - batch) + noise * jax.random.normal(key)
        metrics = {"loss": jnp.mean((x - batch) ** 2), "x": x}
        return {"x": x - hparams["rate"] * gradient}, metrics

    return oc.Trainable(init, step, evaluate), traces


NOISY, _ = parabola(noise=0.1)
EXACT, _ = parabola(noise=0.0)


def sweep(trainable=NOISY, space=SPACE, steps=STEPS, **options):
    options = {"batch_size": 2, "validation": VALIDATION, "key": KEY} | options
    return oc.sweep.run(trainable, space, DATA, steps, **options)


@pytest.fixture(scope="module")
def whole():
    """The population in one chunk."""
    return sweep(horizons=[0, 4, 11], keep_state=True)


@pytest.fixture(scope="module")
def full_batch():
    """Every batch is all of the data, so that the course is known in closed form."""
    return sweep(EXACT, batch_size=5, horizons=[0, 3, 11])


def assert_same(one, other):
    for these, those in [(one.train, other.train), (one.validation, other.validation)]:
        assert set(these) == set(those)
        for name, values in these.items():
            np.testing.assert_array_equal(values, those[name])
    np.testing.assert_array_equal(one.status, other.status)
    np.testing.assert_array_equal(one.updates, other.updates)


def test_descent_on_a_parabola_is_the_closed_form(full_batch):
    """x_t = m + (x_0 - m)(1 - 2 rate)^t, and the loss is (x - m)^2 + var."""
    rates = np.array(RATES[:4])[:, None, None]
    starts = full_batch.train["x"][:4, :, :1].astype(np.float64)
    mean, variance = DATA.mean(), DATA.var()
    x = mean + (starts - mean) * (1 - 2 * rates) ** np.arange(STEPS + 1)
    # Rounding is that of numbers of the size of the mean, also where x is near 0.
    close = partial(np.testing.assert_allclose, rtol=2e-6, atol=2e-6)
    close(full_batch.train["x"][:4], x[..., :-1])
    close(full_batch.train["loss"][:4], (x[..., :-1] - mean) ** 2 + variance)
    at = x[..., [0, 3, 11]]
    close(full_batch.validation["x"][:4], at)
    spread = VALIDATION.var()
    close(full_batch.validation["loss"][:4], (at - VALIDATION.mean()) ** 2 + spread)


def test_a_result_has_the_shape_of_the_space(whole):
    assert whole.space.shape == (5, 2)
    assert whole.train["loss"].shape == (5, 2, STEPS)
    assert whole.validation["loss"].shape == (5, 2, 3)
    assert whole.horizons.tolist() == [0, 4, 11]
    assert whole.status.shape == whole.updates.shape == (5, 2)
    assert whole.complete
    assert whole.steps == STEPS
    assert whole.versions["jax"] == jax.__version__
    assert set(whole.seconds) == {"init", "train", "evaluate", "compile"}
    assert all(spent >= 0 for spent in whole.seconds.values())


@pytest.mark.parametrize(
    "options",
    [{"chunk": 4, "segment": 5}, {"chunk": 3, "segment": 100}, {"chunk": 99}],
    ids=str,
)
def test_chunks_and_segments_do_not_change_results(whole, options):
    chunked = sweep(horizons=[0, 4, 11], keep_state=True, **options)
    assert_same(chunked, whole)
    chex.assert_trees_all_equal(chunked.state, whole.state)


def test_diverged_members_stop_have_no_validation_and_are_never_best(whole):
    assert whole.diverged.tolist() == [[False, False]] * 4 + [[True, True]]
    assert whole.status.max() == Status.DIVERGED
    stopped = whole.updates[4]
    assert np.all(stopped < STEPS)
    assert np.all(whole.updates[:4] == STEPS)
    for seed, count in enumerate(stopped):
        losses = whole.train["loss"][4, seed]
        assert np.all(np.isfinite(losses[: count - 1]))
        assert not np.isfinite(losses[count - 1])
        assert np.all(np.isnan(losses[count:]))
    assert np.all(np.isnan(whole.validation["loss"][4, :, 1:]))
    assert np.all(np.isfinite(whole.validation["loss"][:4]))
    for metric in ("loss", "x"):
        for mode in ("min", "max"):
            assert whole.best(metric, mode=mode)["rate"] != 1e30


def test_an_evaluation_is_that_of_a_run_that_ends_there(whole):
    short = sweep(steps=4)
    assert short.horizons.tolist() == [4]
    for metric, values in short.validation.items():
        np.testing.assert_array_equal(values[..., 0], whole.validation[metric][..., 1])


def test_members_of_one_seed_are_a_pair(whole):
    """They share their start and first batch; other seeds have others."""
    for metric in ("x", "loss"):
        first = whole.train[metric][:, :, 0]
        np.testing.assert_array_equal(first, np.broadcast_to(first[:1], (5, 2)))
        assert first[0, 0] != first[0, 1]


def test_another_key_is_another_sweep(whole):
    other = sweep(key=jax.random.key(4))
    assert np.all(other.train["loss"][:4] != whole.train["loss"][:4])


def test_the_final_states_are_kept_on_request(whole, full_batch):
    np.testing.assert_array_equal(
        whole.state["x"].reshape(5, 2)[:4], whole.validation["x"][:4, :, -1]
    )
    assert whole.state_members.tolist() == list(range(10))
    assert full_batch.state is full_batch.state_members is None


def test_the_best_members_state_is_that_of_a_training_of_its_own(whole):
    best = whole.best()
    alone = sweep(space={name: [value] for name, value in best.items()}, chunk=1)
    state = whole.best_state()
    np.testing.assert_array_equal(state["x"], alone.validation["x"][0, -1])
    np.testing.assert_array_equal(whole.state_at(**best)["x"], state["x"])


def test_progress_adds_up_to_all_updates_of_all_members():
    seen = []
    sweep(chunk=4, segment=4, horizons=[5, 11], progress=seen.append)
    assert {each.total for each in seen} == {10 * STEPS}
    done = [each.done for each in seen]
    # Segments end after 4, 5, 9 and 11 updates of 4, 3 and 3 members.
    expected = [4 * at for at in (4, 5, 9, 11)]
    expected += [44 + 3 * at for at in (4, 5, 9, 11)]
    expected += [77 + 3 * at for at in (4, 5, 9, 11)]
    assert done == [0, *expected]


@pytest.mark.parametrize("horizons", [[0, 4, 11], None])
def test_an_interrupted_sweep_hands_over_what_had_run(whole, horizons, tmp_path):
    def stop(progress):
        if progress.done == 4 * STEPS + 3 * 4:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted) as caught:
        sweep(chunk=4, segment=4, horizons=horizons, keep_state=True, progress=stop)
    assert isinstance(caught.value, KeyboardInterrupt)
    result = caught.value.result
    assert not result.complete
    assert result.state_members.tolist() == [0, 1, 2, 3]
    np.testing.assert_array_equal(result.state["x"], whole.state["x"][:4])
    assert result.updates.ravel().tolist() == [STEPS] * 4 + [4] * 3 + [0] * 3
    losses, expected = (r.train["loss"].reshape(10, STEPS) for r in (result, whole))
    np.testing.assert_array_equal(losses[:4], expected[:4])
    np.testing.assert_array_equal(losses[4:7, :4], expected[4:7, :4])
    assert np.all(np.isnan(losses[4:7, 4:]))
    assert np.all(np.isnan(losses[7:]))
    last = result.validation["loss"][..., -1].ravel()
    np.testing.assert_array_equal(
        last[:4], whole.validation["loss"][..., -1].ravel()[:4]
    )
    assert np.all(np.isnan(last[4:]))
    assert result.best()["rate"] in RATES[:2]
    result.save(tmp_path / "sweep.nc")
    assert_same(oc.sweep.SweepResult.load(tmp_path / "sweep.nc"), result)
    first = result.state_at(rate=RATES[0], seed=0)
    np.testing.assert_array_equal(first["x"], whole.state["x"][0])
    with pytest.raises(ValueError, match=r"state_at: the member .* had not finished"):
        result.state_at(rate=RATES[4], seed=0)


def test_a_sweep_may_be_interrupted_before_the_first_evaluation():
    def stop(progress):
        if progress.done:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted) as caught:
        sweep(segment=4, progress=stop)
    assert caught.value.result.validation == {}
    with pytest.raises(ValueError, match="best: no validation metric was recorded"):
        caught.value.result.best()
    assert caught.value.result.train["loss"].shape == (5, 2, STEPS)


@pytest.mark.parametrize("seeds_outermost", [True, False])
def test_one_compile_serves_all_chunks_segments_and_steps(monkeypatch, seeds_outermost):
    engines = []

    def build(*args, **options):
        engines.append(oc.sweep.build(*args, **options))
        return engines[-1]

    monkeypatch.setattr(loop_module, "build", build)
    counts = []
    # Chunks of 3, 3 and 1 members, of which the last one has a single seed.
    pairs = {"rate": RATES[:4] + RATES[:3], "seed": [0, 0, 0, 1, 1, 1, 2]}
    if not seeds_outermost:
        pairs["seed"] = [0, 1, 2, 0, 1, 2, 0]
    for steps, options in [(2, {}), (29, {"segment": 4, "horizons": [0, 1, 17]})]:
        trainable, traces = parabola(noise=0.0)
        sweep(trainable, pairs, steps=steps, chunk=3, **options)
        assert engines[-1].compiles == {"init": 1, "advance": 1, "evaluate": 1}
        counts.append(len(traces))
    assert counts[0] == counts[1] <= 4


def test_python_numbers_in_the_first_state_do_not_cost_a_compile(monkeypatch):
    engines = []
    monkeypatch.setattr(
        loop_module,
        "build",
        lambda *a, **k: engines.append(oc.sweep.build(*a, **k)) or engines[-1],
    )
    weak = EXACT._replace(init=lambda key, hparams: {"x": 0.0})
    sweep(weak, {"rate": [0.1, 0.2]}, steps=4, segment=1)
    assert engines[0].compiles == {"init": 1, "advance": 1, "evaluate": 1}


def test_a_rule_of_divergence_stops_finite_explosions():
    rates = {"rate": [0.1, 1.5]}  # (1 - 2 rate)^2 is 4 for the second one
    options = {"batch_size": 5, "validation": None}
    free = sweep(EXACT, rates, 40, **options)
    assert not free.diverged.any()
    watched = sweep(EXACT, rates, 40, divergence=Divergence(4.0, 0.5), **options)
    assert watched.diverged.tolist() == [False, True]
    assert watched.updates.tolist() == [40, 11]
    np.testing.assert_array_equal(watched.train["loss"][0], free.train["loss"][0])


def test_a_space_may_vary_only_the_seed():
    fixed = EXACT._replace(
        step=lambda state, hparams, *rest: EXACT.step(state, {"rate": 0.1}, *rest)
    )
    result = sweep(fixed, {"seed": [0, 3]}, batch_size=5, horizons=[0])
    assert result.train["loss"].shape == (2, STEPS)
    assert np.all(np.isfinite(result.train["loss"]))
    assert set(result.best()) == {"seed"}


def test_metrics_may_be_of_any_numeric_dtype():
    def step(state, hparams, batch, key):
        new, metrics = EXACT.step(state, hparams, batch, key)
        return new, metrics | {"count": jnp.int32(7), "half": jnp.bfloat16(0.5)}

    result = sweep(EXACT._replace(step=step), {"rate": [0.1, 1e30]}, batch_size=5)
    assert result.train["count"].dtype == result.train["half"].dtype == np.float32
    assert result.train["count"][0].tolist() == [7.0] * STEPS
    assert np.isnan(result.train["half"][1, -1])


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"key": 0}, TypeError, "run: key must be a key from jax.random.key, got 0"),
        ({"key": jax.random.PRNGKey(0)}, TypeError, "run: key must be a key from jax"),
        ({"key": jax.random.split(KEY)}, TypeError, "run: key must be a key from jax"),
        ({"steps": 0}, ValueError, "run: steps must be a positive integer, got 0"),
        ({"steps": 3.0}, TypeError, "run: steps must be a positive integer, got 3.0"),
        ({"segment": 0}, ValueError, "run: segment must be a positive integer, got 0"),
        ({"chunk": 0}, ValueError, "run: chunk must be a positive integer, got 0"),
        ({"batch_size": 6}, ValueError, r"batch_size must be at most .* \(5\), got 6"),
        ({"batch_size": 0}, ValueError, "batch_size must be a positive integer, got 0"),
        (
            {"horizons": []},
            ValueError,
            r"horizons must be increasing integers .*\(11\)",
        ),
        ({"horizons": [4, 4]}, ValueError, "horizons must be increasing integers"),
        ({"horizons": [5, 4]}, ValueError, "horizons must be increasing integers"),
        ({"horizons": [12]}, ValueError, "horizons must be increasing integers"),
        ({"horizons": [-1]}, ValueError, "horizons must be a non-negative integer"),
        ({"horizons": [1.5]}, TypeError, "horizons must be a non-negative integer"),
        (
            {"horizons": [1], "validation": None},
            ValueError,
            "run: horizons need validation data, got none",
        ),
        ({"space": [0.1]}, TypeError, "run: space must be a Space or a dict of arrays"),
        ({"space": {}}, ValueError, "at least one hyperparameter is needed"),
        (
            {"space": {"rate": [0.1], "seed": [0.5]}},
            ValueError,
            "run: seed must be non-negative integers",
        ),
        (
            {"space": {"rate": [0.1], "seed": [-1]}},
            ValueError,
            "run: seed must be non-negative integers",
        ),
        (
            {"space": {"rate": [0.1], "horizon": [1]}},
            ValueError,
            "run: 'horizon' can't be the name of a hyperparameter",
        ),
        (
            {"placement": "tpu"},
            ValueError,
            "placement must be one of auto, map, measure, vmap",
        ),
        ({"divergence": 4.0}, TypeError, "divergence must be a Divergence, got 4.0"),
        ({"trainable": len}, TypeError, "trainable must be a Trainable"),
        (
            {"trainable": EXACT._replace(evaluate=None)},
            ValueError,
            "evaluate: validation data was given",
        ),
        ({"space": {"momentum": [0.9]}}, ValueError, "'rate' is read, which is no hyp"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_arguments_that_make_no_sense_are_refused_before_anything_runs(
    change, error, message
):
    with pytest.raises(error, match=message):
        sweep(**change, progress=lambda _: pytest.fail("it ran"))


def test_validation_of_another_structure_is_refused():
    """A forgotten tuple would make rows of the array pass for inputs and labels."""
    with pytest.raises(ValueError, match="run: validation must be of the same struct"):
        sweep(validation=(DATA, DATA))


def test_an_unknown_option_of_a_range_test_is_named():
    with pytest.raises(TypeError, match=r"an option must be .*did you mean 'batch_si"):
        oc.parallel_range_test(EXACT, DATA, DATA, batchsize=3)


def test_a_result_shows_its_axes_instead_of_its_arrays(whole):
    found = r"SweepResult\(.*: \d+; 11 updates; 2 of 10 diverged\)"
    assert re.fullmatch(found, repr(whole))
