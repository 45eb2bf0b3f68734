"""Parses the command line, runs a command, turns errors into one clear line."""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import optax_cycles
from optax_cycles._extras import MissingExtraError
from optax_cycles.cli import plot, range_test, search, sweep, tune
from optax_cycles.cli.interrupt import NOTHING_KEPT, ends_at_once

_PACKAGE = Path(optax_cycles.__file__).parent


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line; `--help` has the rest."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message}\n")


def build_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    parser = _Parser(
        prog="optax-cycles",
        description="Choose and look at cyclical hyperparameters for Optax.",
        epilog="`optax-cycles COMMAND --help` has the options and examples.",
    )
    parser.add_argument(
        "--version", action="version", version=f"%(prog)s {optax_cycles.__version__}"
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    tune.add_parser(commands)
    range_test.add_parser(commands)
    sweep.add_parser(commands)
    search.add_parser(commands)
    plot.add_parser(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Commands import what they need when they run, so that `--help` is there at once.

    Returns:
      0 for success, 1 if the command failed or was interrupted, 2 for bad input.
    """
    with ends_at_once("optax-cycles"):
        args = build_parser().parse_args(argv)
    try:
        code: int = args.run(args)
    except (MissingExtraError, argparse.ArgumentTypeError, OSError) as error:
        return say(args.prog, error, 2)
    except (ValueError, TypeError) as error:
        if not _raised_here(error):
            raise
        return say(args.prog, error, 2)
    except KeyboardInterrupt:
        return say(args.prog, NOTHING_KEPT, 1)
    return code


def say(prog: str, message: object, code: int) -> int:
    """Write an error as one line; returns the exit code."""
    print(f"{prog}: error: {' '.join(str(message).split())}", file=sys.stderr)
    return code


def _raised_here(error: BaseException) -> bool:
    """Whether this package raised the error on purpose, not JAX or the user's code."""
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and Path(frames[-1].filename).is_relative_to(_PACKAGE)
