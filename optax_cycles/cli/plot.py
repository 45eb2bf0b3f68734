"""`optax-cycles plot`: draws schedules and policies."""

from __future__ import annotations

import argparse
import inspect
from typing import Any

import optax_cycles as oc
from optax_cycles import _checks
from optax_cycles.cli.arguments import positive_int
from optax_cycles.plot import plot_schedules, save_figure

DEFAULT_STEPS = 1000
_EPILOG = """\
examples:
  optax-cycles plot one_cycle total_steps=1000 peak_value=0.1
  optax-cycles plot one_cycle_policy total_steps=1000 peak_value=0.1 -o cycle.svg
  optax-cycles plot noam model_size=512 warmup_steps=400 \\
      and triangular base_value=1e-4 peak_value=1e-3 step_size=200 --steps 2000

Each schedule is its name and its arguments; `and` stands between several of them.
The ending of the output's name says the format: .png or .svg.
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
        nargs="+",
        metavar="NAME [ARG=VALUE ...]",
        help=f"one of {', '.join(drawable())}",
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
    """The names of the schedules and policies whose arguments are plain values."""
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


def run(args: argparse.Namespace) -> int:
    """Draw what the arguments ask for."""
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
