"""`--devices`, `--mesh`, `--placement`, `--distributed`: where a command runs."""

import json
import os
import socket
import subprocess
import sys

import jax
import numpy as np
import pytest

import optax_cycles as oc
from optax_cycles.cli.machine import start
from optax_cycles.cli.main import build_parser

CURVES = ("parallel.nc", "ramp.nc", "training.nc")


def machine(words):
    return start(build_parser().parse_args(["range-test", *words.split()]))


def test_all_devices_are_taken_by_default():
    assert machine("").options == {"placement": "auto"}


def test_some_devices_can_be_taken():
    assert machine("--devices 1").options["devices"] == jax.devices()[:1]
    options = machine("--devices 2 --placement vmap --chunk 7").options
    assert options == {"placement": "vmap", "chunk": 7, "devices": jax.devices()}


def test_a_mesh_has_the_axes_in_their_order():
    mesh = machine("--mesh data=2,members=1").options["mesh"]
    assert dict(mesh.shape) == {"data": 2, "members": 1}
    assert mesh.devices.flatten().tolist() == jax.devices()


def test_a_mesh_need_not_have_all_devices():
    assert machine("--mesh members=1").processes.local_devices == (jax.devices()[0],)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            "--devices 3",
            "--devices must be at most 2, the cpu devices there are, got 3",
        ),
        ("--devices 0", "--devices: must be a positive integer, got '0'"),
        (
            "--mesh members=2,data=2",
            "--mesh members=2,data=2 needs 4 devices, there are 2 (cpu)",
        ),
        ("--mesh data=2", "--mesh: must have an axis members, got 'data=2'"),
        ("--mesh members", "must be written members=4,data=2, got 'members'"),
        ("--mesh members=0", "must be written members=4,data=2, got 'members=0'"),
        ("--mesh members=1,members=2", "has 'members' twice"),
        ("--mesh members=2 --devices 2", "can't be given besides --mesh, which says"),
        (
            "--mesh members=1,data=2 --batch-size 7 --problem tiny:task",
            "batch_size must be a multiple of 2, the mesh's data axis, got 7",
        ),
        ("--placement side", "argument --placement: invalid choice: 'side'"),
        ("--chunk 0", "--chunk: must be a positive integer, got '0'"),
        ("--checkpoint-every -1", "--checkpoint-every: must be a number from 0 on"),
        ("--coordinator here", "--coordinator: must be written HOST:PORT, got 'here'"),
        ("--coordinator here:99999", "must be written HOST:PORT, got 'here:99999'"),
        (
            "--coordinator here:1 --process 0",
            "--coordinator and --processes and --process go together, got no "
            "--processes",
        ),
        ("--process -1", "--process: must be a non-negative integer, got '-1'"),
        (
            "--coordinator here:1 --processes 2 --process 2",
            "--process must be below --processes (2), got 2",
        ),
    ],
)
def test_bad_input_is_one_clear_line(command, words, message):
    code, out, err = command("range-test", *words.split())
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [
        "--mesh members=1,data=2",
        pytest.param("--placement measure", marks=pytest.mark.slow),
    ],
)
def test_it_finds_the_same_elsewhere(command, folder, quick, once, words):
    """Sums over devices are rounded in another order."""
    code, _, err = command(*quick, *words.split(), "--out", "there")
    assert (code, err) == (0, "")
    found, expected = (
        oc.sweep.SweepResult.load(path / "parallel.nc")
        for path in (folder / "there", once.folder)
    )
    # Residuals are differences of numbers up to 10, whose last digit is 1e-6.
    losses = [np.sqrt(result.train["loss"][:4]) for result in (found, expected)]
    np.testing.assert_allclose(*losses, rtol=2e-6, atol=2e-6)
    content = json.loads((folder / "there/range_test.json").read_text())
    best = json.loads((once.folder / "range_test.json").read_text())["suggestion"]
    assert content["suggestion"]["best"] == best["best"]


def processes(folder, environment, *words, count=2, devices=1):
    """The same command in several processes that know of each other."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = ("--devices", devices, "--coordinator", f"127.0.0.1:{port}")
    started = [
        subprocess.Popen(
            [
                *(sys.executable, "-m", "optax_cycles"),
                *map(str, (*words, *shared, "--processes", count, "--process", number)),
            ],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for number in range(count)
    ]
    ended = [(*each.communicate(timeout=240), each.returncode) for each in started]
    return [(code, _without_gloo(out), err) for out, err, code in ended]


def _without_gloo(out):
    """Without the line that gloo itself prints where it connects."""
    return "".join(line for line in out.splitlines(True) if "[Gloo]" not in line)


@pytest.mark.slow
def test_two_processes_find_what_one_does(folder, quick, environment, once):
    first, second = processes(folder, environment, *quick, "--out", "two")
    assert [first[0], second[0]] == [0, 0], (first, second)
    assert (first[2], second[1:]) == ("", ("", ""))
    assert "best constant" in first[1]
    assert sorted(os.listdir(folder / "two")) == sorted(os.listdir(once.folder))
    for name in CURVES:
        found, expected = (
            oc.sweep.SweepResult.load(path / name)
            for path in (folder / "two", once.folder)
        )
        for kind in ("train", "validation"):
            for metric, values in getattr(expected, kind).items():
                np.testing.assert_array_equal(getattr(found, kind)[metric], values)
    found, expected = (
        json.loads((path / "range_test.json").read_text())
        for path in (folder / "two", once.folder)
    )
    for key in ("suggestion", "curve", "ramp_rules", "trainings"):
        assert found[key] == expected[key]

    # Once more: it is complete, which the first process alone says.
    first, second = processes(folder, environment, *quick, "--out", "two")
    assert [first[0], second[0]] == [0, 0], (first, second)
    assert first[1].startswith("Complete already")
    assert second[1:] == ("", "")

    # Another command: both refuse it, the first with the reason.
    words = (*quick, "--steps", 30, "--out", "two")
    first, second = processes(folder, environment, *words)
    assert [first[0], second[0]] == [2, 2]
    assert "--steps 20 (now 30)" in first[2]
    assert "the first process can't use the folder, and says why" in second[2]
    assert first[2].count("\n") == second[2].count("\n") == 1
