"""Optimizers as `tune` sees them: what they take, and how they are written."""

from __future__ import annotations

import functools
import inspect
import re
import sys
import warnings
from collections.abc import Callable
from itertools import accumulate
from types import ModuleType
from typing import Any, NamedTuple

import optax

from optax_cycles import _checks
from optax_cycles.optimizers import adamw, sgdw

RATE, MULTIPLIER, DECAY = "learning_rate", "multiplier", "weight_decay"
MOMENTA = ("momentum", "b1")
NAMED: dict[str, tuple[str, Callable[..., optax.GradientTransformation]]] = {
    "sgdw": ("oc.sgdw", sgdw),
    "adamw": ("oc.adamw", adamw),
    "sgd": ("optax.sgd", optax.sgd),
    "adam": ("optax.adam", optax.adam),
    "rmsprop": ("optax.rmsprop", optax.rmsprop),
    "lion": ("optax.lion", optax.lion),
}
# Code calls what can't be imported so.
GIVEN = "factory"


class Family(NamedTuple):
    """An optimizer whose numbers can be tuned.

    Attributes:
      name: one of `NAMED`; `module:attribute` of a function of the user's; or what is
        known of a factory that has no name of its own, such as
        `functools.partial(optax.nadam, b2=0.99)`.
      factory: makes the optimizer.
      momentum_name: its argument that a policy moves against the rate, or None.
      has_multiplier: whether schedules are its `multiplier`, beside a fixed rate, so
        that they shrink weight decay with it.
      has_decay: whether it takes a `weight_decay`.
      importable: whether the factory is found again by its name.
    """

    name: str
    factory: Callable[..., optax.GradientTransformation]
    momentum_name: str | None
    has_multiplier: bool
    has_decay: bool
    importable: bool = True

    @property
    def scheduled(self) -> str:
        """The argument that the schedule goes to."""
        return MULTIPLIER if self.has_multiplier else RATE

    @property
    def scales_with_momentum(self) -> bool:
        """Whether 1 / (1 - momentum) gradients add up to a step."""
        return self.momentum_name == "momentum"

    @property
    def written(self) -> str:
        """The factory in Python: `factory` where no name leads to it."""
        return self.label if self.importable else GIVEN

    @property
    def label(self) -> str:
        """The factory in prose."""
        if self.name in NAMED:
            return NAMED[self.name][0]
        name = self.name.removeprefix("__main__:") if self.importable else self.name
        return re.sub(r"^([\w.]+):", r"\1.", name)

    @property
    def imported(self) -> str | None:
        """What has to be imported for `written`, besides `optax_cycles`."""
        if self.name in NAMED:
            return "optax" if self.written.startswith("optax.") else None
        module = self.name.partition(":")[0]
        return module if self.importable and module != "__main__" else None


def family_of(function: str, optimizer: Any) -> Family:
    """The family of a named optimizer, or of a factory like those of optax.

    Args:
      function: who asks, for errors.
      optimizer: a name, or a factory that takes `learning_rate`.

    Raises:
      ValueError: if the name is unknown, or the factory takes no learning rate, needs
        what it is not given, or makes no optimizer.
      TypeError: if it is neither.
    """
    if isinstance(optimizer, str):
        _checks.choice(function, "optimizer", optimizer, NAMED)
        name, factory, importable = optimizer, NAMED[optimizer][1], True
    elif callable(optimizer):
        factory, path = optimizer, _path_of(optimizer)
        importable = path is not None
        name = described(optimizer) if path is None else path
        # An object may say of itself that it is "sgd".
        name = f"<{name}>" if name in NAMED else name
    else:
        expected = f"one of {', '.join(NAMED)} or a factory of optimizers"
        _checks.fail_type(function, "optimizer", expected, optimizer)
    takes = _arguments_of(function, name, factory)
    momentum = next((one for one in MOMENTA if one in takes), None)
    family = Family(
        name, factory, momentum, MULTIPLIER in takes, DECAY in takes, importable
    )
    _check_makes(function, family, takes)
    return family


def _arguments_of(
    function: str, name: str, factory: Callable[..., Any]
) -> dict[str, inspect.Parameter]:
    """The arguments that can be given by name, which the rate must be one of."""
    try:
        parameters = inspect.signature(factory).parameters
    except (TypeError, ValueError) as error:
        expected = "a factory whose arguments can be read"
        raise ValueError(
            f"{function}: optimizer must be {expected}, got {name!r} ({error})"
        ) from error
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    takes = {key: one for key, one in parameters.items() if one.kind in named}
    got = f"{name}{inspect.Signature([*map(_bare, parameters.values())])}"
    if RATE not in takes:
        expected = f"a factory that takes {RATE} by name"
        _checks.fail(function, "optimizer", expected, got)
    tuned = {RATE, MULTIPLIER, DECAY, *[n for n in MOMENTA if n in takes][:1]}
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    needed = [
        key
        for key, one in parameters.items()
        if one.default is one.empty and one.kind not in variable
        if key not in tuned or key not in takes
    ]
    if needed:
        expected = f"a factory that needs no {' or '.join(needed)}"
        _checks.fail(function, "optimizer", expected, got)
    return takes


def _bare(parameter: inspect.Parameter) -> inspect.Parameter:
    return parameter.replace(default=parameter.empty, annotation=parameter.empty)


def _check_makes(
    function: str, family: Family, takes: dict[str, inspect.Parameter]
) -> None:
    """Make one: a factory under `jax.jit`, say, can't."""
    names = (RATE, family.scheduled, family.momentum_name, DECAY)
    given = {name: 0.1 for name in names if name in takes}
    said = f"{function}: optimizer must be a factory of optimizers, got {family.name!r}"
    try:
        with warnings.catch_warnings():
            # It warns when it is used.
            warnings.simplefilter("ignore")
            made = family.factory(**given)
    except Exception as error:
        raise ValueError(f"{said}, which fails: {error}") from error
    if not (hasattr(made, "init") and hasattr(made, "update")):
        raise ValueError(f"{said}, which makes {type(made).__name__}")


def _path_of(factory: Callable[..., Any]) -> str | None:
    """`module:attribute` where that leads to it, of the shortest such module."""
    module = getattr(factory, "__module__", None)
    name = getattr(factory, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(name, str):
        return _alias_of(factory)
    for start in accumulate(module.split("."), "{}.{}".format):
        if _found(f"{start}.{name}") is factory:
            return f"{start}:{name}"
    return None


def _alias_of(factory: Callable[..., Any]) -> str | None:
    """The name of what has none of its own in optax, such as `optax.nadam`."""
    for module in (optax, optax.contrib):
        for name, value in vars(module).items():
            if value is factory:
                return f"{module.__name__}:{name}"
    return None


def _found(path: str) -> Any:
    """What a dotted path leads to, from a module that is imported; or None."""
    first, *others = path.split(".")
    found: Any = sys.modules.get(first)
    for name in others:
        # Not what a module makes up when it is asked.
        known = vars(found) if isinstance(found, ModuleType) else {}
        found = known.get(name) if known else getattr(found, name, None)
    return found


def described(value: Any) -> str:
    """What is known of a value in one line, the same in each process."""
    path = _path_of(value) if callable(value) else None
    if path is not None:
        return path.replace(":", ".")
    if isinstance(value, functools.partial):
        given = [described(one) for one in (value.func, *value.args)]
        given += [f"{name}={described(one)}" for name, one in value.keywords.items()]
        return f"functools.partial({', '.join(given)})"
    if hasattr(value, "__qualname__") and not inspect.ismethod(value):
        wrapped = " (wrapped)" if hasattr(value, "__wrapped__") else ""
        return f"{value.__module__}:{value.__qualname__}{wrapped}"
    return " ".join(re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value)).split())
