"""Convolution as a matrix product, which stays fast in `scan` and under `vmap`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

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
    the slices, side by side, are multiplied with the reshaped kernel (one by one
    where every feature has kernels of its own). On a CPU a
    `lax` convolution loses its fast implementation inside `lax.scan`, and under
    `vmap` over kernels it becomes a grouped convolution; a matrix product does
    neither. The price is memory: the slices hold the input as many times as the
    kernel window has elements, divided by the strides.

    Takes what `jax.lax.conv_general_dilated` takes, returns the same to rounding,
    and fits as `conv_general_dilated` of `flax.linen.Conv` and `flax.nnx.Conv`.
    Calls with `out_sharding`, with a sharded argument under explicit sharding, with
    symbolic shapes or with an empty array are passed on to `lax`.

    Args:
      lhs: the input, of rank n + 2 for n spatial dimensions.
      rhs: the kernel, of rank n + 2.
      window_strides: n strides.
      padding: `"SAME"`, `"SAME_LOWER"`, `"VALID"`, or n pairs `(low, high)`,
        which may be negative.
      lhs_dilation: n dilations of the input, as in a transposed convolution, or
        None.
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
    if out_sharding or not all(map(_is_plain, (lhs, rhs, result))):
        return by_lax(lhs, rhs)

    dims = lax.conv_dimension_numbers(lhs.shape, rhs.shape, dimension_numbers)
    batch, features, *space = dims.lhs_spec
    out_features, in_features, *window = dims.rhs_spec
    images = lax.transpose(lhs, (batch, *space, features))
    kernel = lax.transpose(rhs, (*window, in_features, out_features))
    windows = _Windows(
        size=kernel.shape[:-2],
        places=tuple(result.shape[i] for i in dims.out_spec[2:]),
        strides=tuple(window_strides),
        dilation=tuple(rhs_dilation or (1,) * len(space)),
    )
    images = windows.pad(images, padding, lhs_dilation or (1,) * len(space))
    product = partial(
        lax.dot_general,
        precision=precision,
        preferred_element_type=preferred_element_type,
    )
    if feature_group_count > 1 and kernel.shape[-2] == 1:
        out = _multiply_each_feature(windows, images, kernel, result.dtype)
    elif feature_group_count > 1:
        patches = windows.side_by_side(images)
        out = _multiply_feature_groups(product, patches, kernel, feature_group_count)
    elif batch_group_count > 1:
        patches = windows.side_by_side(images)
        out = _multiply_batch_groups(product, patches, kernel, batch_group_count)
    else:
        patches = windows.side_by_side(images)
        matrix = kernel.reshape(-1, kernel.shape[-1])
        out = product(patches, matrix, (((patches.ndim - 1,), (0,)), ((), ())))
    # `out_spec` says where the batch, the features and the space of `out` go.
    batch, features, *space = dims.out_spec
    return lax.transpose(out, np.argsort((batch, *space, features)))


def _is_plain(array: Any) -> bool:
    """Whether an array has elements, a number of them, and no sharding in its type."""
    kind = jax.typeof(array)
    sizes = all(isinstance(size, int) and size for size in kind.shape)
    return sizes and not any(kind.sharding.spec)


class _Windows(NamedTuple):
    """Where a kernel's window lies on padded images, [batch, *space, features].

    Attributes:
      size: elements of the window along each axis of space.
      places: how many places it takes along each, which is the result's space.
      strides: from one place to the next.
      dilation: from one element of the window to the next.
    """

    size: tuple[int, ...]
    places: tuple[int, ...]
    strides: tuple[int, ...]
    dilation: tuple[int, ...]

    def pad(
        self,
        images: Array,
        padding: str | Sequence[tuple[int, int]],
        spread: Sequence[int],
    ) -> Array:
        """Images with zeros between (`spread`) and around their elements."""
        if isinstance(padding, str):
            sizes = zip(self.size, self.dilation, strict=True)
            reach = [(size - 1) * rate + 1 for size, rate in sizes]
            padding = lax.padtype_to_pads(
                images.shape[1:-1], reach, self.strides, padding
            )
        pairs = zip(padding, spread, strict=True)
        inside = [(low, high, rate - 1) for (low, high), rate in pairs]
        zero = jnp.zeros((), images.dtype)
        return lax.pad(images, zero, [(0, 0, 0), *inside, (0, 0, 0)])

    def along(self, axis: int, images: Array) -> list[Array]:
        """For each element of the window along an axis, what it meets there."""
        stride = self.strides[axis]
        span = (self.places[axis] - 1) * stride + 1
        starts = [i * self.dilation[axis] for i in range(self.size[axis])]
        return [
            lax.slice_in_dim(images, start, start + span, stride, axis + 1)
            for start in starts
        ]

    def side_by_side(self, images: Array) -> Array:
        """What each place meets: [batch, *places, window elements * features]."""
        # One axis after another, the last first: the elements come out in the
        # kernel's order, from the sum and not the product of the window's sizes.
        for axis in reversed(range(len(self.size))):
            images = lax.concatenate(self.along(axis, images), images.ndim - 1)
        return images

    def one_by_one(self, images: Array) -> list[Array]:
        """What each element of the window meets: [batch, *places, features] each."""
        parts = [images]
        for axis in range(len(self.size)):
            parts = [new for part in parts for new in self.along(axis, part)]
        return parts


def _multiply_each_feature(
    windows: _Windows, images: Array, kernel: Array, dtype: Any
) -> Array:
    """Each feature times kernels of its own: [batch, *places, out_features].

    Matrices of one column would be slower than the sum of elementwise products.
    """
    features = images.shape[-1]
    matrices = kernel.reshape(math.prod(windows.size), features, -1)
    # As the matrix product does, add up in more digits than a short type has.
    wide = jnp.promote_types(dtype, jnp.float32) if _is_float(dtype) else dtype
    matrices = matrices.astype(wide)
    products = [
        part.astype(wide)[..., None] * lax.expand_dims(matrix, range(part.ndim - 1))
        for part, matrix in zip(windows.one_by_one(images), matrices, strict=True)
    ]
    out = sum(products[1:], start=products[0]).astype(dtype)
    return out.reshape(*out.shape[:-2], -1)


def _is_float(dtype: Any) -> bool:
    return jnp.issubdtype(dtype, jnp.floating)


def _multiply_feature_groups(
    product: Callable[..., Array], patches: Array, kernel: Array, groups: int
) -> Array:
    """Each group's features times its kernels: [batch, *out_space, out_features]."""
    *window, in_features, out_features = kernel.shape
    elements = math.prod(window)
    *outer, _ = patches.shape
    last = patches.ndim - 1
    parts = patches.reshape(*outer, elements, groups, in_features)
    matrices = kernel.reshape(elements, in_features, groups, out_features // groups)
    contract = ((last, last + 2), (0, 1))
    out = product(parts, matrices, (contract, ((last + 1,), (2,))))
    return jnp.moveaxis(out, 0, -2).reshape(*outer, out_features)


def _multiply_batch_groups(
    product: Callable[..., Array], patches: Array, kernel: Array, groups: int
) -> Array:
    """Each group's images times its kernels: [batch / groups, *out_space, features]."""
    batch, *space, size = patches.shape
    parts = patches.reshape(groups, batch // groups, *space, size)
    matrices = kernel.reshape(size, groups, -1)
    out = product(parts, matrices, (((parts.ndim - 1,), (0,)), ((0,), (1,))))
    return jnp.moveaxis(out, 0, -2).reshape(batch // groups, *space, -1)
