"""Our optimizers against those of PyTorch (marked `peer`), Optax and mpyrozhok."""

import math

import jax.numpy as jnp
import numpy as np
import optax
import pytest
import transcriptions
from algorithms import random_gradients, scheduled, trained

import optax_cycles as oc

COUNT, SIZE = 200, 6
THETA = np.linspace(0.5, 3.0, SIZE)
GRADIENTS = random_gradients(COUNT, SIZE)
# A rounding of the parameters in each update: a random walk of so many.
ROUNDING = COUNT**0.5 * 2**-24
# In float32 a b2 of 0.999 is off by 1.3e-8, and 1 - b2**t by up to 1.3e-5 of itself.
POWER = 1e-5


def assert_same(found, expected, tolerance):
    """Check against the largest value that each parameter takes."""
    error = np.abs(found - expected) / np.abs(expected).max(axis=0)
    np.testing.assert_array_less(error, tolerance)


def torch_trained(make, schedule=None):
    """The parameters after each update of torch's, in float64."""
    torch = pytest.importorskip("torch")
    parameter = torch.nn.Parameter(torch.tensor(THETA))
    optimizer = make(torch.optim, [parameter])
    scheduler = schedule(torch.optim.lr_scheduler, optimizer) if schedule else None
    seen = []
    for gradient in GRADIENTS:
        parameter.grad = torch.tensor(gradient)
        optimizer.step()
        if scheduler is not None and len(seen) < COUNT - 1:
            scheduler.step()
        seen.append(parameter.detach().numpy().copy())
    return np.stack(seen)


def one_cycle_of(peak):
    return lambda schedulers, optimizer: schedulers.OneCycleLR(
        optimizer, peak, total_steps=COUNT
    )


@pytest.mark.peer
@pytest.mark.parametrize("nesterov", [False, True])
def test_torch_sgd(nesterov):
    theirs = torch_trained(
        lambda o, p: o.SGD(p, lr=0.01, momentum=0.9, nesterov=nesterov)
    )
    ours = oc.sgdw(0.01, 0.9, nesterov=nesterov)
    assert_same(trained(ours, THETA, GRADIENTS), theirs, ROUNDING)


@pytest.mark.peer
def test_torch_sgd_without_momentum():
    theirs = torch_trained(lambda o, p: o.SGD(p, lr=0.01))
    assert_same(trained(oc.sgdw(0.01, 0.0), THETA, GRADIENTS), theirs, ROUNDING)


@pytest.mark.peer
@pytest.mark.parametrize("nesterov", [False, True])
def test_torch_sgd_with_one_cycle_of_rate_and_momentum(nesterov):
    theirs = torch_trained(
        lambda o, p: o.SGD(p, lr=0.01, momentum=0.9, nesterov=nesterov),
        one_cycle_of(0.02),
    )
    policy = oc.one_cycle_policy(COUNT, 0.02)
    ours = oc.sgdw(**policy, nesterov=nesterov, decay_scale="learning_rate")
    assert_same(trained(ours, THETA, GRADIENTS), theirs, ROUNDING)


@pytest.mark.peer
@pytest.mark.parametrize("amsgrad", [False, True])
@pytest.mark.parametrize("debias", ["product", "power"])
def test_torch_adamw(debias, amsgrad):
    theirs = torch_trained(
        lambda o, p: o.AdamW(p, lr=0.01, weight_decay=0.1, amsgrad=amsgrad)
    )
    ours = oc.adamw(
        0.01,
        weight_decay=0.1,
        debias=debias,
        amsgrad=amsgrad,
        decay_scale="learning_rate",
    )
    tolerance = POWER if debias == "power" else ROUNDING
    assert_same(trained(ours, THETA, GRADIENTS), theirs, tolerance)


@pytest.mark.peer
@pytest.mark.parametrize("amsgrad", [False, True])
def test_torch_adamw_with_one_cycle_of_rate_and_beta1(amsgrad):
    theirs = torch_trained(
        lambda o, p: o.AdamW(p, lr=0.01, weight_decay=0.1, amsgrad=amsgrad),
        one_cycle_of(0.02),
    )
    policy = oc.one_cycle_policy(COUNT, 0.02, momentum_name="b1")
    options = {"weight_decay": 0.1, "decay_scale": "learning_rate", "amsgrad": amsgrad}
    ours = oc.adamw(**policy, debias="power", **options)
    assert_same(trained(ours, THETA, GRADIENTS), theirs, POWER)
    corrected = trained(oc.adamw(**policy, **options), THETA, GRADIENTS)
    assert np.abs(corrected - theirs).max() > 1e-3


ALPHA, LAMBDA = 0.02, 0.003
ETA = oc.one_cycle(COUNT, 1.0)


def assert_as_optax(ours, theirs):
    found, expected = (trained(o, THETA, GRADIENTS) for o in (ours, theirs))
    assert_same(found, expected, POWER)


@pytest.mark.parametrize("debias", ["product", "power"])
def test_the_decay_of_the_paper_is_optax_with_a_decay_over_the_rate(debias):
    ours = oc.adamw(ALPHA, multiplier=ETA, weight_decay=LAMBDA, debias=debias)
    theirs = optax.adamw(lambda t: ALPHA * ETA(t), weight_decay=LAMBDA / ALPHA)
    assert_as_optax(ours, theirs)


@pytest.mark.parametrize("debias", ["product", "power"])
def test_optax_adamw(debias):
    rate = oc.one_cycle(COUNT, ALPHA)
    options = {"b1": 0.8, "b2": 0.99, "eps": 1e-4, "weight_decay": 0.1}
    ours = oc.adamw(rate, **options, debias=debias, decay_scale="learning_rate")
    assert_as_optax(ours, optax.adamw(rate, **options))


def test_optax_nadamw():
    rate = oc.one_cycle(COUNT, ALPHA)
    options = {"weight_decay": 0.1, "decay_scale": "learning_rate"}
    ours = oc.adamw(rate, **options, debias="power", nesterov=True)
    assert_as_optax(ours, optax.nadamw(rate, weight_decay=0.1))


@pytest.mark.parametrize("nesterov", [False, True])
def test_optax_adamw_with_a_b1_that_moves(nesterov):
    policy = oc.one_cycle_policy(COUNT, ALPHA, momentum_name="b1")
    options = {"weight_decay": 0.1, "nesterov": nesterov}
    ours = oc.adamw(**policy, **options, debias="power", decay_scale="learning_rate")
    theirs = optax.inject_hyperparams(optax.adamw)(**policy, **options)
    assert_as_optax(ours, theirs)


def test_optax_adamw_with_a_mask():
    mask = {"kernel": True, "bias": False}
    params = {name: jnp.asarray(THETA, jnp.float32) for name in mask}
    options = {"weight_decay": 0.1, "mask": mask}
    ours = oc.adamw(ALPHA, **options, decay_scale="learning_rate")
    theirs = optax.adamw(ALPHA, **options)
    found, expected = (
        optimizer.update(params, optimizer.init(params), params)[0]
        for optimizer in (ours, theirs)
    )
    for name in mask:
        np.testing.assert_allclose(found[name], expected[name], rtol=POWER)


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_optax_sgd(momentum, nesterov):
    rate = oc.one_cycle(COUNT, ALPHA)
    ours = oc.sgdw(rate, momentum, nesterov=nesterov)
    assert_as_optax(ours, optax.sgd(rate, momentum, nesterov=nesterov))


def test_optax_sgd_with_a_momentum_that_moves():
    policy = oc.one_cycle_policy(COUNT, ALPHA)
    theirs = optax.inject_hyperparams(optax.sgd)(**policy)
    assert_as_optax(oc.sgdw(**policy), theirs)


BATCHES, FIRST, MULT, UPDATES = 5, 2, 2, 70
BETAS, EPS, NORM = (0.9, 0.99), 1e-3, 0.1
AUTHORS = {"debias": "power", "eps_form": "inside"}


def mpyrozhok_adamw(rates, decays):
    """mpyrozhok/adamwr, `adamw.py`: `AdamW.step`, transcribed, in float64."""
    p, average, square, seen = THETA, 0.0, 0.0, []
    for step in range(1, UPDATES + 1):
        grad, (beta1, beta2) = GRADIENTS[step - 1], BETAS
        average = average * beta1 + (1 - beta1) * grad
        square = square * beta2 + (1 - beta2) * grad * grad
        size = math.sqrt(1 - beta2**step) / (1 - beta1**step) * rates[step - 1]
        p = p * (1 - decays[step - 1]) - size * average / (np.sqrt(square) + EPS)
        seen.append(p)
    return np.stack(seen)


def mpyrozhok_factors():
    """What `CyclicLRWithRestarts` multiplies the rate and the decay by."""
    found = transcriptions.adamwr(UPDATES, BATCHES, FIRST, MULT)
    return [np.asarray(factors) for factors in found]


def test_the_transcribed_adamw_of_mpyrozhok_with_his_restarts():
    rates, decays = mpyrozhok_factors()
    theirs = mpyrozhok_adamw(ALPHA * rates, NORM * decays)
    ours = oc.adamw(
        scheduled(ALPHA * rates),
        *BETAS,
        EPS,
        weight_decay=scheduled(NORM * decays),
        **AUTHORS,
    )
    found = trained(ours, THETA, GRADIENTS[:UPDATES])
    assert_same(found, theirs, ROUNDING)


def test_adamwr_is_the_transcribed_one_without_its_late_first_batch():
    rates, decays = mpyrozhok_factors()
    # His rate of a restart's first batch, 0, is from the end of the period before it.
    for restart, period in ((10, 20), (30, 40)):
        assert rates[restart] == 0.0
        rates[restart], decays[restart] = 1.0, period**-0.5
    theirs = mpyrozhok_adamw(ALPHA * rates, NORM * decays)
    ours = oc.adamwr(
        ALPHA,
        FIRST * BATCHES,
        *BETAS,
        EPS,
        normalized_decay=NORM,
        period_mult=MULT,
        **AUTHORS,
    )
    assert_same(trained(ours, THETA, GRADIENTS[:UPDATES]), theirs, ROUNDING)
