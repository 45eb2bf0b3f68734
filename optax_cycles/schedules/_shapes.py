"""The shapes of a phase: functions of its fraction that fall from 1 to 0.

A shape gives the weight of the value at the start of the phase. The built-in ones
also give the weight of the value at its end without subtracting from 1.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any, TypeAlias

import jax.numpy as jnp

from optax_cycles import _checks
from optax_cycles._typing import Array, Scalar
from optax_cycles.schedules._phase import Fraction, Weights, reals

ShapeLike: TypeAlias = str | Callable[[Any], Any]


@dataclasses.dataclass(frozen=True)
class Shape:
    """A shape that knows both of its weights; called, it is a function of `q`."""

    weights: Callable[[Fraction], Weights]

    def __call__(self, q: Scalar) -> Array:
        """The weight of the start value at the fraction `q`, from 0 to 1."""
        done = jnp.clip(jnp.asarray(q, jnp.float32), 0.0, 1.0)
        return self.weights(Fraction(done, 1.0 - done)).start


def _sqrt(x: Array) -> Array:
    """The square root; its derivative at 0 is taken as 0, not as infinity."""
    positive = x > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, x, 1.0)), 0.0)


def _linear(q: Fraction) -> Weights:
    return Weights(q.left, q.done)


def _half_versine(x: Array) -> Array:
    """`sin(pi x / 2)**2` for x from 0 to 1/2, by its series in x**2.

    Its terms fall so fast that 6 of them (12 in float64) are exact to a rounding, and
    they take a fraction of the time of the sine, which must be ready for any argument.
    """
    square = x * x
    count = 12 if x.dtype == jnp.float64 else 6
    orders = [2 * n for n in range(1, count + 1)]
    terms = [-((-1) ** (n // 2)) * math.pi**n / (2 * math.factorial(n)) for n in orders]
    series: Any = terms.pop()
    while terms:
        series = terms.pop() + square * series
    half_versine: Array = square * series
    return half_versine


def _cosine(q: Fraction) -> Weights:
    # The smaller weight has digits to lose; the larger is its rest.
    early = q.done < q.left
    small = _half_versine(jnp.where(early, q.done, q.left))
    large = 1.0 - small
    return Weights(jnp.where(early, large, small), jnp.where(early, small, large))


def _arccosine(q: Fraction) -> Weights:
    left, done = _sqrt(q.left), _sqrt(q.done)
    scale = 2 / math.pi
    return Weights(scale * jnp.arctan2(left, done), scale * jnp.arctan2(done, left))


def _one_minus_sqrt(q: Fraction) -> Weights:
    root = _sqrt(q.done)
    return Weights(q.left / (1.0 + root), root)


def _one_minus_square(q: Fraction) -> Weights:
    return Weights(q.left * (1.0 + q.done), q.done**2)


def _rex(q: Fraction) -> Weights:
    return Weights(2.0 * q.left / (1.0 + q.left), q.done / (1.0 + q.left))


def _cosh(x: Any) -> Array:
    """`2 exp(-abs(x)) cosh(x)`, from 1 to 2."""
    return 1.0 + jnp.exp(-2.0 * jnp.abs(x))


def polynomial_shape(power: Scalar) -> Shape:
    """The shape `(1 - q)**power`.

    Args:
      power: exponent, >= 0. It may be traced.

    Returns:
      A function of the fraction `q` of a phase, for any argument that takes a shape.

    Raises:
      ValueError: if `power` is negative or not finite.

    Examples:
      >>> import optax_cycles as oc
      >>> float(oc.polynomial_shape(2)(0.5))
      0.25
    """
    _checks.real("polynomial_shape", "power", power, minimum=0)
    _, (p,) = reals("polynomial_shape", power=power)

    def weights(q: Fraction) -> Weights:
        # The derivative of a root at 0 is taken as 0, like that of `_sqrt`.
        regular = (q.left > 0) | (jnp.asarray(p) >= 1)
        ends = jnp.where(jnp.asarray(p) > 0, 0.0, 1.0).astype(q.left.dtype)
        start = jnp.where(regular, jnp.where(regular, q.left, 1.0) ** p, ends)
        early = q.done < 0.5
        log_left = jnp.log1p(-jnp.where(early, q.done, 0.0))
        return Weights(start, jnp.where(early, -jnp.expm1(p * log_left), 1 - start))

    return Shape(weights)


def exponential_shape(rate: Scalar = 5.0) -> Shape:
    """The shape `(exp(rate (1 - q)) - 1) / (exp(rate) - 1)`.

    From `high` to `low = high exp(-rate)` this is the geometric interpolation
    `high (low / high)**q`; unlike that, it also reaches 0.

    Args:
      rate: how fast the shape falls, > 0. It may be traced.

    Returns:
      A function of the fraction `q` of a phase, for any argument that takes a shape.

    Raises:
      ValueError: if `rate` is not positive and finite.

    Examples:
      >>> import math, optax_cycles as oc
      >>> round(float(oc.exponential_shape(math.log(9))(0.5)), 6)
      0.25
    """
    _checks.real("exponential_shape", "rate", rate, above=0)
    _, (k,) = reals("exponential_shape", rate=rate)

    def weights(q: Fraction) -> Weights:
        # Exponents below 0 only, which do not overflow. The sum is 1, in the shape of
        # its parts: a scalar may be rounded otherwise, and both ends are exact.
        total = jnp.expm1(-k * (q.done + q.left))
        start = jnp.exp(-k * q.done) * (jnp.expm1(-k * q.left) / total)
        return Weights(start, jnp.expm1(-k * q.done) / total)

    return Shape(weights)


def tanh_shape(lower: Scalar = -6.0, upper: Scalar = 3.0) -> Shape:
    """The shape `(tanh(u) - tanh(l + (u - l) q)) / (tanh(u) - tanh(l))`.

    The hyperbolic-tangent decay of Hsueh et al., "Stochastic Gradient Descent with
    Hyperbolic-Tangent Decay on Classification" (2018), whose bounds are -6 and 3,
    stretched by less than 0.3 % so that it reaches both ends.

    Args:
      lower: argument `l` of the hyperbolic tangent at the start of the phase.
      upper: argument `u` at its end, above `lower`. Both may be traced.

    Returns:
      A function of the fraction `q` of a phase, for any argument that takes a shape.

    Raises:
      ValueError: if a bound is not finite, or `upper` is not above `lower`.

    Examples:
      >>> import optax_cycles as oc
      >>> [round(float(oc.tanh_shape()(q)), 4) for q in (0.0, 0.5, 1.0)]
      [1.0, 0.9525, 0.0]
    """
    _, (low, high) = reals("tanh_shape", lower=lower, upper=upper)
    if not _checks.is_traced(low):
        _checks.real("tanh_shape", "upper", upper, above=low)

    def weights(q: Fraction) -> Weights:
        # tanh a - tanh b = sinh(a - b) / (cosh a cosh b) subtracts nothing. The
        # exponentials of its sinh and cosh are collected in one, whose exponent is
        # below 0: what remains is from 0 to 2 and does not overflow.
        width = high - low
        done, left = width * q.done, width * q.left
        now = jnp.where(q.done < q.left, low + done, high - left)
        scale = _cosh(now) * jnp.expm1(-2.0 * width)
        fall = jnp.exp(-2.0 * jnp.minimum(done, jnp.maximum(now, 0.0)))
        rise = jnp.exp(-2.0 * jnp.minimum(left, jnp.maximum(-now, 0.0)))
        return Weights(
            fall * (jnp.expm1(-2.0 * left) * _cosh(low) / scale),
            rise * (jnp.expm1(-2.0 * done) * _cosh(high) / scale),
        )

    return Shape(weights)


SHAPES: dict[str, Shape] = {
    "linear": Shape(_linear),
    "cosine": Shape(_cosine),
    "arccosine": Shape(_arccosine),
    "1-sqrt": Shape(_one_minus_sqrt),
    "1-square": Shape(_one_minus_square),
    "exp": exponential_shape(),
    "rex": Shape(_rex),
    "tanh": tanh_shape(),
}


def shape_of(function: str, argument: str, shape: ShapeLike) -> Shape:
    """The `Shape` behind a name or a function of `q`."""
    if isinstance(shape, str):
        _checks.choice(function, argument, shape, SHAPES)
        return SHAPES[shape]
    if isinstance(shape, Shape):
        return shape
    if not callable(shape):
        names = ", ".join(SHAPES)
        _checks.fail_type(
            function, argument, f"a function of q or one of {names}", shape
        )

    def weights(q: Fraction) -> Weights:
        # A compiled division may end one rounding above 1, where a root is NaN.
        done = jnp.minimum(q.done, 1.0)
        start = jnp.asarray(shape(done)).astype(q.done.dtype)
        start = jnp.broadcast_to(start, done.shape)
        return Weights(start, 1.0 - start)

    return Shape(weights)
