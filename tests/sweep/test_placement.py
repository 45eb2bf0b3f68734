import subprocess
import sys
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from optax_cycles.sweep import Placement, use_cpu_devices
from optax_cycles.sweep.placement import over_members, resolve_placement
from optax_cycles.sweep.processes import Processes

FRESH = """
import os, jax, optax_cycles as oc
count = oc.sweep.use_cpu_devices({argument})
assert count == len(jax.devices("cpu")), (count, jax.devices("cpu"))
print(count, len(os.sched_getaffinity(0)))
"""


def in_a_fresh_process(argument):
    done = subprocess.run(
        [sys.executable, "-c", FRESH.format(argument=argument)],
        capture_output=True,
        text=True,
        check=True,
    )
    return [int(number) for number in done.stdout.split()]


def test_auto_is_one_after_another_on_a_cpu_and_side_by_side_elsewhere():
    assert resolve_placement("auto").inside == "map"
    accelerator = SimpleNamespace(platform="gpu")
    assert resolve_placement("auto", [accelerator]).inside == "vmap"


def test_all_devices_are_used_unless_some_are_named():
    assert resolve_placement("vmap") == Placement("vmap", tuple(jax.devices()))
    one = jax.devices()[1:]
    assert resolve_placement("map", one) == Placement("map", tuple(one))


def test_a_placement_is_taken_as_it_is():
    placement = Placement("vmap", tuple(jax.devices()[:1]))
    assert resolve_placement(placement) is placement
    assert placement.mesh.shape == {"members": 1}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("side_by_side", None), "placement must be one of auto, map, vmap"),
        (("vmpa", None), r"did you mean 'vmap'"),
        ((None, None), "placement must be one of auto, map, vmap"),
        (("auto", []), "devices must be a non-empty sequence of devices"),
        ((Placement("map", ()), [1]), "devices are given twice"),
    ],
)
def test_what_is_no_placement_is_refused(arguments, message):
    with pytest.raises(ValueError, match=f"^build: .*{message}"):
        resolve_placement(*arguments)


@pytest.mark.parametrize("inside", ["map", "vmap"])
def test_members_are_mapped_over_their_first_axis(inside):
    def one(member, scale):
        return {"sum": jnp.sum(member["x"]) * scale}

    members = {"x": np.arange(6.0, dtype=np.float32).reshape(3, 2)}
    out = over_members(inside)(one)(members, jnp.arange(3.0))
    assert out["sum"].tolist() == [0.0, 5.0, 18.0]


def test_cpu_devices_are_fixed_once_jax_has_started():
    assert len(jax.devices("cpu")) == 2
    assert use_cpu_devices(2) == 2
    with pytest.raises(
        RuntimeError,
        match=r"already started with 2 CPU device\(s\); call use_cpu_devices\(3\)",
    ):
        use_cpu_devices(3)
    assert use_cpu_devices(2) == 2


@pytest.mark.parametrize(
    ("count", "error"), [(0, ValueError), (-1, ValueError), (2.0, TypeError)]
)
def test_the_number_of_cpu_devices_is_positive(count, error):
    with pytest.raises(
        error, match="use_cpu_devices: count must be a positive integer"
    ):
        use_cpu_devices(count)


def test_a_fresh_process_gets_as_many_devices_as_it_asks_for():
    count, _ = in_a_fresh_process(3)
    assert count == 3


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for its cores")
def test_a_fresh_process_gets_a_device_for_each_core_by_default():
    count, cores = in_a_fresh_process("")
    assert count == cores


def test_some_of_the_devices_are_this_processs_own():
    other = SimpleNamespace(process_index=3)
    with pytest.raises(
        ValueError, match="build: devices must be devices of which process 0"
    ):
        Processes([other])
    assert Processes([other, jax.devices()[1]]).indices == [0, 3]
