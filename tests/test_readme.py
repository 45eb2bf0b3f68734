"""The README's code runs as it is written, and its commands are the real ones."""

import re
import shlex
from pathlib import Path

import jax
import numpy as np
import pytest

import optax_cycles as oc
from optax_cycles.cli.main import build_parser

README = (Path(__file__).parents[1] / "README.md").read_text()
PYTHON = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
CONSOLE = [
    line.removeprefix("$ ")
    for block in re.findall(r"```console\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
    if line.startswith("$ ")
]


@pytest.fixture(scope="module")
def names():
    """What the first block defines."""
    found = {}
    exec(PYTHON[0], found)
    return found


def test_the_range_test_of_a_users_own_model_runs(names):
    """Ten lines from a model to an optimizer; the suggestion is within the range."""
    suggestion = names["found"]
    assert 1e-5 < suggestion.base <= suggestion.best <= suggestion.peak < 10.0
    params = names["problem"].init(jax.random.key(0))[0]
    state = names["optimizer"].init(params)
    np.testing.assert_allclose(
        state.hyperparams["learning_rate"], suggestion.base, rtol=1e-6
    )
    lines = PYTHON[0].split("# your model\n")[1].strip().splitlines()
    assert len(lines) < 10


@pytest.mark.parametrize("code", PYTHON[1:])
def test_further_code_runs(code, names, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(code, dict(names))


def test_every_schedule_of_the_table_exists():
    table = re.findall(r"^\| (`[^|]+`) \|", README, re.MULTILINE)
    names = {name for row in table for name in re.findall(r"`(\w+)`", row)}
    schedules = {name for name in names if name in vars(oc)}
    assert {"one_cycle", "warm_restarts", "join"} <= schedules


@pytest.mark.parametrize(
    "line", [line for line in CONSOLE if line.split(" && ")[-1].startswith("optax-cyc")]
)
def test_the_commands_can_be_parsed(line):
    words = shlex.split(line.split(" && ")[-1])
    build_parser().parse_args(words[1:])
