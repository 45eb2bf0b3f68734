"""Somebody decides who goes on, and with what: scripted verdicts, known outcomes.

A member's state is a vector that remembers all that has been done to it: each update
appends the rate that it was made with.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import optax_cycles as oc
from optax_cycles.sweep import Status, Verdict

MEMBERS, STEPS, SEGMENT = 6, 12, 3
RATES = np.arange(1.0, MEMBERS + 1)
DATA = np.arange(8.0)


def init(key, hparams):
    return {"made": jnp.int32(0), "rates": jnp.zeros(STEPS), "x": jnp.float32(0)}


def step(state, hparams, batch, key):
    rates = state["rates"].at[state["made"]].set(hparams["rate"])
    new = {"made": state["made"] + 1, "rates": rates, "x": jax.random.normal(key)}
    loss = jnp.where(hparams["rate"] >= 100, jnp.nan, hparams["rate"])
    return new, {"loss": loss, "batch": batch[0]}


def evaluate(state, batch):
    return {"loss": state["rates"].sum(), "x": state["x"]}


TRAIN = oc.Trainable(init, step, evaluate)


class Script:
    """Says what is written, and keeps what it was told."""

    def __init__(self, verdicts, setting="a script"):
        self.verdicts, self.setting = verdicts, setting
        self.steps = list(verdicts)
        self.told = []

    def __call__(self, standing):
        self.told.append(standing)
        return self.verdicts[standing.step]


def sweep(judge, rates=RATES, **options):
    options = {
        "horizons": [4, 8, STEPS],
        "segment": SEGMENT,
        "keep_state": True,
    } | options
    return oc.sweep.run(
        TRAIN,
        {"rate": rates},
        DATA,
        STEPS,
        key=jax.random.key(0),
        batch_size=2,
        validation=DATA,
        judge=judge,
        **options,
    )


def copies(parents, **hparams):
    return Verdict(np.array(parents), {n: np.array(v) for n, v in hparams.items()})


PLACEMENTS = [
    {"placement": "map"},
    {"placement": "vmap"},
    {"placement": "map", "chunk": 2},
    {"placement": "vmap", "chunk": 4},
]
EVERY_WAY = pytest.mark.parametrize("how", PLACEMENTS, ids=str)


@EVERY_WAY
def test_members_that_do_not_go_on_stop_there(how):
    judge = Script({4: copies([-1, 1, 2, -1, 4, 5]), 8: copies([-1, -1, 2, -1, 4, -1])})
    result = sweep(judge, **how)
    assert result.updates.tolist() == [4, 8, 12, 4, 12, 8]
    dropped = [Status.DROPPED, Status.RUNNING]
    assert result.status.tolist() == [dropped[i in (2, 4)] for i in range(6)]
    assert result.complete
    for member, (updates, rate) in enumerate(zip(result.updates, RATES, strict=True)):
        losses = result.train["loss"][member]
        np.testing.assert_array_equal(losses[:updates], rate)
        assert np.all(np.isnan(losses[updates:]))
    last = result.validation["loss"][:, -1]
    assert np.isnan(last).tolist() == [True, True, False, True, False, True]
    made = result.state["made"][np.argsort(result.state_members)]
    assert made.tolist() == result.updates.tolist()


@EVERY_WAY
def test_a_copy_goes_on_with_its_parents_state_and_its_own_numbers(how):
    judge = Script(
        {
            4: copies([0, 1, 2, 0, 4, 1], rate=[1, 2, 3, 40, 5, 60]),
            8: copies([3, 1, 2, 3, 4, 5], rate=[10, 2, 3, 40, 5, 60]),
        }
    )
    result = sweep(judge, **how)
    rates = result.state["rates"][np.argsort(result.state_members)]
    lines = [
        [1] * 4 + [40] * 4 + [10] * 4,
        [2] * 12,
        [3] * 12,
        [1] * 4 + [40] * 8,
        [5] * 12,
        [2] * 4 + [60] * 8,
    ]
    np.testing.assert_array_equal(rates, lines)
    assert result.updates.tolist() == [STEPS] * MEMBERS
    lineage = result.lineage
    assert lineage.steps.tolist() == [4, 8]
    assert lineage.ancestors(0).tolist() == [0, 3, 0]
    assert lineage.ancestors(5).tolist() == [1, 5, 5]
    for member, line in enumerate(lines):
        assert lineage.history(member)["rate"].tolist() == line[::4]


@EVERY_WAY
def test_copies_keep_random_numbers_of_their_own(how):
    """Were they the parent's, both would be the same from then on."""
    seeds = {"rate": RATES, "seed": np.arange(MEMBERS)}
    options = {"horizons": [4, STEPS], "segment": SEGMENT, "keep_state": True}
    result = oc.sweep.run(
        TRAIN,
        seeds,
        DATA,
        STEPS,
        key=jax.random.key(0),
        batch_size=2,
        validation=DATA,
        judge=Script({4: copies([0, 0, 0, 0, 0, 0])}),
        **options,
        **how,
    )
    straight = oc.sweep.run(
        TRAIN, seeds, DATA, STEPS, key=jax.random.key(0), batch_size=2,
        validation=DATA, **options,
    )  # fmt: skip
    x, own = result.state["x"], straight.state["x"]
    np.testing.assert_array_equal(
        x[np.argsort(result.state_members)], own[np.argsort(straight.state_members)]
    )
    np.testing.assert_array_equal(result.train["batch"], straight.train["batch"])


@EVERY_WAY
def test_a_diverged_member_runs_again_as_a_copy(how):
    rates = np.array([1, 100, 3, 4, 100, 6.0])
    judge = Script({4: copies([0, 0, 2, 3, 4, 5], rate=[1, 7, 3, 4, 100, 6])})
    result = sweep(judge, rates, horizons=[4, STEPS], **how)
    assert result.status.tolist() == [0, 0, 0, 0, Status.DIVERGED, 0]
    assert np.isnan(judge.told[0].validation["loss"]).tolist() == [
        False, True, False, False, True, False,
    ]  # fmt: skip
    rates = result.state["rates"][np.argsort(result.state_members)]
    np.testing.assert_array_equal(rates[1], [1] * 4 + [7] * 8)
    losses = result.train["loss"][1]
    assert np.isnan(losses[:4]).all()
    np.testing.assert_array_equal(losses[4:], 7)


def test_the_judge_is_told_what_is_known():
    judge = Script({4: copies(range(6), rate=RATES * 2), 8: copies(range(6))})
    sweep(judge)
    first, second = judge.told
    np.testing.assert_array_equal(first.hparams["rate"], RATES)
    np.testing.assert_array_equal(first.validation["loss"], RATES * 4)
    np.testing.assert_array_equal(second.hparams["rate"], RATES * 2)
    np.testing.assert_array_equal(second.validation["loss"], RATES * 12)
    assert (first.step, second.step) == (4, 8)


@EVERY_WAY
@pytest.mark.parametrize("stop", [6, 8, pytest.param(10, marks=pytest.mark.slow)])
def test_a_judged_sweep_goes_on_bit_for_bit(how, stop, tmp_path):
    def judge():
        return Script(
            {
                4: copies([0, 1, 2, 0, -1, 1], rate=[1, 2, 3, 40, 5, 60]),
                8: copies([3, 1, 2, 3, -1, 5], rate=[10, 2, 3, 40, 5, 60]),
            }
        )

    def interrupt(progress):
        if progress.done >= stop * MEMBERS:
            raise KeyboardInterrupt

    saved = {"checkpoint": tmp_path, "checkpoint_every": 0.0, **how}
    with pytest.raises(oc.sweep.Interrupted):
        sweep(judge(), progress=interrupt, **saved)
    resumed, straight = sweep(judge(), **saved), sweep(judge(), **how)
    for name in straight.train:
        np.testing.assert_array_equal(resumed.train[name], straight.train[name])
    np.testing.assert_array_equal(resumed.lineage.parents, straight.lineage.parents)
    for name in straight.lineage.hparams:
        np.testing.assert_array_equal(
            resumed.lineage.hparams[name], straight.lineage.hparams[name]
        )
    np.testing.assert_array_equal(resumed.status, straight.status)


def test_a_checkpoint_of_another_judge_is_refused(tmp_path):
    verdicts = {4: copies(range(6))}
    sweep(Script(verdicts), checkpoint=tmp_path)
    with pytest.raises(ValueError, match="judge"):
        sweep(Script(verdicts, "another"), checkpoint=tmp_path)


def test_lineages_are_saved_and_loaded(tmp_path):
    judge = Script({4: copies([0, 0, 2, 3, 4, 5], rate=RATES * 2)})
    result = sweep(judge, horizons=[4, STEPS])
    result.save(tmp_path / "sweep.nc")
    loaded = oc.sweep.SweepResult.load(tmp_path / "sweep.nc").lineage
    np.testing.assert_array_equal(loaded.steps, result.lineage.steps)
    np.testing.assert_array_equal(loaded.parents, result.lineage.parents)
    np.testing.assert_array_equal(
        loaded.hparams["rate"], result.lineage.hparams["rate"]
    )
    result.to_dataframe()


@pytest.mark.parametrize(
    ("verdict", "message"),
    [
        (copies([0, 1, 2]), "judge's parents must be 6 integers"),
        (copies([0, 1, 2, 3, 4, 6]), "judge's parents must be from -1 to 5"),
        (copies([0.0] * 6), "judge's parents must be 6 integers"),
        (copies(range(6), rat=RATES), "judge's hparams must be one of rate"),
        (copies(range(6), rate=RATES[:2]), "judge's hparams must be 6 finite numbers"),
        (copies(range(6), rate=[np.nan] * 6), "judge's hparams must be 6 finite num"),
    ],
)
def test_a_verdict_that_makes_no_sense_stops_the_sweep_with_what_there_is(
    verdict, message
):
    with pytest.raises(oc.sweep.SweepError, match=message) as caught:
        sweep(Script({4: verdict}))
    assert not caught.value.result.complete


@EVERY_WAY
def test_a_member_that_was_dropped_does_not_come_back(how):
    judge = Script({4: copies([-1, -1, -1, -1, 4, 5]), 8: copies([4, 1, 2, 3, 4, 5])})
    with pytest.raises(oc.sweep.SweepError, match="for members that were dropped"):
        sweep(judge, **how)


def test_verdicts_are_given_where_members_are_evaluated():
    for steps in ([5], [8, 4], [STEPS]):
        with pytest.raises(ValueError, match=r"^run: judge\.steps must be increasing"):
            sweep(Script({step: copies(range(6)) for step in steps}))
