"""`optax-cycles plot` draws any schedule or policy."""

import sys
from pathlib import Path

import numpy as np
import pytest

from optax_cycles.cli.calls import Call, callables, make, split
from optax_cycles.cli.plot import shown_steps


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
    assert out == (
        "both.svg: one_cycle_policy peak_value=0.1 momentum=0.8,0.9, "
        "one_cycle_policy peak_value=0.2 three_phase=true, triangular over 50 steps\n"
    )


@pytest.mark.parametrize(
    ("words", "labels"),
    [
        (
            "triangular base_value=0 peak_value=1 step_size=4 "
            "and triangular base_value=0 peak_value=1 step_size=8",
            "triangular step_size=4, triangular step_size=8",
        ),
        ("warmup steps=9 and warmup steps=9 start=.1", "warmup, warmup start=.1"),
        ("warmup steps=9 and warmup steps=9", "warmup (1), warmup (2)"),
    ],
)
def test_namesakes_are_told_apart_by_the_arguments_that_differ(command, words, labels):
    code, out, err = command("plot", *words.split(), "--steps", 9)
    assert (code, err) == (0, "")
    assert out == f"schedule.png: {labels} over 9 steps\n"


@pytest.mark.parametrize(
    ("words", "steps"),
    [
        # An end, with a fifth more behind it.
        ("linear_decay init_value=1 decay_steps=5000", 6000),
        ("cosine_decay init_value=1 decay_steps=50 begin=50", 120),
        (
            "warmup_stable_decay peak_value=1 warmup_steps=10 stable_steps=60 "
            "decay_steps=30",
            120,
        ),
        ("cooldown start=40 steps=10", 60),
        ("piecewise_constant boundaries=30,100 values=1,2,3", 120),
        ("one_cycle_smith base_value=0.1 peak_value=1 step_size=50", 120),
        # Three cycles.
        ("triangular base_value=0 peak_value=1 step_size=10", 60),
        ("triangular base_value=0 peak_value=1 step_size=10 step_size_down=5", 45),
        ("warm_restarts first_period=10 peak_value=1", 30),
        ("warm_restarts_policy first_period=10 peak_value=1 period_mult=2", 70),
        ("warm_restarts first_period=10 peak_value=1 period_mult=1.5", 48),
        # Five times the time in which the value decays.
        ("exponential_decay init_value=1 decay_steps=10 decay_rate=0.5", 50),
        ("noam model_size=64 warmup_steps=20", 100),
        ("inverse_sqrt init_value=1 warmup_steps=0 timescale=20", 100),
        # A total is all there is, but later ends are shown too.
        ("one_cycle total_steps=70 peak_value=1", 70),
        (
            "noam model_size=4 warmup_steps=90 "
            "and one_cycle total_steps=70 peak_value=1",
            70,
        ),
        ("one_cycle total_steps=70 peak_value=1 and warmup steps=70", 70),
        ("one_cycle total_steps=70 peak_value=1 and warmup steps=100", 120),
        ("mine:sawtooth low=0 high=1 total_steps=33", 33),
    ],
)
def test_the_range_shows_the_schedules_to_their_end(mine, words, steps):
    calls = split(words.split())
    assert shown_steps([(call.name, make(call).arguments) for call in calls]) == steps


@pytest.mark.parametrize(("option", "steps"), [("", 6000), ("--steps 7", 7)])
def test_the_range_is_said_and_steps_overrides_it(command, option, steps):
    words = f"plot linear_decay init_value=1 decay_steps=5000 {option}"
    code, out, err = command(*words.split())
    assert (code, err) == (0, "")
    assert out == f"schedule.png: linear_decay over {steps} steps\n"


def test_a_range_that_nothing_sets_is_said(command, mine):
    code, out, err = command("plot", "mine:schedule")
    assert (code, err) == (0, "")
    assert out.endswith(" over 1000 steps (--steps for another number)\n")


def test_whole_numbers_may_be_written_with_a_power_of_ten(command):
    words = "plot one_cycle total_steps=1e3 peak_value=1e0 --steps 1.5e3"
    code, out, err = command(*words.split())
    assert (code, err) == (0, "")
    assert out == "schedule.png: one_cycle over 1500 steps\n"


@pytest.mark.parametrize("boundaries", ["300", "300,", "[300]", "(3e2,)"])
def test_a_list_may_have_one_number(boundaries):
    call = Call("piecewise_constant", {"boundaries": boundaries, "values": ".1,.01"})
    schedule, arguments = make(call)
    assert arguments == {"boundaries": (300,), "values": (0.1, 0.01)}
    np.testing.assert_allclose(schedule(np.array([299, 300])), [0.1, 0.01], rtol=1e-6)


@pytest.mark.parametrize(
    ("text", "truth"),
    [("true", True), ("True", True), ("YES", True), ("false", False), ("No", False)],
)
def test_flags_are_true_or_false_in_several_words(text, truth):
    texts = {"total_steps": "9", "peak_value": "1", "three_phase": text}
    assert make(Call("one_cycle", texts)).arguments["three_phase"] is truth


def test_words_numbers_pairs_and_none_are_read():
    texts = {
        "total_steps": "9",
        "peak_value": "2",
        "momentum": "0.8,0.9",
        "momentum_name": "1",
        "weight_decay": "None",
        "anneal": "linear",
    }
    assert make(Call("one_cycle_policy", texts)).arguments == {
        "total_steps": 9,
        "peak_value": 2,
        "momentum": (0.8, 0.9),
        "momentum_name": "1",
        "weight_decay": None,
        "anneal": "linear",
    }


def test_every_schedule_and_policy_is_known_with_what_hinders_a_call():
    known = callables()
    plain = {name for name, obstacle in known.items() if not obstacle}
    assert {"one_cycle", "noam", "warm_restarts", "one_cycle_policy"} <= plain
    assert not {"inject", "valley", "smooth"} & {*known}
    combinators = {"clip", "gradual_warmup", "join", "product", "repeat", "scale"}
    for name in combinators | {"cyclical", "shift"}:
        assert known[name] == "takes a function"
    for name in ("greedy", "reduce_on_plateau"):
        assert known[name] == "follows a metric of the training"


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
        ("plot mine:policy steps=3", "mine:policy takes no arguments, got steps="),
        ("plot mine:made steps=3", "mine:made takes no arguments, got steps="),
        ("plot mine:schedule steps=3", "mine:schedule: argument must be one of step"),
        ("plot mine:schedule step=3", "mine:schedule must be a schedule, a policy"),
        ("plot mine:sawtooth", "mine:sawtooth: missing low=..., high=..."),
        ("plot mine:sawtooth low=1", "mine:sawtooth: missing high=..."),
        ("plot mine:sawtooth low=1 hgh=2", "did you mean 'high'"),
        ("plot mine:sawtooth low=1 high=2 up=maybe", "up must be true, false, yes or"),
        ("plot mine:cosine", "fails at the steps [0, 1]: cosine_decay: decay_steps"),
        ("plot mine:cosine", "(if it makes schedules, it lacks decay_steps=...)"),
        ("plot mine:constant", "mine:constant: missing value=..."),
        ("plot mine:cosine decay_steps=-1", "mine:cosine fails: cosine_decay: decay_"),
        ("plot mine:plateau", "mine:plateau: learning_rate must be a function of the"),
        ("plot mine:optimizer", "this one has init and update: it is an optimizer"),
        ("plot mine:texts", "mine:texts: b1 must be a function of the step or a num"),
        ("plot mine:number", "mine:number must be a schedule, a policy, or a function"),
        ("plot mine:nothing", "mine:nothing must be a schedule, a policy, or a func"),
        ("plot mine:broken", "mine:broken: learning_rate fails at the steps [0, 1]"),
        ("plot mine:pair", "must give one value for each of 1000 steps"),
        ("plot join schedules=1 boundaries=2", "join takes a function, and can be"),
        ("plot greedy init_value=1", "greedy follows a metric of the training, and"),
        ("plot one_cycle total_steps=1.5 peak_value=1", "positive integer, got 1.5"),
        ("plot noam --steps 1.5", "--steps: must be a positive integer, got '1.5'"),
        ("plot noam --steps inf", "--steps: must be a positive integer, got 'inf'"),
        ("plot warmup steps=9 steps=8", "warmup is given steps= twice"),
        ("plot warmup steps=", "arguments are written name=value, got 'steps='"),
        ("plot and warmup steps=9", "`and` must stand between two schedules"),
        ("plot warmup steps=9 and", "`and` must stand between two schedules"),
        ("plot warmup steps=9 and and noam", "`and` must stand between two schedules"),
        (
            "plot one_cycle total_steps=9 peak_value=1 three_phase=maybe",
            "one_cycle: three_phase must be true, false, yes or no, got 'maybe'",
        ),
        (
            "plot piecewise_constant boundaries=1,,2 values=1,2,3",
            "piecewise_constant: boundaries[1] must be a non-negative integer, got ''",
        ),
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
import optax
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


def pair(step):
    return [1.0, 2.0]


def sawtooth(low, high, period=10, up=True, total_steps: int = 100):
    def schedule(step):
        rise = step % period / period
        return low + (high - low) * (rise if up else 1 - rise)

    return schedule


def cosine(decay_steps):
    return oc.cosine_decay(1.0, decay_steps)


def constant(value):
    return lambda step: value


plateau = oc.reduce_on_plateau(0.1)
optimizer = optax.sgd(0.1)
mixed = {"learning_rate": schedule, "b1": 0.9}
texts = {"learning_rate": schedule, "b1": "0.9"}
"""


@pytest.fixture
def mine(folder):
    """A module of a user's own schedules in the working folder."""
    (folder / "mine.py").write_text(MINE)
    yield folder
    sys.modules.pop("mine", None)


@pytest.mark.parametrize(
    "name", ["schedule", "policy", "made", "by_hand", "scalar", "mixed"]
)
def test_a_schedule_is_read_from_a_module(command, mine, name):
    code, out, err = command("plot", f"mine:{name}", "--steps", 50)
    assert code == 0, err
    assert out == f"schedule.png: mine:{name} over 50 steps\n"
    assert (mine / "schedule.png").read_bytes().startswith(b"\x89PNG")


def test_a_function_of_a_module_is_called_with_its_arguments(mine):
    texts = {"low": "0.5", "high": "1.0", "up": "no", "total_steps": "1e2"}
    schedule, arguments = make(Call("mine:sawtooth", texts))
    assert arguments == {"low": 0.5, "high": 1.0, "up": False, "total_steps": 100}
    assert isinstance(arguments["high"], float)
    np.testing.assert_allclose(schedule(np.arange(3)), [1.0, 0.95, 0.9])


def test_the_list_has_what_only_python_can_call_at_its_end(command):
    code, out, err = command("plot", "--list")
    assert (code, err) == (0, "")
    plain, metric, function = out.split("\n\n")
    assert "linear_decay(init_value, decay_steps, end_value=0.0, begin=0)" in plain
    assert "join" not in plain
    heading, *lines = metric.splitlines()
    assert heading == "In Python only, as each follows a metric of the training:"
    assert [line.partition("(")[0] for line in lines] == [
        "  greedy",
        "  reduce_on_plateau",
    ]
    heading, *lines = function.splitlines()
    assert heading == "In Python only, as each takes a function:"
    assert "  join(schedules, boundaries)" in lines
    listed = {line.partition("(")[0].strip() for line in out.splitlines()}
    assert {*callables()} <= listed
    assert not (Path.cwd() / "schedule.png").exists()
