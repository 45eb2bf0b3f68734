"""Imports point one way, and the package loads no optional framework."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "optax_cycles"
FILES = sorted(PACKAGE.rglob("*.py"))
BASE = {"_checks", "_typing", "_extras", "_figures", "_precision", "_version"}

# Each part of the package, and what it stands on. It may import that, all that
# stands below it, and the base, which stands on nothing.
STANDS_ON = {
    "schedules": set(),
    "hyperparams": set(),
    "_policy": {"schedules"},
    "policies": {"_policy"},
    "optimizers": {"schedules", "hyperparams"},
    "sweep": set(),
    "adapters": {"sweep"},
    "problems": {"adapters"},
    "range_test": {"schedules", "sweep"},
    "search": {"schedules", "sweep"},
    "tuning": {"range_test", "search", "policies", "hyperparams", "optimizers"},
    "plot": {"tuning"},
    # What a user gets; the command line is written with it.
    "_public": {"plot", "problems"},
    "__init__": {"_public"},
    "cli": {"__init__"},
    "__main__": {"cli"},
}
OPTIONAL = [
    "equinox",
    "flax",
    "h5netcdf",
    "matplotlib",
    "optuna",
    "orbax",
    "pandas",
    "rich",
    "sklearn",
    "torch",
    "xarray",
]


def _below(part):
    """The parts that `part` may import, itself and the base included."""
    if part in BASE:
        return BASE
    return {part, *BASE}.union(*map(_below, STANDS_ON[part]))


def _part(path):
    """The first name of a path inside the package: a folder, or a lone file."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def _absolute(path, node):
    """The module that a `from ... import` names, as an absolute dotted name."""
    if node.level == 0:
        return node.module
    package = ["optax_cycles", *path.relative_to(PACKAGE).parent.parts]
    return ".".join([*package[: len(package) + 1 - node.level], node.module or ""])


def _imported_modules(path):
    """Every dotted name that a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = _absolute(path, node).rstrip(".")
            yield from (f"{module}.{alias.name}" for alias in node.names)


def _imported_parts(path):
    for module in _imported_modules(path):
        package, *parts = module.split(".")
        if package == "optax_cycles":
            # The bare package would bring in all of it.
            yield parts[0] if parts else "__init__"


def test_every_file_has_a_place():
    assert {_part(path) for path in FILES} <= BASE | set(STANDS_ON)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_one_way(path):
    assert set(_imported_parts(path)) - _below(_part(path)) == set()


def test_the_reader_sees_every_kind_of_import(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "PACKAGE", tmp_path)
    (tmp_path / "sweep").mkdir()
    path = tmp_path / "sweep" / "engine.py"
    path.write_text(
        "import optax_cycles\n"
        "import optax_cycles.plot as p\n"
        "from optax_cycles import cli\n"
        "def f():\n"
        "    from optax_cycles.tune.recipe import Recipe\n"
        "    from ..search import halving\n"
        "    from .. import policies\n"
        "    from . import space\n"
    )
    expected = {"__init__", "plot", "cli", "tune", "search", "policies", "sweep"}
    assert set(_imported_parts(path)) == expected


def test_no_optional_framework_is_loaded():
    names = [
        ".".join(["optax_cycles", *path.relative_to(PACKAGE).with_suffix("").parts])
        for path in FILES
        if path.name != "__main__.py"
    ]
    program = (
        "import importlib, sys\n"
        f"for name in {names!r}:\n"
        "    importlib.import_module(name.removesuffix('.__init__'))\n"
        f"print(sorted(set({OPTIONAL!r}) & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
