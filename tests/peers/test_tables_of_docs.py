"""The tables of `docs/peers.md` for PyTorch, transformers and Keras, live."""

import re
from collections.abc import Mapping
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import optax
import pytest

import optax_cycles as oc

pytestmark = pytest.mark.peer
torch = pytest.importorskip("torch")

PAGE = (Path(__file__).parents[2] / "docs" / "peers.md").read_text()
LR, N, W, T = 0.1, 1000, 100, 50
NAMES = {"oc": oc, "jnp": jnp, "optax": optax, "lr": LR, "N": N, "W": W, "T": T}


def ours(peer):
    """The call in the row of `peer`, as its page has it."""
    row = next(line for line in PAGE.splitlines() if line.startswith(f"| `{peer}`"))
    return eval(re.findall(r"`([^`]+)`", row.split(" | ", 1)[1])[0], NAMES)


def schedulers():
    """How each row's class is called in PyTorch, by the row's first cell."""
    s = torch.optim.lr_scheduler
    return {
        "CyclicLR(o, base, lr, T)": lambda o: s.CyclicLR(o, 0.01, LR, T),
        'CyclicLR(mode="triangular2")': lambda o: s.CyclicLR(
            o, 0.01, LR, T, mode="triangular2"
        ),
        'CyclicLR(mode="exp_range")': lambda o: s.CyclicLR(
            o, 0.01, LR, T, mode="exp_range", gamma=0.999
        ),
        "CyclicLR(scale_fn=...)": lambda o: s.CyclicLR(
            o, 0.01, LR, T, scale_fn=lambda cycle: 1 / cycle
        ),
        "CyclicLR(cycle_momentum=True)": lambda o: s.CyclicLR(
            o, 0.01, LR, T, base_momentum=0.8, max_momentum=0.9
        ),
        "OneCycleLR(o, lr, N)": lambda o: s.OneCycleLR(o, LR, N),
        "CosineAnnealingWarmRestarts(o, T, 2)": lambda o: s.CosineAnnealingWarmRestarts(
            o, T, 2
        ),
        "StepLR(o, T, 0.1)": lambda o: s.StepLR(o, T, 0.1),
        "MultiStepLR(o, [300, 600], 0.1)": lambda o: s.MultiStepLR(o, [300, 600], 0.1),
        "ConstantLR(o, 0.3, T)": lambda o: s.ConstantLR(o, 0.3, T),
        "LinearLR(o, 0.1, 1.0, T)": lambda o: s.LinearLR(o, 0.1, 1.0, T),
        "ExponentialLR(o, 0.99)": lambda o: s.ExponentialLR(o, 0.99),
        "PolynomialLR(o, T, 2.0)": lambda o: s.PolynomialLR(o, T, 2.0),
        "LambdaLR(o, f)": lambda o: s.LambdaLR(o, lambda step: 0.95**step),
        "SequentialLR(o, [a, b], [W])": lambda o: s.SequentialLR(
            o, [s.LinearLR(o, 0.1, 1.0, W), s.CosineAnnealingLR(o, N - W)], [W]
        ),
        "ChainedScheduler([a, b])": lambda o: s.ChainedScheduler(
            [s.LinearLR(o, 0.25, 1.0, W), s.ExponentialLR(o, 0.99)]
        ),
    }


def run(make, steps):
    """Rates and momenta of PyTorch's scheduler over its steps."""
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=LR, momentum=0.9)
    scheduler = make(optimizer)
    rates, momenta = [], []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        momenta.append(optimizer.param_groups[0]["momentum"])
        optimizer.step()
        scheduler.step()
    return np.array(rates), np.array(momenta)


@pytest.mark.parametrize("peer", list(schedulers()))
def test_the_row_of_a_scheduler_has_its_values(peer):
    rates, momenta = run(schedulers()[peer], 900)
    found = ours(peer)
    policy = found if isinstance(found, Mapping) else {"learning_rate": found}
    steps = np.arange(900)
    np.testing.assert_allclose(
        policy["learning_rate"](steps), rates, rtol=2e-6, atol=2e-8
    )
    if "momentum" in policy:
        np.testing.assert_allclose(policy["momentum"](steps), momenta, rtol=2e-6)


def test_the_cosine_agrees_up_to_its_end_where_only_ours_stays():
    rates, _ = run(
        lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, T, 0.01 * LR), 2 * T
    )
    found = np.asarray(ours("CosineAnnealingLR(o, T, eta_min)")(np.arange(2 * T)))
    np.testing.assert_allclose(found[: T + 1], rates[: T + 1], rtol=1e-5, atol=2e-8)
    assert rates[-1] > 50 * found[-1]


TRANSFORMERS = {
    '"constant"': {},
    '"constant_with_warmup"': {},
    '"linear"': {},
    '"cosine"': {},
    '"polynomial"': {},
    '"inverse_sqrt"': {},
    '"cosine_with_min_lr"': {"min_lr_rate": 0.1},
    '"cosine_warmup_with_min_lr"': {"min_lr_rate": 0.1},
    '"cosine_with_restarts"': {"num_cycles": 3},
    '"warmup_stable_decay"': {"num_decay_steps": 200},
}


@pytest.mark.parametrize("name", list(TRANSFORMERS))
def test_the_row_of_a_scheduler_of_transformers_has_its_values(name):
    transformers = pytest.importorskip("transformers")

    def make(optimizer):
        options = TRANSFORMERS[name]
        return transformers.get_scheduler(
            name.strip('"'), optimizer, W, N, scheduler_specific_kwargs=options
        )

    rates, _ = run(make, N)
    np.testing.assert_allclose(ours(name)(np.arange(N)), rates, rtol=2e-6, atol=5e-8)


KERAS = {
    "ExponentialDecay(lr, T, 0.9)": ("ExponentialDecay", (LR, T, 0.9), {}),
    "PiecewiseConstantDecay([300], [lr, 0.01])": (
        "PiecewiseConstantDecay",
        ([300], [LR, 0.01]),
        {},
    ),
    "PolynomialDecay(lr, T, 0.01, 2.0)": ("PolynomialDecay", (LR, T, 0.01, 2.0), {}),
    "PolynomialDecay(cycle=True)": (
        "PolynomialDecay",
        (LR, T, 0.01),
        {"cycle": True},
    ),
    "InverseTimeDecay(lr, T, 0.5)": ("InverseTimeDecay", (LR, T, 0.5), {}),
    "CosineDecay(lr, T, 0.1)": ("CosineDecay", (LR, T, 0.1), {}),
    "CosineDecay(0.0, N, warmup_target=lr, warmup_steps=W)": (
        "CosineDecay",
        (0.0, N),
        {"warmup_target": LR, "warmup_steps": W},
    ),
    "CosineDecayRestarts(lr, T)": ("CosineDecayRestarts", (LR, T), {}),
    "CosineDecayRestarts(m_mul=0.5, alpha=0.1)": (
        "CosineDecayRestarts",
        (LR, T),
        {"m_mul": 0.5, "alpha": 0.1},
    ),
}


@pytest.mark.parametrize("peer", list(KERAS))
def test_the_row_of_a_schedule_of_keras_has_its_values(peer, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    keras = pytest.importorskip("keras")
    name, positional, options = KERAS[peer]
    theirs = getattr(keras.optimizers.schedules, name)(*positional, **options)
    steps = np.arange(0, 900, 23)
    expected = [float(theirs(step)) for step in steps]
    np.testing.assert_allclose(ours(peer)(steps), expected, rtol=2e-5, atol=2e-7)
