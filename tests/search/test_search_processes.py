"""Two processes of two devices each decide what one process of four does."""

import numpy as np
import pytest
from test_processes import NAMES, finish, start

CASES = ["halving", "hyperband", "population"]
CASES = [*CASES, *(f"{name}, vmap" for name in CASES), "population, across"]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    folder = tmp_path_factory.mktemp("one")
    (arrays,), _ = finish(folder, start(folder, 1, 4, job="judged"))
    return arrays


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    return finish(folder, start(folder, 2, 2, job="judged"))


@pytest.mark.parametrize("process", [0, 1])
@pytest.mark.parametrize("case", CASES)
def test_every_process_decides_the_same_bit_for_bit(one, two, case, process):
    found = two[0][process]
    for name in [*NAMES, "parents", "learning_rate"]:
        np.testing.assert_array_equal(found[f"{case}.{name}"], one[f"{case}.{name}"])
    parents = one[f"{case}.parents"]
    assert np.any(parents != np.arange(len(parents))[:, None])


def test_the_devices_of_all_processes_are_used(two):
    assert [known["devices"] for known in two[1]] == [4, 4]
