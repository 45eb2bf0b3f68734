import jax
import numpy as np
import pytest

from optax_cycles import policies

MAX = 2**31 - 1


def assert_values(schedule, expected, *, steps=None, rtol=1e-6):
    """Check values one by one, as an array, in `vmap` and in `lax.scan`."""
    steps = np.arange(len(expected)) if steps is None else np.asarray(steps)
    values = {
        "eager": [schedule(int(t)) for t in steps[:12]],
        "array": jax.jit(schedule)(steps),
        "vmap": jax.jit(jax.vmap(schedule))(steps),
        "scan": jax.lax.scan(lambda c, t: (c, schedule(t)), None, steps)[1],
    }
    for form, found in values.items():
        np.testing.assert_allclose(
            found, expected[: len(found)], rtol=rtol, err_msg=form
        )


def test_one_cycle_momentum_falls_and_rises():
    policy = policies.one_cycle_policy(
        10, 25.0, momentum=(1.0, 22.0), final_div_factor=2.0, anneal="linear"
    )
    assert set(policy) == {"learning_rate", "momentum"}
    assert_values(policy["learning_rate"], [1, 13, 25, 21.5, 18, 14.5, 11, 7.5, 4, 0.5])
    momentum = [22, 11.5, 1, 4, 7, 10, 13, 16, 19, 22, 22]
    assert_values(policy["momentum"], momentum)


def test_one_cycle_momentum_stays_high_in_the_third_phase():
    policy = policies.one_cycle_policy(
        10,
        25.0,
        momentum=(1.0, 22.0),
        pct_start=0.4,
        final_div_factor=4.0,
        anneal="linear",
        three_phase=True,
    )
    assert_values(policy["learning_rate"], [1, 9, 17, 25, 17, 9, 1, 0.75, 0.5, 0.25])
    assert_values(policy["momentum"], [22, 15, 8, 1, 8, 15, 22, 22, 22, 22])


def test_names_constants_and_pairs():
    policy = policies.one_cycle_policy(
        10, 1.0, momentum=(0.8, 0.9), momentum_name="b1", weight_decay=0.01
    )
    assert set(policy) == {"learning_rate", "b1", "weight_decay"}
    assert_values(policy["weight_decay"], [0.01] * 12)
    policy = policies.one_cycle_policy(10, 1.0, momentum=None, weight_decay=(0.0, 0.1))
    assert set(policy) == {"learning_rate", "weight_decay"}
    assert float(policy["weight_decay"](2)) == 0.0
    assert float(policy["weight_decay"](9)) == np.float32(0.1)


TRI = np.asarray([0, 0.25, 0.5, 0.75, 1, 0.75, 0.5, 0.25, 0, 0.25, 0.5])


@pytest.mark.parametrize(
    ("mode", "scale"),
    [
        ("triangular", np.ones(11)),
        ("triangular2", np.asarray([1.0] * 8 + [0.5] * 3)),
        ("exp_range", 0.9 ** np.arange(11)),
    ],
)
def test_cyclical_momentum_mirrors_the_rate(mode, scale):
    policy = policies.cyclical_policy(
        1.0, 5.0, 4, mode=mode, gamma=0.9, momentum=(1.0, 5.0)
    )
    assert_values(policy["learning_rate"], 1 + 4 * TRI * scale)
    assert_values(policy["momentum"], 5 - 4 * TRI * scale)


def test_smith_momentum_dips_again_in_the_tail():
    policy = policies.one_cycle_smith_policy(0.1, 1.0, 2246)
    steps = [1200, 2400, 4400, 4600, 4800]
    rate = [0.580855, 0.931434, 0.0409617, 0.0001, 0.0001]
    momentum = [0.896572, 0.856857, 0.945904, 0.947596, 0.943143]
    assert_values(policy["learning_rate"], rate, steps=steps, rtol=4e-5)
    assert_values(policy["momentum"], momentum, steps=steps, rtol=1e-5)


def test_annihilated_momentum_is_held_high_in_the_tail():
    policy = policies.one_cycle_annihilated_policy(
        10, 1.0, annihilation_pct=0.2, momentum=(0.8, 1.0)
    )
    expected = [1, 0.95, 0.9, 0.85, 0.8, 0.85, 0.9, 0.95, 1, 1, 1]
    assert_values(policy["momentum"], expected)
    assert float(policy["learning_rate"](4)) == 1.0


def test_a_multiplier_leaves_the_normalized_decay_as_it_is():
    policy = policies.warm_restarts_policy(
        8, 1.0, period_mult=2, normalized_decay=1.0, learning_rate_name="multiplier"
    )
    assert set(policy) == {"multiplier", "weight_decay"}
    assert_values(policy["weight_decay"], [8**-0.5] * 8 + [0.25] * 4)
    rate = policies.warm_restarts_policy(8, 1.0, period_mult=2)["learning_rate"]
    steps = np.arange(20)
    np.testing.assert_array_equal(policy["multiplier"](steps), rate(steps))


@pytest.mark.parametrize("name", ["cyclical", "one_cycle_smith"])
def test_names_are_those_of_the_optimizer(name):
    make = getattr(policies, f"{name}_policy")
    policy = make(0.1, 1.0, 4, momentum_name="b1", learning_rate_name="multiplier")
    assert set(policy) == {"multiplier", "b1"}


def test_normalized_decay_follows_the_rate_and_the_period():
    policy = policies.warm_restarts_policy(
        8, 0.5, period_mult=2, normalized_decay=1.0, momentum=(0.8, 0.9)
    )
    steps = np.asarray([*range(8), *range(8, 24)])
    q = np.asarray([*(np.arange(8) / 8), *(np.arange(16) / 16)])
    eta = (1 + np.cos(np.pi * q)) / 2
    norm = np.asarray([8**-0.5] * 8 + [0.25] * 16)
    assert_values(policy["learning_rate"], 0.5 * eta, steps=steps)
    assert_values(policy["weight_decay"], eta * norm, steps=steps)
    assert_values(policy["momentum"], 0.9 - 0.1 * eta, steps=steps)


def test_every_number_of_a_policy_may_be_traced():
    traces = []

    @jax.jit
    def values(total, peak, low, decay):
        traces.append(total)
        policy = policies.one_cycle_policy(
            total, peak, momentum=(low, 0.95), weight_decay=decay
        )
        cycle = policies.cyclical_policy(0.1, peak, total, momentum=(low, 0.95))
        return [s(5) for s in [*policy.values(), *cycle.values()]]

    for numbers in ((10, 1.0, 0.8, 0.1), (20.0, 2.0, 0.85, 0.2)):
        assert np.all(np.isfinite(values(*numbers)))
    assert len(traces) == 2  # an integer length and a floating one


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: policies.one_cycle_policy(10, 1.0, momentum=(0.95, 0.85)),
            "one_cycle_policy: momentum must be a pair (low, high) with low <= high",
        ),
        (
            lambda: policies.one_cycle_policy(10, 1.0, momentum=(0.8, 0.9, 0.95)),
            "one_cycle_policy: momentum must be a number or a pair (low, high), got",
        ),
        (
            lambda: policies.one_cycle_policy(10, 1.0, weight_decay=float("nan")),
            "one_cycle_policy: weight_decay must be a finite number, got nan",
        ),
        (
            lambda: policies.one_cycle_policy(0, 1.0),
            "one_cycle: total_steps must be a positive integer, got 0",
        ),
        (
            lambda: policies.warm_restarts_policy(
                8, 1.0, weight_decay=0.1, normalized_decay=0.1
            ),
            "warm_restarts_policy: weight_decay must be None where normalized_decay is",
        ),
        (
            lambda: policies.one_cycle_smith_policy(0.1, 1.0, 0),
            "one_cycle_smith: step_size must be a positive integer, got 0",
        ),
        (
            lambda: policies.one_cycle_annihilated_policy(10, 1.0, annihilation_pct=-1),
            "one_cycle_annihilated: annihilation_pct must be a finite number >= 0 and",
        ),
        (
            lambda: policies.cyclical_policy(0.1, 1.0, 0),
            "cyclical_policy: step_size must be a positive integer, got 0",
        ),
        (
            lambda: policies.cyclical_policy(0.1, 1.0, 4, mode="triangle"),
            "cyclical_policy: mode must be one of exp_range, triangular, triangular2",
        ),
        (
            lambda: policies.cyclical_policy(0.1, 1.0, 4, mode="exp_range", gamma=0),
            "cyclical_policy: gamma must be a finite number > 0, got 0",
        ),
    ],
)
def test_messages(call, message):
    with pytest.raises(ValueError, match=": ") as caught:
        call()
    assert str(caught.value).startswith(message)


@pytest.mark.peer
@pytest.mark.parametrize("three_phase", [False, True])
def test_torch_one_cycle(three_phase):
    import torch

    optimizer = torch.optim.SGD(
        [torch.nn.Parameter(torch.zeros(1))], lr=1.0, momentum=0.9
    )
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 0.5, total_steps=37, three_phase=three_phase
    )
    expected = [optimizer.param_groups[0]["momentum"]]
    for _ in range(36):
        optimizer.step()
        scheduler.step()
        expected.append(optimizer.param_groups[0]["momentum"])
    policy = policies.one_cycle_policy(37, 0.5, three_phase=three_phase)
    assert_values(policy["momentum"], expected)


@pytest.mark.peer
@pytest.mark.parametrize("mode", ["triangular", "triangular2", "exp_range"])
def test_torch_cyclical(mode):
    import torch

    optimizer = torch.optim.SGD(
        [torch.nn.Parameter(torch.zeros(1))], lr=1.0, momentum=0.9
    )
    scheduler = torch.optim.lr_scheduler.CyclicLR(
        optimizer, 0.1, 1.0, step_size_up=7, step_size_down=5, mode=mode, gamma=0.98
    )
    expected = []
    for _ in range(60):
        expected.append(optimizer.param_groups[0]["momentum"])
        optimizer.step()
        scheduler.step()
    policy = policies.cyclical_policy(
        0.1, 1.0, 7, step_size_down=5, mode=mode, gamma=0.98
    )
    assert_values(policy["momentum"], expected)
