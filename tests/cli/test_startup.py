"""The command line is there at once: what `--help` needs is all that is imported."""

import os
import re
import shlex
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from optax_cycles.cli import search, sweep, tune
from optax_cycles.cli.interrupt import ends_at_once
from optax_cycles.cli.main import build_parser
from optax_cycles.cli.question import asked

PAGE = Path(__file__).parents[2] / "docs" / "command-line.md"
LINES = re.findall(r"^\$ .*?(?=optax-cycles)optax-cycles (.*)", PAGE.read_text(), re.M)

HEAVY = {"jax", "jaxlib", "numpy", "optax", "flax", "rich", "matplotlib"}
PROGRAM = """
import sys
from optax_cycles.cli import main
try:
    code = main({words!r})
except SystemExit as stop:
    code = stop.code
print(code, sorted({heavy!r} & set(sys.modules)), file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("--help", 0),
        ("--version", 0),
        ("range-test --help", 0),
        ("sweep --help", 0),
        ("search --help", 0),
        ("tune --help", 0),
        ("plot --help", 0),
        ("range-test --steps none", 2),
        ("range-test --num 2", 2),
        ("sweep --sample sobol", 2),
        ("search --method population --points 3", 2),
        ("tune --budget 5min --distributed", 2),
        ("tun", 2),
    ],
)
def test_help_and_bad_options_need_no_jax(words, code):
    program = PROGRAM.format(words=words.split(), heavy=HEAVY)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stderr.splitlines()[-1] == f"{code} []"


@pytest.mark.parametrize("line", LINES)
def test_the_commands_of_the_documentation_can_be_parsed(line):
    args = build_parser().parse_args(shlex.split(line))
    questions = {
        "range-test": asked,
        "sweep": sweep.question,
        "search": search.question,
        "tune": tune.question,
    }
    ask = questions.get(line.split()[0])
    if ask is not None:
        ask(args)


@pytest.mark.parametrize("columns", [80, 120])
def test_help_fits_the_terminal(columns, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", str(columns))
    for command in ([], ["range-test"], ["sweep"], ["search"], ["tune"], ["plot"]):
        with pytest.raises(SystemExit):
            build_parser().parse_args([*command, "--help"])
        lines = capsys.readouterr().out.splitlines()
        assert max(map(len, lines)) <= columns


def test_ctrl_c_ends_the_process_with_one_line():
    program = """
import os, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from optax_cycles.cli.interrupt import ends_at_once
with ends_at_once("this"):
    try:
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException:  # as an import may
        pass
    print("went on")
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "this: error: interrupted before there was anything to keep\n"
    )


def test_ctrl_c_is_as_it_was_afterwards():
    before = signal.getsignal(signal.SIGINT)
    with ends_at_once("this"):
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before


def test_a_ctrl_c_that_is_ignored_or_taken_stays_so():
    before = signal.getsignal(signal.SIGINT)
    seen = []
    for handler in (signal.SIG_IGN, lambda *_: seen.append("taken")):
        signal.signal(signal.SIGINT, handler)
        try:
            with ends_at_once("this"):
                os.kill(os.getpid(), signal.SIGINT)
        finally:
            signal.signal(signal.SIGINT, before)
    assert seen == ["taken"]


def test_it_may_be_called_in_any_thread():
    seen = []

    def work():
        with ends_at_once("this"):
            seen.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [True]
