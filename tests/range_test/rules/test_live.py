"""The rules against the finders themselves, where they are installed."""

import numpy as np
import pytest

import optax_cycles as oc

pytestmark = pytest.mark.peer
SEEDS = range(20)


def ramp(seed):
    """A noisy fall and climb over 60 to 119 rates."""
    rng = np.random.default_rng(seed)
    points = int(rng.integers(60, 120))
    corners = np.array([0, 0.4, 0.7, 1.0]) * (points - 1)
    losses = np.interp(np.arange(points), corners, [2.3, 2.3, 0.5, 6.0])
    return np.geomspace(1e-6, 10.0, points), losses + 0.02 * rng.normal(size=points)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", ["valley", "slide", "minimum", "steep"])
def test_fastai(name, seed):
    schedule = pytest.importorskip("fastai.callback.schedule")
    torch = pytest.importorskip("torch")
    rates, losses = ramp(seed)
    theirs = getattr(schedule, name)(torch.tensor(rates), torch.tensor(losses), 100)[0]
    assert getattr(oc, name)(rates, losses).value == pytest.approx(theirs, rel=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
def test_torch_lr_finder(seed):
    module = pytest.importorskip("torch_lr_finder.lr_finder")
    figure = pytest.importorskip("matplotlib.figure").Figure()
    rates, losses = ramp(seed)
    finder = module.LRFinder.__new__(module.LRFinder)
    finder.history = {"lr": rates.tolist(), "loss": losses.tolist()}
    theirs = finder.plot(ax=figure.add_subplot())[1]
    assert oc.steep_by_index(rates, losses).value == theirs


@pytest.mark.parametrize("seed", SEEDS)
def test_the_gradient_that_lightning_takes(seed):
    """`torch.gradient` against the rates, of what it keeps by default."""
    torch = pytest.importorskip("torch")
    rates, losses = ramp(seed)
    kept, at = torch.tensor(losses[10:-1]), torch.tensor(rates[10:-1])
    least = int(torch.argmin(torch.gradient(kept, spacing=[at])[0]))
    assert oc.steep_by_value(rates, losses).index == 10 + least
