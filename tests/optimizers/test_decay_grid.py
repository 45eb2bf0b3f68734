"""Decoupled decay can be chosen apart from the learning rate; L2 regularisation not."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def grid():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        spec = importlib.util.spec_from_file_location(
            "decay_grid", BENCHMARKS / "decay_grid.py"
        )
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return module


RATES, DECAYS = np.geomspace(1e-2, 1.0, 5), np.geomspace(1e-3, 1.0, 13)


@pytest.mark.parametrize("power", [-1.0, 0.0, 0.5])
def test_the_slope_is_that_of_the_valley_of_a_known_loss(grid, power):
    ridge = np.log(DECAYS) - np.log(0.03) - power * np.log(RATES / 0.1)[:, None]
    losses = np.exp(0.1 * ridge**2)[..., None] * np.array([0.9, 1.0, 1.2])
    assert grid.slope(losses, RATES, DECAYS) == pytest.approx(power, abs=0.05)


def test_the_slope_ignores_one_rate_whose_best_decay_is_elsewhere(grid):
    losses = np.exp(0.1 * np.log(DECAYS / 0.03) ** 2) * np.ones((5, 1))
    losses[-1, 0] = 0.1
    assert grid.slope(losses[..., None], RATES, DECAYS) == pytest.approx(0, abs=0.05)


def test_the_valley_leaves_out_decays_whose_training_failed(grid):
    losses = np.full((1, 13), np.inf)
    losses[0, 4] = 2.0
    assert grid.valley(losses, DECAYS)[0] == pytest.approx(np.log(DECAYS[4]))


def test_few_labels_are_wrong_in_training_and_none_in_validation(grid):
    from optax_cycles import problems

    (images, labels), validation = grid.data()
    known = problems.digits()
    true = {image.tobytes(): label for image, label in zip(*known.train, strict=True)}
    right = [
        true[image.tobytes()] == label
        for image, label in zip(images, labels, strict=True)
    ]
    # Nine tenths of the labels drawn at random are wrong.
    assert np.mean(right) == pytest.approx(1 - 0.9 * grid.MISLABELLED, abs=0.05)
    np.testing.assert_array_equal(validation[1], known.validation[1])


# Where the valley of L2 regularisation is inside the grid; Adam's steps are as long at
# any gradient, and take larger rates.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("coupled", "decoupled", "rates"),
    [("sgd_l2", "sgdw", (0.03, 0.3)), ("adam_l2", "adamw", (0.1, 1.0))],
)
def test_the_valley_is_level_for_decoupled_decay_and_diagonal_for_l2(
    grid, coupled, decoupled, rates, monkeypatch
):
    size = grid.Size(seeds=2, steps=600)
    points = np.geomspace(*rates, 4), np.geomspace(1e-3, 1.0, 10)
    monkeypatch.setattr(grid, "axes", lambda _: points)
    slopes = {
        method: grid.slope(
            grid.losses_of("normalised", method, size)["validation"], *points
        )
        for method in (coupled, decoupled)
    }
    assert slopes[coupled] < -0.6
    assert abs(slopes[decoupled]) < 0.3
