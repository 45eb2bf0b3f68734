"""`optax-cycles range-test` over other hyperparameters, by ramps and by any rule."""

import json
import os

import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest

import optax_cycles as oc
from optax_cycles.cli.main import build_parser
from optax_cycles.cli.optimizers import OPTIMIZERS
from optax_cycles.cli.question import PARALLEL

TEST = ("range-test", "--problem", "tiny:task", "--steps", "30", "--seeds", "2")


def content_of(folder):
    return json.loads((folder / "range_test.json").read_text())


def test_a_grid_has_a_best_point_and_is_trained_with(command, folder):
    """With so few examples a batch of 8 has curvature near 2: rates near 1/2."""
    code, out, err = command(
        *(*TEST, "--batch-size", 8, "--optimizer", "sgdw", "--out", "grid"),
        *("--over", "weight_decay=0,1e-6,1e-3", "--constant", "momentum=0"),
        *("--over", "learning_rate=log:0.02:10:7"),
    )
    assert (code, err) == (0, "")
    for words in ("The best point of the grid", "weight_decay", "learning_rate that"):
        assert words in out
    content = content_of(folder / "grid")
    assert 0.05 < content["joint"]["best"]["learning_rate"] < 1.0
    assert content["joint"]["best"]["weight_decay"] < 1e-3
    assert content["suggestion"]["name"] == "learning_rate"
    assert content["suggestion"]["rule"] == PARALLEL
    assert np.shape(content["curve"]["median_loss"]) == (3, 7)
    assert content["curve"]["weight_decay"] == [0, 1e-6, 1e-3]
    assert [point["at"]["weight_decay"] for point in content["ramp_rules"]] == [
        *(0, 1e-6, 1e-3)
    ]
    assert max(content["trainings"]["constant"]["loss"]) < 0.1
    test = oc.ParallelTest.load(folder / "grid/parallel.nc")
    assert test.over == ("weight_decay", "learning_rate")
    assert test.joint().best == content["joint"]["best"]
    ramp = oc.RampTest.load(folder / "grid/ramp.nc")
    assert (ramp.name, ramp.over) == ("learning_rate", ("weight_decay",))
    for file in ("range_test.png", "ramp.png"):
        assert (folder / "grid" / file).read_bytes().startswith(b"\x89PNG")


def test_a_hyperparameter_without_the_rate_needs_a_constant_one(command, folder):
    words = (*TEST, "--batch-size", 8, "--over", "momentum=0,0.3,0.6,0.9")
    code, _, err = command(*words)
    assert code == 2
    assert "--over learning_rate, or --constant learning_rate=..." in err
    code, out, err = command(
        *(*words, "--constant", "learning_rate=0.02", "--test", "parallel"),
        *("--out", "momentum"),
    )
    assert (code, err) == (0, ""), out
    content = content_of(folder / "momentum")
    assert content["suggestion"]["name"] == "momentum"
    # At a rate that is too small, momentum makes up for it.
    assert content["suggestion"]["best"] in (0.3, 0.6)
    assert content["trainings"] == {}
    files = ["parallel.nc", "range_test.json", "range_test.png"]
    assert sorted(os.listdir(folder / "momentum")) == files


@pytest.mark.slow
def test_batch_sizes_are_an_axis(command, folder):
    code, _, err = command(
        *(*TEST, "--optimizer", "sgd", "--over", "batch_size=4,16"),
        *("--over", "learning_rate=log:0.02:10:7", "--test", "parallel"),
        *("--out", "sizes"),
    )
    assert (code, err) == (0, "")
    content = content_of(folder / "sizes")
    assert content["joint"]["best"]["batch_size"] in (4, 16)
    assert "batch_size" not in content["settings"]
    assert set(content["trainings"]) == {"1cycle", "constant"}


@pytest.fixture(scope="module")
def ramp_words():
    return (
        *(*TEST, "--batch-size", 8, "--optimizer", "sgd", "--test", "ramp"),
        *("--over", "learning_rate=log:0.001:10"),
    )


def test_a_ramp_alone_is_trained_with_by_its_rule(command, folder, ramp_words):
    code, out, err = command(*ramp_words, "--rule", "smith_range", "--out", "ramp")
    assert (code, err) == (0, "")
    assert "learning_rate that smith_range suggests" in out
    files = ["ramp.nc", "ramp.png", "range_test.json", "state", "training.nc"]
    assert sorted(os.listdir(folder / "ramp")) == files
    content = content_of(folder / "ramp")
    ramp = oc.RampTest.load(folder / "ramp/ramp.nc")
    found = ramp.suggest("smith_range")
    suggestion = content["suggestion"]
    assert suggestion["rule"] == "smith_range"
    assert suggestion["peak"] == np.median([one.peak for one in found])
    assert suggestion["base"] == np.median([one.base for one in found])
    (rules,) = content["ramp_rules"]
    assert list(rules["rules"]) == list(oc.RULES)
    medians = [rule["median"] for rule in rules["rules"].values() if rule["median"]]
    assert rules["agreement"] == pytest.approx(max(medians) / min(medians))
    # Exponential, as the values are spaced.
    expected = 0.001 * 1e4 ** (np.arange(30) / 30)
    np.testing.assert_allclose(ramp.values, expected, rtol=1e-12)


def test_a_rule_with_one_value_has_a_base_of_a_tenth(command, folder, ramp_words):
    code, _, err = command(*ramp_words, "--ramp", "linear", "--out", "ramp")
    assert (code, err) == (0, "")
    content = content_of(folder / "ramp")
    suggestion = content["suggestion"]
    assert suggestion["rule"] == "valley"
    assert suggestion["base"] == pytest.approx(suggestion["peak"] / 10)
    ramp = oc.RampTest.load(folder / "ramp/ramp.nc")
    expected = 0.001 + 9.999 * np.arange(30) / 30
    np.testing.assert_allclose(ramp.values, expected, rtol=1e-12)


def test_the_parallel_test_may_be_beside_a_ramps_rule(command, folder):
    words = (*TEST, "--batch-size", 8, "--optimizer", "sgd", "--rule", "steep")
    words += ("--over", "learning_rate=log:0.01:10:5", "--out", "both")
    code, _, err = command(*words)
    assert (code, err) == (0, "")
    content = content_of(folder / "both")
    (rules,) = content["ramp_rules"]
    assert content["suggestion"]["best"] == rules["rules"]["steep"]["median"]
    assert len(content["curve"]["learning_rate"]) == 5


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--over learning_rate=log:1:0.1:5", "argument --over: must rise: 1 is not"),
        ("--over learning_rate=0.1", "--constant learning_rate=0.1 fixes one"),
        ("--over weight_decay --over learning_rate", "got 'weight_decay'; sgdw and"),
        ("--over learning_rte=1,2", "(did you mean 'learning_rate'?)"),
        ("--over b1=.8,.9 --constant learning_rate=1", "'b1'; adam and adamw take it"),
        ("--over eps --over eps", "--over: eps is given twice"),
        ("--over learning_rate --constant learning_rate=1", "rate is given twice"),
        ("--constant momentm=0.9", "--constant: a hyperparameter of --optimizer"),
        ("--constant momentum", "argument --constant: must be written NAME=NUMBER"),
        ("--over batch_size=4,8 --constant learning_rate=1 --test ramp", "can't climb"),
        (
            "--over batch_size=4,8 --over learning_rate --batch-size 8",
            "--batch-size can't be given besides --over batch_size",
        ),
        ("--rule valey", "must be one of minimum, parallel_best, slide, smith_range,"),
        ("--rule valey", "(did you mean 'valley'?), got 'valey'"),
        ("--rule valley --test parallel", "--rule valley needs a ramp, not --test"),
        ("--rule parallel_best --test ramp", "needs the parallel test, not --test ram"),
        ("--ramp linear --test parallel", "--ramp linear makes no sense with --test"),
        ("--ramp quadratic", "argument --ramp: invalid choice: 'quadratic'"),
        (
            "--over momentum=0,0.5,0.9 --constant learning_rate=1 --ramp exponential "
            "--test ramp",
            "ramp_range_test: low must be a finite number > 0, got 0.0",
        ),
        (
            "--over momentum=0.5,0.9 --constant learning_rate=1",
            "over must be at least 3 increasing values along one axis",
        ),
        (
            "--over batch_size=4,800 --over learning_rate",
            "over['batch_size'] must be at most the number of examples (48), got 800",
        ),
        ("--restart-optimizer", "--restart-optimizer needs --from-checkpoint"),
        ("--from-checkpoint nowhere", "--from-checkpoint must be a folder, got 'now"),
        ("--from-checkpoint .", "must be the folder of one Orbax checkpoint, got '.'"),
    ],
)
def test_bad_input_is_one_clear_line(command, words, message):
    code, out, err = command("range-test", "--problem", "tiny:task", *words.split())
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


def test_the_help_names_all_rules_and_hyperparameters(capsys):
    with pytest.raises(SystemExit):
        build_parser().parse_args(["range-test", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    for rule in (PARALLEL, *oc.RULES):
        assert rule in said
    for name, optimizer in OPTIMIZERS.items():
        assert f"{name} {', '.join(optimizer.takes)}" in said


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_takes_what_it_says(name):
    """With all of its hyperparameters given it steps as its function does."""
    optimizer = OPTIMIZERS[name]
    values = dict(zip(optimizer.takes, (0.1, 0.8, 0.7, 1e-3, 1e-2), strict=False))
    params = jnp.array([1.0, -2.0])
    expected = optimizer.factory(**values)
    fixed = {optimizer.takes[-1]: values[optimizer.takes[-1]]}
    for made in (
        optimizer.constant({})(values),
        optimizer.constant(fixed)({k: v for k, v in values.items() if k not in fixed}),
    ):
        updates, _ = made.update(params, made.init(params), params)
        right, _ = expected.update(params, expected.init(params), params)
        np.testing.assert_array_equal(updates, right)


class Started:
    """How far trainings are from the tiny task's solution before they begin."""

    solution = np.arange(1.0, 5.0, dtype=np.float32)

    def __init__(self, command, folder):
        self.command, self.folder = command, folder

    def __call__(self, checkpoint, *words):
        found = self.command(
            *(*TEST, "--batch-size", 8, "--test", "parallel", "--out", "later"),
            *("--over", "learning_rate=log:0.001:1:3", "--overwrite"),
            *("--from-checkpoint", checkpoint, *words),
        )
        file = self.folder / "later/parallel.nc"
        if not file.exists():
            return found, None
        return found, oc.ParallelTest.load(file).untrained()


@pytest.fixture
def started(command, folder):
    return Started(command, folder)


def save(path, tree):
    with ocp.StandardCheckpointer() as writer:
        writer.save(path.absolute(), tree)


def test_it_starts_from_parameters(started, folder):
    save(folder / "unnamed", [jnp.asarray(started.solution)])
    (code, _, err), _ = started("unnamed")
    assert code == 2
    assert "must hold parameters by name, got" in err
    save(folder / "named", {"params": jnp.asarray(started.solution)})
    (code, _, err), losses = started("named")
    np.testing.assert_allclose(losses, 0.0, atol=1e-12)
    # At the solution there is nothing to gain.
    assert code == 1, err


@pytest.mark.slow
def test_it_starts_from_the_newest_step_of_a_train_state(started, folder):
    optimizer = optax.sgd(0.1, momentum=0.9)
    params = jnp.asarray(started.solution)
    with ocp.CheckpointManager((folder / "run").absolute()) as manager:
        for step, shift in ((3, 7.0), (12, 0.0)):
            state = {
                "step": step,
                "params": params + shift,
                "opt_state": optimizer.init(params),
            }
            manager.save(step, args=ocp.args.StandardSave(state))
        manager.wait_until_finished()
    _, losses = started("run")
    np.testing.assert_allclose(losses, 0.0, atol=1e-12)
    _, losses = started("run/3")
    assert np.all(losses > 1.0)
    (code, _, err), _ = started("run", "--optimizer", "adam")
    assert code == 2
    assert "started_from: the snapshot is of another optimizer: it has no" in err
    assert err.count("\n") == 1
    (code, _, err), losses = started(
        "run", "--optimizer", "adam", "--restart-optimizer"
    )
    np.testing.assert_allclose(losses, 0.0, atol=1e-12)


def test_a_checkpoint_of_another_model_is_refused(started, folder):
    save(folder / "other", {"params": jnp.zeros(5)})
    (code, _, err), _ = started("other")
    assert code == 2
    assert "started_from: the snapshot is of another model: 'params' must be" in err
    assert err.count("\n") == 1


def test_it_starts_from_what_a_test_has_trained(started, folder, once):
    expected = oc.sweep.SweepResult.load(once.folder / "training.nc")
    (code, _, err), losses = started(once.folder)
    best = np.nanmin(expected.validation["loss"][..., -1])
    np.testing.assert_allclose(losses, best, rtol=1e-5, atol=1e-9)
    (once.folder / "state").rename(folder / "moved")
    try:
        (code, _, err), _ = started(once.folder)
    finally:
        (folder / "moved").rename(once.folder / "state")
    assert code == 2
    assert "has no trained state" in err
