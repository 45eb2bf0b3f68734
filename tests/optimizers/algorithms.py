"""The optimizers in NumPy float64, slow and obvious, and what runs ours.

Each reference gives the parameters after every update. A hyperparameter is a number or
one for each update; nothing here is shared with the package.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax


def sgdw(
    theta,
    gradients,
    *,
    alpha,
    eta=1.0,
    decay=0.0,
    momentum=0.9,
    form="inside",
    nesterov=False,
):
    """Loshchilov & Hutter (2019), Algorithm 1, and with the rate outside the buffer."""
    count = len(gradients)
    alpha, eta, decay, mu = each(count, alpha, eta, decay, momentum)
    buffer, seen = np.zeros_like(theta), []
    for t in range(count):
        rate = eta[t] * alpha[t]
        if form == "inside":
            new = rate * gradients[t]
            buffer = mu[t] * buffer + new
            step = new + mu[t] * buffer if nesterov else buffer
        else:
            buffer = mu[t] * buffer + gradients[t]
            ahead = gradients[t] + mu[t] * buffer if nesterov else buffer
            step = rate * ahead
        theta = theta - step - eta[t] * decay[t] * theta
        seen.append(theta)
    return np.stack(seen)


def adamw(
    theta,
    gradients,
    *,
    alpha,
    eta=1.0,
    decay=0.0,
    b1=0.9,
    b2=0.999,
    eps=1e-8,
    debias="product",
    eps_form="outside",
    nesterov=False,
    amsgrad=False,
):
    """Loshchilov & Hutter (2019), Algorithm 2, with the choices of its successors.

    Nesterov as Dozat (2016) for `debias="power"`; `amsgrad` as torch.optim.AdamW;
    eps inside the correction as in the Lua code of the paper's authors.
    """
    count = len(gradients)
    alpha, eta, decay, b1, b2, eps = each(count, alpha, eta, decay, b1, b2, eps)
    m, v, v_max, seen = 0.0, 0.0, 0.0, []
    for t in range(count):
        g = gradients[t]
        m = b1[t] * m + (1 - b1[t]) * g
        v = b2[t] * v + (1 - b2[t]) * np.abs(g) ** 2
        v_max = np.maximum(v_max, v)
        weight, following = correction(b1, t, debias), following_of(b1, t, debias)
        m_hat = m / weight
        if nesterov:
            gradient_weight = following if debias == "product" else weight
            m_hat = b1[t] * m / following + (1 - b1[t]) * g / gradient_weight
        second = correction(b2, t, debias)
        root = np.sqrt(v_max if amsgrad else v)
        if eps_form == "outside":
            direction = m_hat / (root / math.sqrt(second) + eps[t])
        else:
            direction = m_hat * math.sqrt(second) / (root + eps[t])
        theta = theta - eta[t] * (alpha[t] * direction + decay[t] * theta)
        seen.append(theta)
    return np.stack(seen)


def correction(beta, t, debias):
    """What a moment of gradients that are all 1 is after update t."""
    if debias == "product":
        return 1 - math.prod(beta[: t + 1])
    return 1 - beta[t] ** (t + 1)


def following_of(beta, t, debias):
    """The same one update later, if beta stayed as it is now."""
    if debias == "product":
        return 1 - math.prod(beta[: t + 1]) * beta[t]
    return 1 - beta[t] ** (t + 2)


def each(count, *numbers):
    """Each of `numbers` as one for each update."""
    return [np.broadcast_to(np.asarray(n, np.float64), (count,)) for n in numbers]


def moving(first, last, count):
    """A table of numbers on a cosine from `first` to `last`, exact in float32.

    Ours and the reference then compute with the same numbers, and what is left between
    them is the rounding of the arithmetic.
    """
    q = (1 - np.cos(np.pi * np.arange(count) / count)) / 2
    return (first + (last - first) * q).astype(np.float32).astype(np.float64)


def scheduled(table):
    """A schedule that reads its values from a table."""
    values = jnp.asarray(table, jnp.float32)
    return lambda t: values[t]


def random_gradients(count, size, seed=0):
    """Gradients of very different sizes from parameter to parameter, in float32."""
    draws = np.random.default_rng(seed).normal(0.3, 1.0, (count, size))
    scales = 10.0 ** np.linspace(-3, 2, size)
    return (draws * scales).astype(np.float32).astype(np.float64)


def trained(optimizer, theta, gradients, dtype=jnp.float32):
    """The parameters after each update of ours, in one compiled loop."""

    def step(carry, gradient):
        params, state = carry
        updates, state = optimizer.update(gradient, state, params)
        params = optax.apply_updates(params, updates)
        return (params, state), params

    @jax.jit
    def run(params, gradients):
        return jax.lax.scan(step, (params, optimizer.init(params)), gradients)[1]

    return np.asarray(run(jnp.asarray(theta, dtype), jnp.asarray(gradients, dtype)))
