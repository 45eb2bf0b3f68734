"""Signals, kills and full disks in a process of its own, and what is left of it."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest

# A process in the background inherits that Ctrl-C is ignored; this one listens again.
LISTENING = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from optax_cycles.cli import main
raise SystemExit(main())
"""


def started(folder, environment, *words, first=""):
    """A command in a process of its own, which runs some code first."""
    return subprocess.Popen(
        [sys.executable, "-c", first + LISTENING, *map(str, words)],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def waits_for(path, process):
    while not path.exists() and process.poll() is None:
        time.sleep(0.02)
    assert process.poll() is None, process.communicate()


def test_a_real_signal_stops_the_command_cleanly(folder, quick, environment):
    words = [w if w != "20" else "2000000" for w in quick]
    process = started(folder, environment, *words, "--out", "cut")
    waits_for(folder / "cut/checkpoints/parallel", process)
    time.sleep(2)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 1, err
    assert err.count("\n") == 1
    assert "(incomplete)" in out
    content = json.loads((folder / "cut/range_test.json").read_text())
    assert content["complete"] is False


def test_a_signal_before_there_is_anything_to_keep_is_one_line(folder, environment):
    (folder / "slow.py").write_text(
        "import pathlib, time\npathlib.Path('here').touch()\ntime.sleep(60)\n"
    )
    words = ("range-test", "--problem", "slow:task")
    process = started(folder, environment, *words)
    waits_for(folder / "here", process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    expected = "optax-cycles range-test: error: interrupted before there was anything"
    assert (process.returncode, out) == (1, "")
    assert err == f"{expected} to keep\n"
    assert not (folder / "optax-cycles-out").exists()


@pytest.mark.slow
def test_a_disk_too_full_for_checkpoints_is_one_line(folder, quick, environment):
    words = (*quick, "--checkpoint-every", 0, "--out", "full")
    limit = "import resource as r; r.setrlimit(r.RLIMIT_FSIZE, (1024, -1))"
    process = started(folder, environment, *words, first=limit)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert err.count("\n") == 1
    assert "a checkpoint can't be written in" in err
    assert "File too large" in err
    assert len(err) < 1000
    assert os.listdir(folder / "full/checkpoints/parallel") == []


@pytest.mark.slow
def test_killed_at_random_moments_it_ends_with_the_same_bits(
    folder, quick, environment, same_curves
):
    moments = random.Random(0)
    words = [w if w != "20" else "4000" for w in quick]
    words += ["--checkpoint-every", "0"]
    straight = started(folder, environment, *words, "--out", "straight")
    waits_for(folder / "straight/range_test.json", straight)
    begin = time.monotonic()
    _, err = straight.communicate(timeout=300)
    whole = time.monotonic() - begin
    assert straight.returncode == 0, err
    killed = 0
    for _ in range(4):
        process = started(folder, environment, *words, "--out", "killed")
        waits_for(folder / "killed/range_test.json", process)
        time.sleep(moments.uniform(0, whole / 3))
        process.kill()
        killed += process.wait(timeout=60) == -signal.SIGKILL
        process.communicate()
    assert killed >= 2
    process = started(folder, environment, *words, "--out", "killed")
    _, err = process.communicate(timeout=300)
    assert (process.returncode, err) == (0, "")
    same_curves(folder / "killed", folder / "straight")
    assert not (folder / "killed/checkpoints").exists()
