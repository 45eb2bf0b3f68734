"""`optax-cycles plot` draws any schedule or policy."""

import sys
from pathlib import Path

import pytest

from optax_cycles.cli.plot import drawable


def test_a_schedule_becomes_a_png(command, folder):
    code, out, err = command("plot", "one_cycle", "total_steps=100", "peak_value=0.1")
    assert code == 0, err
    assert out == "schedule.png: one_cycle over 100 steps\n"
    assert (folder / "schedule.png").read_bytes().startswith(b"\x89PNG")


def test_several_schedules_and_policies_share_a_figure(command, folder):
    words = (
        "plot one_cycle_policy total_steps=50 peak_value=0.1 momentum=0.8,0.9 "
        "and one_cycle_policy total_steps=50 peak_value=0.2 three_phase=true "
        "and triangular base_value=1e-3 peak_value=0.1 step_size=10 -o both.svg --log"
    )
    code, out, err = command(*words.split())
    assert code == 0, err
    svg = (folder / "both.svg").read_text()
    assert svg.startswith("<?xml")
    assert "one_cycle_policy 1, one_cycle_policy 2, triangular over 50 steps" in out


def test_schedules_and_policies_are_listed():
    assert {"one_cycle", "noam", "warm_restarts", "one_cycle_policy"} <= {*drawable()}
    assert not {"inject", "valley", "smooth"} & {*drawable()}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("plot one_cyle", "schedule must be one of"),
        ("plot one_cyle", "did you mean 'one_cycle'"),
        ("plot one_cycle total_steps=10", "one_cycle: missing peak_value=..."),
        (
            "plot one_cycle total_step=10 peak_value=1",
            "did you mean 'total_steps'",
        ),
        (
            "plot one_cycle total_steps=0 peak_value=1",
            "one_cycle: total_steps must be a positive integer, got 0",
        ),
        (
            "plot one_cycle total_steps=ten peak_value=1",
            "one_cycle: total_steps must be a positive integer, got 'ten'",
        ),
        (
            "plot one_cycle noam",
            "arguments are written name=value, got 'noam' (put `and` between",
        ),
        (
            "plot one_cycle total_steps=9 peak_value=1 -o a.gif",
            "--output must end in .png or .svg, got 'a.gif'",
        ),
        (
            "plot one_cycle total_steps=9 peak_value=1 -o no/such/folder.png",
            "--output: can't write 'no/such/folder.png'",
        ),
        ("plot one_cycle total_steps=9 peak_value=1 --steps 0", "--steps: must be a"),
        ("plot", "plot: nothing to draw; --list shows what there is"),
        ("plot mine:schedul", "has no attribute 'schedul', only"),
        ("plot no_such_module:schedule", "plot: there is no module 'no_such_module'"),
        ("plot mine:", "plot must be written module:attribute, got 'mine:'"),
        ("plot mine:schedule steps=3", "mine:schedule takes no arguments, got steps="),
        ("plot mine:number", "mine:number must be a schedule, a policy, or a function"),
        ("plot mine:nothing", "mine:nothing must be a schedule, a policy, or a func"),
        ("plot mine:broken", "mine:broken: learning_rate fails at the steps [0, 1]"),
        ("plot mine:scalar", "learning_rate at the steps [0, 1] must be 2 values"),
        ("plot join schedules=1 boundaries=2", "join: schedules must be a sequence"),
        ("plot scale schedule=1 factor=2", "scale: schedule must be a callable, got 1"),
    ],
)
def test_bad_input_is_one_clear_line(command, mine, words, message):
    code, out, err = command(*words.split())
    assert code == 2
    assert message in err
    assert err.count("\n") == 1
    assert "Traceback" not in out + err


MINE = """
import jax.numpy as jnp
import optax_cycles as oc

schedule = oc.triangular(0.1, 1.0, 10)
policy = oc.one_cycle_policy(50, 0.5)
number = 3


def made():
    return oc.scale(schedule, 2.0)


def by_hand(step):
    return 1 / (1 + jnp.asarray(step))


def nothing():
    return {}


def broken(step):
    raise RuntimeError("the user's own mistake")


def scalar(step):
    return 1.0
"""


@pytest.fixture
def mine(folder):
    """A module of a user's own schedules in the working folder."""
    (folder / "mine.py").write_text(MINE)
    yield folder
    sys.modules.pop("mine", None)


@pytest.mark.parametrize("name", ["schedule", "policy", "made", "by_hand"])
def test_a_schedule_is_read_from_a_module(command, mine, name):
    code, out, err = command("plot", f"mine:{name}", "--steps", 50)
    assert code == 0, err
    assert out == f"schedule.png: mine:{name} over 50 steps\n"
    assert (mine / "schedule.png").read_bytes().startswith(b"\x89PNG")


def test_the_list_has_every_schedule_and_policy_with_its_arguments(command):
    code, out, err = command("plot", "--list")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert [line.partition("(")[0] for line in lines] == drawable()
    assert "linear_decay(init_value, decay_steps, end_value=0.0, begin=0)" in lines
    assert not (Path.cwd() / "schedule.png").exists()
