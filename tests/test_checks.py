import jax
import jax.numpy as jnp
import numpy as np
import pytest

from optax_cycles import _checks

NAN = float("nan")


@pytest.mark.parametrize("value", [3, np.int64(3), np.asarray(3), jnp.asarray(3)])
def test_integers_of_any_kind_pass(value):
    _checks.integer("f", "n", value, minimum=3)
    _checks.length("f", "n", value)


@pytest.mark.parametrize("value", [np.float32(3.0), jnp.asarray(3.0), np.asarray(3.0)])
def test_whole_floating_arrays_are_lengths_but_not_integers(value):
    _checks.length("f", "n", value)
    with pytest.raises(TypeError, match="f: n must be an integer, got"):
        _checks.integer("f", "n", value)


@pytest.mark.parametrize(
    ("check", "message"),
    [
        (
            lambda: _checks.integer("f", "n", 0, minimum=1),
            "f: n must be a positive integer, got 0",
        ),
        (
            lambda: _checks.integer("f", "n", -1, minimum=0),
            "f: n must be a non-negative integer, got -1",
        ),
        (
            lambda: _checks.integer("f", "n", 1, minimum=2),
            "f: n must be an integer of at least 2, got 1",
        ),
        (
            lambda: _checks.integer("f", "n", np.asarray([1]), minimum=1),
            "f: n must be a positive integer (a scalar), got array([1])",
        ),
        (lambda: _checks.length("f", "n", 0), "f: n must be a positive integer, got 0"),
        (
            lambda: _checks.length("f", "n", 2**31),
            "f: n must be at most 2**31 - 1, got 2",
        ),
        (
            lambda: _checks.length("f", "n", np.asarray([2.0])),
            "f: n must be a positive",
        ),
        (lambda: _checks.real("f", "x", NAN), "f: x must be a finite number, got nan"),
        (
            lambda: _checks.real("f", "x", 1, above=1, maximum=2),
            "f: x must be a finite number > 1 and <= 2, got 1",
        ),
        (
            lambda: _checks.real("f", "x", 2, minimum=1, below=2),
            "f: x must be a finite number >= 1 and < 2, got 2",
        ),
        (
            lambda: _checks.choice("f", "mode", "lineer", ["linear", "cosine"]),
            "f: mode must be one of cosine, linear (did you mean 'linear'",
        ),
        (
            lambda: _checks.choice("f", "mode", "xyz", ["linear"]),
            "f: mode must be one of linear, got 'xyz'",
        ),
    ],
)
def test_values_out_of_range(check, message):
    with pytest.raises(ValueError, match="f: ") as caught:
        check()
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("check", "message"),
    [
        (lambda: _checks.integer("f", "n", True), "f: n must be an integer, got True"),
        (lambda: _checks.integer("f", "n", "3"), "f: n must be an integer, got '3'"),
        (
            lambda: _checks.length("f", "n", 3.0),
            "f: n must be a positive integer, got 3.0",
        ),
        (
            lambda: _checks.length("f", "n", jnp.asarray(2.5)),
            "f: n must be a positive int",
        ),
        (
            lambda: _checks.length("f", "n", None),
            "f: n must be a positive integer, got No",
        ),
        (
            lambda: _checks.real("f", "x", None),
            "f: x must be a finite number, got None",
        ),
        (lambda: _checks.real("f", "x", 1j), "f: x must be a finite number, got 1j"),
        (lambda: _checks.function_of("f", "g", 3), "f: g must be a callable, got 3"),
    ],
)
def test_values_of_a_wrong_type(check, message):
    with pytest.raises(TypeError, match="f: ") as caught:
        check()
    assert str(caught.value).startswith(message)


def test_tracers_pass_every_check():
    def checked(value):
        assert _checks.is_traced(value)
        _checks.integer("f", "n", value, minimum=1)
        _checks.length("f", "n", value)
        _checks.real("f", "x", value, above=0)
        return value

    assert jax.jit(checked)(-1.5) == -1.5
    assert not _checks.is_traced(jnp.asarray(1.0))
