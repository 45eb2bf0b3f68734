"""Convolution as a matrix product, which stays fast in `scan` and under `vmap`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from optax_cycles._typing import Array


def conv_general_dilated(  # noqa: PLR0917 - the signature of lax
    lhs: Array,
    rhs: Array,
    window_strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    lhs_dilation: Sequence[int] | None = None,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: Any = None,
    feature_group_count: int = 1,
    batch_group_count: int = 1,
    precision: Any = None,
    preferred_element_type: Any = None,
    out_sharding: Any = None,
) -> Array:
    """`jax.lax.conv_general_dilated`, computed as one matrix product.

    The input is padded, sliced once for each element of the kernel window, and
    the slices, side by side, are multiplied with the reshaped kernel. On a CPU a
    `lax` convolution loses its fast implementation inside `lax.scan`, and under
    `vmap` over kernels it becomes a grouped convolution; a matrix product does
    neither. The price is memory: the slices hold the input as many times as the
    kernel window has elements, divided by the strides.

    Takes what `jax.lax.conv_general_dilated` takes, returns the same to rounding,
    and fits as `conv_general_dilated` of `flax.linen.Conv` and `flax.nnx.Conv`.
    A call with `lhs_dilation`, `batch_group_count` or `out_sharding`, and one
    with an empty result, is passed on to `lax`.

    Args:
      lhs: the input, of rank n + 2 for n spatial dimensions.
      rhs: the kernel, of rank n + 2.
      window_strides: n strides.
      padding: `"SAME"`, `"SAME_LOWER"`, `"VALID"`, or n pairs `(low, high)`,
        which may be negative.
      lhs_dilation: n dilations of the input, or None.
      rhs_dilation: n dilations of the kernel, or None.
      dimension_numbers: as in `lax`; None means `("NCHW", "OIHW", "NCHW")`.
      feature_group_count: into how many groups the features are split.
      batch_group_count: into how many groups the batch is split.
      precision: of the matrix product, as in `lax`.
      preferred_element_type: the type to accumulate in and to return, or None.
      out_sharding: how the result is to be sharded, or None.

    Returns:
      The convolution, laid out as `dimension_numbers` say.

    Raises:
      TypeError, ValueError: those that `lax` raises for the same arguments.

    Examples:
      >>> import jax, jax.numpy as jnp
      >>> from optax_cycles.sweep.convolution import conv_general_dilated
      >>> image, kernel = jnp.ones((1, 8, 8, 3)), jnp.ones((3, 3, 3, 16))
      >>> conv_general_dilated(
      ...     image, kernel, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
      ... ).shape
      (1, 4, 4, 16)
    """
    by_lax: Callable[[Array, Array], Array] = partial(
        lax.conv_general_dilated,
        window_strides=window_strides,
        padding=padding,
        lhs_dilation=lhs_dilation,
        rhs_dilation=rhs_dilation,
        dimension_numbers=dimension_numbers,
        feature_group_count=feature_group_count,
        batch_group_count=batch_group_count,
        precision=precision,
        preferred_element_type=preferred_element_type,
        out_sharding=out_sharding,
    )
    # Checks the arguments as `lax` does, with its messages.
    result = jax.eval_shape(by_lax, lhs, rhs)
    dilated = lhs_dilation is not None and any(d != 1 for d in lhs_dilation)
    if dilated or batch_group_count != 1 or out_sharding or result.size == 0:
        return by_lax(lhs, rhs)

    dims = lax.conv_dimension_numbers(lhs.shape, rhs.shape, dimension_numbers)
    batch, features, *space = dims.lhs_spec
    out_features, in_features, *window = dims.rhs_spec
    images = lax.transpose(lhs, (batch, *space, features))
    kernel = lax.transpose(rhs, (*window, in_features, out_features))
    patches = _patches(
        images,
        window=kernel.shape[:-2],
        out_space=tuple(result.shape[i] for i in dims.out_spec[2:]),
        strides=window_strides,
        padding=padding,
        dilation=rhs_dilation or (1,) * len(space),
    )
    product = partial(
        lax.dot_general,
        precision=precision,
        preferred_element_type=preferred_element_type,
    )
    out = _multiply(product, patches, kernel, feature_group_count)
    # `out_spec` says where the batch, the features and the space of `out` go.
    batch, features, *space = dims.out_spec
    return lax.transpose(out, np.argsort((batch, *space, features)))


def _patches(
    images: Array,
    *,
    window: tuple[int, ...],
    out_space: tuple[int, ...],
    strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    dilation: Sequence[int],
) -> Array:
    """The inputs of each output: [batch, *out_space, window elements * features]."""
    reach = [(size - 1) * rate + 1 for size, rate in zip(window, dilation, strict=True)]
    if isinstance(padding, str):
        padding = lax.padtype_to_pads(images.shape[1:-1], reach, strides, padding)
    pads = [(0, 0, 0), *((low, high, 0) for low, high in padding), (0, 0, 0)]
    patches = lax.pad(images, jnp.zeros((), images.dtype), pads)

    # One axis after another, the last first: the elements of a window come out in
    # the kernel's order, from the sum and not the product of the window's sizes.
    for axis in reversed(range(len(window))):
        starts = [i * dilation[axis] for i in range(window[axis])]
        span = (out_space[axis] - 1) * strides[axis] + 1
        parts = [
            lax.slice_in_dim(patches, start, start + span, strides[axis], axis + 1)
            for start in starts
        ]
        patches = lax.concatenate(parts, images.ndim - 1)
    return patches


def _multiply(
    product: Callable[..., Array], patches: Array, kernel: Array, groups: int
) -> Array:
    """Patches times kernel, group by group: [batch, *out_space, out_features]."""
    *window, in_features, out_features = kernel.shape
    elements = math.prod(window)
    last = patches.ndim - 1
    if groups == 1:
        matrix = kernel.reshape(elements * in_features, out_features)
        return product(patches, matrix, (((last,), (0,)), ((), ())))
    outer = patches.shape[:-1]
    parts = patches.reshape(*outer, elements, groups, in_features)
    matrices = kernel.reshape(elements, in_features, groups, out_features // groups)
    contract = ((last, last + 2), (0, 1))
    out = product(parts, matrices, (contract, ((last + 1,), (2,))))
    return jnp.moveaxis(out, 0, -2).reshape(*outer, out_features)
