"""From a problem to a recipe: what is found, spent, kept, and refused."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import optax_cycles as oc
from optax_cycles.sweep import loop
from optax_cycles.tuning import arguments, steps
from optax_cycles.tuning.family import family_of

KEY = jax.random.key(0)
STEPS = 40
rng = np.random.default_rng(0)
# Linear regression with an ill-conditioned design; a rate of about 0.3 is best.
X = (rng.normal(size=(256, 4)) * [1.0, 0.7, 0.4, 0.2]).astype(np.float32)
Y = (X @ [1.0, -1.0, 2.0, 0.5] + 0.1 * rng.normal(size=256)).astype(np.float32)
DATA = (X[64:], Y[64:])
VALIDATION = (X[:64], Y[:64])
PROBLEM = oc.problem_from_loss(
    lambda key: 0.1 * jax.random.normal(key, (4,)),
    lambda w, batch, key: jnp.mean((batch[0] @ w - batch[1]) ** 2),
)


def tune(**options):
    given = {"validation": VALIDATION, "key": KEY, "steps": STEPS, "batch_size": 16}
    return oc.tune(PROBLEM, DATA, **given | options)


@pytest.fixture(scope="module")
def engines():
    """The engines that the module's tunings have built."""
    built = []
    original = loop.build

    def watched(*args, **options):
        built.append(original(*args, **options))
        return built[-1]

    loop.build = watched
    yield built
    loop.build = original


@pytest.fixture(scope="module")
def seen():
    return []


@pytest.fixture(scope="module")
def recipe(engines, seen):
    return tune(progress=seen.append)


def train(optimizer, seed):
    """The final validation loss of a plain loop with an optimizer."""
    order = np.random.default_rng(seed)
    w = 0.1 * jax.random.normal(jax.random.key(seed), (4,))
    state = optimizer.init(w)

    @jax.jit
    def update(w, state, batch):
        grads = jax.grad(lambda w: jnp.mean((batch[0] @ w - batch[1]) ** 2))(w)
        updates, state = optimizer.update(grads, state, w)
        return optax.apply_updates(w, updates), state

    for _ in range(STEPS):
        rows = order.choice(len(DATA[0]), 16, replace=False)
        w, state = update(w, state, (DATA[0][rows], DATA[1][rows]))
    return float(jnp.mean((VALIDATION[0] @ w - VALIDATION[1]) ** 2))


def test_the_whole_checklist_is_one_compiled_program(recipe, engines):
    assert recipe.complete
    assert [engine.compiles for engine in engines] == [
        {"init": 1, "advance": 1, "evaluate": 1}
    ]


def test_the_recipe_trains_outside_of_the_library_as_it_says(recipe):
    losses = [train(recipe.optimizer(), seed) for seed in range(5)]
    # Neither sees more than 40 noisy batches; the noise of the targets leaves 0.01.
    assert 0.5 < np.median(losses) / np.median(recipe.scores) < 2
    assert np.median(losses) < 0.05
    untuned = [train(oc.sgdw(1e-3), seed) for seed in range(2)]
    assert min(untuned) > 1.0


def test_every_step_leaves_its_evidence(recipe):
    assert [step.name for step in recipe.evidence] == [
        "learning rate",
        "momentum and decay",
        "schedule",
        "final",
    ]
    final = recipe.evidence[-1]
    best, second = final.rows[0], final.rows[1]
    assert best["score"] == pytest.approx(np.median(recipe.scores))
    assert best["score"] <= second["score"]
    assert best["learning_rate"] == recipe.learning_rate
    assert best["schedule"] == recipe.schedule
    assert len(best["scores"]) >= 5
    for step in recipe.evidence:
        scores = [np.inf if r["score"] is None else r["score"] for r in step.rows]
        # Best first; the second step has trainings before that chose these.
        half = len(scores) // 2 if step.name == "momentum and decay" else len(scores)
        assert scores[:half] == sorted(scores[:half])
    # The largest rates diverge, and are said to.
    rates = {row["learning_rate"]: row["score"] for row in recipe.evidence[0].rows}
    assert rates[10.0] is None
    curves = final.curves
    assert curves["updates"][0] == 0
    assert curves["updates"][-1] == STEPS


def test_the_budget_is_kept_and_told(recipe, seen):
    asked = 120 * STEPS
    assert recipe.budget["asked"] == asked
    assert 0.9 * asked <= recipe.budget["updates"] <= 1.1 * asked
    assert sum(step.updates for step in recipe.evidence) == recipe.budget["updates"]
    done = [now.done for now in seen]
    assert done == sorted(done)
    assert {now.step for now in seen} == {step.name for step in recipe.evidence}
    assert max(now.total for now in seen) <= 1.1 * asked


@pytest.mark.parametrize(
    "trainings", [24, *(pytest.param(n, marks=pytest.mark.slow) for n in (50, 300))]
)
def test_other_budgets_are_kept_too(trainings):
    found = tune(budget=trainings * STEPS)
    assert 0.9 <= found.budget["updates"] / (trainings * STEPS) <= 1.1


def test_one_key_gives_one_recipe(recipe):
    again = tune()
    assert again.to_python() == recipe.to_python()
    assert again.scores == recipe.scores


def test_a_recipe_is_saved_and_loaded(recipe, tmp_path):
    recipe.save(tmp_path / "recipe.json")
    loaded = oc.Recipe.load(tmp_path / "recipe.json")
    assert loaded == recipe
    assert loaded.to_python() == recipe.to_python()
    assert train(loaded.optimizer(), 0) == train(recipe.optimizer(), 0)


def test_what_is_no_recipe_is_refused(recipe, tmp_path):
    file = tmp_path / "recipe.json"
    file.write_text("{")
    with pytest.raises(ValueError, match=r"^load: .* is not JSON"):
        oc.Recipe.load(file)
    file.write_text("{}")
    with pytest.raises(ValueError, match=r"^load: .* is no recipe"):
        oc.Recipe.load(file)
    recipe.save(file)
    content = json.loads(file.read_text())
    content.pop("steps")
    file.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"^load: .* no whole recipe: \['steps'\]"):
        oc.Recipe.load(file)


def test_ctrl_c_leaves_the_best_recipe_so_far():
    def stop(now):
        if now.step == "schedule" and now.done:
            raise KeyboardInterrupt

    with pytest.raises(oc.sweep.Interrupted) as caught:
        tune(progress=stop)
    found = caught.value.result
    assert not found.complete
    assert [step.name for step in found.evidence] == [
        "learning rate",
        "momentum and decay",
    ]
    assert train(found.optimizer(), 0) < 0.1
    assert found.scores == ()


def test_ctrl_c_between_two_sweeps_leaves_it_too(recipe, monkeypatch):
    """Where a sweep is prepared, after those of the first two steps."""
    check, prepared = loop.check_trainable, []

    def stop(*args):
        prepared.append(args)
        if len(prepared) > 5:
            raise KeyboardInterrupt
        return check(*args)

    monkeypatch.setattr(loop, "check_trainable", stop)
    with pytest.raises(oc.sweep.Interrupted) as caught:
        tune()
    expected = [step.name for step in recipe.evidence][:2]
    assert [step.name for step in caught.value.result.evidence] == expected


def test_the_range_test_alone_is_a_recipe_of_a_constant_rate():
    def stop(now):
        if now.step == "momentum and decay" and now.done:
            raise KeyboardInterrupt

    with pytest.raises(oc.sweep.Interrupted) as caught:
        tune(progress=stop)
    found = caught.value.result
    assert [step.name for step in found.evidence] == ["learning rate"]
    assert (found.schedule, found.momentum, found.weight_decay) == (
        "constant",
        0.9,
        0.0,
    )
    assert train(found.optimizer(), 0) < 0.1


def test_a_stop_before_anything_is_known_says_so():
    def stop(now):
        raise KeyboardInterrupt

    with pytest.raises(oc.sweep.Interrupted) as caught:
        tune(progress=stop)
    assert caught.value.result is None


def test_the_same_call_goes_on_from_its_checkpoints(recipe, tmp_path):
    def stop(now):
        if now.step == "schedule" and now.done:
            raise KeyboardInterrupt

    folder = tmp_path / "kept"
    with pytest.raises(oc.sweep.Interrupted):
        tune(progress=stop, checkpoint=folder)
    found = tune(checkpoint=folder)
    assert found.to_python() == recipe.to_python()
    assert found.scores == recipe.scores
    assert found.budget["updates"] == recipe.budget["updates"]


def test_a_metric_that_grows_is_maximised():
    problem = oc.Problem(
        PROBLEM.init,
        PROBLEM.loss,
        lambda w, state, batch: {
            "loss": jnp.mean((batch[0] @ w - batch[1]) ** 2),
            "fit": -jnp.log(jnp.mean((batch[0] @ w - batch[1]) ** 2)),
        },
    )
    found = oc.tune(
        problem,
        DATA,
        validation=VALIDATION,
        key=KEY,
        steps=STEPS,
        batch_size=16,
        metric="fit",
        mode="max",
    )
    # -log of less than 0.08.
    assert min(found.scores) > 2.5
    rows = found.evidence[-1].rows
    assert rows[0]["score"] >= rows[1]["score"]


def test_batch_sizes_are_compared_at_equal_numbers_of_examples():
    found = tune(batch_size=[8, 16, 32], steps=64)
    first = found.evidence[0]
    assert first.name == "batch size"
    by_size = {row["batch_size"]: row["length"] for row in first.rows}
    assert by_size == {8: 50, 16: 25, 32: 12}
    assert found.batch_size == first.rows[0]["batch_size"]
    assert found.steps * found.batch_size == 64 * 8
    asked = found.budget["asked"]
    assert 0.9 * asked <= found.budget["updates"] <= 1.1 * asked


@pytest.mark.slow
@pytest.mark.parametrize(
    "optimizer", ["adamw", optax.adam, "rmsprop"], ids=["adamw", "factory", "rmsprop"]
)
def test_other_optimizers_are_tuned_by_what_they_take(optimizer):
    found = tune(optimizer=optimizer, budget=30 * STEPS)
    takes_decay = optimizer == "adamw"
    assert (found.weight_decay is not None) == takes_decay
    assert np.median(found.scores) < 0.1


BAD = {
    "no validation": ({"validation": None}, ValueError, "validation data are needed"),
    "a small budget": (
        {"budget": 100},
        ValueError,
        r"enough for 960 updates, got '100'",
    ),
    "no budget": ({"budget": 0}, ValueError, "budget must be a positive integer"),
    "short": ({"steps": 3}, ValueError, "steps must be an integer of at least 8"),
    "rates": ({"rates": (1.0, 0.1)}, ValueError, "2 low <= high"),
    "a narrow range": ({"rates": (0.1, 0.11)}, ValueError, "2 low <= high"),
    "momenta": ({"momenta": [1.0]}, ValueError, "momenta must be"),
    "no momentum": (
        {"optimizer": optax.adagrad, "momenta": [0.9]},
        ValueError,
        "takes neither momentum nor b1",
    ),
    "no decay": (
        {"optimizer": "sgd", "weight_decays": [0.1]},
        ValueError,
        "takes no weight_decay",
    ),
    "decays": ({"weight_decays": [-1.0]}, ValueError, "weight_decays must be"),
    "optimizer": ({"optimizer": "sgdv"}, ValueError, "optimizer must be"),
    "option": ({"placment": "map"}, TypeError, "mean 'placement'"),
    "an argument of its own": ({"momentum": 0.9}, TypeError, "mean 'momenta'"),
    "epochs": ({"epochs": 3}, TypeError, "an argument must be .* steps, .*'epochs'"),
    "no examples": ({"batch_size": 0}, ValueError, "batch_size must be a positive"),
    "a flag": ({"batch_size": False}, TypeError, "batch_size must be .*got False"),
    "a factory": (
        {"optimizer": jax.jit(optax.sgd)},
        ValueError,
        "optimizer must be a factory of optimizers",
    ),
    "own option": ({"horizons": [1]}, TypeError, "horizons is its own"),
    "batch sizes": ({"batch_size": [16, 8]}, ValueError, "increasing integers"),
    "a generator": ({"data": (b for b in [1])}, TypeError, "more than once"),
    "metric": ({"metric": "fit", "mode": "max"}, ValueError, "metric must be"),
    "no mode": ({"metric": "accuracy"}, ValueError, "mode must be given for 'acc"),
    "mode": ({"mode": "least"}, ValueError, "mode must be"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_named_before_anything_is_trained(case):
    options, error, message = BAD[case]
    data = options.pop("data", DATA)
    given = {"validation": VALIDATION, "key": KEY, "steps": STEPS}
    with pytest.raises(error, match=message) as caught:
        oc.tune(PROBLEM, data, **given | options)
    assert str(caught.value).startswith("tune: ")


def test_a_problem_that_never_trains_is_said_with_the_evidence():
    flat = oc.problem_from_loss(
        lambda key: jnp.zeros(2), lambda w, batch, key: 0.0 * jnp.sum(w) + 1.0
    )
    with pytest.raises(oc.NoSuggestionError) as caught:
        oc.tune(flat, DATA, validation=VALIDATION, key=KEY, steps=STEPS)
    assert len(caught.value.rows) >= 24
    assert {row["score"] for row in caught.value.rows} == {1.0}
    expected = "tune: of 24 learning rates from 1e-05 to 10 none can be suggested: "
    assert str(caught.value).startswith(expected)


def test_a_loss_that_is_never_a_number_is_said_too():
    nan = oc.problem_from_loss(
        lambda key: jnp.zeros(2), lambda w, batch, key: jnp.nan * jnp.sum(w)
    )
    with pytest.raises(
        oc.NoSuggestionError, match="is finite at none: look at the data"
    ) as caught:
        oc.tune(nan, DATA, validation=VALIDATION, key=KEY, steps=STEPS)
    assert {row["score"] for row in caught.value.rows} == {None}


def test_ctrl_c_anywhere_has_the_best_so_far(monkeypatch):
    original, made = steps.Surface.__init__, []

    def init(self, *args):
        made.append(self)
        if len(made) == 4:
            raise KeyboardInterrupt
        original(self, *args)

    monkeypatch.setattr(steps.Surface, "__init__", init)
    with pytest.raises(oc.sweep.Interrupted) as caught:
        tune()
    assert caught.value.result.schedule == "one_cycle"
    names = [step.name for step in caught.value.result.evidence]
    assert names == ["learning rate", "momentum and decay"]


def test_batch_sizes_are_part_of_what_is_needed():
    sizes = [8, 16, 32]
    with pytest.raises(ValueError, match="enough for 960 updates, got '959'"):
        tune(steps=20, batch_size=sizes, budget=959)
    found = tune(steps=20, batch_size=sizes, budget=960, rates=(1e-3, 3.0))
    assert found.budget["updates"] <= 1.1 * 960


def test_what_diverged_is_not_the_best_so_far():
    """Few settings train: the metric is no number where the weights are far off."""

    def metrics(w, state, batch):
        loss = jnp.mean((batch[0] @ w - batch[1]) ** 2)
        return {"loss": jnp.where(loss < 0.3, loss, jnp.nan)}

    def stop(now):
        if now.step == "schedule":
            raise KeyboardInterrupt

    problem = oc.Problem(PROBLEM.init, PROBLEM.loss, metrics)
    with pytest.raises(oc.sweep.Interrupted) as caught:
        oc.tune(
            problem,
            DATA,
            validation=VALIDATION,
            key=KEY,
            steps=20,
            batch_size=16,
            progress=stop,
        )
    found = caught.value.result
    rows = {
        (row["learning_rate"], str(row.get("momentum")), row["weight_decay"]): row
        for row in found.evidence[-1].rows
        if row["length"] == 20
    }
    scores = [row["score"] for row in rows.values()]
    assert None in scores
    best = rows[found.learning_rate, str(momentum_of(found)), found.weight_decay]
    assert best["score"] is not None


def momentum_of(recipe):
    pair = recipe.momentum
    return list(pair) if isinstance(pair, tuple) else pair


def test_arrays_are_sequences():
    sgdw = family_of("tune", "sgdw")
    assert arguments.check_ends("tune", np.array([1e-3, 1.0])) == (1e-3, 1.0)
    momenta = arguments.check_momenta("tune", sgdw, np.array([0.95, 0.9]))
    assert momenta == [(0.9, 0.9), (0.95, 0.95)]
    assert arguments.check_decays("tune", sgdw, jnp.array([0.5, 0.0])) == [0.0, 0.5]
    sizes = arguments.batch_sizes("tune", np.array([8, 16]), DATA)
    assert sizes == [8, 16]
    assert {type(size) for size in sizes} == {int}


def test_pairs_of_momenta_may_be_the_rows_of_an_array():
    pairs = np.array([[0.85, 0.95], [0.8, 0.9]])
    found = arguments.check_momenta("tune", family_of("tune", "sgdw"), pairs)
    assert found == [(0.8, 0.9), (0.85, 0.95)]


def test_a_factory_that_can_not_be_hashed_is_tuned():
    class Signs:
        __hash__ = None

        def __call__(self, learning_rate):
            return optax.sign_sgd(learning_rate)

    found = tune(optimizer=Signs(), budget=24 * STEPS)
    assert found.momentum is None
    assert "Signs object" in repr(found)
    assert train(found.optimizer(), 0) < 1.0
