"""A missing extra is named in one line; a broken framework is not hidden."""

import json
import subprocess
import sys

import pytest

from optax_cycles._extras import MissingExtraError, require

# The start of a program in which the frameworks are not installed.
HIDE = """
import sys
finders = list(sys.meta_path)
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name not in ("equinox", "flax", "sklearn"):
            found = (finder.find_spec(name, path, target) for finder in finders)
            return next(filter(None, found), None)
sys.meta_path[:] = [Hidden()]
"""


def test_returns_the_module():
    assert require("json", "flax", "this") is json


@pytest.mark.parametrize("module", ["not_there", "not_there.inside"])
def test_names_the_extra(module):
    message = r'^this needs not_there: pip install "optax-cycles\[flax\]"$'
    with pytest.raises(MissingExtraError, match=message):
        require(module, "flax", "this")


def test_is_an_import_error():
    assert issubclass(MissingExtraError, ImportError)


def test_a_missing_part_of_an_installed_package_is_not_an_extra():
    with pytest.raises(ModuleNotFoundError) as error:
        require("json.not_there", "flax", "this")
    assert not isinstance(error.value, MissingExtraError)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            "from optax_cycles.adapters import problem_from_linen as f; f(1, 2, 3)",
            'problem_from_linen needs flax: pip install "optax-cycles[flax]"',
        ),
        (
            "from optax_cycles.adapters import problem_from_equinox as f; f(1, 2)",
            'problem_from_equinox needs equinox: pip install "optax-cycles[equinox]"',
        ),
        (
            "from optax_cycles.adapters import problem_from_nnx as f; f(1, 2)",
            'problem_from_nnx needs flax: pip install "optax-cycles[flax]"',
        ),
        (
            "from optax_cycles.problems import digits as f; f()",
            'digits needs scikit-learn: pip install "optax-cycles[problems]"',
        ),
        (
            "from optax_cycles.problems import digits_problem as f; f()",
            'digits_problem needs flax: pip install "optax-cycles[flax]"',
        ),
    ],
)
def test_without_the_framework(call, message):
    done = subprocess.run(
        [sys.executable, "-c", HIDE + call], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith(f"MissingExtraError: {message}")
