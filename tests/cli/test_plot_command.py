"""`optax-cycles plot` draws any schedule or policy."""

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
    ],
)
def test_bad_input_is_one_clear_line(command, words, message):
    code, out, err = command(*words.split())
    assert code == 2
    assert message in err
    assert err.count("\n") == 1
    assert "Traceback" not in out + err
