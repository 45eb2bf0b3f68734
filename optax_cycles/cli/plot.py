"""`optax-cycles plot`: draws schedules and policies."""

from __future__ import annotations

import argparse
import inspect
import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

import optax_cycles as oc
from optax_cycles.cli.arguments import positive_int
from optax_cycles.cli.interrupt import ends_at_once

DEFAULT_STEPS = 1000
# How much is drawn: room after an end, cycles, and multiples of a time of decay.
ROOM, CYCLES, DECAY_TIMES = 1.2, 3, 5
_EPILOG = """\
examples:
  optax-cycles plot --list
  optax-cycles plot one_cycle total_steps=1000 peak_value=0.1
  optax-cycles plot one_cycle_policy total_steps=1000 peak_value=0.1 -o c.svg
  optax-cycles plot noam model_size=512 warmup_steps=400 \\
      and triangular base_value=1e-4 peak_value=1e-3 step_size=200 --steps 2000
  optax-cycles plot piecewise_constant boundaries=300 values=.1,.01
  optax-cycles plot my_module:my_schedule and my_module:sawtooth low=0.1 high=1

Each schedule is its name and its arguments; `and` stands between several of
them. Lists are written 1,2 and flags true or false. `module:attribute` names a
schedule, a policy, or a function that makes one of its arguments. Thin vertical
lines mark where cycles begin, of the schedules that are made of cycles. The
ending of the output's name says the format: .png or .svg.
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
        help="steps to draw (default: what the lengths among the arguments need, or "
        f"{DEFAULT_STEPS} without one)",
    )
    parser.add_argument("--log", action="store_true", help="logarithmic values")
    parser.add_argument(
        "-o", "--output", default="schedule.png", help="file (default: %(default)s)"
    )
    parser.set_defaults(run=run, prog=parser.prog)


def listing() -> str:
    """A line for each schedule and policy; those only for Python come last."""
    from optax_cycles.cli.calls import callables

    obstacles = callables()
    parts = ["\n".join(_line(name) for name, why in obstacles.items() if not why)]
    for obstacle in sorted({why for why in obstacles.values() if why}):
        names = [name for name, why in obstacles.items() if why == obstacle]
        heading = f"\nIn Python only, as each {obstacle}:"
        parts.append("\n".join([heading, *(f"  {_line(name)}" for name in names)]))
    return "\n".join(parts)


def _line(name: str) -> str:
    """A function's name and arguments, without annotations."""
    parameters = inspect.signature(getattr(oc, name)).parameters.values()
    plain = [p.replace(annotation=p.empty, kind=_printed(p.kind)) for p in parameters]
    return f"{name}{inspect.Signature(plain)}"


def _printed(kind: Any) -> Any:
    """Without the star of keyword-only arguments: here all are written name=value."""
    keyword = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter.POSITIONAL_OR_KEYWORD if kind is keyword else kind


def run(args: argparse.Namespace) -> int:
    """Draw what the arguments ask for."""
    with ends_at_once(args.prog):
        from optax_cycles.cli.calls import labels, make, split
        from optax_cycles.plot import plot_schedules, save_figure

    if args.list:
        print(listing())
        return 0
    if not args.calls:
        raise ValueError("plot: nothing to draw; --list shows what there is")
    if not args.output.endswith((".png", ".svg")):
        raise ValueError(f"--output must end in .png or .svg, got {args.output!r}")
    calls = split(args.calls)
    made = [make(call) for call in calls]
    names = labels(calls)
    schedules = {name: m.schedule for name, m in zip(names, made, strict=True)}
    derived = shown_steps(
        [(call.name, m.arguments) for call, m in zip(calls, made, strict=True)]
    )
    steps = args.steps or derived or DEFAULT_STEPS
    note = "" if args.steps or derived else " (--steps for another number)"
    try:
        save_figure(plot_schedules(schedules, steps, log=args.log), args.output)
    except OSError as error:
        raise OSError(
            f"--output: can't write {args.output!r} ({error.strerror})"
        ) from error
    print(f"{args.output}: {', '.join(schedules)} over {steps} steps{note}")
    return 0


def shown_steps(calls: list[tuple[str, Mapping[str, Any]]]) -> int:
    """How many steps show all calls to their end, from the lengths they are given.

    The longest `total_steps`, unless another schedule ends later: then some steps after
    that end. If no schedule has an end, several cycles or decay times of the slowest.

    Args:
      calls: names of schedules and policies, with their arguments.

    Returns:
      A number of steps; 0 if there is no length at all.
    """
    total = max(_lengths(arguments)["total_steps"] for _, arguments in calls)
    end = max(_end(name, arguments) for name, arguments in calls)
    if total or end:
        return total if total >= end else math.ceil(ROOM * end)
    return max(_course(arguments) for _, arguments in calls)


def _lengths(arguments: Mapping[str, Any]) -> Counter[str]:
    """The numbers of steps there may be among the arguments, the last of several."""
    lists = {n: v if isinstance(v, tuple) else (v,) for n, v in arguments.items()}
    return Counter(
        {
            name: max(values)
            for name, values in lists.items()
            if values and all(isinstance(v, int) and v >= 0 for v in values)
        }
    )


def _end(name: str, arguments: Mapping[str, Any]) -> int:
    """The step from which a schedule no longer changes; 0 if there is none."""
    length = _lengths(arguments)
    if name.startswith("one_cycle"):
        return 2 * length["step_size"]
    only_warms_up = "warmup_steps" in arguments and "decay_steps" not in arguments
    if "decay_rate" in arguments or only_warms_up:
        return 0
    phases = ("begin", "start", "steps", "warmup_steps", "stable_steps", "decay_steps")
    return sum(length[phase] for phase in phases) + length["boundaries"]


def _course(arguments: Mapping[str, Any]) -> int:
    """The steps that show what a schedule without an end is like."""
    length = _lengths(arguments)
    growth = arguments.get("period_mult", 1)
    periods = length["first_period"] * sum(growth**i for i in range(CYCLES))
    waves = length["step_size"] + (length["step_size_down"] or length["step_size"])
    times = length["warmup_steps"] + length["timescale"] + length["decay_steps"]
    return math.ceil(
        max(periods, CYCLES * waves, length["begin"] + DECAY_TIMES * times)
    )
