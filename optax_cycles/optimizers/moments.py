"""Adam's moments, debiased correctly while their decay moves."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from optax_cycles import _checks
from optax_cycles._precision import in_float32
from optax_cycles._typing import Array, Params, PyTree
from optax_cycles.optimizers._leaves import map_state, map_updates
from optax_cycles.optimizers._scheduled import (
    BETA,
    NOT_NEGATIVE,
    Hyperparam,
    Number,
    check_numbers,
    scheduled,
)

DEBIAS = ("product", "power")
EPS_FORMS = ("outside", "inside")


class MomentsState(NamedTuple):
    """State of `scale_by_moments`.

    Attributes:
      count: number of updates (int32).
      mu: first moments, in the structure of the parameters.
      nu: second moments, real.
      mu_weight: how much all the gradients in `mu` weigh together, 1 - prod(b1_i);
        None with `debias="power"`, like `nu_weight`.
      nu_weight: the same for `nu`.
      nu_max: largest second moments so far; None without `amsgrad`.
    """

    count: Array  # type: ignore[assignment]
    mu: PyTree
    nu: PyTree
    mu_weight: Array | None
    nu_weight: Array | None
    nu_max: PyTree


def scale_by_moments(
    b1: Hyperparam = 0.9,
    b2: Hyperparam = 0.999,
    eps: Hyperparam = 1e-8,
    *,
    debias: str = "product",
    eps_form: str = "outside",
    nesterov: bool = False,
    amsgrad: bool = False,
    mu_dtype: Any = None,
) -> optax.GradientTransformationExtraArgs:
    """Adam's direction, with moments that are right while b1 and b2 move.

    m_t = b1_t m_{t-1} + (1 - b1_t) g_t and v_t = b2_t v_{t-1} + (1 - b2_t) abs(g_t)^2
    from zero, and m_hat / (sqrt(v_hat) + eps) comes out. A moment is debiased by the
    weight w of all the gradients in it, m_hat = m / w, w_t = b1_t w_{t-1} + 1 - b1_t,
    which is 1 - prod(b1_i): a constant gradient g gives m_hat = g at every update.
    PyTorch and Optax divide by 1 - b1_t^t instead, which is the same only while b1
    stands still; in one 1cycle of 300 updates it makes m_hat up to 7 % too small.

    Args:
      b1: decay of the first moment, in [0, 1), or a schedule.
      b2: decay of the second moment, in [0, 1), or a schedule.
      eps: added to the root of the second moment, >= 0, or a schedule.
      debias: by what moments are debiased: `"product"`, 1 - prod(b_i), or `"power"`,
        1 - b_t^t (PyTorch, Optax).
      eps_form: `"outside"`, sqrt(v_hat) + eps (Kingma and Ba, Algorithm 1; PyTorch,
        Optax), or `"inside"` the correction, (sqrt(v) + eps) / sqrt(w) (their "epsilon
        hat", at the end of section 2; the first PyTorch and Lua versions of AdamW).
      nesterov: whether the first moment looks ahead, (b1 m + (1 - b1) g) over the
        weight of just that; with `debias="power"` as in `optax.nadamw`.
      amsgrad: whether to divide by the largest v so far. It is debiased afterwards, as
        in PyTorch; `optax.amsgrad` takes the largest debiased one.
      mu_dtype: dtype of the first moment; that of the parameters if None.

    Returns:
      A transformation with a `MomentsState`. Moments are float32 for parameters of a
      lower precision: in bfloat16 the second one stops growing at once.

    Raises:
      TypeError: if a number is of the wrong type.
      ValueError: if a number is out of range or a name unknown; in an update, if the
        state comes from another `debias` or `amsgrad`.

    D. Kingma and J. Ba, "Adam: A Method for Stochastic Optimization" (2015); S. Reddi,
    S. Kale and S. Kumar, "On the Convergence of Adam and Beyond" (2018), for `amsgrad`.

    Examples:
      >>> import jax.numpy as jnp, optax_cycles as oc
      >>> b1 = oc.linear_decay(0.95, 10, end_value=0.85)
      >>> transformation = oc.scale_by_moments(b1)
      >>> state = transformation.init(jnp.zeros(()))
      >>> for _ in range(10):
      ...     update, state = transformation.update(jnp.full((), 0.5), state)
      >>> round(float(update), 6)
      1.0
    """
    function, arguments = "scale_by_moments", dict(locals())
    check_moments(function, arguments)
    named = arguments | {"function": function}
    return scheduled(moments, ["b1", "b2", "eps"], named)


def check_moments(function: str, arguments: dict[str, Any]) -> None:
    """Check the arguments of `scale_by_moments`, for the function that takes them."""
    check_numbers(function, arguments, b1=BETA, b2=BETA, eps=NOT_NEGATIVE)
    _checks.flag(function, "nesterov", arguments["nesterov"])
    _checks.flag(function, "amsgrad", arguments["amsgrad"])
    _checks.choice(function, "debias", arguments["debias"], DEBIAS)
    _checks.choice(function, "eps_form", arguments["eps_form"], EPS_FORMS)


def moments(
    *,
    function: str,
    b1: Number,
    b2: Number,
    eps: Number,
    debias: str,
    eps_form: str,
    nesterov: bool,
    amsgrad: bool,
    mu_dtype: Any,
) -> optax.GradientTransformationExtraArgs:
    """`scale_by_moments` for numbers that have been checked."""

    def init(params: Params) -> MomentsState:
        # Each has a buffer of its own, so that the state can be donated.
        def weight() -> Array | None:
            wide = jnp.result_type(float)
            return jnp.zeros((), wide) if debias == "product" else None

        def squares() -> PyTree:
            return jax.tree.map(lambda p: jnp.zeros_like(p, dtype=_real(p)), params)

        return MomentsState(
            count=jnp.zeros((), jnp.int32),
            mu=jax.tree.map(lambda p: jnp.zeros_like(p, dtype=mu_dtype), params),
            nu=squares(),
            mu_weight=weight(),
            nu_weight=weight(),
            nu_max=squares() if amsgrad else None,
        )

    def update(
        updates: PyTree, state: MomentsState, params: Params = None
    ) -> tuple[PyTree, MomentsState]:
        del params
        _check_state(function, state, debias, amsgrad)
        count = optax.safe_increment(state.count)
        mu = map_state(lambda g, m: _average(b1, m, g), updates, state.mu)
        nu = map_state(lambda g, v: _average(b2, v, _square(g)), updates, state.nu)
        largest = jax.tree.map(jnp.maximum, state.nu_max, nu) if amsgrad else None
        mu_weight = nu_weight = None
        if debias == "product":
            mu_weight = _average(b1, state.mu_weight, 1.0)
            nu_weight = _average(b2, state.nu_weight, 1.0)
        first = _Debiased(b1, mu_weight, count)
        second = _Debiased(b2, nu_weight, count)

        def direction(g: Array, m: Array, v: Array) -> Array:
            up = first.ahead(m, g) if nesterov else m / first.weight(v)
            if eps_form == "outside":
                return up / (jnp.sqrt(v / second.weight(v)) + eps)
            return up * jnp.sqrt(second.weight(v)) / (jnp.sqrt(v) + eps)

        out = map_updates(direction, updates, mu, largest if amsgrad else nu)
        return out, MomentsState(count, mu, nu, mu_weight, nu_weight, largest)

    return in_float32(optax.GradientTransformation(init, update))


class _Debiased:
    """The weight of a moment, by the product or by the power of its decay."""

    def __init__(self, decay: Number, weight: Array | None, count: Array) -> None:
        self._decay, self._count, self._weight = decay, count, weight

    def weight(self, like: Array) -> Array:
        """The weight in the dtype of a real array."""
        weight = self._power(self._count) if self._weight is None else self._weight
        return weight.astype(like.dtype)

    def _power(self, count: Array) -> Array:
        return jnp.asarray(1.0 - self._decay**count)

    def ahead(self, moment: Array, gradient: Array) -> Array:
        """The moment that would follow if the same gradient came again."""
        now = self.weight(gradient.real)
        if self._weight is not None:
            again = _average(self._decay, moment, gradient)
            return again / _average(self._decay, now, 1.0)
        following = self._power(optax.safe_increment(self._count)).astype(now.dtype)
        return _average(self._decay, moment / following, gradient / now)


def _average(decay: Number, old: Any, new: Any) -> Any:
    return decay * old + (1.0 - decay) * new


def _square(gradient: Array) -> Array:
    """`abs(g)**2`, real for complex gradients."""
    return jnp.real(gradient * jnp.conj(gradient))


def _real(leaf: Any) -> Any:
    """The dtype of a leaf's absolute value."""
    dtype = jnp.result_type(leaf)
    return jnp.finfo(dtype).dtype if jnp.issubdtype(dtype, jnp.inexact) else dtype


def _check_state(function: str, state: Any, debias: str, amsgrad: bool) -> None:
    known = isinstance(state, MomentsState)
    if not known or (state.mu_weight is None) == (debias == "product"):
        other = next(name for name in DEBIAS if name != debias)
        got = f"one of debias={other}" if known else type(state).__name__
        expected = f"a MomentsState of debias={debias}"
        raise ValueError(f"{function}: state must be {expected}, got {got}")
    if (state.nu_max is None) == amsgrad:
        expected = f"a MomentsState of amsgrad={amsgrad}"
        got = f"one of amsgrad={not amsgrad}"
        raise ValueError(f"{function}: state must be {expected}, got {got}")
