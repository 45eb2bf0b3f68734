"""Batch sizes as an axis: a program each, compared at equal updates or examples."""

import importlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import optax_cycles as oc
from optax_cycles.range_test.runs import updates_at
from optax_cycles.sweep import Interrupted

loop_module = importlib.import_module("optax_cycles.sweep.loop")

EXAMPLES = np.random.default_rng(0).normal(size=(24, 3)).astype(np.float32)
VALIDATION = EXAMPLES[:8]
SIZES, RATES = [2, 4, 12], [0.003, 0.3, 3.0]
OVER = {"learning_rate": RATES, "batch_size": SIZES}
STEPS = 24

PROBLEM = oc.problem_from_loss(
    lambda key: 2.0 + 0.1 * jax.random.normal(key, (3,)),
    lambda p, batch, key: jnp.mean((batch @ p - 1.0) ** 2),
)
TRAIN = oc.trainable(PROBLEM, lambda hp: optax.sgd(hp["learning_rate"]))


def batch_test(**options):
    options = {"over": OVER, "steps": STEPS, "seeds": 2} | options
    return oc.parallel_range_test(TRAIN, EXAMPLES, VALIDATION, **options)


@pytest.fixture(scope="module")
def engines():
    return []


@pytest.fixture(scope="module")
def updates(engines):
    """All batch sizes make as many updates."""
    with pytest.MonkeyPatch.context() as patch:

        def build(*args, **options):
            engines.append(oc.sweep.build(*args, **options))
            return engines[-1]

        patch.setattr(loop_module, "build", build)
        return batch_test()


@pytest.fixture(scope="module")
def examples():
    """All batch sizes see as many examples."""
    return batch_test(budget="examples", keep_state=True)


def alone(size, steps, horizons):
    """The same test of one batch size."""
    return batch_test(
        over={"learning_rate": RATES}, batch_size=size, steps=steps, horizons=horizons
    )


def test_each_batch_size_is_one_program(updates, engines):
    (engine,) = engines
    assert engine.compiles == {"init": 1, "advance": len(SIZES), "evaluate": 1}


def test_each_batch_size_is_the_test_of_it_alone(updates):
    assert updates.over == ("learning_rate", "batch_size")
    assert updates.validation().shape == (3, 3, 2)
    for index, size in enumerate(SIZES):
        one = alone(size, STEPS, [3, 6, 12, 24])
        for horizon in (3, 24):
            np.testing.assert_array_equal(
                updates.validation(horizon=horizon)[:, index],
                one.validation(horizon=horizon),
            )
            np.testing.assert_array_equal(
                updates.train(horizon=horizon)[:, index], one.train(horizon=horizon)
            )
    assert updates.updates_at(24) == {2: 24, 4: 24, 12: 24}


def test_with_a_budget_of_examples_larger_batches_make_fewer_updates(examples):
    """24 updates of 2 examples are 12 of 4 and 4 of 12."""
    assert examples.horizons == (3, 6, 12, 24)
    assert examples.updates_at(24) == {2: 24, 4: 12, 12: 4}
    # 3 updates of 2: as many have been seen after 2 updates of 4, and 1 of 12.
    assert examples.updates_at(3) == {2: 3, 4: 2, 12: 1}
    assert examples.sweep.updates[0, :, 0].tolist() == [24, 12, 4]
    for index, (size, steps) in enumerate([(2, 24), (4, 12), (12, 4)]):
        one = alone(size, steps, [steps])
        np.testing.assert_array_equal(examples.train()[:, index], one.train())
        losses = examples.sweep.train["loss"]
        assert np.isfinite(losses[:, index, :, :steps]).all()
        assert np.isnan(losses[:, index, :, steps:]).all()
        if size > 2:
            # What 23 and 24 updates of 2 have seen, both see with their last one.
            last = one.sweep.validation["loss"][..., -1]
            np.testing.assert_array_equal(examples.validation()[:, index], last)


@pytest.mark.parametrize(
    ("horizon", "size", "expected"),
    [(10, 32, 10), (10, 64, 5), (9, 64, 5), (1, 512, 1), (304, 512, 19)],
)
def test_a_horizon_of_examples_is_the_first_update_that_has_seen_them(
    horizon, size, expected
):
    made = updates_at(horizon, "examples", size, 32)
    assert made == expected
    assert (made - 1) * size < horizon * 32 <= made * size


def test_final_states_are_in_the_order_of_all_axes(examples):
    """The weights' loss on the validation data is the last evaluation."""
    params = np.asarray(examples.sweep.state.params).reshape(3, 3, 2, 3)
    trained = ~examples.diverged().any(axis=-1)
    assert trained[:2].all()
    losses = np.mean((params[trained] @ VALIDATION.T - 1.0) ** 2, axis=-1)
    last = examples.sweep.validation["loss"][trained, :, -1]
    np.testing.assert_allclose(losses, last, rtol=1e-5)
    state = examples.sweep.state_at(learning_rate=0.3, batch_size=4, seed=1)
    np.testing.assert_array_equal(state.params, params[1, 1, 1])


def test_the_largest_batch_size_may_be_the_best(updates):
    """Batches of 12 of 24 examples are the least noisy; 3 is too large a rate."""
    medians = np.median(updates.validation(), axis=-1)
    assert np.nanargmin(medians[1]) == 2
    assert updates.joint().best == {"learning_rate": 0.3, "batch_size": 12}
    found = updates.suggest(name="learning_rate", at={"batch_size": 2})
    assert found.loss == medians[RATES.index(found.best), 0]


def test_progress_is_that_of_all_batch_sizes():
    seen = []
    batch_test(progress=seen.append, budget="examples", seeds=1)
    total = 3 * (24 + 12 + 4)
    assert {report.total for report in seen} == {total}
    done = [report.done for report in seen]
    assert done == sorted(done)
    assert (done[0], done[-1]) == (0, total)


def test_an_interrupted_test_keeps_the_batch_sizes_that_ran(updates):
    def stop(progress):
        if progress.done >= progress.total / 2:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted) as caught:
        batch_test(progress=stop)
    partial = caught.value.result
    assert not partial.complete
    assert partial.reached == ()
    losses = partial.sweep.train["loss"]
    assert losses.shape == (3, 3, 2, STEPS)
    np.testing.assert_array_equal(losses[:, 0], updates.sweep.train["loss"][:, 0])
    assert np.isnan(losses[:, 2]).all()
    assert partial.sweep.updates[:, 2].max() == 0


def test_a_joined_test_is_saved_and_read_back(examples, tmp_path):
    examples.save(tmp_path / "sizes.nc")
    again = oc.ParallelTest.load(tmp_path / "sizes.nc")
    assert again.budget == "examples"
    assert again.updates_at(24) == examples.updates_at(24)
    np.testing.assert_array_equal(again.validation(), examples.validation())


def test_each_batch_size_has_its_own_checkpoint(updates, tmp_path):
    first = batch_test(checkpoint=tmp_path / "here", checkpoint_every=0)
    folders = sorted(path.name for path in (tmp_path / "here").iterdir())
    assert folders == ["batch_size_12", "batch_size_2", "batch_size_4"]
    np.testing.assert_array_equal(first.validation(), updates.validation())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"over": OVER | {"batch_size": [2, 25]}},
            "at most the number of examples .24",
        ),
        (
            {"over": OVER | {"batch_size": [0, 2]}},
            "must be positive integers, got .0, 2",
        ),
        ({"over": OVER | {"batch_size": [2.0, 4.0]}}, "must be positive integers"),
        ({"batch_size": 4}, "batch_size is given twice, alone and by over"),
        ({"budget": "example"}, "did you mean 'examples'"),
        (
            {"budget": "examples", "steps": 25},
            "steps must be a multiple of 6, for batches of .* .24 or 30., got 25",
        ),
        (
            {"budget": "examples", "over": {"learning_rate": RATES}},
            r"budget='examples' needs over\['batch_size'\]",
        ),
        (
            {"over": {"learning_rate": RATES}, "constants": {"batch_size": 4}},
            "batch_size is not one of constants",
        ),
    ],
    ids=str,
)
def test_batch_sizes_that_make_no_sense_are_refused(change, message):
    with pytest.raises(ValueError, match=f"^parallel_range_test: .*{message}"):
        batch_test(**change)


def test_an_iterable_has_its_own_batch_size():
    with pytest.raises(TypeError, match="data must be arrays where over has a batch_s"):
        oc.parallel_range_test(TRAIN, iter([EXAMPLES]), VALIDATION, over=OVER)


def test_a_ramp_takes_batch_sizes_too():
    test = oc.ramp_range_test(
        TRAIN, EXAMPLES, over={"batch_size": [2, 12]}, steps=20, high=0.1, seeds=2
    )
    assert test.losses.shape == (2, 2, 20)
    one = oc.ramp_range_test(
        TRAIN, EXAMPLES, batch_size=12, steps=20, high=0.1, seeds=2
    )
    np.testing.assert_array_equal(test.losses[1], one.losses)
