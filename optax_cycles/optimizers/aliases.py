"""SGDW and AdamW, all of whose numbers may be schedules."""

from __future__ import annotations

from typing import Any

import optax

from optax_cycles import _checks
from optax_cycles._precision import in_float32
from optax_cycles.optimizers._scheduled import (
    ANY,
    BETA,
    NOT_NEGATIVE,
    Hyperparam,
    Number,
    check_numbers,
    scheduled,
)
from optax_cycles.optimizers.decoupled import Mask, decay_by
from optax_cycles.optimizers.moments import check_moments, moments
from optax_cycles.optimizers.momentum import by_momentum

DECAY_SCALES = ("multiplier", "learning_rate")
MOMENTUM_FORMS = ("outside", "inside")
_RATES = {"learning_rate": ANY, "weight_decay": NOT_NEGATIVE, "multiplier": ANY}


def sgdw(
    learning_rate: Hyperparam,
    momentum: Hyperparam = 0.9,
    *,
    weight_decay: Hyperparam = 0.0,
    multiplier: Hyperparam = 1.0,
    nesterov: bool = False,
    momentum_form: str = "outside",
    decay_scale: str = "multiplier",
    mask: Mask = None,
    momentum_dtype: Any = None,
) -> optax.GradientTransformationExtraArgs:
    """Stochastic gradient descent with momentum and decoupled weight decay.

    theta_t = theta_{t-1} - eta_t (alpha_t d_t + lambda_t theta_{t-1}), where
    d_t = mu_t d_{t-1} + g_t is the momentum buffer. With `momentum_form="inside"` the
    rate is in the buffer, d_t = mu_t d_{t-1} + eta_t alpha_t g_t, and
    theta_t = theta_{t-1} - d_t - eta_t lambda_t theta_{t-1}.

    Args:
      learning_rate: alpha, a number or a schedule, like all numbers here.
      momentum: mu, in [0, 1).
      weight_decay: lambda, share of the parameters that is taken off in an update where
        eta is 1, >= 0. The learning rate does not multiply it: what PyTorch and Optax
        call 0.01 is 1e-5 here at a rate of 0.001.
      multiplier: eta, which multiplies rate and decay: the place for a schedule where
        there is decay, because one of the learning rate leaves the decay as it is.
      nesterov: whether the momentum looks ahead by one update.
      momentum_form: the rate `"outside"` the momentum buffer (PyTorch, Optax, the code
        of the paper's authors) or `"inside"` (the paper's Algorithm 1). They differ
        while the rate moves.
      decay_scale: what multiplies the decay: the `"multiplier"` alone (the paper), or
        the `"learning_rate"` too, alpha eta lambda (PyTorch, Optax).
      mask: which parameters decay, as in `decouple`.
      momentum_dtype: dtype of the buffer; that of the parameters if None, float32 for
        those of lower precision.

    Returns:
      An optimizer whose `update` needs `params`.

    Raises:
      TypeError: if a number is of the wrong type.
      ValueError: if a number is out of range or a name unknown; in an update, if
        `params` is missing or the mask does not match it.

    Agrees with `torch.optim.SGD` and `optax.sgd` where there is no decay.
    I. Loshchilov and F. Hutter, "Decoupled Weight Decay Regularization" (2019),
    Algorithm 1.

    Examples:
      >>> import jax.numpy as jnp, optax_cycles as oc
      >>> policy = oc.one_cycle_policy(100, 1.0, learning_rate_name="multiplier")
      >>> optimizer = oc.sgdw(0.5, **policy, weight_decay=0.5)
      >>> params = jnp.ones(2)
      >>> state = optimizer.init(params)
      >>> updates, state = optimizer.update(jnp.ones(2), state, params)
      >>> [round(float(update), 4) for update in updates]  # eta is 1 / 25
      [-0.04, -0.04]
      >>> round(float(oc.current_hyperparams(state)["momentum"]), 4)
      0.95
    """
    return make_sgdw("sgdw", dict(locals()))


def adamw(
    learning_rate: Hyperparam,
    b1: Hyperparam = 0.9,
    b2: Hyperparam = 0.999,
    eps: Hyperparam = 1e-8,
    *,
    weight_decay: Hyperparam = 1e-5,
    multiplier: Hyperparam = 1.0,
    debias: str = "product",
    eps_form: str = "outside",
    nesterov: bool = False,
    amsgrad: bool = False,
    decay_scale: str = "multiplier",
    mask: Mask = None,
    mu_dtype: Any = None,
) -> optax.GradientTransformationExtraArgs:
    """Adam with decoupled weight decay, right while its hyperparameters move.

    theta_t = theta_{t-1} - eta_t (alpha_t d_t + lambda_t theta_{t-1}), where
    d_t = m_hat_t / (sqrt(v_hat_t) + eps) is `scale_by_moments`.

    Args:
      learning_rate: alpha, a number or a schedule, like all numbers here.
      b1: decay of the first moment, in [0, 1).
      b2: decay of the second moment, in [0, 1).
      eps: added to the root of the second moment, >= 0.
      weight_decay: lambda, share of the parameters that is taken off in an update where
        eta is 1, >= 0. The learning rate does not multiply it: what PyTorch and Optax
        call 0.01 is 1e-5 here at a rate of 0.001.
      multiplier: eta, which multiplies rate and decay: the place for a schedule where
        there is decay, because one of the learning rate leaves the decay as it is.
      debias: as in `scale_by_moments`, like the three below.
      eps_form: `"outside"` or `"inside"` the bias correction.
      nesterov: whether the first moment looks ahead.
      amsgrad: whether to divide by the largest second moment so far.
      decay_scale: what multiplies the decay: the `"multiplier"` alone (the paper), or
        the `"learning_rate"` too, alpha eta lambda (PyTorch, Optax).
      mask: which parameters decay, as in `decouple`.
      mu_dtype: dtype of the first moment; that of the parameters if None, float32 for
        those of lower precision.

    Returns:
      An optimizer whose `update` needs `params`.

    Raises:
      TypeError: if a number is of the wrong type.
      ValueError: if a number is out of range or a name unknown; in an update, if
        `params` is missing, the mask does not match it, or the state comes from another
        `debias` or `amsgrad`.

    Agrees with `torch.optim.AdamW` and `optax.adamw` for `decay_scale="learning_rate"`;
    while b1 or b2 moves, also for `debias="power"`. The paper's form with a fixed rate
    is `optax.adamw(lambda t: alpha * eta(t), weight_decay=lambda / alpha)`.
    I. Loshchilov and F. Hutter, "Decoupled Weight Decay Regularization" (2019),
    Algorithm 2.

    Examples:
      >>> import jax.numpy as jnp, optax_cycles as oc
      >>> optimizer = oc.adamw(0.5, multiplier=oc.one_cycle(100, 1.0, div_factor=2.0))
      >>> params = jnp.ones(2)
      >>> state = optimizer.init(params)
      >>> updates, state = optimizer.update(jnp.ones(2), state, params)
      >>> [round(float(update), 4) for update in updates]
      [-0.25, -0.25]
    """
    return make_adamw("adamw", dict(locals()))


def make_sgdw(
    function: str, arguments: dict[str, Any]
) -> optax.GradientTransformationExtraArgs:
    """`sgdw` for the function that takes its arguments, which errors name."""
    check_numbers(function, arguments, momentum=BETA, **_RATES)
    _checks.flag(function, "nesterov", arguments["nesterov"])
    _checks.choice(
        function, "momentum_form", arguments["momentum_form"], MOMENTUM_FORMS
    )
    _checks.choice(function, "decay_scale", arguments["decay_scale"], DECAY_SCALES)
    named = arguments | {"function": function}
    return scheduled(_sgdw, ["momentum", *_RATES], named)


def make_adamw(
    function: str, arguments: dict[str, Any]
) -> optax.GradientTransformationExtraArgs:
    """`adamw` for the function that takes its arguments, which errors name."""
    check_numbers(function, arguments, **_RATES)
    check_moments(function, arguments)
    _checks.choice(function, "decay_scale", arguments["decay_scale"], DECAY_SCALES)
    named = arguments | {"function": function}
    return scheduled(_adamw, ["b1", "b2", "eps", *_RATES], named)


def _sgdw(
    *,
    function: str,
    learning_rate: Number,
    momentum: Number,
    weight_decay: Number,
    multiplier: Number,
    nesterov: bool,
    momentum_form: str,
    decay_scale: str,
    mask: Mask,
    momentum_dtype: Any,
) -> optax.GradientTransformationExtraArgs:
    parts = [
        by_momentum(
            function=function,
            momentum=momentum,
            nesterov=nesterov,
            dtype=momentum_dtype,
        ),
        _descend(learning_rate, multiplier),
    ]
    if momentum_form == "inside":
        parts.reverse()
    decay = _decay(weight_decay, learning_rate, multiplier, decay_scale)
    return in_float32(optax.chain(*parts, decay_by(decay, mask, function)))


def _adamw(
    *,
    function: str,
    learning_rate: Number,
    b1: Number,
    b2: Number,
    eps: Number,
    weight_decay: Number,
    multiplier: Number,
    debias: str,
    eps_form: str,
    nesterov: bool,
    amsgrad: bool,
    decay_scale: str,
    mask: Mask,
    mu_dtype: Any,
) -> optax.GradientTransformationExtraArgs:
    direction = moments(
        function=function,
        b1=b1,
        b2=b2,
        eps=eps,
        debias=debias,
        eps_form=eps_form,
        nesterov=nesterov,
        amsgrad=amsgrad,
        mu_dtype=mu_dtype,
    )
    rate = _descend(learning_rate, multiplier)
    decay = _decay(weight_decay, learning_rate, multiplier, decay_scale)
    return in_float32(optax.chain(direction, rate, decay_by(decay, mask, function)))


def _descend(learning_rate: Number, multiplier: Number) -> optax.GradientTransformation:
    """Minus the rate, in floats: unsigned integers have no minus."""
    return optax.scale(-1.0 * learning_rate * multiplier)


def _decay(
    weight_decay: Number, learning_rate: Number, multiplier: Number, decay_scale: str
) -> Number:
    """The share of the parameters that an update takes off."""
    decay = weight_decay * multiplier
    return decay * learning_rate if decay_scale == "learning_rate" else decay
