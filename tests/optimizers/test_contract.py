"""What holds for every optimizer, over a registry of them all."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from optimizer_registry import (
    CASES,
    STEPS,
    at,
    both,
    close,
    compiled,
    compiled_both,
    every,
    gradients,
    parameters,
    step,
    train,
    trained,
)

import optax_cycles as oc

DTYPES = (jnp.bfloat16, jnp.float16, jnp.float32, jnp.float64, jnp.complex64)
OWN = [name for name, case in CASES.items() if case.own]
LINEAR = [n for n in OWN if n.startswith(("sgdw", "scale_by_momentum", "add"))]

own = pytest.mark.parametrize("name", OWN)


def types(tree):
    leaves = [
        (leaf.shape, leaf.dtype, leaf.weak_type) for leaf in jax.tree.leaves(tree)
    ]
    return jax.tree.structure(tree), leaves


@compiled
@compiled_both
def test_a_parabola_and_rosenbrock_are_optimised(name, form):
    case, updates = CASES[name], 10_000
    rate = case.search["learning_rate"]
    falling = {"learning_rate": oc.linear_decay(rate, updates, end_value=rate / 10)}
    changes = falling if form == "schedules" else {}
    if name.startswith("decouple"):
        changes = {}
        if form == "schedules":
            changes["multiplier"] = oc.linear_decay(1.0, updates, end_value=0.1)
    optimizer = case.build(**{**case.search, **changes})
    # Both at once: the gradient of a sum of functions of different parameters.
    target = {"parabola": jnp.array([1.0, -1.0, 1.0]), "rosenbrock": jnp.ones(2)}
    params = {"parabola": jnp.array([-1.0, 10.0, 1.0]), "rosenbrock": jnp.zeros(2)}
    if case.own:
        target["complex"] = jnp.array([1 + 2j, -1 - 1j])
        params["complex"] = jnp.array([0j, 2 + 1j])

    def descend(_, carry):
        params, state = carry
        slopes = jax.tree.map(lambda p, q: 2 * (p - q), params, target)
        slopes["rosenbrock"] = jax.grad(rosenbrock)(params["rosenbrock"])
        change, state = optimizer.update(slopes, state, params)
        return optax.apply_updates(params, change), state

    carry = (params, optimizer.init(params))
    found, _ = jax.jit(lambda c: jax.lax.fori_loop(0, updates, descend, c))(carry)
    close(found, target, rtol=3e-2, atol=3e-2)


def rosenbrock(xy):
    x, y = xy
    return (1 - x) ** 2 + 100 * (y - x**2) ** 2


@every
@both
@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)
def test_an_update_keeps_every_type(name, form, dtype):
    case = CASES[name]
    with jax.enable_x64(True):
        optimizer = case.form(form)
        params = jax.eval_shape(lambda: parameters(dtype))
        state = jax.eval_shape(optimizer.init, params)
        updates, after = jax.eval_shape(optimizer.update, params, state, params)
    assert types(updates) == types(params)
    assert types(after) == types(state)
    assert not any(leaf.weak_type for leaf in jax.tree.leaves((updates, after)))
    if case.own:
        wide = jnp.promote_types(dtype, jnp.float32)
        buffers = {leaf.dtype for leaf in jax.tree.leaves(after) if leaf.ndim}
        assert buffers <= {wide, jnp.finfo(wide).dtype}


@every
@both
def test_a_branch_may_update_or_leave_the_state(name, form):
    optimizer = CASES[name].form(form)
    params = parameters(jnp.bfloat16)
    state = optimizer.init(params)
    # Eager states have the types of traced ones too.
    assert types(state) == types(jax.eval_shape(optimizer.init, params))

    def perhaps(updated, params, state):
        return jax.lax.cond(
            updated,
            lambda p, s: step(optimizer, p, s, 0),
            lambda p, s: (p, s),
            params,
            state,
        )

    after = jax.eval_shape(perhaps, True, params, state)
    assert types(after) == types((params, state))


@compiled
@compiled_both
def test_one_program_with_donated_buffers_is_the_scan(name, form):
    optimizer, traces = CASES[name].form(form), []

    def counted(params, state, t):
        traces.append(t)
        return step(optimizer, params, state, t)

    run = jax.jit(counted, donate_argnums=(0, 1))
    params = jax.tree.map(jnp.copy, parameters())
    state = optimizer.init(params)
    for t in range(STEPS):
        params, state = run(params, state, t)
        close(params, at(trained(name, form), t))
    assert len(traces) == 1


@compiled
@compiled_both
def test_eager_updates_are_the_compiled_ones(name, form):
    optimizer = CASES[name].form(form)
    params = parameters()
    state = optimizer.init(params)
    for t in range(2):
        params, state = step(optimizer, params, state, t)
    close(params, at(trained(name, form), 1))


@compiled
def test_vmap_over_every_number_in_one_trace(name):
    case, traces = CASES[name], []
    numbers = {**case.numbers, **case.constants}

    def run(changes):
        traces.append(1)
        return train(case.build(**changes), parameters())

    members = [
        {key: scaled(value, factor) for key, value in numbers.items()}
        for factor in (1.0, 0.9, 0.8)
    ]
    together = jax.tree.map(lambda *values: jnp.asarray(values), *members)
    swept = jax.jit(jax.vmap(run))(together)
    assert len(traces) == 1
    alone = jax.jit(run)
    for member, changes in enumerate(members):
        close(at(swept, member), alone(changes))
    assert len(traces) == 2
    close(at(swept, 0), trained(name, "numbers"))


def scaled(value, factor):
    """Whole numbers grow by one instead."""
    return (
        value + round(10 * (1 - factor)) if isinstance(value, int) else value * factor
    )


@own
@both
@pytest.mark.parametrize("tree", [{}, (), {"a": None, "b": ()}], ids=str)
def test_trees_without_arrays_come_back(name, form, tree):
    optimizer = CASES[name].form(form)
    state = optimizer.init(tree)
    updates, after = optimizer.update(tree, state, tree)
    assert updates == tree
    assert types(after) == types(state)


@own
@both
def test_no_gradient_leaves_a_parameter_and_its_state(name, form):
    optimizer = CASES[name].form(form)
    params = parameters()
    state = optimizer.init(params)
    slopes = gradients(params, 0)
    full, _ = optimizer.update(slopes, state, params)
    slopes["body"]["kernel"] = None
    updates, after = optimizer.update(slopes, state, params)
    assert updates["body"]["kernel"] is None
    assert types(after) == types(state)
    for path, leaf in jax.tree_util.tree_leaves_with_path(after):
        if "'kernel'" in jax.tree_util.keystr(path):
            np.testing.assert_array_equal(leaf, 0.0)
    full["body"]["kernel"] = None
    close(updates, full, rtol=0, atol=0)
    # The gradient may come back.
    updates, _ = optimizer.update(gradients(params, 1), after, params)
    assert np.all(np.isfinite(updates["body"]["kernel"]))


@every
@both
def test_extra_arguments_are_taken_and_change_nothing(name, form):
    optimizer = CASES[name].form(form)
    params = parameters()
    state = optimizer.init(params)
    plain = optimizer.update(gradients(params, 0), state, params)
    more = optimizer.update(gradients(params, 0), state, params, value=1.0, other=None)
    close(more, plain, rtol=0, atol=0)


@pytest.mark.parametrize("name", LINEAR)
@both
def test_a_complex_parameter_moves_as_its_two_parts_do(name, form):
    case = CASES[name]
    if "mask" in case.options:
        case = case._replace(options={"mask": None})
    parts = (jnp.linspace(-1.0, 1.0, 3), jnp.linspace(0.5, 2.0, 3))
    whole = jax.lax.complex(*parts)

    def run(params, slopes):
        optimizer = case.form(form)
        state, seen = optimizer.init(params), []
        for t in range(3):
            change, state = optimizer.update(slopes(t), state, params)
            params = optax.apply_updates(params, change)
            seen.append(params)
        return seen

    def slopes(t):
        return jnp.sin(parts[0] + t), jnp.cos(parts[1] + t)

    actual = run(whole, lambda t: jax.lax.complex(*slopes(t)))
    expected = run(parts, slopes)
    close([(z.real, z.imag) for z in actual], expected)


def test_adamw_of_complex_parameters_is_that_of_optax():
    rate, options = 0.1, {"b1": 0.9, "b2": 0.95, "eps": 1e-3, "weight_decay": 0.1}
    params = jnp.array([1 + 2j, -1j, 0.5])
    theirs = optax.adamw(rate, **options)
    for debias in ("product", "power"):
        ours = oc.adamw(rate, decay_scale="learning_rate", debias=debias, **options)
        close(train(ours, params), train(theirs, params))


def test_decouple_hands_extra_arguments_to_its_base():
    plateau = oc.scale_by_plateau(factor=0.5, patience=0)
    base = optax.chain(optax.sgd(1.0), plateau)
    optimizer = optax.chain(
        optax.clip(10.0), oc.decouple(base, oc.linear_decay(0.0, 5))
    )
    params = jnp.zeros(())
    state, seen = optimizer.init(params), []
    for _ in range(4):
        updates, state = optimizer.update(jnp.ones(()), state, params, value=1.0)
        seen.append(float(updates))
    # PyTorch's rule: patience 0 fires at each metric that is not better.
    assert seen == [-1.0, -0.5, -0.25, -0.125]
