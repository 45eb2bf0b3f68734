"""The methods of `search`, and the options that each of them has."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

# Of each option its default; None leaves it to the method.
METHODS: Mapping[str, Mapping[str, Any]] = {
    "halving": {
        **{"points": 32, "sample": "random", "eta": 3, "first": None},
        "seeds": 1,
    },
    "hyperband": {"eta": 3, "first": None},
    "population": {"members": 20, "interval": None, "burn_in": 0, "share": 0.2},
    "optuna": {"trials": 64, "batch": 16, "study": None},
}
OPTIONS = dict.fromkeys(name for own in METHODS.values() for name in own)


def written(name: str) -> str:
    """An option as it is written."""
    return f"--{name.replace('_', '-')}"


def method_options(args: argparse.Namespace) -> dict[str, Any]:
    """The options of the method, those that are not given at their defaults.

    Raises:
      ValueError: if one is given that the method does not have.
    """
    own = METHODS[args.method]
    for name in OPTIONS:
        if name not in own and getattr(args, name) is not None:
            raise ValueError(
                f"{written(name)} makes no sense with --method {args.method}, which "
                f"has {', '.join(map(written, own))}"
            )
    given = {name: getattr(args, name) for name in own}
    return {
        name: default if given[name] is None else given[name]
        for name, default in own.items()
    }
