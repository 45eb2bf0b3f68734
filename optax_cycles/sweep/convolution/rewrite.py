"""Models as they are, with their convolutions computed as matrix products."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, jaxpr_as_fun
from jax.extend.core.primitives import conv_general_dilated_p

from optax_cycles.sweep.convolution.product import conv_general_dilated

P = ParamSpec("P")
R = TypeVar("R")

# Primitives that run the program in their parameters and nothing derived from it.
# Of `custom_jvp_call` and `custom_vjp_call` the program is the function itself;
# their rules are other parameters, and stay as they are.
_CALLS = frozenset(
    {
        "closed_call",
        "cond",
        "core_call",
        "custom_jvp_call",
        "custom_vjp_call",
        "jit",
        "remat2",
        "scan",
        "shard_map",
        "while",
    }
)

_convolution = jax.jit(
    conv_general_dilated,
    static_argnames=(
        "window_strides",
        "padding",
        "lhs_dilation",
        "rhs_dilation",
        "dimension_numbers",
        "feature_group_count",
        "batch_group_count",
        "precision",
        "preferred_element_type",
        "out_sharding",
    ),
)


def with_matmul_convolutions(function: Callable[P, R]) -> Callable[P, R]:
    """`function` with its convolutions computed as matrix products.

    The function is traced, every convolution in the trace is replaced by this
    package's `conv_general_dilated`, and the result is evaluated: nothing in the
    model has to change. Convolutions are also found inside `jit`, `checkpoint`,
    `scan`, `while_loop`, `cond`, `shard_map` (with `check_vma=False`) and the primal
    of functions with a custom derivative; the derivative's rule stays as it is, and
    so does everything else.

    Differentiate, map and compile the result like the function itself. Apply it
    inside `jax.grad`, not outside: the derivative of a convolution has convolutions
    with windows as large as the image, which don't make good matrix products.

    Args:
      function: a pure function of pytrees that returns a pytree of arrays. Arrays
        among its arguments are traced; other arguments (numbers, strings, flags)
        reach it as they are.

    Returns:
      A function of the same arguments with the same result, to rounding. It traces
      at every call, so call it inside a compiled function.

    Examples:
      >>> import jax, jax.numpy as jnp
      >>> from optax_cycles.sweep.convolution import with_matmul_convolutions
      >>> def loss(kernel, image):
      ...     return jnp.sum(jax.lax.conv(image, kernel, (1, 1), "SAME") ** 2)
      >>> fast = with_matmul_convolutions(loss)
      >>> kernel, image = jnp.ones((4, 3, 3, 3)), jnp.ones((2, 3, 8, 8))
      >>> "conv_general_dilated[" in str(jax.make_jaxpr(jax.grad(fast))(kernel, image))
      False
    """

    @wraps(function)
    def transformed(*args: P.args, **kwargs: P.kwargs) -> R:
        leaves, structure = jax.tree.flatten((args, kwargs))
        traced = [isinstance(leaf, jax.Array | np.ndarray) for leaf in leaves]

        def of_arrays(arrays: list[Any]) -> R:
            left = iter(arrays)
            every = [
                next(left) if array else leaf
                for leaf, array in zip(leaves, traced, strict=True)
            ]
            args, kwargs = jax.tree.unflatten(structure, every)
            return function(*args, **kwargs)

        arrays = [leaf for leaf, array in zip(leaves, traced, strict=True) if array]
        program, shapes = jax.make_jaxpr(of_arrays, return_shape=True)(arrays)
        out = jaxpr_as_fun(_Rewriter().closed(program))(*arrays)
        result: R = jax.tree.unflatten(jax.tree.structure(shapes), out)
        return result

    return transformed


class _Rewriter:
    """Replaces convolutions in a program and in the programs that it calls."""

    def __init__(self) -> None:
        # A program called in several places stays one program, compiled once.
        self._done: dict[int, Jaxpr] = {}
        self._closed: dict[int, ClosedJaxpr] = {}

    def closed(self, program: ClosedJaxpr) -> ClosedJaxpr:
        if id(program) not in self._closed:
            new = self._jaxpr(program.jaxpr)
            same = new is program.jaxpr
            self._closed[id(program)] = program if same else program.replace(jaxpr=new)
        return self._closed[id(program)]

    def _jaxpr(self, jaxpr: Jaxpr) -> Jaxpr:
        if id(jaxpr) not in self._done:
            eqns = [self._equation(eqn) for eqn in jaxpr.eqns]
            changed = any(
                new is not old for new, old in zip(eqns, jaxpr.eqns, strict=True)
            )
            self._done[id(jaxpr)] = jaxpr.replace(eqns=eqns) if changed else jaxpr
        return self._done[id(jaxpr)]

    def _equation(self, eqn: JaxprEqn) -> JaxprEqn:
        if eqn.primitive is conv_general_dilated_p:
            return _as_product(eqn)
        if eqn.primitive.name not in _CALLS:
            return eqn
        params = {name: self._parameter(value) for name, value in eqn.params.items()}
        changed = any(params[name] is not eqn.params[name] for name in params)
        return eqn.replace(params=params) if changed else eqn

    def _parameter(self, value: Any) -> Any:
        if isinstance(value, ClosedJaxpr):
            return self.closed(value)
        if isinstance(value, Jaxpr):
            return self._jaxpr(value)
        if isinstance(value, tuple) and any(isinstance(v, ClosedJaxpr) for v in value):
            new = tuple(self._parameter(v) for v in value)
            same = all(a is b for a, b in zip(new, value, strict=True))
            return value if same else new
        return value


def _as_product(eqn: JaxprEqn) -> JaxprEqn:
    """The equation of a convolution as a call of `conv_general_dilated`."""
    lhs, rhs = (atom.aval for atom in eqn.invars)
    call = jax.make_jaxpr(lambda x, k: _convolution(x, k, **eqn.params))(lhs, rhs)
    # The surrounding program fits only a result of the very same type.
    if call.out_avals != [eqn.outvars[0].aval]:
        return eqn
    (new,) = call.jaxpr.eqns
    return eqn.replace(primitive=new.primitive, params=new.params, effects=new.effects)
