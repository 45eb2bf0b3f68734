"""Two processes of two devices each compute what one process of four does."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

PROGRAM = Path(__file__).with_name("process_program.py")
CASES = ["ten", "eight", "vmap", "stream", "dropped", "inside", "across", "apart"]
NAMES = ["train", "validation", "params", "status", "updates"]

pytestmark = pytest.mark.slow


def start(folder, processes, devices, **more):
    """Start processes that do one job together."""
    folder.mkdir(exist_ok=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"processes": processes, "port": port, "devices": devices, **more}
    started = []
    for process in range(processes):
        setting = json.dumps({"process": process, "folder": str(folder), **shared})
        with (folder / f"{process}.err").open("w") as errors:
            started.append(
                subprocess.Popen(
                    [sys.executable, str(PROGRAM), setting],
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    text=True,
                )
            )
    return started


def finish(folder, started):
    """The arrays of each process, and what it says of itself."""
    for number, process in enumerate(started):
        process.communicate(timeout=300)
        assert process.returncode == 0, (folder / f"{number}.err").read_text()
    found = [np.load(folder / f"{number}.npz") for number in range(len(started))]
    return found, [json.loads(str(arrays["known"])) for arrays in found]


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    folder = tmp_path_factory.mktemp("one")
    (arrays,), _ = finish(folder, start(folder, 1, 4, job="together"))
    return arrays


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    return finish(folder, start(folder, 2, 2, job="together"))


@pytest.mark.parametrize("process", [0, 1])
@pytest.mark.parametrize("case", CASES)
def test_every_process_has_the_whole_result_bit_for_bit(one, two, case, process):
    arrays = two[0][process]
    for name in NAMES:
        expected = one[f"{case}.{name}"]
        np.testing.assert_array_equal(arrays[f"{case}.{name}"], expected)
    assert np.isfinite(one[f"{case}.validation"]).any()


def test_the_devices_of_all_processes_are_used(two):
    assert [known["devices"] for known in two[1]] == [4, 4]


def test_processes_that_differ_are_all_told_in_what(two):
    expected = (
        "run: the processes differ in data, segment; each must make the same call "
        "with the same values"
    )
    assert [known["refused"]["differ"] for known in two[1]] == [expected] * 2


def test_where_the_first_process_cant_write_none_goes_on(two):
    first, second = (known["refused"]["file"] for known in two[1])
    assert first.startswith("run: checkpoint must be a folder that can be written")
    assert second == "run: the first process can't write the checkpoint's folder"


def test_a_sweep_without_process_0_cant_be_saved(two):
    first, second = (known["refused"]["own"] for known in two[1])
    assert first is None
    assert second.startswith("run: checkpoint must be None where process 0, which")


def test_where_an_allocation_fails_each_process_keeps_what_there_was(two):
    for known in two[1]:
        assert (
            "4 members at a time don't fit into memory, and many"
            in (known["failed"]["said"])
        )
        assert np.ravel(known["failed"]["updates"]).tolist() == [40] * 7 + [0] * 3


def test_killed_processes_go_on_together_bit_for_bit(tmp_path):
    job = {"job": "saved", "checkpoint": str(tmp_path / "checkpoint")}
    killed = start(tmp_path / "two", 2, 2, **job)
    # Chunks of 4, 3 and 3 members, 120 updates in segments of 10.
    assert "600\n" in iter(killed[0].stdout.readline, "")
    for process in killed:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    arrays, known = finish(tmp_path / "two", start(tmp_path / "two", 2, 2, **job))
    # Only the first process reports, and it began where the killed ones were.
    assert known[1]["seen"] == []
    assert min(known[0]["seen"][1:]) >= 570
    assert known[0]["seen"][-1] == 10 * 120
    straight = start(tmp_path / "one", 1, 4, job="saved")
    (expected,), _ = finish(tmp_path / "one", straight)
    for name in NAMES:
        for found in arrays:
            np.testing.assert_array_equal(
                found[f"saved.{name}"], expected[f"saved.{name}"]
            )
