import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from optax_cycles import hyperparams, policies
from optax_cycles.schedules import plateau

PARAMS = {"bias": jnp.ones(2), "kernel": jnp.ones((2, 2))}


def mask(params):
    return jax.tree.map(lambda x: x.ndim > 1, params)


def updates_of(optimizer, params, grads, steps=1):
    state, seen = optimizer.init(params), []
    update = jax.jit(optimizer.update)
    for _ in range(steps):
        updates, state = update(grads, state, params)
        params = optax.apply_updates(params, updates)
        seen.append(state.hyperparams)
    return params, seen


def test_a_callable_mask_stays_a_mask():
    zeros = jax.tree.map(jnp.zeros_like, PARAMS)
    rate = {"learning_rate": lambda t: 0.5}
    optimizer = hyperparams.inject(optax.adamw, rate, weight_decay=0.1, mask=mask)
    params, _ = updates_of(optimizer, PARAMS, zeros)
    np.testing.assert_allclose(params["kernel"], 0.95, rtol=1e-6)
    np.testing.assert_array_equal(params["bias"], 1.0)
    # optax takes the mask for a schedule, whose value at step 0 masks everything.
    unsafe = optax.inject_hyperparams(optax.adamw)(
        learning_rate=0.5, weight_decay=0.1, mask=mask
    )
    params, _ = updates_of(unsafe, PARAMS, zeros)
    np.testing.assert_array_equal(params["kernel"], 1.0)


def test_a_callable_default_stays_a_function():
    factory = functools.partial(optax.adamw, mask=mask)
    zeros = jax.tree.map(jnp.zeros_like, PARAMS)
    rate = {"learning_rate": lambda t: 0.5}
    optimizer = hyperparams.inject(factory, rate, weight_decay=0.1)
    params, _ = updates_of(optimizer, PARAMS, zeros)
    np.testing.assert_array_equal(params["bias"], 1.0)
    np.testing.assert_allclose(params["kernel"], 0.95, rtol=1e-6)


def test_flags_strings_and_dtypes_reach_the_factory_as_they_are():
    seen = {}

    def factory(learning_rate, *, nesterov, kind="a", extra=None, dtype=None, n=2):
        seen.update(nesterov=nesterov, kind=kind, extra=extra, dtype=dtype, n=n)
        return optax.sgd(learning_rate, nesterov=nesterov)

    rate = {"learning_rate": lambda t: 0.5}
    optimizer = hyperparams.inject(
        factory, rate, nesterov=True, kind="b", dtype=jnp.bfloat16, static_args=["n"]
    )
    state = optimizer.init(PARAMS)
    assert seen == {
        "nesterov": True,
        "kind": "b",
        "extra": None,
        "dtype": jnp.bfloat16,
        "n": 2,
    }
    assert set(state.hyperparams) == {"learning_rate"}


def test_the_value_logged_is_the_value_used():
    policy = policies.one_cycle_policy(20, 0.5, momentum=None)
    optimizer = hyperparams.inject(optax.sgd, policy)
    params, grads = jnp.zeros(()), jnp.ones(())
    state = optimizer.init(params)
    for t in range(22):
        updates, state = optimizer.update(grads, state, params)
        logged = state.hyperparams["learning_rate"]
        assert float(updates) == -float(logged)
        assert float(logged) == float(policy["learning_rate"](t))
        assert logged.dtype == jnp.float32


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_low_precision_parameters_train_with_adam(dtype):
    params = jnp.ones(4, dtype)
    policy = policies.one_cycle_policy(30, 0.1, momentum_name="b1")
    optimizer = hyperparams.inject(optax.adam, policy)

    def step(carry, _):
        params, state = carry
        grads = jax.grad(lambda p: jnp.sum(p.astype(jnp.float32) ** 2))(params)
        updates, state = optimizer.update(grads, state, params)
        return (optax.apply_updates(params, updates), state), state.hyperparams

    (params, state), seen = jax.lax.scan(
        step, (params, optimizer.init(params)), length=30
    )
    assert params.dtype == dtype
    assert np.all(np.abs(params.astype(jnp.float32)) < 0.3)
    assert all(value.dtype == jnp.float32 for value in seen.values())
    assert np.all(seen["b2"] == np.float32(0.999))
    assert state.inner_state[0].nu.dtype == jnp.float32
    # The same through optax alone rounds b2; in bfloat16 to 1, which makes NaN.
    unsafe = optax.inject_hyperparams(optax.adam)(**policy)
    assert float(unsafe.init(params).hyperparams["b2"]) != np.float32(0.999)


def test_constants_may_be_traced_and_swept():
    def final(rate, momentum):
        optimizer = hyperparams.inject(
            optax.sgd, {"learning_rate": lambda t: rate}, momentum=momentum
        )
        params = jnp.asarray(1.0)
        state = optimizer.init(params)
        for _ in range(3):
            updates, state = optimizer.update(2 * params, state, params)
            params = optax.apply_updates(params, updates)
        return params

    rates, momenta = jnp.asarray([0.1, 0.2]), jnp.asarray([0.0, 0.9])
    swept = jax.vmap(final)(rates, momenta)
    for i in range(2):
        np.testing.assert_allclose(swept[i], final(rates[i], momenta[i]), rtol=1e-6)


def test_numbers_in_a_policy_are_constants():
    optimizer = hyperparams.inject(optax.sgd, {"learning_rate": 0.25})
    _, seen = updates_of(optimizer, PARAMS, PARAMS)
    assert float(seen[0]["learning_rate"]) == 0.25


def injected(rate=0.1, **constants):
    return hyperparams.inject(optax.sgd, {}, learning_rate=rate, **constants)


SCHEDULED = {"learning_rate": lambda t: 0.5}


@pytest.mark.parametrize(
    "wrap",
    [
        lambda o: o,
        lambda o: optax.chain(optax.clip(1.0), optax.chain(o, optax.identity())),
        lambda o: optax.masked(o, {"bias": False, "kernel": True}),
        lambda o: optax.MultiSteps(o, 2),
        lambda o: optax.apply_if_finite(o, 3),
        lambda o: optax.partition(
            {"a": o, "b": optax.set_to_zero()}, {"bias": "b", "kernel": "a"}
        ),
        lambda o: hyperparams.inject(lambda beta: o, {"beta": 0.3}),
    ],
    ids=["plain", "chain", "masked", "MultiSteps", "finite", "partition", "nested"],
)
def test_hyperparams_are_found_and_set_through(wrap):
    optimizer = wrap(injected(momentum=0.9))
    state = optimizer.init(PARAMS)
    found = hyperparams.current_hyperparams(state)
    assert float(found["learning_rate"]) == np.float32(0.1)
    assert float(found["momentum"]) == np.float32(0.9)
    changed = hyperparams.set_hyperparams(state, momentum=0.5)
    assert float(hyperparams.current_hyperparams(state)["momentum"]) == np.float32(0.9)
    after = hyperparams.current_hyperparams(changed)
    assert (after["momentum"], after["learning_rate"]) == (0.5, found["learning_rate"])
    assert jax.tree.structure(changed) == jax.tree.structure(state)
    assert [x.dtype for x in jax.tree.leaves(changed)] == [
        x.dtype for x in jax.tree.leaves(state)
    ]


def test_a_value_that_was_set_is_used_without_compiling_anew():
    optimizer, traces = injected(), []

    @jax.jit
    def update(state):
        traces.append(1)
        return optimizer.update(jnp.ones(()), state)

    _, state = update(optimizer.init(jnp.zeros(())))
    updates, _ = update(hyperparams.set_hyperparams(state, learning_rate=0.25))
    assert float(updates) == -0.25
    assert len(traces) == 1


def test_current_values_are_those_of_the_last_update():
    policy = policies.one_cycle_policy(10, 1.0)
    optimizer = optax.chain(hyperparams.inject(optax.sgd, policy))
    state = optimizer.init(PARAMS)
    for t in range(4):
        _, state = optimizer.update(PARAMS, state)
        found = hyperparams.current_hyperparams(state)
        assert {k: float(v) for k, v in found.items() if k in policy} == {
            k: float(schedule(t)) for k, schedule in policy.items()
        }


def test_names_that_occur_twice_get_their_path():
    optimizer = optax.chain(injected(0.1), injected(0.2))
    state = optimizer.init(PARAMS)
    found = hyperparams.current_hyperparams(state)
    assert {k: round(float(v), 3) for k, v in found.items()} == {
        "0/learning_rate": 0.1,
        "1/learning_rate": 0.2,
    }
    one = hyperparams.set_hyperparams(state, **{"1/learning_rate": 0.5})
    both = hyperparams.set_hyperparams(state, learning_rate=0.5)
    values = hyperparams.current_hyperparams(one).values()
    assert [round(float(v), 3) for v in values] == [0.1, 0.5]
    assert [float(v) for v in hyperparams.current_hyperparams(both).values()] == [
        0.5
    ] * 2


def test_a_number_fills_the_hyperparameters_of_many_members():
    optimizer = injected()
    states = jax.vmap(lambda _: optimizer.init(jnp.zeros(())))(jnp.arange(3))
    states = hyperparams.set_hyperparams(states, learning_rate=0.5)
    found = hyperparams.current_hyperparams(states)["learning_rate"]
    assert found.tolist() == [0.5, 0.5, 0.5]


def test_a_linen_train_state():
    train_state = pytest.importorskip("flax.training.train_state")
    state = train_state.TrainState.create(
        apply_fn=None, params=PARAMS, tx=injected(momentum=0.9)
    )
    changed = hyperparams.set_hyperparams(state, momentum=0.5)
    assert float(hyperparams.current_hyperparams(changed)["momentum"]) == 0.5


def test_an_nnx_optimizer():
    nnx = pytest.importorskip("flax.nnx")
    model = nnx.Linear(2, 3, rngs=nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, injected(momentum=0.9), wrt=nnx.Param)
    assert hyperparams.set_hyperparams(optimizer, momentum=0.5) is optimizer
    assert float(hyperparams.current_hyperparams(optimizer)["momentum"]) == 0.5


def test_a_mask_stays_a_mask_beside_a_policy():
    policy = policies.one_cycle_policy(
        6, 0.5, momentum_name="b1", weight_decay=(0.0, 0.2)
    )
    optimizer = hyperparams.inject(optax.adamw, policy, mask=mask)
    zeros = jax.tree.map(jnp.zeros_like, PARAMS)
    params, seen = updates_of(optimizer, PARAMS, zeros, steps=6)
    steps = np.arange(6)
    rates, decays = policy["learning_rate"](steps), policy["weight_decay"](steps)
    shrunk = np.prod(1 - np.asarray(rates) * np.asarray(decays))
    assert shrunk < 0.95
    np.testing.assert_allclose(params["kernel"], shrunk, rtol=1e-6)
    np.testing.assert_array_equal(params["bias"], 1.0)
    assert [float(s["b1"]) for s in seen] == policy["b1"](steps).tolist()


def test_accumulated_gradients_advance_a_schedule_once_an_update():
    policy = policies.one_cycle_policy(4, 0.5)
    optimizer = optax.MultiSteps(hyperparams.inject(optax.sgd, policy), 3)
    state, update = optimizer.init(jnp.zeros(())), jax.jit(optimizer.update)
    logged, emitted = [], []
    for _ in range(12):
        updates, state = update(jnp.ones(()), state)
        found = hyperparams.current_hyperparams(state)
        logged.append(float(found["learning_rate"]))
        emitted.append(float(updates) != 0.0)
    assert emitted == [False, False, True] * 4
    rates = policy["learning_rate"](np.arange(4)).tolist()
    # Between two emitted updates the values of the last one stay.
    assert logged[2::3] == rates
    assert logged[3:5] == [rates[0]] * 2


def test_a_checkpoint_in_mid_cycle_goes_on_bit_for_bit(tmp_path):
    ocp = pytest.importorskip("orbax.checkpoint")
    policy = policies.warm_restarts_policy(
        5, 0.1, period_mult=2, momentum=(0.8, 0.9), momentum_name="b1"
    )
    optimizer = optax.chain(
        hyperparams.inject(optax.adamw, policy, mask=mask),
        plateau.scale_by_plateau(patience=1, factor=0.5),
    )

    @jax.jit
    def train(params, state, metric):
        updates, state = optimizer.update(params, state, params, value=metric)
        return optax.apply_updates(params, updates), state

    held = PARAMS, optimizer.init(PARAMS)
    for metric in (3.0, 2.0, 2.0, 2.0, 1.0, 1.0, 1.0):
        held = train(*held, metric)
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "step7", held)
        checkpointer.wait_until_finished()
        fresh = PARAMS, optimizer.init(PARAMS)
        restored = checkpointer.restore(tmp_path / "step7", fresh)
    assert float(restored[1][1].value) == 0.25
    chex.assert_trees_all_equal(restored, held)
    chex.assert_trees_all_equal_dtypes(restored, held)
    for metric in (1.0, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5):
        held, restored = train(*held, metric), train(*restored, metric)
    chex.assert_trees_all_equal(restored, held)
    found = hyperparams.current_hyperparams(restored[1])
    assert float(found["learning_rate"]) == float(policy["learning_rate"](16))


METRICS = (1.0, 1.0, 1.0, 0.5, 0.5, 0.5)
# A patience of 1 and of 3: what the rate is for the update of each metric.
AFTER = {1: [0.5, 0.5, 0.05, 0.05, 0.05, 0.005], 3: [0.5] * 6}
FORMS = {
    "stateful schedule": lambda patience: hyperparams.inject(
        optax.sgd, {"learning_rate": plateau.reduce_on_plateau(0.5, patience=patience)}
    ),
    "transformation": lambda patience: optax.chain(
        hyperparams.inject(optax.sgd, {"learning_rate": 0.5}),
        plateau.scale_by_plateau(patience=patience),
    ),
}
forms = pytest.mark.parametrize("form", FORMS)


def sizes_of_updates(form, patience):
    """The updates of gradients of 1, in one `scan` over the metrics."""
    optimizer = FORMS[form](patience)
    params = jnp.zeros(())

    def step(state, metric):
        updates, state = optimizer.update(jnp.ones(()), state, params, value=metric)
        return state, -updates

    return jax.lax.scan(step, optimizer.init(params), jnp.asarray(METRICS))[1]


@forms
def test_a_plateau_in_jit_scan_and_vmap(form):
    found = jax.jit(jax.vmap(lambda p: sizes_of_updates(form, p)))(jnp.asarray([1, 3]))
    np.testing.assert_allclose(found, [AFTER[1], AFTER[3]], rtol=1e-6)
    alone = jax.jit(lambda: sizes_of_updates(form, 1))()
    np.testing.assert_array_equal(alone, found[0])


@forms
def test_a_plateau_in_a_linen_train_state(form):
    train_state = pytest.importorskip("flax.training.train_state")
    state = train_state.TrainState.create(
        apply_fn=None, params=jnp.zeros(()), tx=FORMS[form](1)
    )

    @jax.jit
    def train(state, metric):
        # `apply_gradients` has no way to hand on a metric.
        updates, inner = state.tx.update(
            jnp.ones(()), state.opt_state, state.params, value=metric
        )
        params = optax.apply_updates(state.params, updates)
        return state.replace(step=state.step + 1, params=params, opt_state=inner)

    for metric in METRICS:
        state = train(state, metric)
    np.testing.assert_allclose(state.params, -sum(AFTER[1]), rtol=1e-6)


@forms
def test_a_plateau_in_an_nnx_optimizer(form):
    nnx = pytest.importorskip("flax.nnx")

    class Model(nnx.Module):
        def __init__(self):
            self.weight = nnx.Param(jnp.zeros(()))

    model = Model()
    optimizer = nnx.Optimizer(model, FORMS[form](1), wrt=nnx.Param)

    @nnx.jit
    def train(model, optimizer, metric):
        grads = nnx.grad(lambda m: m.weight[...] * 1.0)(model)
        optimizer.update(model, grads, value=metric)

    for metric in METRICS:
        train(model, optimizer, metric)
    np.testing.assert_allclose(model.weight[...], -sum(AFTER[1]), rtol=1e-6)
    rate = hyperparams.current_hyperparams(optimizer)["learning_rate"]
    expected = AFTER[1][-1] if form == "stateful schedule" else 0.5
    np.testing.assert_allclose(rate, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: hyperparams.current_hyperparams(optax.sgd(0.1).init(PARAMS)),
            "current_hyperparams: opt_state must be the state of an optimizer made",
        ),
        (
            lambda: hyperparams.set_hyperparams(
                injected().init(PARAMS), learning_rat=1
            ),
            "set_hyperparams: a name must be one of learning_rate (did you mean 'learn",
        ),
        (
            lambda: hyperparams.set_hyperparams(
                hyperparams.inject(optax.sgd, SCHEDULED).init(PARAMS), learning_rate=1
            ),
            "set_hyperparams: learning_rate must be left alone: learning_rate follows",
        ),
        (
            lambda: hyperparams.inject(optax.sgd, {"learning_rat": abs}),
            "inject: a name in policy must be one of accumulator_dtype, lear",
        ),
        (
            lambda: hyperparams.inject(optax.sgd, {}, learning_rate=1.0, momentom=0.9),
            "inject: a name in constants must be one of accumulator_dtype, lear",
        ),
        (
            lambda: hyperparams.inject(
                optax.sgd, {"learning_rate": abs}, learning_rate=0.1
            ),
            "inject: learning_rate must be given only once, got 'policy and constants'",
        ),
    ],
)
def test_messages(call, message):
    with pytest.raises(ValueError, match=": ") as caught:
        call()
    assert str(caught.value).startswith(message)


def test_a_factory_must_be_callable():
    with pytest.raises(TypeError, match="inject: factory must be a callable, got 3"):
        hyperparams.inject(3, {})


@pytest.mark.parametrize(
    "number",
    [1, np.int64(1), np.float32(1.0), np.float16(1.0), jnp.bfloat16(1.0), jnp.uint8(1)],
    ids=lambda number: type(number).__name__,
)
@pytest.mark.parametrize("in_policy", [True, False])
def test_every_number_becomes_a_float32_hyperparameter(number, in_policy):
    policy = {"learning_rate": number} if in_policy else {}
    constants = {} if in_policy else {"learning_rate": number}
    state = hyperparams.inject(optax.sgd, policy, **constants).init(PARAMS)
    found = hyperparams.current_hyperparams(state)["learning_rate"]
    assert found.dtype == jnp.float32
    assert found == 1.0
    after = hyperparams.set_hyperparams(state, learning_rate=0.25)
    assert hyperparams.current_hyperparams(after)["learning_rate"] == 0.25


def test_a_number_given_survives_the_donation_of_the_state():
    rate = jnp.float32(0.5)
    optimizer = hyperparams.inject(optax.sgd, {}, learning_rate=rate)
    update = jax.jit(optimizer.update, donate_argnums=1)
    update(PARAMS, optimizer.init(PARAMS))
    state = hyperparams.set_hyperparams(optimizer.init(PARAMS), learning_rate=rate)
    update(PARAMS, state)
    assert rate == 0.5
