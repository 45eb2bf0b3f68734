"""SGDW and AdamW with warm restarts, and a decay normalized by their periods."""

from __future__ import annotations

from typing import Any

import optax

from optax_cycles import _checks
from optax_cycles._typing import Scalar
from optax_cycles.optimizers._scheduled import Hyperparam
from optax_cycles.optimizers.aliases import make_adamw, make_sgdw
from optax_cycles.optimizers.decoupled import Mask
from optax_cycles.schedules import warm_restarts
from optax_cycles.schedules._phase import reals
from optax_cycles.schedules._shapes import ShapeLike, shape_of
from optax_cycles.schedules.restarts import normalized, restarts


def sgdwr(
    learning_rate: Hyperparam,
    first_period: Scalar,
    momentum: Hyperparam = 0.9,
    *,
    normalized_decay: Scalar,
    period_mult: Scalar = 1.0,
    min_multiplier: Scalar = 0.0,
    shape: ShapeLike = "cosine",
    rounding: str = "ceil",
    max_periods: int | None = None,
    nesterov: bool = False,
    momentum_form: str = "outside",
    mask: Mask = None,
    momentum_dtype: Any = None,
) -> optax.GradientTransformationExtraArgs:
    """SGDW with warm restarts.

    `sgdw` with the multiplier `warm_restarts(first_period, 1.0, ...)` and the weight
    decay `normalized_decay / sqrt(T_i)` in a period of T_i updates. The momentum buffer
    is kept at a restart.

    Args:
      learning_rate: alpha, the rate at each restart, a number or a schedule.
      first_period: updates before the first restart, >= 1.
      momentum: mu, in [0, 1), a number or a schedule.
      normalized_decay: weight decay in a period of one update, >= 0.
      period_mult: factor of the period from a restart to the next, > 0.
      min_multiplier: multiplier that each period descends to.
      shape: shape of a period, as in `warm_restarts`.
      rounding: rounding of each period to whole updates.
      max_periods: number of different periods.
      nesterov: as in `sgdw`, like the three below.
      momentum_form: the rate `"outside"` or `"inside"` the momentum buffer.
      mask: which parameters decay.
      momentum_dtype: dtype of the buffer.

    Returns:
      An optimizer whose `update` needs `params`; its state holds the current
      `"multiplier"` and `"weight_decay"` for `current_hyperparams`.

    Raises:
      TypeError: if an argument is of the wrong type.
      ValueError: if a number is out of range or a name unknown.

    I. Loshchilov and F. Hutter, "Decoupled Weight Decay Regularization" (2019),
    Algorithm 1 and appendix B.

    Examples:
      >>> import jax.numpy as jnp, optax_cycles as oc
      >>> optimizer = oc.sgdwr(0.1, 8, normalized_decay=1.0, period_mult=2)
      >>> state = optimizer.init(jnp.ones(()))
      >>> round(float(oc.current_hyperparams(state)["weight_decay"]), 4)
      0.3536
    """
    moving = _moving(
        "sgdwr",
        normalized_decay,
        min_multiplier,
        first_period=first_period,
        period_mult=period_mult,
        rounding=rounding,
        max_periods=max_periods,
        shape=shape,
    )
    arguments = moving | {
        "learning_rate": learning_rate,
        "momentum": momentum,
        "decay_scale": "multiplier",
        "nesterov": nesterov,
        "momentum_form": momentum_form,
        "mask": mask,
        "momentum_dtype": momentum_dtype,
    }
    return make_sgdw("sgdwr", arguments)


def adamwr(
    learning_rate: Hyperparam,
    first_period: Scalar,
    b1: Hyperparam = 0.9,
    b2: Hyperparam = 0.999,
    eps: Hyperparam = 1e-8,
    *,
    normalized_decay: Scalar,
    period_mult: Scalar = 1.0,
    min_multiplier: Scalar = 0.0,
    shape: ShapeLike = "cosine",
    rounding: str = "ceil",
    max_periods: int | None = None,
    debias: str = "product",
    eps_form: str = "outside",
    nesterov: bool = False,
    amsgrad: bool = False,
    mask: Mask = None,
    mu_dtype: Any = None,
) -> optax.GradientTransformationExtraArgs:
    """AdamW with warm restarts.

    `adamw` with the multiplier `warm_restarts(first_period, 1.0, ...)` and the weight
    decay `normalized_decay / sqrt(T_i)` in a period of T_i updates. The moments are
    kept at a restart.

    Args:
      learning_rate: alpha, the rate at each restart, a number or a schedule.
      first_period: updates before the first restart, >= 1.
      b1: decay of the first moment, in [0, 1), a number or a schedule.
      b2: decay of the second moment, in [0, 1), a number or a schedule.
      eps: added to the root of the second moment, >= 0, a number or a schedule.
      normalized_decay: weight decay in a period of one update, >= 0.
      period_mult: factor of the period from a restart to the next, > 0.
      min_multiplier: multiplier that each period descends to.
      shape: shape of a period, as in `warm_restarts`.
      rounding: rounding of each period to whole updates.
      max_periods: number of different periods.
      debias: as in `adamw`, like the five below.
      eps_form: `"outside"` or `"inside"` the bias correction.
      nesterov: whether the first moment looks ahead.
      amsgrad: whether to divide by the largest second moment so far.
      mask: which parameters decay.
      mu_dtype: dtype of the first moment.

    Returns:
      An optimizer whose `update` needs `params`; its state holds the current
      `"multiplier"` and `"weight_decay"` for `current_hyperparams`.

    Raises:
      TypeError: if an argument is of the wrong type.
      ValueError: if a number is out of range or a name unknown.

    I. Loshchilov and F. Hutter, "Decoupled Weight Decay Regularization" (2019),
    Algorithm 2 and appendix B.

    Examples:
      >>> import jax.numpy as jnp, optax_cycles as oc
      >>> updates = oc.updates_in_epochs(2, 50_000, 128)
      >>> optimizer = oc.adamwr(1e-3, updates, normalized_decay=0.05, period_mult=2)
      >>> state = optimizer.init(jnp.ones(()))
      >>> round(float(oc.current_hyperparams(state)["weight_decay"]), 6)
      0.001788
    """
    moving = _moving(
        "adamwr",
        normalized_decay,
        min_multiplier,
        first_period=first_period,
        period_mult=period_mult,
        rounding=rounding,
        max_periods=max_periods,
        shape=shape,
    )
    arguments = moving | {
        "learning_rate": learning_rate,
        "b1": b1,
        "b2": b2,
        "eps": eps,
        "decay_scale": "multiplier",
        "debias": debias,
        "eps_form": eps_form,
        "nesterov": nesterov,
        "amsgrad": amsgrad,
        "mask": mask,
        "mu_dtype": mu_dtype,
    }
    return make_adamw("adamwr", arguments)


def _moving(
    function: str,
    normalized_decay: Scalar,
    min_multiplier: Scalar,
    *,
    shape: ShapeLike,
    **cycle: Any,
) -> dict[str, Any]:
    """The multiplier and the weight decay, on one table of restarts."""
    _checks.real(function, "normalized_decay", normalized_decay, minimum=0)
    _checks.real(function, "min_multiplier", min_multiplier, minimum=0, maximum=1)
    shape_of(function, "shape", shape)
    dtype, (decay,) = reals(function, normalized_decay=normalized_decay)
    weight_decay = normalized(decay, restarts(function, **cycle), dtype)
    multiplier = warm_restarts(
        peak_value=1.0, min_value=min_multiplier, shape=shape, **cycle
    )
    return {"multiplier": multiplier, "weight_decay": weight_decay}
