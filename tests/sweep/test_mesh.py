"""A member may span several devices: its batches, or its state, shared out."""

import json
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P
from linear import DATA, TRAIN, assert_same, sweep
from mesh_program import STEPS
from test_checkpoint import OPTIONS, stopped

import optax_cycles as oc
from optax_cycles.sweep import Placement
from optax_cycles.sweep.placement import resolve_placement

PROGRAM = Path(__file__).with_name("mesh_program.py")
FIRST = jax.devices()[0]
INSIDE = ["map", "vmap"]
SPANNING = [f"{axis}-{inside}" for axis in ("data", "model") for inside in INSIDE]
SPANNING.append("both")


@pytest.fixture(scope="module")
def eight(tmp_path_factory):
    """What the program computed on eight devices, and about its programs."""
    out = tmp_path_factory.mktemp("mesh") / "out.npz"
    done = subprocess.run(
        [sys.executable, str(PROGRAM), str(out)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return np.load(out), json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.parametrize("case", SPANNING)
def test_members_that_span_devices_train_as_on_one(eight, case):
    arrays, known = eight
    for name in ("loss", "validation", "hidden"):
        expected = arrays[f"one.{name}"]
        found = arrays[f"{case}.{name}"]
        if name == "hidden":
            alive = np.isfinite(arrays["one.validation"])
            found, expected = found[alive], expected[alive]
        np.testing.assert_allclose(found, expected, rtol=2e-5, atol=1e-6)
    assert np.isnan(arrays[f"{case}.loss"][2, -1])
    assert np.isfinite(np.delete(arrays[f"{case}.loss"], 2, 0)).all()
    assert known[case]["compiles"] == {"init": 1, "advance": 1, "evaluate": 1}


@pytest.mark.slow
@pytest.mark.parametrize("inside", INSIDE)
def test_gradients_are_reduced_and_parameters_stay_where_they_are(eight, inside):
    _, known = eight
    assert known[f"data-{inside}"]["all_reduces"] > 0
    assert known[f"data-{inside}"]["all_gathers"] == 0


@pytest.mark.slow
@pytest.mark.parametrize("inside", INSIDE)
def test_members_exchange_nothing(eight, inside):
    _, known = eight
    assert known[f"members-{inside}"]["collectives"] == 0


@pytest.mark.slow
@pytest.mark.parametrize("inside", INSIDE)
def test_a_state_that_is_laid_out_over_devices_stays_so(eight, inside):
    _, known = eight
    # Weights [6, 8] and their momentum, two of eight rows on each part.
    assert known[f"model-{inside}"]["shards"] == [[2, 6, 4], [2, 6, 4]]
    assert known[f"data-{inside}"]["shards"] == [[2, 6, 8], [2, 6, 8]]
    assert known["both"]["shards"] == [[3, 6, 4], [3, 6, 4]]


@pytest.mark.slow
def test_populations_that_the_mesh_does_not_divide_are_padded(eight):
    arrays, known = eight
    assert known["data-map"]["ident"] == [0, 1, 2, 3, 4, 5, -1, -1]
    assert arrays["data-map.loss"].shape == (6, STEPS)


@pytest.mark.slow
def test_a_whole_sweep_runs_over_a_mesh_in_chunks(eight):
    arrays, _ = eight
    for name in ("loss", "validation"):
        np.testing.assert_allclose(
            arrays[f"run-data.{name}"], arrays[f"run-one.{name}"], rtol=2e-5
        )


def over(*names, shape=(1, 2)):
    return jax.sharding.Mesh(np.array(jax.devices()).reshape(shape), names)


def test_the_examples_of_a_batch_are_shared_out():
    spread, alone = sweep(mesh=over("members", "data")), sweep(devices=[FIRST])
    for found, expected in (
        (spread.train["loss"], alone.train["loss"]),
        (spread.validation["loss"], alone.validation["loss"]),
        (spread.state.params, alone.state.params),
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_a_state_laid_out_over_devices_is_saved_and_taken_up(tmp_path):
    def split(leaf):
        return jax.lax.with_sharding_constraint(leaf, P("model") if leaf.ndim else P())

    def init(key, hparams):
        return jax.tree.map(split, TRAIN.init(key, hparams))

    options = {"trainable": TRAIN._replace(init=init), "mesh": over("members", "model")}
    stopped(tmp_path, 200, **options)
    spread = sweep(checkpoint=tmp_path, **OPTIONS | options)
    assert_same(spread, sweep(**OPTIONS | options))
    alone = sweep(devices=[FIRST], **OPTIONS)
    np.testing.assert_allclose(spread.train["loss"], alone.train["loss"], rtol=1e-5)


def test_a_mesh_of_one_axis_is_as_good_as_its_devices():
    mesh = jax.make_mesh((2,), ("members",))
    assert_same(sweep(mesh=mesh, chunk=4), sweep(devices=jax.devices(), chunk=4))


def test_a_mesh_gives_the_devices_and_the_parts():
    mesh = jax.sharding.Mesh(np.array(jax.devices()).reshape(1, 2), ("members", "data"))
    placement = resolve_placement("vmap", None, mesh)
    assert placement == Placement("vmap", tuple(jax.devices()), mesh)
    assert (placement.parts, placement.batch_parts) == (1, 2)
    assert resolve_placement("auto", None, mesh).inside == "map"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"mesh": over("data", "model")},
            r"build: mesh must be a mesh with an axis named 'members', got \('data', ",
        ),
        (
            {"mesh": over("members", "data"), "devices": jax.devices()},
            "build: devices can't be given besides a mesh",
        ),
        (
            {
                "mesh": over("members", "data"),
                "placement": Placement("map", tuple(jax.devices())),
            },
            "build: a Placement can't be given besides a mesh",
        ),
        (
            {"mesh": over("members", "data"), "placement": "mop"},
            "run: placement must be one of auto, map, measure, vmap",
        ),
        (
            {"mesh": over("members", "data"), "batch_size": 7},
            "run: batch_size must be a multiple of 2, the mesh's data axis, got 7",
        ),
        (
            {
                "mesh": over("members", "data"),
                "data": [DATA[:5]] * 3,
                "space": {"learning_rate": [0.1]},
            },
            "run: batch_size must be a multiple of 2, the mesh's data axis, got 5",
        ),
    ],
)
def test_what_a_mesh_does_not_fit_is_named(options, message):
    options = dict(options)
    if "data" in options:
        options["data"] = iter(options["data"])
    with pytest.raises(ValueError, match=message):
        sweep(**options)


def test_only_a_mesh_is_a_mesh():
    with pytest.raises(TypeError, match=r"build: mesh must be a jax\.sharding\.Mesh"):
        sweep(mesh=(4, 2))


def test_a_segment_that_the_data_axis_does_not_divide_is_refused():
    engine = oc.sweep.build(TRAIN, mesh=over("members", "data"))
    batches = oc.sweep.ArrayBatches(DATA, 7, jax.random.key(0))
    segment = batches.segment(np.array([0]), 0, 2, 2)
    with pytest.raises(ValueError, match="advance: batch_size must be a multiple of 2"):
        engine.advance(None, segment)
