"""What hyperparameters are drawn from, and the points that are drawn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import optax_cycles as oc

SPACE = {
    "learning_rate": oc.search.log_uniform(1e-4, 10.0),
    "momentum": oc.search.uniform(0.5, 0.9),
    "layers": oc.search.integers(1, 4),
    "width": oc.search.integers(8, 512, log=True),
    "decay": oc.search.choice([0.0, 1e-4, 1e-2]),
}
SHARES = (np.arange(4000) + 0.5) / 4000


def test_quantiles_are_those_of_scipys_distributions():
    expected = {
        "learning_rate": stats.loguniform(1e-4, 10.0).ppf(SHARES),
        "momentum": stats.uniform(0.5, 0.4).ppf(SHARES),
        "layers": stats.randint(1, 5).ppf(SHARES),
    }
    for name, values in expected.items():
        np.testing.assert_allclose(SPACE[name].at(SHARES), values, rtol=1e-12)


def test_logarithmic_integers_are_as_likely_as_their_share_of_the_logarithm():
    drawn = SPACE["width"].at((np.arange(400_000) + 0.5) / 400_000)
    values, counts = np.unique(drawn, return_counts=True)
    assert values.tolist() == list(range(8, 513))
    edges = np.log(np.arange(8, 514) - 0.5)
    expected = np.diff(edges) / (edges[-1] - edges[0])
    np.testing.assert_allclose(counts / drawn.size, expected, atol=1e-5)


def test_choices_are_equally_likely():
    _, counts = np.unique(SPACE["decay"].at(SHARES), return_counts=True)
    assert counts.tolist() == [1333, 1334, 1333]


@given(st.floats(0, 1, exclude_max=True))
def test_nothing_leaves_its_bounds(share):
    for distribution in SPACE.values():
        drawn = distribution.at(np.array([share]))
        np.testing.assert_array_equal(distribution.inside(drawn), drawn)


@given(st.floats(-1e6, 1e6))
def test_any_number_is_brought_to_the_nearest_inside(value):
    known = np.array([0.0, 1e-4, 1e-2])
    nearest = np.abs(known - value).min()
    found = SPACE["decay"].inside(np.array([value]))[0]
    assert abs(found - value) == nearest
    assert SPACE["momentum"].inside(value) == np.clip(value, 0.5, 0.9)
    assert SPACE["layers"].inside(value) == np.clip(round(value), 1, 4)


@pytest.mark.parametrize("sample", [oc.search.random, oc.search.sobol])
def test_points_are_a_space_with_one_axis(sample):
    space = sample(SPACE, 20)
    assert (space.names, space.shape) == (("point",), (20,))
    members = space.members()
    assert set(members) == set(SPACE)
    assert members["layers"].dtype.kind == members["width"].dtype.kind == "i"
    np.testing.assert_array_equal(
        members["momentum"], sample(SPACE, 20).members()["momentum"]
    )
    other = sample(SPACE, 20, seed=1).members()["momentum"]
    assert not np.array_equal(other, members["momentum"])


def test_fewer_random_points_are_the_first_of_more():
    few, many = (oc.search.random(SPACE, n).members() for n in (5, 50))
    for name in SPACE:
        np.testing.assert_array_equal(few[name], many[name][:5])


def test_each_cell_of_a_sobol_net_has_one_point():
    """A net of 2^6 points in two dimensions: one in each box of 2^-3 by 2^-3."""
    space = {"a": oc.search.uniform(0.0, 8.0), "b": oc.search.uniform(0.0, 8.0)}
    members = oc.search.sobol(space, 64).members()
    cells = np.floor(members["a"]).astype(int) * 8 + np.floor(members["b"]).astype(int)
    assert sorted(cells) == list(range(64))


def test_the_widest_integers_stay_inside_their_bounds():
    widest = oc.search.integers(-(2**31), 2**31 - 1)
    shares = np.array([0.0, 0.5, 1 - 2.0**-53])
    assert widest.at(shares).tolist() == [-(2**31), 0, 2**31 - 1]


def test_choices_from_an_array_are_those_from_a_list():
    assert repr(oc.search.choice(np.arange(3))) == repr(oc.search.choice([0, 1, 2]))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: oc.search.uniform(1, 1), ValueError, "uniform: low must be below hi"),
        (lambda: oc.search.uniform(0, "1"), TypeError, "uniform: high must be a fini"),
        (lambda: oc.search.log_uniform(0, 1), ValueError, "log_uniform: low must be a"),
        (lambda: oc.search.log_uniform(2, 1), ValueError, "log_uniform: low must be b"),
        (lambda: oc.search.integers(1.5, 3), TypeError, "integers: low must be an int"),
        (lambda: oc.search.integers(0, 3, log=True), ValueError, "integers: low must"),
        (lambda: oc.search.integers(1, 3, log=1), TypeError, "integers: log must be T"),
        (
            lambda: oc.search.integers(1, 2**33),
            ValueError,
            "integers: high must be int",
        ),
        (lambda: oc.search.integers(-(2**31) - 1, 0), ValueError, "integers: low must"),
        (lambda: oc.search.uniform(0, 1e40), ValueError, "uniform: high must be a num"),
        (
            lambda: oc.search.log_uniform(1e-60, 1),
            ValueError,
            "log_uniform: low must b",
        ),
        (
            lambda: oc.search.choice([1, 2**40]),
            ValueError,
            "choice: values must be int",
        ),
        (
            lambda: oc.search.choice([0.5, 1e40]),
            ValueError,
            "choice: values must be a ",
        ),
        (lambda: oc.search.choice([]), ValueError, "choice: values must be different"),
        (lambda: oc.search.choice([1, 1]), ValueError, "choice: values must be differ"),
        (lambda: oc.search.choice(["a"]), TypeError, "choice: values must be a finite"),
        (lambda: oc.search.random([], 3), TypeError, "random: space must be a dict"),
        (lambda: oc.search.random({}, 3), ValueError, "random: space must be with one"),
        (lambda: oc.search.random({"a": [1, 2]}, 3), TypeError, r"random: space\['a'"),
        (lambda: oc.search.random(SPACE, 0), ValueError, "random: num must be a posi"),
        (lambda: oc.search.sobol(SPACE, 2**31), ValueError, "sobol: num must be at mo"),
        (
            lambda: oc.search.random({"seed": oc.search.integers(0, 3)}, 3),
            ValueError,
            "random: space must be without 'seed'",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(call, error, message):
    with pytest.raises(error, match=f"^{message}"):
        call()
