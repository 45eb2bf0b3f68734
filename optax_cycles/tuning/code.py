"""A recipe's optimizer as Python that a user can paste."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

from optax_cycles.tuning.candidate import (
    BASE,
    CYCLES,
    DECAYING,
    PERIODS,
    WARMUP,
    parts_of,
    share_of,
)
from optax_cycles.tuning.family import DECAY, GIVEN, RATE

if TYPE_CHECKING:
    from optax_cycles.tuning.recipe import Recipe

WIDTH = 88


def python_of(recipe: Recipe) -> str:
    """See `Recipe.to_python`."""
    family = recipe.family
    imports = [f"import {family.imported}"] if family.imported else []
    constants: dict[str, Any] = {}
    if family.has_multiplier:
        constants[RATE] = recipe.learning_rate
    if recipe.weight_decay is not None:
        constants[DECAY] = recipe.weight_decay
    given = [f"{name}={value!r}" for name, value in constants.items()]
    lines = [
        *_note(recipe),
        *imports,
        "import optax_cycles as oc",
        "",
        *_policy(recipe),
        *_call("optimizer = oc.inject", [family.written, "policy", *given]),
    ]
    return "\n".join(lines) + "\n"


def _note(recipe: Recipe) -> list[str]:
    """A comment on a factory that no name leads to."""
    if recipe.family.importable:
        return []
    note = f"{GIVEN}: what tune was given, {recipe.family.label}"
    return textwrap.wrap(note, WIDTH, initial_indent="# ", subsequent_indent="#   ")


def _call(head: str, arguments: list[str]) -> list[str]:
    """A call on one line where that is not too long, or an argument a line."""
    line = f"{head}({', '.join(arguments)})"
    if len(line) <= WIDTH:
        return [line]
    return [f"{head}(", *(f"    {argument}," for argument in arguments), ")"]


def _policy(recipe: Recipe) -> list[str]:
    """Lines that make `policy`."""
    family, steps = recipe.family, recipe.steps
    peak = 1.0 if family.has_multiplier else recipe.learning_rate
    against = [f"momentum={recipe.momentum!r}"]
    if family.scheduled != RATE:
        against.append(f'learning_rate_name="{family.scheduled}"')
    if family.momentum_name not in (None, "momentum"):
        against.append(f'momentum_name="{family.momentum_name}"')
    if recipe.schedule == "one_cycle":
        given = [f"{steps}", f"{peak!r}"]
        return _call("policy = oc.one_cycle_policy", given + against)
    if recipe.schedule == "cyclical":
        size, skipped = parts_of(steps, 2 * CYCLES)
        given = [f"{peak / BASE!r}", f"{peak!r}", f"{size}", 'mode="triangular2"']
        lines = _call("policy = oc.cyclical_policy", given + against)
        if skipped:
            each = f"oc.shift(schedule, -{skipped})"
            lines.append(
                f"policy = {{name: {each} for name, schedule in policy.items()}}"
            )
        return lines
    values = {family.scheduled: _rate(recipe, peak)}
    if recipe.momentum is not None:
        values[str(family.momentum_name)] = repr(recipe.momentum)
    return [
        "policy = {",
        *(f'    "{name}": {value},' for name, value in values.items()),
        "}",
    ]


def _rate(recipe: Recipe, peak: float) -> str:
    steps = recipe.steps
    if recipe.schedule == "cosine":
        return f"oc.warm_restarts({steps}, {peak!r})"
    if recipe.schedule == "warm_restarts":
        first, skipped = parts_of(steps, PERIODS)
        restarts = f"oc.warm_restarts({first}, {peak!r}, period_mult=2)"
        return f"oc.shift({restarts}, -{skipped})" if skipped else restarts
    if recipe.schedule == "warmup_stable_decay":
        warmup, decay = share_of(steps, WARMUP), share_of(steps, DECAYING)
        stable = steps - warmup - decay
        return f"oc.warmup_stable_decay({peak!r}, {warmup}, {stable}, {decay})"
    return repr(peak)
