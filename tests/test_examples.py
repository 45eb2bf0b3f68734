"""The examples run at a small size, and reach what they claim."""

import runpy
from pathlib import Path

EXAMPLES = Path(__file__).parents[1] / "examples"


def run(name, *argv):
    return runpy.run_path(str(EXAMPLES / name))["main"]([str(word) for word in argv])


def test_a_flax_train_step_on_a_one_cycle_policy(capsys):
    accuracy = run("flax_train_step.py", "--steps", 200)
    assert accuracy > 0.95
    first = capsys.readouterr().out.splitlines()[0]
    # 0.05 / 25 and the high momentum: the values that the first update used.
    assert "learning_rate 0.0020" in first
    assert "momentum 0.9500" in first
