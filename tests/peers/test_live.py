"""Our schedules against the peers themselves, on random parameters."""

import math

import cases_keras
import cases_torch
import cases_transformers
import numpy as np
import peer_cases
import pytest

import optax_cycles as oc

pytestmark = pytest.mark.peer
SEEDS = range(4)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", peer_cases.of("torch"))
def test_torch(name, seed):
    pytest.importorskip("torch")
    found = peer_cases.built("torch", name, seed)
    peer_cases.assert_agrees(found, found.theirs())


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", peer_cases.of("transformers"))
def test_transformers(name, seed):
    pytest.importorskip("transformers")
    found = peer_cases.built("transformers", name, seed)
    peer_cases.assert_agrees(found, found.theirs())


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", peer_cases.of("keras"))
def test_keras(name, seed):
    pytest.importorskip("keras")
    found = peer_cases.built("keras", name, seed)
    peer_cases.assert_agrees(found, found.theirs())


def test_ours_holds_its_end_where_transformers_rises_again():
    pytest.importorskip("transformers")
    theirs = cases_transformers.run("cosine", 1.0, 0, 10, count=21)
    assert theirs[20] == 1.0
    assert float(oc.cosine_decay(1.0, 10)(20)) == 0.0


def test_ours_holds_its_end_where_torch_rises_again():
    pytest.importorskip("torch")
    theirs = cases_torch.run(lambda s, o: s.CosineAnnealingLR(o, 10), count=21)
    assert theirs[20] == pytest.approx(1.0)
    assert float(oc.cosine_decay(1.0, 10)(20)) == 0.0


def test_ours_restarts_on_the_step_that_transformers_misses():
    # Theirs is `cycles * (t / total) % 1` in floats: 0.9999999999999998 at t = 15 of
    # 22 cycles of one step, where the cycle begins.
    pytest.importorskip("transformers")
    values = cases_transformers.run("cosine_with_restarts", 1.0, 0, 22, num_cycles=22)
    assert values[15] < 1e-15
    assert float(oc.warm_restarts(1, 1.0)(15)) == 1.0


def test_ours_keeps_its_place_where_keras_has_lost_it():
    # Theirs divides a float32 step: a quarter of a cycle of 7 steps is lost here.
    pytest.importorskip("keras")
    theirs = cases_keras.keras_schedules().CosineDecayRestarts(1.0, 7, t_mul=1.0)
    step = np.int32(2**24 + 5)
    exact = (1 + math.cos(math.pi * (int(step) % 7) / 7)) / 2
    assert abs(float(theirs(step)) - exact) > 0.01
    assert float(oc.warm_restarts(7, 1.0)(step)) == pytest.approx(exact, rel=1e-6)
