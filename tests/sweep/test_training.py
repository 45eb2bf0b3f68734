"""Chunks that fit, allocations that fail, members that leave."""

import importlib
from pathlib import Path

import jax
import numpy as np
import pytest
from linear import SPACE, STEPS, assert_same, sweep

from optax_cycles.sweep import Engine, Status
from optax_cycles.sweep import memory as memory_module
from optax_cycles.sweep.plan import Piece, plan

training_module = importlib.import_module("optax_cycles.sweep.training")


@pytest.fixture(scope="module")
def whole():
    return sweep(chunk=SPACE.size)


def test_pieces_follow_one_chunk_or_one_segment():
    ends = [(0, 0, 3), (0, 3, 1), (0, 4, 3)], [(1, 0, 3), (1, 3, 1), (1, 4, 3)]
    by_chunk = plan(2, 7, [0, 4], 3, by_segment=False)
    assert by_chunk == [Piece(*piece) for piece in ends[0] + ends[1]]
    by_segment = plan(2, 7, [0, 4], 3, by_segment=True)
    pairs = zip(*ends, strict=True)
    assert by_segment == [Piece(*piece) for pair in pairs for piece in pair]


def test_a_population_that_does_not_fit_is_divided(whole, monkeypatch):
    sizes = []
    advance = Engine.advance

    def watched(engine, members, segment):
        sizes.append(len(members.status))
        return advance(engine, members, segment)

    monkeypatch.setattr(Engine, "advance", watched)
    needed = {}

    def free(devices):
        return needed.setdefault("bytes", 6000)

    monkeypatch.setattr(training_module, "bytes_free", free)
    monkeypatch.setattr(
        Engine, "bytes_needed", property(lambda engine: 1500 * _rows(engine))
    )
    result = sweep(placement="vmap")
    assert max(sizes) <= 6000 * 0.9 / 1500 * 1.0 + 2
    assert len(set(sizes)) == 1
    np.testing.assert_allclose(result.train["loss"], whole.train["loss"], rtol=1e-5)


def _rows(engine):
    """Rows of the last program that was compiled."""
    shapes = list(engine._advance.compiled)[-1]
    return shapes[1][0][0][0]


def test_a_failed_allocation_halves_the_chunk(whole, monkeypatch):
    advance = Engine.advance

    def limited(engine, members, segment):
        if len(members.status) > 4:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")
        return advance(engine, members, segment)

    monkeypatch.setattr(Engine, "advance", limited)
    with pytest.warns(
        UserWarning, match="don't fit into memory; going on with"
    ) as said:
        result = sweep()
    assert_same(result, whole)
    assert [str(w.message) for w in said] == [
        "run: 10 members at a time don't fit into memory; going on with 6",
        "run: 6 members at a time don't fit into memory; going on with 4",
    ]


def test_chunks_that_are_done_stay_when_memory_runs_out(whole, monkeypatch):
    advance, begun = Engine.advance, []

    def limited(engine, members, segment):
        first = int(np.asarray(members.ident)[0])
        begun.append(first)
        if first >= 4 and len(members.status) > 2:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")
        return advance(engine, members, segment)

    monkeypatch.setattr(Engine, "advance", limited)
    with pytest.warns(UserWarning, match="4 members at a time .* going on with 2"):
        result = sweep(chunk=4, segment=STEPS)
    assert_same(result, whole)
    assert begun.count(0) == 1


def test_free_memory_of_the_machine_is_shared_by_its_devices():
    devices = tuple(jax.devices("cpu")[:2])
    both, one = memory_module.bytes_free(devices), memory_module.bytes_free(devices[:1])
    assert both is not None
    assert 0.4 < both / one < 0.6
    lines = Path("/proc/meminfo").read_text().splitlines()
    (total,) = (line.split()[1] for line in lines if line.startswith("MemTotal"))
    assert one < int(total) * 1024


@pytest.mark.parametrize("keep_state", [False, True])
def test_members_that_diverge_leave_the_program(monkeypatch, keep_state):
    sizes, advance = [], Engine.advance

    def watched(engine, members, segment):
        sizes.append(len(members.status))
        return advance(engine, members, segment)

    monkeypatch.setattr(Engine, "advance", watched)
    # Compiling always pays here.
    monkeypatch.setattr(training_module.Training, "_pays", lambda *_: True)
    rates = [0.1, 1e30, 1e30, 0.2, 1e30, 1e30, 0.3, 1e30]
    options = {"segment": 5, "keep_state": keep_state, "horizons": [10, STEPS]}
    found = sweep(space={"learning_rate": rates}, placement="vmap", **options)
    assert sizes[0] == 8
    assert sizes[-1] == 4
    monkeypatch.undo()
    expected = sweep(space={"learning_rate": rates}, placement="map", **options)
    np.testing.assert_array_equal(found.diverged, np.greater(rates, 1.0))
    np.testing.assert_array_equal(found.updates, expected.updates)
    for kind in ("train", "validation"):
        pair = getattr(found, kind)["loss"], getattr(expected, kind)["loss"]
        np.testing.assert_allclose(*pair, rtol=2e-5)
    if keep_state:
        pair = found.state.params[::3], expected.state.params[::3]
        np.testing.assert_allclose(*pair, rtol=2e-5)


def test_a_population_that_has_all_diverged_does_no_more(monkeypatch):
    calls, advance = [], Engine.advance

    def watched(engine, members, segment):
        calls.append(1)
        return advance(engine, members, segment)

    monkeypatch.setattr(Engine, "advance", watched)
    space = {"learning_rate": np.full(4, 1e30, np.float32)}
    result = sweep(space=space, segment=5, placement="vmap")
    assert (result.status == Status.DIVERGED).all()
    assert len(calls) < STEPS // 5
