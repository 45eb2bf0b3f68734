import jax
import jax.numpy as jnp
import numpy as np
import pytest

from optax_cycles.sweep.program import Program


@pytest.fixture
def traced():
    """A program, and the list of what it has been traced with."""
    calls = []

    def double(tree):
        calls.append(tree)
        return jax.tree.map(lambda leaf: leaf * 2, tree)

    return Program(double), calls


def test_one_program_serves_all_values_of_one_shape(traced):
    program, calls = traced
    assert program({"x": np.ones(2, np.float32)})["x"].tolist() == [2, 2]
    assert program({"x": jnp.array([3.0, 4.0])})["x"].tolist() == [6, 8]
    assert len(program.compiled) == len(calls) == 1


@pytest.mark.parametrize(
    "other",
    [
        {"x": np.ones(3, np.float32)},
        {"x": np.ones(2, np.int32)},
        {"y": np.ones(2, np.float32)},
        [np.ones(2, np.float32)],
    ],
    ids=["shape", "dtype", "name", "structure"],
)
def test_another_shape_dtype_or_structure_is_another_program(traced, other):
    program, calls = traced
    program({"x": np.ones(2, np.float32)})
    program(other)
    program({"x": np.zeros(2, np.float32)})
    assert len(program.compiled) == len(calls) == 2


def test_time_is_counted_for_compiles_only(traced):
    program, _ = traced
    assert program.compile_seconds == 0.0
    program(np.ones(2))
    spent = program.compile_seconds
    assert spent > 0
    program(np.zeros(2))
    assert program.compile_seconds == spent


def test_donated_buffers_are_taken_over():
    program = Program(lambda x, y: x + y, donate=(0,))
    given, kept = jnp.ones(4), jnp.ones(4)
    assert program(given, kept).tolist() == [2.0] * 4
    assert given.is_deleted()
    assert not kept.is_deleted()
