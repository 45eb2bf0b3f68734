"""Hyperparameters and their ranges, as they are written on a command line."""

import argparse

import numpy as np
import pytest

from optax_cycles.cli.space import (
    USUAL,
    constant,
    constant_of_optimizer,
    of_optimizer,
    over,
)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("learning_rate=log:0.01:1:3", [0.01, 0.1, 1.0]),
        ("learning_rate=log:1e-2:1e2:5", [0.01, 0.1, 1.0, 10.0, 100.0]),
        ("momentum=lin:0:0.9:4", [0.0, 0.3, 0.6, 0.9]),
        ("offset=lin:-1:1:3", [-1.0, 0.0, 1.0]),
        ("momentum=0.8,0.9,0.95", [0.8, 0.9, 0.95]),
        ("learning_rate=log:1e20:1e30:3", [1e20, 1e25, 1e30]),
        ("learning_rate=1,1e10,1e25", [1.0, 1e10, 1e25]),
        ("momentum=0,.5", [0.0, 0.5]),
        ("size=int:3:6:4", [3, 4, 5, 6]),
        ("size=int:0:100:3", [0, 50, 100]),
        ("size=intlog:8:128:5", [8, 16, 32, 64, 128]),
    ],
)
def test_a_range_is_read(text, values):
    found = over(text)
    assert found.name == text.partition("=")[0]
    np.testing.assert_allclose(found.values(), values, rtol=1e-12, atol=1e-12)


def test_whole_numbers_stay_whole():
    for text in ("batch_size=8,16", "size=int:1:4", "size=intlog:1:9"):
        assert over(text).values().dtype.kind == "i"


def test_numbers_beyond_32_bits_are_no_integers():
    found = over("learning_rate=1,1e10")
    assert found.values().dtype.kind == "f"
    assert str(found) == "1.0,10000000000.0"
    assert found.distribution().values == (1.0, 1e10)


@pytest.mark.parametrize("num", [2, 3, 5, 16, 64])
@pytest.mark.parametrize("kind", ["int", "intlog"])
def test_integers_are_as_many_as_asked_for_or_all_that_differ(kind, num):
    values = over(f"size={kind}:2:21").with_num(num).values()
    assert (values[0], values[-1]) == (2, 21)
    assert np.all(np.diff(values) > 0)
    assert len(values) == min(num, {"int": 20, "intlog": 9}[kind])


def test_points_are_drawn_from_all_between_the_ends():
    """Of each distribution the median; integers are rounded, from 0.5 to 100.5."""
    medians = {
        "a=log:0.01:1": 0.1,
        "a=lin:-1:3": 1.0,
        "a=int:1:9": 5,
        "a=intlog:1:100": round(np.sqrt(0.5 * 100.5)),
        "a=1,2,5": 2,
    }
    for text, median in medians.items():
        found = over(text).distribution().at(np.asarray(0.5))
        np.testing.assert_allclose(found, median, rtol=1e-12, err_msg=text)


def test_a_hyperparameter_may_belong_to_one_optimizer():
    found = of_optimizer("adamw.weight_decay=log:1e-6:1e-2")
    assert (found.of, found.name) == ("adamw", "weight_decay")
    assert found.written_name == "adamw.weight_decay"
    assert of_optimizer("weight_decay").of is None
    assert of_optimizer("sgdw.momentum=.8,.9").numbers == (0.8, 0.9)
    assert constant_of_optimizer("sgdw.momentum=.8") == ("sgdw.momentum", 0.8)
    assert constant_of_optimizer("momentum=.8") == ("momentum", 0.8)
    for text in (".momentum", "a b.momentum", "sgdw.=1,2"):
        with pytest.raises(argparse.ArgumentTypeError, match="must be written"):
            of_optimizer(text)


@pytest.mark.parametrize("name", USUAL)
def test_a_name_alone_has_its_usual_range(name):
    values = over(name).with_num(5).values()
    assert len(values) >= 5
    assert np.all(np.diff(values) > 0)
    assert np.all(values > 0)


def test_a_number_of_values_may_be_left_open():
    assert over("eps=log:1e-8:1").num is None
    assert len(over("eps=log:1e-8:1").with_num(9).values()) == 9
    assert len(over("eps=log:1e-8:1:4").with_num(9).values()) == 4


@pytest.mark.parametrize(
    "text",
    ["a=log:0.001:1:7", "a=lin:0:0.25:3", "a=0.1,0.25", "a=8,16", "a=intlog:1:9:3"],
)
def test_it_is_written_as_it_is_read(text):
    found = over(text)
    assert over(f"a={found}") == found


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must be written NAME or NAME=RANGE, got ''"),
        ("=1,2", "must be written NAME or NAME=RANGE, got '=1,2'"),
        ("learning rate=1,2", "must be written NAME or NAME=RANGE"),
        ("width", "must have a range, width=... (log:LOW:HIGH[:NUM], lin:"),
        ("seed=1,2", "must be a hyperparameter (--seeds says how many"),
        ("a=", "must be written log:LOW:HIGH[:NUM], lin:LOW:HIGH[:NUM] or a list"),
        ("a=lgo:1:2", "must be written log:LOW:HIGH[:NUM]"),
        ("a=log:1", "must be written log:LOW:HIGH[:NUM]"),
        ("a=log:1:2:3:4", "must be written log:LOW:HIGH[:NUM]"),
        ("a=1:2", "must be written log:LOW:HIGH[:NUM]"),
        ("a=log:one:2", "must have two finite numbers as its ends"),
        ("a=lin:0:inf", "must have two finite numbers as its ends"),
        ("a=log:-1:2", "must begin above 0 on a logarithmic axis, not at -1"),
        ("a=log:0:2", "must begin above 0 on a logarithmic axis, not at 0"),
        ("a=log:2:1:5", "must rise: 2 is not below 1, got 'a=log:2:1:5'"),
        ("a=lin:1:1", "must rise: 1 is not below 1"),
        ("a=log:1:2:1", "must have a number of values from 2 on, not '1'"),
        ("a=log:1:2:3.5", "must have a number of values from 2 on, not '3.5'"),
        ("a=int:1.5:4", "must have two integers as its ends (lin:1.5:4 are any)"),
        ("a=intlog:0:4", "must begin above 0 on a logarithmic axis, not at 0"),
        ("a=int:1:3:4", "must have fewer values: only 3 of 4 integers differ"),
        ("a=intlog:1:8:8", "must have fewer values: only 6 of 8 integers differ"),
        ("a=0.9", "must have at least 2 values (--constant a=0.9 fixes one)"),
        ("a=1,two", "must be written log:LOW:HIGH[:NUM]"),
        ("a=1,nan", "must be written log:LOW:HIGH[:NUM]"),
        ("a=2,1", "must have increasing values, got 'a=2,1'"),
        ("a=1,1", "must have increasing values"),
    ],
)
def test_what_is_no_range_is_refused(text, message):
    with pytest.raises(argparse.ArgumentTypeError) as error:
        over(text)
    assert message in str(error.value)


def test_a_constant_is_a_name_and_a_number():
    assert constant("weight_decay=1e-4") == ("weight_decay", 1e-4)
    for text in ("", "a", "a=", "a=b", "=1", "a=inf", "a=1,2"):
        with pytest.raises(argparse.ArgumentTypeError, match="NAME=NUMBER"):
            constant(text)
