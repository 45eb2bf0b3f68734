"""`optax-cycles plot`: draws schedules and policies."""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np

import optax_cycles as oc
from optax_cycles import _checks
from optax_cycles.cli.arguments import attribute, positive_int
from optax_cycles.plot import plot_schedules, save_figure

DEFAULT_STEPS = 1000
_EPILOG = """\
examples:
  optax-cycles plot --list
  optax-cycles plot one_cycle total_steps=1000 peak_value=0.1
  optax-cycles plot one_cycle_policy total_steps=1000 peak_value=0.1 -o cycle.svg
  optax-cycles plot noam model_size=512 warmup_steps=400 \\
      and triangular base_value=1e-4 peak_value=1e-3 step_size=200 --steps 2000
  optax-cycles plot my_module:my_schedule and linear_decay init_value=1 decay_steps=9

Each schedule is its name and its arguments; `and` stands between several of them.
`module:attribute` names a schedule, a policy, or a function without arguments that
returns one. Thin vertical lines mark where cycles begin. The ending of the output's
name says the format: .png or .svg.
"""


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "plot",
        help="draw schedules and policies",
        description="Draw schedules and policies to a PNG or SVG file.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "calls",
        nargs="*",
        metavar="NAME [ARG=VALUE ...]",
        help="a schedule or policy of --list, or module:attribute",
    )
    parser.add_argument(
        "--list", action="store_true", help="list schedules and policies, draw nothing"
    )
    parser.add_argument(
        "--steps",
        type=positive_int,
        help="steps to draw (default: the longest total_steps, or "
        f"{DEFAULT_STEPS} without one)",
    )
    parser.add_argument("--log", action="store_true", help="logarithmic values")
    parser.add_argument(
        "-o", "--output", default="schedule.png", help="file (default: %(default)s)"
    )
    parser.set_defaults(run=run, prog=parser.prog)


def drawable() -> list[str]:
    """The names of all schedules and policies."""
    names = {*vars(oc.schedules), *vars(oc.policies)}
    return sorted(
        name
        for name in names
        if name in vars(oc)
        and inspect.isfunction(function := getattr(oc, name))
        and function.__module__.startswith(
            ("optax_cycles.schedules", "optax_cycles.policies")
        )
        and function.__annotations__.get("return") in ("Schedule", "Policy")
    )


def listing() -> str:
    """One line for each schedule and policy: its name and its arguments."""
    lines = []
    for name in drawable():
        parameters = inspect.signature(getattr(oc, name)).parameters.values()
        plain = [
            p.replace(annotation=p.empty, kind=_printed(p.kind)) for p in parameters
        ]
        lines.append(f"{name}{inspect.Signature(plain)}")
    return "\n".join(lines)


def _printed(kind: Any) -> Any:
    """Without the star of keyword-only arguments: here all are written name=value."""
    keyword = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter.POSITIONAL_OR_KEYWORD if kind is keyword else kind


def run(args: argparse.Namespace) -> int:
    """Draw what the arguments ask for."""
    if args.list:
        print(listing())
        return 0
    if not args.calls:
        raise ValueError("plot: nothing to draw; --list shows what there is")
    if not args.output.endswith((".png", ".svg")):
        raise ValueError(f"--output must end in .png or .svg, got {args.output!r}")
    calls = _split(args.calls)
    schedules = {}
    for number, (name, arguments) in enumerate(calls):
        label = (
            name if [n for n, _ in calls].count(name) == 1 else f"{name} {number + 1}"
        )
        schedules[label] = _call(name, arguments)
    longest = max((a.get("total_steps", 0) for _, a in calls), default=0)
    steps = args.steps or longest or DEFAULT_STEPS
    try:
        save_figure(plot_schedules(schedules, steps, log=args.log), args.output)
    except OSError as error:
        raise OSError(
            f"--output: can't write {args.output!r} ({error.strerror})"
        ) from error
    print(f"{args.output}: {', '.join(schedules)} over {steps} steps")
    return 0


def _split(words: list[str]) -> list[tuple[str, dict[str, Any]]]:
    """The calls among the words, which `and` keeps apart."""
    calls: list[tuple[str, dict[str, Any]]] = []
    fresh = True
    for word in words:
        if word == "and":
            fresh = True
        elif fresh:
            if ":" not in word:
                _checks.choice("plot", "schedule", word, drawable())
            calls.append((word, {}))
            fresh = False
        else:
            name, equals, value = word.partition("=")
            if not equals:
                raise ValueError(
                    f"plot: arguments are written name=value, got {word!r} "
                    "(put `and` between two schedules)"
                )
            calls[-1][1][name] = _value(value)
    return calls


def _value(text: str) -> Any:
    """The number, boolean, list of numbers or word that a text stands for."""
    if "," in text:
        return tuple(_value(part) for part in text.split(","))
    words = {"true": True, "false": False, "none": None}
    if text.lower() in words:
        return words[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _call(name: str, arguments: dict[str, Any]) -> Any:
    if ":" in name:
        return _read(name, arguments)
    function = getattr(oc, name)
    known = inspect.signature(function).parameters
    for argument in arguments:
        _checks.choice(name, "argument", argument, known)
    missing = [
        p.name
        for p in known.values()
        if p.default is p.empty
        and p.kind is not p.VAR_KEYWORD
        and p.name not in arguments
    ]
    if missing:
        raise ValueError(f"{name}: missing {', '.join(f'{m}=...' for m in missing)}")
    return function(**arguments)


def _read(text: str, arguments: dict[str, Any]) -> Any:
    """The schedule or policy that `module:attribute` names, seen to work."""
    if arguments:
        raise ValueError(
            f"plot: {text} takes no arguments, got {next(iter(arguments))}="
        )
    found = attribute("plot", text)
    if callable(found) and not _needs_arguments(found):
        found = found()
    policy = found if isinstance(found, Mapping) else {"learning_rate": found}
    if not policy or not all(map(callable, policy.values())):
        expected = (
            "a schedule, a policy, or a function without arguments that gives one"
        )
        _checks.fail("plot", text, expected, found)
    for name, schedule in policy.items():
        try:
            shape = np.shape(schedule(np.arange(2)))
        except Exception as error:
            raise ValueError(
                f"plot: {text}: {name} fails at the steps [0, 1]: {error}"
            ) from error
        if shape != (2,):
            _checks.fail(
                "plot", f"{text}: {name} at the steps [0, 1]", "2 values", shape
            )
    return found


def _needs_arguments(function: Any) -> bool:
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:  # a built-in one does not say
        return True
    return any(
        p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
        for p in parameters
    )
