"""Searches compile one program for each size of population, whatever they decide."""

import functools
import logging

import jax
import optax
import pytest
from judged_searches import OPTIONS, SEARCHES, SPACE, population
from linear import DATA, PROBLEM

import optax_cycles as oc
from optax_cycles.sweep import Engine
from optax_cycles.sweep.training import Training


@pytest.fixture
def compiled(caplog):
    """What JAX says that it compiles, with the shapes of all arguments."""

    def said():
        lines = [r.getMessage() for r in caplog.records if r.name.startswith("jax")]
        return [line for line in lines if line.startswith("Compiling")]

    with jax.log_compiles(), caplog.at_level(logging.WARNING, "jax"):
        yield said


@pytest.mark.parametrize("name", ["hyperband", "population"])
@pytest.mark.parametrize("placement", ["map", "vmap"])
def test_one_segment_program_for_each_size_of_population(
    name, placement, compiled, monkeypatch
):
    """However many rungs there are; and nothing for more updates or other points."""
    sizes = set()
    advance = Engine.advance

    def watched(engine, members, segment):
        sizes.add(len(members.status))
        return advance(engine, members, segment)

    monkeypatch.setattr(Engine, "advance", watched)
    # Side by side, a half of the rows is left out as soon as it is not needed.
    monkeypatch.setattr(Training, "_pays", lambda *_: placement == "vmap")
    train = oc.trainable(PROBLEM, lambda hp: optax.adam(hp["learning_rate"]))
    devices = jax.devices()[:1]
    search = functools.partial(
        SEARCHES[name], train, placement=placement, devices=devices
    )
    assert len(search().sweep.lineage.steps) >= 2
    # Bracket by bracket 9, 5, 3 of 17 begin; 8 of them are left after 12 updates.
    shrinks = name == "hyperband" and placement == "vmap"
    assert sizes == ({17, 8} if shrinks else {17 if name == "hyperband" else 7})
    programs = compiled()
    # No other program reads the training data.
    assert sum("float32[64,4]" in line for line in programs) == len(sizes)
    search(points=5)
    search(steps=72)
    assert compiled() == programs


def test_any_number_of_verdicts_is_one_program(compiled):
    train = oc.trainable(PROBLEM, lambda hp: optax.adam(hp["learning_rate"]))
    population(train)
    programs = compiled()
    found = population(train, steps=360, horizons=[5, 50, 359])
    assert len(found.sweep.lineage.steps) == 8
    more = oc.search.population(
        train, SPACE, DATA, 72, members=7, interval=2, share=0.3, **OPTIONS
    )
    assert len(more.sweep.lineage.steps) == 35
    assert compiled() == programs
