import json
from pathlib import Path

import jax.numpy as jnp
import pytest

from optax_cycles.sweep.origin import explained, users_line


def caught(function):
    with pytest.raises(Exception) as found:  # noqa: PT011
        function()
    return found.value


def raises():
    raise LookupError("nothing there")


def test_the_line_is_that_of_the_function_that_raises():
    line = raises.__code__.co_firstlineno + 1
    assert users_line(caught(raises)) == f'File "{__file__}", line {line}, in raises'


@pytest.mark.parametrize(
    "function",
    [lambda: json.loads("{"), lambda: jnp.dot(jnp.ones(2), jnp.ones(3))],
    ids=["Python's own", "JAX"],
)
def test_below_a_library_it_is_the_line_that_called_it(function):
    line = function.__code__.co_firstlineno
    assert users_line(caught(function)).endswith(f"line {line}, in <lambda>")


def test_code_that_is_installed_counts_unless_it_is_one_of_the_libraries(tmp_path):
    path = tmp_path / "site-packages" / "model.py"
    code = compile("def loss():\n    raise ValueError", str(path), "exec")
    names = {}
    exec(code, names)
    assert users_line(caught(names["loss"])) == f'File "{path}", line 2, in loss'


def test_an_exception_that_passed_no_line_of_the_users_has_none():
    assert users_line(ValueError("alone")) is None
    assert explained(ValueError("alone")) == "ValueError: alone"


def test_an_exception_is_explained_by_kind_place_and_message():
    text = explained(caught(raises))
    assert text.startswith("LookupError at File")
    assert text.endswith("in raises: nothing there")
    assert Path(__file__).name in text
