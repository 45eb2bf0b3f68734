"""What `pyproject.toml` says of the package agrees with itself and with the code."""

import ast
import re
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

import optax_cycles as oc

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
EXTRAS = PROJECT["optional-dependencies"]
# Extras that bring what users' calls need; the others are for tests and benchmarks.
OF_USERS = {"sweep", "flax", "equinox", "problems", "optuna"}


def _required():
    """`(module, extra)` of every `require(module, extra, purpose)` of the package."""
    for path in sorted((ROOT / "optax_cycles").rglob("*.py")):
        for call in ast.walk(ast.parse(path.read_text())):
            if isinstance(call, ast.Call) and ast.unparse(call.func) == "require":
                yield tuple(ast.literal_eval(argument) for argument in call.args[:2])


REQUIRED = sorted({(module.partition(".")[0], extra) for module, extra in _required()})


def _closure(names):
    """Everything that is installed along with some distributions, extras left out."""
    found = set()
    waiting = [canonicalize_name(name) for name in names]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            needs = map(Requirement, metadata.requires(name) or [])
            waiting += [
                canonicalize_name(need.name)
                for need in needs
                if need.marker is None or need.marker.evaluate({"extra": ""})
            ]
    return found


@pytest.mark.parametrize(("module", "extra"), REQUIRED)
def test_the_extra_that_a_message_names_brings_the_module(module, extra):
    named = [Requirement(line).name for line in EXTRAS[extra]]
    providers = metadata.packages_distributions()[module]
    assert _closure(named) & {canonicalize_name(name) for name in providers}


def test_all_is_every_extra_of_users():
    (line,) = EXTRAS["all"]
    assert Requirement(line).extras == OF_USERS
    assert set(EXTRAS) == OF_USERS | {"all", "test", "peers", "bench"}


def test_the_pythons_are_the_same_everywhere():
    """Of the classifiers, the requirement, and the tools that are told one."""
    pythons = re.findall(r"Python :: (3\.\d+)", " ".join(PROJECT["classifiers"]))
    lowest = pythons[0]
    supported = SpecifierSet(PROJECT["requires-python"])
    assert pythons == sorted(pythons, key=Version)
    assert list(supported.filter([*pythons, "3.10.99"])) == pythons
    assert PYPROJECT["tool"]["mypy"]["python_version"] == lowest
    assert PYPROJECT["tool"]["ruff"]["target-version"] == f"py{lowest.replace('.', '')}"


def test_the_version_is_one_that_installers_write_so():
    assert str(Version(oc.__version__)) == oc.__version__


def test_one_version_of_a_pinned_peer_is_named_everywhere():
    (pinned,) = {line for line in EXTRAS["bench"] if line.startswith("torch==")}
    for path in (ROOT / "CONTRIBUTING.md", ROOT / ".ci" / "run"):
        assert set(re.findall(r"torch==[\d.]+\d", path.read_text())) == {pinned}
