"""The one program follows every schedule, as its public policy and its code do."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from optax_cycles.tuning import SCHEDULES
from optax_cycles.tuning.candidate import Candidate, columns, program
from optax_cycles.tuning.family import family_of
from optax_cycles.tuning.recipe import recipe_of

STEPS = 40
OPTIMIZERS = ("sgdw", "adamw", "sgd", "adam", "rmsprop", "lion")
PAIR, RATE, DECAY = (0.85, 0.95), 0.01, 0.003
START = jnp.array([1.0, -2.0, 0.5])


def candidate(optimizer, schedule):
    family = family_of("test", optimizer)
    return Candidate(
        schedule,
        RATE,
        PAIR if family.momentum_name else None,
        DECAY if family.has_decay else None,
    )


def recipe(optimizer, schedule):
    return recipe_of(
        candidate(optimizer, schedule),
        family_of("test", optimizer),
        steps=STEPS,
        batch_size=8,
        metric="loss",
        mode="min",
        scores=(),
        diagnosis=None,
        evidence=(),
        budget={},
        versions={},
        complete=True,
    )


def descend(optimizer):
    """Parameters after each update on a parabola."""

    @jax.jit
    def step(carry, _):
        x, state = carry
        updates, state = optimizer.update(x, state, x)
        x = optax.apply_updates(x, updates)
        return (x, state), x

    return jax.lax.scan(step, (START, optimizer.init(START)), None, STEPS)[1]


def hparams_of(optimizer, schedule):
    axis = columns([candidate(optimizer, schedule)], STEPS)
    return {name: jnp.asarray(values[0]) for name, values in axis.values.items()}


# All schedules with two optimizers, and all optimizers with some schedule.
CASES = {"sgdw": SCHEDULES, "adamw": SCHEDULES[:3]} | dict(
    zip(OPTIMIZERS[2:], [(name,) for name in SCHEDULES], strict=False)
)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_program_and_the_code_train_as_the_recipe_does(optimizer):
    family = family_of("test", optimizer)
    trained = jax.jit(lambda hparams: descend(program(family, hparams)))
    for schedule in CASES[optimizer]:
        one = recipe(optimizer, schedule)
        names = {}
        exec(one.to_python(), names)
        assert max(map(len, one.to_python().splitlines())) <= 88
        expected = descend(one.optimizer())
        for found in (
            trained(hparams_of(optimizer, schedule)),
            descend(names["optimizer"]),
        ):
            np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-6)
    assert trained._cache_size() == 1


def multipliers(schedule):
    return np.asarray(recipe("sgdw", schedule).policy()["multiplier"](np.arange(STEPS)))


def test_schedules_are_those_of_the_papers():
    t = np.arange(STEPS)
    np.testing.assert_allclose(
        multipliers("cosine"), (1 + np.cos(np.pi * t / STEPS)) / 2, atol=1e-6
    )
    assert np.all(multipliers("constant") == 1)
    # 1cycle: 25 times less at the start, the peak after 30 %, 1e4 times less at last.
    rise = multipliers("one_cycle")
    assert rise[0] == pytest.approx(0.04)
    assert rise.argmax() == 11
    assert rise[-1] == pytest.approx(4e-6, rel=1e-3)
    # Restarts: periods of 6, 12 and 24, the first without its first two steps.
    restarts = np.concatenate([np.arange(2, 6) / 6, t[:12] / 12, t[:24] / 24])
    np.testing.assert_allclose(
        multipliers("warm_restarts"), (1 + np.cos(np.pi * restarts)) / 2, atol=1e-6
    )
    # Four cycles of 10, each half as high above the base.
    peaks = multipliers("cyclical")[5::10]
    np.testing.assert_allclose(peaks, 0.04 + 0.96 / 2.0 ** np.arange(4), rtol=1e-5)
    held = multipliers("warmup_stable_decay")
    np.testing.assert_array_equal(held[2:33], np.ones(31))
    assert held[0] == 0
    assert held[-1] < 0.1


@pytest.mark.parametrize("steps", [8, 23, 30, 60])
def test_cycles_end_with_the_training(steps):
    """The step after the last would be the first of another cycle."""
    for schedule, first in (("warm_restarts", 1.0), ("cyclical", 0.04)):
        one = dataclasses.replace(recipe("sgdw", schedule), steps=steps)
        values = np.asarray(one.policy()["multiplier"](np.arange(steps + 1)))
        assert values[-1] == pytest.approx(first)
        # The slope of the last cycle, the least of all.
        assert values[-2] < 0.3
        names = {}
        exec(one.to_python(), names)
        written = names["policy"]["multiplier"](np.arange(steps + 1))
        np.testing.assert_array_equal(written, values)


def test_momentum_moves_with_the_schedules_that_move_it():
    for schedule in SCHEDULES:
        momentum = np.asarray(
            recipe("sgdw", schedule).policy()["momentum"](np.arange(STEPS))
        )
        moves = schedule in ("one_cycle", "cyclical")
        assert momentum.max() == pytest.approx(0.95)
        assert momentum.min() == pytest.approx(0.85 if moves else 0.95)
        told = recipe("sgdw", schedule).momentum
        assert told == (PAIR if moves else 0.95)


def test_a_factory_of_the_users_is_a_family():
    def signs(learning_rate, b1=0.9):
        return optax.chain(optax.trace(b1), optax.sign_sgd(learning_rate))

    family = family_of("test", signs)
    assert family.momentum_name == "b1"
    assert not family.has_decay
    assert not family.has_multiplier
    assert family.name.endswith("signs")


@pytest.mark.parametrize(
    ("optimizer", "error", "message"),
    [
        ("sgwd", ValueError, r"^test: optimizer must be .*sgdw"),
        (3, TypeError, r"^test: optimizer must be one of sgdw, adamw"),
        (optax.scale, ValueError, "a factory that takes learning_rate"),
    ],
)
def test_other_optimizers_are_named(optimizer, error, message):
    with pytest.raises(error, match=message):
        family_of("test", optimizer)
