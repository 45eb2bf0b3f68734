"""Data as a user has them, as a pytree of arrays."""

from __future__ import annotations

import inspect
from typing import Any

import jax
import numpy as np

from optax_cycles._typing import PyTree

_NUMBERS = (bool, int, float, complex)
_ARRAYS = "a pytree of arrays with equally many examples along the first axis"


def as_arrays(function: str, argument: str, data: Any, *, hint: str = "") -> PyTree:
    """`data` with NumPy arrays for what is not JAX's, such as tensors of PyTorch.

    Args:
      function: who was given them, for errors.
      argument: as what.
      data: a pytree of arrays, or of what NumPy makes arrays of.
      hint: what else would do, for errors.

    Raises:
      TypeError: if a leaf is not an array of numbers, or can't be read.
      ValueError: if the data are a list of batches.
    """

    def refuse(got: str) -> Any:
        raise TypeError(f"{function}: {argument} must be {_ARRAYS}{hint}, got {got}")

    def array(leaf: Any) -> Any:
        if isinstance(leaf, jax.Array):
            return leaf
        if isinstance(leaf, _NUMBERS) and not isinstance(leaf, np.generic):
            refuse("Python numbers; np.asarray makes an array of a list")
        if not isinstance(leaf, np.ndarray | np.generic):
            if not hasattr(leaf, "__array__"):
                refuse(named(leaf))
            leaf = _read(leaf, refuse)
        if leaf.dtype.kind in "OSUmM":
            refuse(f"an array of dtype {leaf.dtype}")
        return leaf

    arrays = jax.tree.map(array, data)
    if _is_list_of_batches(data):
        raise ValueError(
            f"{function}: {argument} must be {_ARRAYS}{hint}, got a list of "
            f"{len(data)} pytrees; iter(list) makes an iterator of batches, "
            "tuple(list) a pytree"
        )
    return arrays


def _read(leaf: Any, refuse: Any) -> Any:
    try:
        return np.asarray(leaf)
    except Exception as error:  # Each library has its own.
        return refuse(f"{named(leaf)} that NumPy can't read ({error})")


def unwrapped(tree: PyTree) -> PyTree:
    """A pytree with the arrays in place of the Variables of NNX that hold them."""

    def holds(node: Any) -> bool:
        return hasattr(node, "get_value") and hasattr(node, "set_value")

    return jax.tree.map(
        lambda leaf: leaf.get_value() if holds(leaf) else leaf, tree, is_leaf=holds
    )


def named(value: Any) -> str:
    """What a value is, in a few words."""
    if inspect.isroutine(value):
        return f"the function {value.__name__}; call it"
    kind = type(value).__name__
    return f"{'an' if kind[0] in 'aeiouAEIOU' else 'a'} {kind}"


def described(data: PyTree) -> str:
    """The shapes in a pytree, of the first few where there are many."""
    shapes = [list(np.shape(leaf)) for leaf in jax.tree.leaves(data)]
    if not shapes:
        return "no arrays"
    more = f" and {len(shapes) - 4} more" if len(shapes) > 4 else ""
    return f"shapes {', '.join(map(str, shapes[:4]))}{more}"


def _is_list_of_batches(data: Any) -> bool:
    """Whether the items of a list are pytrees of one structure, as batches are."""
    if not isinstance(data, list) or len(data) < 2:
        return False
    structures: list[Any] = [jax.tree.structure(item) for item in data]
    alike = all(one == structures[0] for one in structures)
    return alike and not jax.tree_util.all_leaves(data[:1])
