"""What holds for every schedule, over a registry of them all."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from schedule_forms import forms
from schedule_registry import CASES, compiled

MAX = 2**31 - 1
STEPS = np.asarray([*range(48), 1000, 2**24 - 1, 2**24 + 1, MAX - 1, MAX], np.int32)

every = pytest.mark.parametrize("name", CASES)
fast = settings(max_examples=25, deadline=None, derandomize=True, database=None)


@every
def test_any_shape_of_steps_gives_strong_float32(name):
    schedule = CASES[name].build()
    for dtype in (jnp.int32, jnp.int8, jnp.uint32, jnp.float32, jnp.bfloat16):
        for shape in ((), (0,), (3,), (2, 1, 3)):
            value = jax.eval_shape(schedule, jax.ShapeDtypeStruct(shape, dtype))
            assert (value.shape, value.dtype) == (shape, jnp.float32)
            assert not value.weak_type
    value = schedule(3)
    assert (value.shape, value.dtype, value.weak_type) == ((), jnp.float32, False)


@every
def test_all_forms_agree(name):
    values = forms(CASES[name].build(), STEPS)
    for form in values:
        eager = values["array"][: len(values[form])]
        np.testing.assert_allclose(values[form], eager, rtol=3e-7, err_msg=form)


@every
def test_before_the_start_the_value_at_0_holds(name):
    schedule = CASES[name].build()
    for step in (-1, np.int32(-(2**31)), jnp.asarray(-1.5)):
        np.testing.assert_array_equal(schedule(step), schedule(0))


@every
def test_steps_beyond_int32_are_the_last_step(name):
    schedule = CASES[name].build()
    last = schedule(MAX)
    for step in (2**70, np.uint32(2**32 - 1), np.int64(2**40)):
        np.testing.assert_array_equal(schedule(step), last)


@pytest.mark.parametrize("name", [n for n, case in CASES.items() if case.end])
def test_the_end_value_holds(name):
    case = CASES[name]
    schedule = jax.jit(case.build())
    before = schedule(jnp.asarray([case.end - 1]))
    after = schedule(jnp.asarray([case.end, case.end + 1, 2**24 + 1, MAX]))
    assert len(set(np.asarray(after).tolist())) == 1
    assert before[0] != after[0]


@every
def test_one_trace_serves_every_number(name):
    case = CASES[name]
    run, traces = compiled(name)
    numbers = {**case.values, **case.lengths}
    sets = [numbers]
    for grown in (1, 3):
        changed = {k: v * 1.01**grown for k, v in case.values.items()}
        sets.append(changed | {k: v + grown for k, v in case.lengths.items()})
    constant = jax.jit(lambda steps: [case.build(**n)(steps) for n in sets])
    for numbers, expected in zip(sets, constant(STEPS[:48]), strict=True):
        # The exponential turns one rounding of its argument into a relative error.
        np.testing.assert_allclose(run(numbers, STEPS[:48]), expected, rtol=2e-6)
    assert len(traces) == 1


@pytest.mark.slow
@every
def test_vmap_over_all_numbers_with_floating_lengths(name):
    case = CASES[name]
    numbers = {
        **{k: jnp.asarray([v, v * 1.02]) for k, v in case.values.items()},
        **{k: jnp.asarray([v, v + 2.0]) for k, v in case.lengths.items()},
    }
    values = jax.vmap(lambda n: case.build(**n)(STEPS[:24]))(numbers)
    for member in range(2):
        one = {k: v[member] for k, v in numbers.items()}
        expected = jax.jit(case.build(**one))(STEPS[:24])
        np.testing.assert_allclose(values[member], expected, rtol=2e-6)


@every
def test_lengths_of_1_to_3_have_finite_values_and_gradients(name):
    case = CASES[name]

    def total(values, lengths):
        return jnp.sum(case.build(**values, **lengths)(jnp.arange(12)))

    gradient = jax.jit(jax.value_and_grad(total))
    for length in (0, 1, 2, 3):
        # A traced length below its minimum is taken as the minimum.
        lengths = dict.fromkeys(case.lengths, length)
        for extreme in (None, 0.0, 1.0):
            values = dict(case.values)
            if extreme is not None and "pct_start" in values:
                values["pct_start"] = extreme
            value, slopes = gradient(values, lengths)
            assert np.isfinite(value)
            assert all(np.isfinite(slope) for slope in slopes.values()), slopes


@pytest.mark.slow
@every
def test_gradients_are_those_of_the_float64_schedule(name):
    case = CASES[name]
    steps = jnp.arange(24)
    with jax.enable_x64(True):
        values = {k: np.float64(v) for k, v in case.values.items()}
        shift = 1e-6

        def total(values):
            return jnp.sum(case.build(**values)(steps))

        slopes = jax.jit(jax.grad(total))(values)
        run = jax.jit(total)
        for key, value in values.items():
            if key == "period_mult":
                continue  # it moves whole restarts
            above = run({**values, key: value + shift})
            below = run({**values, key: value - shift})
            numeric = (above - below) / (2 * shift)
            np.testing.assert_allclose(slopes[key], numeric, rtol=1e-4, atol=1e-6)


@every
def test_float64_only_where_inputs_are(name):
    case = CASES[name]
    double = {k: np.float64(v) for k, v in case.values.items()}
    assert jax.eval_shape(case.build(**double), 3).dtype == jnp.float32
    with jax.enable_x64(True):
        assert jax.eval_shape(case.build(), np.int64(3)).dtype == jnp.float32
        value = jax.jit(case.build(**double))(np.arange(24))
        assert value.dtype == (jnp.float64 if case.doubles else jnp.float32)
    single = jax.jit(case.build())(np.arange(24))
    np.testing.assert_allclose(single, value, rtol=1e-6)


@every
def test_nothing_is_promoted_implicitly(name):
    case = CASES[name]
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        jax.eval_shape(case.build(), jnp.arange(3))
        numbers = {k: jnp.float32(v) for k, v in case.values.items()}
        numbers |= {k: jnp.int32(v) for k, v in case.lengths.items()}
        jax.eval_shape(lambda n, t: case.build(**n)(t), numbers, jnp.arange(3))


@every
def test_the_program_is_small_and_stays_on_the_device(name):
    jaxpr = str(jax.make_jaxpr(CASES[name].build())(jnp.asarray(0)))
    assert jaxpr.count("\n") < 160
    for word in ("f64", "callback", "while", "scan", "cond"):
        assert f" {word}" not in jaxpr


@every
def test_values_stay_in_bounds(name):
    case = CASES[name]
    low, high = case.bounds
    run, _ = compiled(name)

    @fast
    @given(
        steps=st.lists(
            st.integers(0, MAX) | st.integers(0, 60), min_size=8, max_size=8
        ),
        data=st.data(),
    )
    def check(steps, data):
        lengths = {k: data.draw(st.integers(1, 40), label=k) for k in case.lengths}
        values = run({**case.values, **lengths}, np.resize(steps, 48).astype(np.int32))
        assert np.all(np.isfinite(values))
        room = 1e-6 * abs(high) if name == "cyclical" else 0.0
        assert np.all(values >= np.float32(low) - np.float32(1e-7) * abs(low))
        assert np.all(values <= np.float32(high) + np.float32(1e-7) * abs(high) + room)

    if name != "noam":  # its largest value depends on the length
        check()
