"""Calls of schedules and policies, written as words of a command line."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

import optax_cycles as oc
from optax_cycles import _checks
from optax_cycles.cli.arguments import argument_value, attribute, plain_value
from optax_cycles.plot import check_schedule


class Call(NamedTuple):
    """The name of a schedule or policy, and the texts of its arguments."""

    name: str
    texts: dict[str, str]


class Made(NamedTuple):
    """A schedule or policy, and the arguments that made it."""

    schedule: Any
    arguments: dict[str, Any]


def callables() -> dict[str, str]:
    """All functions that make schedules and policies; why a word can't call them.

    The reason is empty for those that it can.
    """
    names = sorted({*vars(oc.schedules), *vars(oc.policies)} & {*vars(oc)})
    return {
        name: _obstacle(function)
        for name in names
        if inspect.isfunction(function := getattr(oc, name))
        and function.__module__.startswith(
            ("optax_cycles.schedules", "optax_cycles.policies")
        )
        and function.__annotations__.get("return")
        in ("Schedule", "Policy", "MetricSchedule")
    }


def _obstacle(function: Callable[..., Any]) -> str:
    if function.__annotations__["return"] == "MetricSchedule":
        return "follows a metric of the training"
    takes_function = any(
        p.default is p.empty
        and any(kind in str(p.annotation) for kind in ("Schedule", "Callable"))
        for p in inspect.signature(function).parameters.values()
    )
    return "takes a function" if takes_function else ""


def split(words: list[str]) -> list[Call]:
    """The calls among the words, which `and` keeps apart."""
    calls: list[Call] = []
    fresh = True
    for word in words:
        if word == "and":
            if fresh:
                raise ValueError(_MISPLACED)
            fresh = True
        elif fresh:
            _check_name(word)
            calls.append(Call(word, {}))
            fresh = False
        else:
            _add_argument(calls[-1], word)
    if fresh:
        raise ValueError(_MISPLACED)
    return calls


_MISPLACED = "plot: `and` must stand between two schedules"


def _check_name(name: str) -> None:
    if ":" in name:
        return
    obstacles = callables()
    reason = obstacles.get(name)
    if reason:
        raise ValueError(f"plot: {name} {reason}, and can be called in Python only")
    usable = [known for known, obstacle in obstacles.items() if not obstacle]
    _checks.choice("plot", "schedule", name, usable)


def _add_argument(call: Call, word: str) -> None:
    name, equals, text = word.partition("=")
    if not (name and equals and text):
        raise ValueError(
            f"plot: arguments are written name=value, got {word!r} "
            "(put `and` between two schedules)"
        )
    if name in call.texts:
        raise ValueError(f"plot: {call.name} is given {name}= twice")
    call.texts[name] = text


def labels(calls: list[Call]) -> list[str]:
    """A different label for each call: its name, and what its namesakes don't share."""
    texts = [
        _label(call, [other for other in calls if other.name == call.name])
        for call in calls
    ]
    return [
        f"{text} ({texts[:index].count(text) + 1})" if texts.count(text) > 1 else text
        for index, text in enumerate(texts)
    ]


def _label(call: Call, namesakes: list[Call]) -> str:
    differing = [
        f"{name}={text}"
        for name, text in call.texts.items()
        if any(other.texts.get(name) != text for other in namesakes)
    ]
    return " ".join([call.name, *differing])


def make(call: Call) -> Made:
    """The schedule or policy that a call makes.

    Raises:
      ValueError: if an argument is unknown, missing or wrong, or there is no such
        attribute of a module.
      TypeError: if the attribute is no schedule.
    """
    if ":" in call.name:
        return _of_module(call)
    function = getattr(oc, call.name)
    arguments = _arguments(call, function)
    return Made(function(**arguments), arguments)


def _arguments(call: Call, function: Callable[..., Any]) -> dict[str, Any]:
    """The values of the arguments, of the kinds that the function's signature names."""
    known = _parameters(function)
    if known is None:  # a built-in one does not say
        return {name: plain_value(text) for name, text in call.texts.items()}
    named = {
        n: p
        for n, p in known.items()
        if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    }
    any_name = any(p.kind is p.VAR_KEYWORD for p in known.values())
    for name in call.texts:
        if not named and not any_name:
            raise ValueError(f"plot: {call.name} takes no arguments, got {name}=")
        if not any_name:
            _checks.choice(call.name, "argument", name, named)
    missing = [name for name in _required(function) if name not in call.texts]
    if missing:
        raise ValueError(_missing(call, missing))
    return {
        name: argument_value(call.name, named[name], text)
        if name in named
        else plain_value(text)
        for name, text in call.texts.items()
    }


def _missing(call: Call, names: list[str]) -> str:
    return f"{call.name}: missing {', '.join(f'{name}=...' for name in names)}"


def _parameters(function: Any) -> Mapping[str, inspect.Parameter] | None:
    try:
        return inspect.signature(function).parameters
    except (TypeError, ValueError):
        return None


def _required(function: Any) -> list[str]:
    """The arguments that a function can't do without, as far as it says."""
    return [
        p.name
        for p in (_parameters(function) or {}).values()
        if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]


def _of_module(call: Call) -> Made:
    """What `module:attribute` names; called, if it is a function that makes one."""
    found = attribute("plot", call.name)
    if call.texts:
        if not callable(found):
            first = next(iter(call.texts))
            raise ValueError(f"plot: {call.name} takes no arguments, got {first}=")
        arguments = _arguments(call, found)
        found = _called(call, found, arguments)
    else:
        arguments = {}
        needed = _required(found)
        makes = callable(found) and _parameters(found) is not None and not needed
        if makes:
            found = _called(call, found, {})
        elif len(needed) > 1 and not hasattr(found, "update"):
            # A schedule has one argument, the step.
            raise ValueError(_missing(call, needed))
    _check(call, found)
    return Made(found, arguments)


def _called(call: Call, function: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    try:
        return function(**arguments)
    except Exception as error:
        raise ValueError(f"plot: {call.name} fails: {error}") from error


def _check(call: Call, found: Any) -> None:
    """Check that what a module gave is a schedule or a policy, and works."""
    policy = found if isinstance(found, Mapping) else {"learning_rate": found}
    stateful = hasattr(found, "init") and hasattr(found, "update")
    if not policy or not (isinstance(found, Mapping) or callable(found) or stateful):
        expected = "a schedule, a policy, or a function that makes one"
        _checks.fail_type("plot", call.name, expected, found)
    for name, schedule in policy.items():
        check_schedule(f"{call.name}: {name}", schedule)
        if callable(schedule):
            _try(call, name, schedule)


def _try(call: Call, name: str, schedule: Callable[[Any], Any]) -> None:
    """See that a schedule works at two steps."""
    needed = "".join(f"{argument}=..." for argument in _required(schedule))
    hint = f" (if it makes schedules, it lacks {needed})" if needed else ""
    try:
        value = schedule(np.arange(2))
    except Exception as error:
        raise ValueError(
            f"plot: {call.name}: {name} fails at the steps [0, 1]: {error}{hint}"
        ) from error
    if callable(value) or isinstance(value, Mapping):
        raise ValueError(f"{call.name}: missing {needed}")
