import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import optax_cycles as oc
from optax_cycles.sweep.space import as_space, constant_space, with_seeds

NAN, INF = float("nan"), float("inf")
finite = st.floats(-1e6, 1e6, width=32, allow_subnormal=False)
axes = st.dictionaries(
    st.sampled_from(["learning_rate", "momentum", "decay", "b1"]),
    st.lists(finite, min_size=1, max_size=4, unique=True),
    min_size=1,
)


@given(axes)
def test_a_grid_is_the_product_and_its_last_axis_moves_fastest(axes):
    space = oc.sweep.grid(**axes)
    combinations = list(itertools.product(*axes.values()))
    assert space.names == tuple(axes)
    assert space.shape == tuple(len(values) for values in axes.values())
    assert space.size == len(combinations)
    members = space.members()
    assert list(members) == list(axes)
    for position, name in enumerate(axes):
        assert members[name].tolist() == [each[position] for each in combinations]


@given(st.lists(st.tuples(finite, finite), min_size=1, max_size=5))
def test_zipped_hyperparameters_move_together(pairs):
    rates, momenta = (list(column) for column in zip(*pairs, strict=True))
    space = oc.sweep.zip(learning_rate=rates, momentum=momenta)
    assert space.names == ("learning_rate+momentum",)
    assert space.shape == (len(pairs),)
    members = space.members()
    assert members["learning_rate"].tolist() == rates
    assert members["momentum"].tolist() == momenta


def test_the_axes_of_spaces_come_before_those_of_values():
    pair = oc.sweep.zip(learning_rate=[1.0, 2.0], momentum=[0.9, 0.8])
    space = oc.sweep.grid(pair, oc.sweep.grid(b1=[5.0]), decay=[0.0, 0.1, 0.2])
    assert space.names == ("learning_rate+momentum", "b1", "decay")
    assert space.shape == (2, 1, 3)
    members = space.members()
    assert members["learning_rate"].tolist() == [1, 1, 1, 2, 2, 2]
    assert members["momentum"].tolist() == [0.9, 0.9, 0.9, 0.8, 0.8, 0.8]
    assert members["b1"].tolist() == [5.0] * 6
    assert members["decay"].tolist() == [0.0, 0.1, 0.2] * 2


def test_values_may_be_any_sequence_of_numbers():
    space = oc.sweep.grid(a=range(2), b=(1, 2.5), c=np.float32([3.0]))
    assert space.members()["a"].tolist() == [0, 0, 1, 1]
    assert space.members()["b"].tolist() == [1.0, 2.5, 1.0, 2.5]
    assert space.members()["c"].dtype == np.float32


@pytest.mark.parametrize("make", [oc.sweep.grid, oc.sweep.zip])
@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ([], ValueError, "x must be a non-empty sequence of numbers"),
        (0.1, ValueError, "x must be a non-empty sequence of numbers"),
        ([[1.0, 2.0]], ValueError, "x must be a non-empty sequence of numbers"),
        ([1.0, NAN], ValueError, "x must be a sequence of finite numbers"),
        ([1.0, -INF], ValueError, "x must be a sequence of finite numbers"),
        ([1, 2**31], ValueError, "x must be integers of at most 32 bits"),
        ([-(2**31) - 1], ValueError, "x must be integers of at most 32 bits"),
        ([2**80], TypeError, "x must be a sequence of numbers"),
        ("0.1", TypeError, "x must be a sequence of numbers"),
        (["0.1"], TypeError, "x must be a sequence of numbers"),
        ([True], TypeError, "x must be a sequence of numbers"),
        ([None], TypeError, "x must be a sequence of numbers"),
        ([1j], TypeError, "x must be a sequence of numbers"),
        ((x for x in [1.0]), TypeError, "x must be a sequence of numbers"),
    ],
)
def test_values_that_are_not_numbers_are_refused(make, values, error, message):
    with pytest.raises(error, match=f"^{make.__name__}: {message}"):
        make(x=values)


def test_a_hyperparameter_belongs_to_one_axis():
    once = oc.sweep.grid(x=[1.0])
    with pytest.raises(ValueError, match="grid: hyperparameter 'x' is given twice"):
        oc.sweep.grid(once, x=[2.0])
    with pytest.raises(ValueError, match="grid: hyperparameter 'x' is given twice"):
        oc.sweep.grid(once, oc.sweep.zip(x=[1.0], y=[2.0]))


def test_zip_names_the_lengths_that_differ():
    with pytest.raises(
        ValueError, match=r"zip: values must have one length, got {'x': 2, 'y': 1}"
    ):
        oc.sweep.zip(x=[1.0, 2.0], y=[3.0])


def test_a_space_needs_a_hyperparameter():
    for empty in (oc.sweep.grid, oc.sweep.zip, lambda: as_space("run", {})):
        with pytest.raises(ValueError, match="at least one hyperparameter is needed"):
            empty()
    with pytest.raises(ValueError, match="run: at least one hyperparameter is needed"):
        as_space("run", oc.sweep.Space(()))


def test_grid_takes_spaces_only():
    with pytest.raises(TypeError, match="grid: spaces must be Space objects, got"):
        oc.sweep.grid({"x": [1.0]})


def test_a_dict_of_arrays_is_a_zip():
    hparams = {"x": [1.0, 2.0], "y": [3, 4]}
    space = as_space("run", hparams)
    assert space.shape == (2,)
    assert {name: list(v) for name, v in space.members().items()} == hparams
    with pytest.raises(TypeError, match="run: space must be a Space or a dict of arra"):
        as_space("run", [1.0])


@given(st.floats(-30, 30), st.floats(0.1, 20), st.integers(2, 40))
def test_log_space_has_equal_ratios_and_exact_ends(start, length, num):
    low, high = 10.0**start, 10.0 ** (start + length)
    values = oc.sweep.log_space(low, high, num)
    assert values[0] == low
    assert values[-1] == high
    expected = start + length * np.arange(num) / (num - 1)
    np.testing.assert_allclose(np.log10(values), expected, rtol=0, atol=1e-12)


@given(st.integers(-100, 100), st.integers(1, 100), st.integers(2, 40))
def test_lin_space_has_equal_steps_and_exact_ends(low, length, num):
    values = oc.sweep.lin_space(low, low + length, num)
    assert values[0] == low
    assert values[-1] == low + length
    expected = low + length * np.arange(num) / (num - 1)
    np.testing.assert_allclose(values, expected, rtol=0, atol=1e-12)


def test_ranges_of_large_integers_are_those_of_floats():
    np.testing.assert_allclose(oc.sweep.log_space(1, 10**30, 3), [1, 1e15, 1e30])
    np.testing.assert_allclose(oc.sweep.lin_space(0, 10**30, 3), [0, 5e29, 1e30])


@pytest.mark.parametrize(
    ("make", "arguments", "error", "message"),
    [
        (
            oc.sweep.log_space,
            (0.0, 1.0, 3),
            ValueError,
            "low must be a finite number >",
        ),
        (oc.sweep.log_space, (-1.0, 1.0, 3), ValueError, "low must be a finite numbe"),
        (
            oc.sweep.log_space,
            (1.0, 0.1, 3),
            ValueError,
            r"low must be below high \(0.1",
        ),
        (
            oc.sweep.log_space,
            (1.0, 1.0, 3),
            ValueError,
            r"low must be below high \(1.0",
        ),
        (oc.sweep.log_space, (0.1, INF, 3), ValueError, "high must be a finite number"),
        (oc.sweep.log_space, (0.1, 1.0, 1), ValueError, "num must be an integer of at"),
        (
            oc.sweep.log_space,
            (0.1, 1.0, 3.0),
            TypeError,
            "num must be an integer of at",
        ),
        (oc.sweep.log_space, ("0.1", 1.0, 3), TypeError, "low must be a finite number"),
        (
            oc.sweep.lin_space,
            (1.0, -1.0, 3),
            ValueError,
            r"low must be below high \(-1",
        ),
        (oc.sweep.lin_space, (NAN, 1.0, 3), ValueError, "low must be a finite number"),
        (oc.sweep.lin_space, (0.0, 1.0, 0), ValueError, "num must be an integer of at"),
    ],
)
def test_ranges_that_make_no_sense_are_refused(make, arguments, error, message):
    with pytest.raises(error, match=f"^{make.__name__}: {message}"):
        make(*arguments)


def test_seeds_are_the_innermost_axis():
    space = with_seeds("f", oc.sweep.grid(x=[1.0, 2.0]), 3)
    assert space.names == ("x", "seed")
    assert space.members()["seed"].tolist() == [0, 1, 2, 0, 1, 2]
    chosen = with_seeds("f", oc.sweep.grid(x=[1.0]), [7, 5])
    assert chosen.members()["seed"].tolist() == [7, 5]


@pytest.mark.parametrize(
    ("seeds", "error", "message"),
    [
        (0, ValueError, "f: seeds must be a positive integer, got 0"),
        (True, TypeError, "f: seeds must be a positive integer, got True"),
        ([], ValueError, "f: seeds must be a non-empty sequence"),
        ([-1], ValueError, "f: seeds must be non-negative integers"),
        ([0, 1, 0], ValueError, "f: seeds must be different integers, got "),
        ([0.5], ValueError, "f: seeds must be non-negative integers"),
        ([2**31], ValueError, "f: seeds must be integers of at most 32 bits"),
    ],
)
def test_seeds_that_are_not_seeds_are_refused(seeds, error, message):
    with pytest.raises(error, match=message):
        with_seeds("f", oc.sweep.grid(x=[1.0]), seeds)


def test_constants_are_a_space_of_one_point():
    space = constant_space("f", {"x": 0.5, "n": 3})
    assert space.shape == (1, 1)
    assert space.members() == {"x": 0.5, "n": 3}
    assert constant_space("f", None).size == 1
    with pytest.raises(TypeError, match="f: x must be a sequence of numbers"):
        constant_space("f", {"x": "0.5"})


@pytest.mark.parametrize("value", [1e39, -1e39, 1e-50])
def test_values_that_float32_does_not_hold_are_refused(value):
    with pytest.raises(ValueError, match=r"rate must be .* that float32 holds"):
        oc.sweep.grid(rate=[0.1, value])


@pytest.mark.parametrize(
    ("values", "again"),
    [([0.1, 0.2, 0.1], "0.1"), ([1, 1], "1"), ([0.1, 0.1 + 1e-12], "0.1")],
    ids=["equal", "integers", "equal in float32"],
)
def test_a_grid_refuses_members_that_are_the_same(values, again):
    message = rf"^grid: rate must be values that differ in \w+32, got {again} more than"
    with pytest.raises(ValueError, match=message):
        oc.sweep.grid(rate=values)
    assert oc.sweep.zip(rate=values).size == len(values)


def test_a_dict_of_unequal_lengths_points_to_the_grid():
    hparams = {"rate": [0.1, 0.2], "momentum": [0.9]}
    message = r"^run: values .* got {'rate': 2, 'momentum': 1}, because .*sweep\.grid\("
    with pytest.raises(ValueError, match=message):
        as_space("run", hparams)
    with pytest.raises(ValueError, match=r"^run: rate must be a sequence of finite"):
        as_space("run", {"rate": [np.nan]})
