"""Every form in which a schedule may be called, compared with numbers."""

import functools

import jax
import jax.numpy as jnp
import numpy as np


def forms(schedule, steps):
    """The values at `steps`, by each way of calling."""
    count = len(steps)
    # One size for all tests, so that eager operations are compiled only once.
    steps = np.resize(np.asarray(steps, np.int32), -(-count // 64) * 64)
    jitted = jax.jit(schedule)
    values = {
        "eager": np.stack([schedule(int(t)) for t in steps[: min(count, 12)]]),
        "jit": np.stack([jitted(t) for t in steps[:count]]),
        "vmap": np.asarray(jax.jit(jax.vmap(schedule))(steps)),
        "array": np.asarray(schedule(steps)),
        "scan": np.asarray(jax.jit(functools.partial(scanned, schedule))(steps)),
    }
    return {form: found[:count] for form, found in values.items()}


def scanned(schedule, steps):
    """The values at `steps` from inside `lax.scan`."""
    return jax.lax.scan(lambda carry, t: (carry, schedule(t)), None, steps)[1]


def assert_values(schedule, expected, *, steps=None, rtol=1e-6, atol=0.0):
    """Check the values at `steps` (0, 1, ... if None) in every form."""
    expected = np.asarray(expected, np.float64)
    steps = np.arange(len(expected)) if steps is None else np.asarray(steps)
    for form, values in forms(schedule, steps).items():
        assert values.dtype == np.float32
        np.testing.assert_allclose(
            values, expected[: len(values)], rtol=rtol, atol=atol, err_msg=form
        )


def assert_close(schedule, expected, *, steps, rtol=1e-6, atol=0.0):
    """Check the values of an array of steps only, for long lists of them."""
    values = np.asarray(jax.jit(schedule)(jnp.asarray(steps, jnp.int32)))
    np.testing.assert_allclose(values, expected, rtol=rtol, atol=atol)


def ulps(values, expected):
    """The largest error in units in the last place of float32."""
    expected = np.asarray(expected, np.float64)
    spacing = np.spacing(np.abs(expected).astype(np.float32)).astype(np.float64)
    return np.max(np.abs(np.asarray(values, np.float64) - expected) / spacing)
