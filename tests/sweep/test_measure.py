"""A sweep that times placements on its first updates, and takes the fastest."""

import importlib
import time

import jax
import pytest
from linear import STEPS, TRAIN, assert_same, sweep
from test_checkpoint import stop_after
from test_streams import endless

import optax_cycles as oc
from optax_cycles.sweep import Engine, Interrupted, SweepError, SweepResult, measure

# The name `run` in the package is the function.
loop_module = importlib.import_module("optax_cycles.sweep.loop")
SOME = 2 * len(jax.devices())
CHUNKED = f"vmap, {SOME} at a time"
# What each candidate is when it is asked for by name.
BY_NAME = {
    "map": {"placement": "map"},
    "vmap": {"placement": "vmap"},
    CHUNKED: {"placement": "vmap", "chunk": SOME},
}


def name_of(training):
    """The candidate that a training is."""
    return CHUNKED if training.chunk == SOME else training.engine.placement.inside


@pytest.fixture
def taken(monkeypatch):
    """Small groups, and the trainings that were taken, by name."""
    names, real = [], measure.fastest

    def fastest(*args):
        training = real(*args)
        names.append(name_of(training))
        return training

    monkeypatch.setattr(measure, "GROUP", 2)
    monkeypatch.setattr(loop_module, "fastest", fastest)
    return names


def say(monkeypatch, seconds):
    """Let timings come out as `seconds`, by name."""
    monkeypatch.setattr(measure, "seconds_of", lambda one: seconds[name_of(one)])


@pytest.mark.parametrize("winner", BY_NAME)
def test_the_fastest_is_taken_with_the_bits_of_its_own(monkeypatch, taken, winner):
    seconds = {name: 1.0 + (name != winner) for name in BY_NAME}
    say(monkeypatch, seconds)
    result = sweep(placement="measure")
    assert taken == [winner]
    assert result.measured == seconds
    assert_same(result, sweep(**BY_NAME[winner]))


@pytest.mark.parametrize("slow", ["map", "vmap"])
def test_what_takes_longer_is_measured_to(monkeypatch, taken, slow):
    late, advance = 0.05, Engine.advance

    def slower(engine, members, segment):
        if engine.placement.inside == slow:
            time.sleep(late)
        return advance(engine, members, segment)

    monkeypatch.setattr(Engine, "advance", slower)
    monkeypatch.setattr(measure, "LONG_ENOUGH", late / 5)
    result = sweep(placement="measure", chunk=10)
    (fast,) = {"map", "vmap"} - {slow}
    assert taken == [fast]
    assert set(result.measured) == {"map", "vmap"}
    assert result.measured[slow] >= late / result.space.size
    assert 0 < result.measured[fast] < result.measured[slow]
    # Each is run to warm up, and then at least once.
    assert result.seconds["measure"] >= 2 * late


def test_nothing_is_measured_where_a_placement_is_named():
    result = sweep(placement="map")
    assert result.measured == {}
    assert "measure" not in result.seconds


def test_what_was_measured_is_kept_with_the_result(monkeypatch, taken):
    say(monkeypatch, {"map": 2e-6, "vmap": 1e-6, CHUNKED: 3e-6})
    result = sweep(placement="measure")
    assert SweepResult.from_xarray(result.to_xarray()).measured == result.measured


def test_a_file_from_before_it_was_measured_is_read():
    dataset = sweep(placement="map").to_xarray()
    del dataset.attrs["measured"]
    assert SweepResult.from_xarray(dataset).measured == {}


def test_measuring_is_no_progress():
    def calls(**options):
        found = []
        sweep(progress=found.append, **options)
        return found

    assert calls(placement="measure") == calls(placement="map")


def test_measuring_reads_no_batches_of_a_stream(taken):
    just_enough = (batch for batch, _ in zip(endless(), range(STEPS), strict=False))
    result = sweep(just_enough, placement="measure")
    assert set(result.measured) == {"map", "vmap"}
    assert_same(result, sweep(endless(), **BY_NAME[taken[0]]))


def test_a_sweep_that_goes_on_keeps_its_placement(monkeypatch, taken, tmp_path):
    options = {
        "placement": "measure",
        "checkpoint": tmp_path,
        "checkpoint_every": 0.0,
        "segment": 7,
    }
    seconds = {"map": 2.0, "vmap": 1.0, CHUNKED: 3.0}
    say(monkeypatch, seconds)
    with pytest.raises(SweepError):
        sweep(progress=stop_after(140), **options)
    say(monkeypatch, {})
    result = sweep(**options)
    assert taken == ["vmap", "vmap"]
    assert result.measured == seconds
    assert_same(result, sweep(placement="vmap", segment=7))


def test_an_interrupt_while_measuring_gives_an_empty_result(monkeypatch):
    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(measure, "seconds_of", interrupt)
    with pytest.raises(Interrupted) as caught:
        sweep(placement="measure")
    assert not caught.value.result.complete
    assert not caught.value.result.updates.any()


def test_another_name_is_refused_with_near_matches():
    with pytest.raises(ValueError, match=r"^run: placement .*did you mean 'measure'"):
        sweep(placement="mesure")


def test_an_engine_without_data_says_where_to_measure():
    with pytest.raises(ValueError, match=r"placement 'measure' needs data .* run"):
        oc.sweep.build(TRAIN, placement="measure")
