"""Every optimizer inside what Optax, Flax and Orbax put around optimizers."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from optimizer_registry import (
    CASES,
    SCHEDULES,
    STEPS,
    at,
    both,
    close,
    compiled,
    every,
    gradients,
    parameters,
    step,
    train,
    trained,
)

import optax_cycles as oc


def by_oc(case):
    flags = {"static_args": list(case.options), **case.options}
    return oc.inject(case.make, case.policy(), **case.constants, **flags)


def by_optax(case):
    inject = optax.inject_hyperparams(case.make, static_args=list(case.options))
    return inject(**case.policy(), **case.constants, **case.options)


@functools.cache
def renewed(name):
    """Training with an optimizer made anew for each update, of that update's values."""
    case = CASES[name]

    def scanned(carry, t):
        values = {key: schedule(t) for key, schedule in case.policy().items()}
        carry = step(case.build(**values), *carry, t)
        return carry, carry[0]

    def run(params):
        carry = (params, case.build().init(params))
        return jax.lax.scan(scanned, carry, jnp.arange(STEPS))[1]

    return jax.jit(run)(parameters())


@compiled
def test_schedules_are_the_values_of_each_update(name):
    close(trained(name, "schedules"), renewed(name))


@compiled
@pytest.mark.parametrize("inject", [by_oc, by_optax])
def test_injected_values_are_logged_as_used(name, inject):
    case = CASES[name]
    optimizer = inject(case)

    def scanned(carry, t):
        params, state = step(optimizer, *carry, t)
        return (params, state), (params, state.hyperparams)

    def run(params):
        carry = (params, optimizer.init(params))
        return jax.lax.scan(scanned, carry, jnp.arange(STEPS))[1]

    trajectory, logged = jax.jit(run)(parameters())
    # A traced 1 - b differs from a constant one in its last digit.
    close(trajectory, renewed(name), rtol=1e-5, atol=1e-6)
    for key, value in case.constants.items():
        np.testing.assert_array_equal(logged[key], jnp.full(STEPS, value))
    for key in case.numbers:
        expected = SCHEDULES[key](np.arange(STEPS))
        np.testing.assert_allclose(logged[key], expected, rtol=3e-7)


@every
def test_schedules_can_be_read_wherever_they_are(name):
    case = CASES[name]
    optimizer = optax.chain(optax.clip(1.0), case.form("schedules"))
    state = optimizer.init(parameters())
    found = oc.current_hyperparams(state)
    ours = set(case.numbers) - {"learning_rate"}
    assert ours <= set(found)
    for key in set(case.numbers) & set(found):
        np.testing.assert_allclose(found[key], SCHEDULES[key](0), rtol=3e-7)


def pair():
    return {"first": parameters(), "second": parameters()["body"]}


def masked(optimizer):
    return optax.masked(optimizer, {"first": True, "second": False})


def partition(optimizer):
    groups = {"a": optimizer, "b": optax.identity()}
    return optax.partition(groups, {"first": "a", "second": "b"})


@compiled
@pytest.mark.parametrize("wrap", [masked, partition])
def test_a_part_of_the_parameters_trains_as_it_does_alone(name, wrap):
    trajectory = jax.jit(lambda p: train(wrap(CASES[name].form("schedules")), p))(
        pair()
    )
    close(trajectory["first"], trained(name, "schedules"))
    # The other part is left its gradients.
    change = jax.tree.map(jnp.subtract, at(trajectory, 1), at(trajectory, 0))
    close(change["second"], gradients(at(trajectory, 0), 1)["second"], atol=1e-6)


@compiled
def test_a_schedule_moves_once_in_an_emitted_update(name):
    optimizer = optax.MultiSteps(CASES[name].form("schedules"), 2)

    def scanned(carry, micro):
        params, state = carry
        # The two gradients of an update are on both sides of the one it takes.
        side = 0.5 * (-1.0) ** micro
        slopes = jax.tree.map(lambda g: g + side, gradients(params, micro // 2))
        updates, state = optimizer.update(slopes, state, params)
        params = optax.apply_updates(params, updates)
        return (params, state), params

    def run(params):
        carry = (params, optimizer.init(params))
        return jax.lax.scan(scanned, carry, jnp.arange(2 * STEPS))[1]

    trajectory = jax.jit(run)(parameters())
    emitted = jax.tree.map(lambda leaf: leaf[1::2], trajectory)
    close(emitted, trained(name, "schedules"), rtol=1e-5, atol=1e-6)
    between = jax.tree.map(lambda leaf: leaf[2::2], trajectory)
    close(between, jax.tree.map(lambda leaf: leaf[:-1], emitted), rtol=0, atol=0)


@compiled
def test_an_update_that_is_not_finite_never_was(name):
    optimizer = optax.apply_if_finite(CASES[name].form("schedules"), 5)

    def scanned(carry, t):
        params, state = carry
        slopes = gradients(params, t // 2)
        bad = jnp.where(t % 2 == 0, jnp.nan, 0.0)
        slopes = jax.tree.map(lambda g: g + bad, slopes)
        updates, state = optimizer.update(slopes, state, params)
        params = optax.apply_updates(params, updates)
        return (params, state), params

    def run(params):
        carry = (params, optimizer.init(params))
        return jax.lax.scan(scanned, carry, jnp.arange(2 * STEPS))[1]

    trajectory = jax.jit(run)(parameters())
    close(jax.tree.map(lambda leaf: leaf[1::2], trajectory), trained(name, "schedules"))


@every
@both
def test_clipped_gradients_are_what_it_sees(name, form):
    optimizer = CASES[name].form(form)
    params = parameters()
    slopes = jax.tree.map(lambda p: 3 * p + 1, params)
    flat = np.concatenate([np.ravel(g) for g in jax.tree.leaves(slopes)])
    norm = np.sqrt(np.sum(flat.astype(np.float64) ** 2))
    clipped = jax.tree.map(lambda g: g * np.float32(0.5 / norm), slopes)
    chain = optax.chain(optax.clip_by_global_norm(0.5), optimizer)
    actual, _ = chain.update(slopes, chain.init(params), params)
    expected, _ = optimizer.update(clipped, optimizer.init(params), params)
    close(actual, expected)


@every
@both
def test_optax_finds_the_parameters_in_the_state(name, form):
    optimizer = CASES[name].form(form)
    params = parameters()
    state = optimizer.init(params)
    seen = []

    def like_params(held, param):
        assert held.shape == param.shape
        seen.append(held.shape)
        return "parameter"

    marked = optax.tree_utils.tree_map_params(
        optimizer, like_params, state, params, transform_non_params=jnp.shape
    )
    # Each buffer has all three of them, and what else there is are numbers.
    assert seen.count((2, 3)) == seen.count((3,)) == seen.count(())
    assert seen.count((3,)) == sum(leaf.ndim == 1 for leaf in jax.tree.leaves(state))
    others = jax.tree.leaves(marked, is_leaf=lambda node: node == ())
    assert all(other in ("parameter", ()) for other in others)


@compiled
def test_a_checkpoint_in_mid_cycle_goes_on_bit_for_bit(name, tmp_path):
    ocp = pytest.importorskip("orbax.checkpoint")
    optimizer = CASES[name].form("schedules")
    run = jax.jit(functools.partial(step, optimizer))
    held = (parameters(), optimizer.init(parameters()))
    fresh = jax.tree.map(jnp.zeros_like, held)
    for t in range(3):
        held = run(*held, t)
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "step3", held)
        checkpointer.wait_until_finished()
        restored = checkpointer.restore(tmp_path / "step3", fresh)
    chex.assert_trees_all_equal_shapes_and_dtypes(restored, held)
    for t in range(3, STEPS):
        held, restored = run(*held, t), run(*restored, t)
        chex.assert_trees_all_equal(restored, held)
    close(restored[0], at(trained(name, "schedules"), STEPS - 1))


FLAX = pytest.mark.parametrize("name", ["sgdw, inside", "adamwr"])


@FLAX
def test_a_linen_train_state_trains(name):
    train_state = pytest.importorskip("flax.training.train_state")
    optimizer = CASES[name].form("schedules")
    state = train_state.TrainState.create(
        apply_fn=None, params=parameters(), tx=optimizer
    )
    run = jax.jit(
        lambda state, t: state.apply_gradients(grads=gradients(state.params, t))
    )
    for t in range(STEPS):
        state = run(state, t)
    close(state.params, at(trained(name, "schedules"), STEPS - 1))
    found = oc.current_hyperparams(state)
    last = SCHEDULES["learning_rate"](STEPS - 1)
    np.testing.assert_allclose(found["learning_rate"], last, rtol=3e-7)


@FLAX
def test_an_nnx_optimizer_trains(name):
    nnx = pytest.importorskip("flax.nnx")

    class Model(nnx.Module):
        def __init__(self):
            self.kernel = nnx.Param(parameters()["body"]["kernel"])

    optimizer = CASES[name].form("schedules")
    expected = train(optimizer, {"kernel": parameters()["body"]["kernel"]})["kernel"]
    model = Model()
    held = nnx.Optimizer(model, optimizer, wrt=nnx.Param)

    @nnx.jit
    def run(model, held, t):
        held.update(model, gradients(nnx.state(model, nnx.Param), t))

    for t in range(STEPS):
        run(model, held, t)
        close(model.kernel[...], expected[t])
    found = oc.current_hyperparams(held)
    last = SCHEDULES["learning_rate"](STEPS - 1)
    np.testing.assert_allclose(found["learning_rate"], last, rtol=3e-7)
