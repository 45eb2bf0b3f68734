"""Discriminative learning rates: updates scaled by the layer they belong to."""

from __future__ import annotations

import numbers
from collections.abc import Callable, Hashable, Mapping
from typing import Any, TypeAlias

import jax
import numpy as np
import optax

from optax_cycles import _checks
from optax_cycles._precision import in_float32
from optax_cycles._typing import Params, PyTree, Scalar
from optax_cycles.optimizers._leaves import map_updates
from optax_cycles.optimizers.decoupled import of_params, spread

Labels: TypeAlias = PyTree | Callable[[Params], PyTree]


def layerwise_scale(
    labels: Labels, decay: Scalar | Mapping[Hashable, Scalar]
) -> optax.GradientTransformationExtraArgs:
    """Updates times a scale for each layer, smaller ones for earlier layers.

    With a number, labels are depths counted from the output, and the scale of depth k
    is `decay**k`. With a mapping, it is `decay[label]`. Last in `optax.chain`, it
    scales weight decay with the rest, as a learning rate per parameter group does.

    Args:
      labels: a tree of labels in the structure of the parameters, or a prefix of it, or
        a function from parameters to one. Whole numbers >= 0 where `decay` is a number.
      decay: factor from a layer to the one before it, >= 0, or the scale by label. Its
        numbers may be traced.

    Returns:
      A transformation without state.

    Raises:
      TypeError: if a depth is not an integer or a scale not a number.
      ValueError: if a number is out of range; in an update, if labels are missing or
        have no scale.

    J. Howard and S. Ruder, "Universal Language Model Fine-tuning for Text
    Classification" (2018), section 3.2, which divides by 2.6 from layer to layer.

    Examples:
      >>> import jax.numpy as jnp, optax, optax_cycles as oc
      >>> params = {"body": jnp.zeros(2), "head": jnp.zeros(1)}
      >>> depths = {"body": 1, "head": 0}
      >>> optimizer = optax.chain(oc.sgdw(1.0), oc.layerwise_scale(depths, 0.5))
      >>> gradients = {"body": jnp.ones(2), "head": jnp.ones(1)}
      >>> updates, _ = optimizer.update(gradients, optimizer.init(params), params)
      >>> updates["body"].tolist(), updates["head"].tolist()
      ([-0.5, -0.5], [-1.0])
    """
    if isinstance(decay, Mapping):
        if not decay:
            _checks.fail("layerwise_scale", "decay", "a mapping with labels", decay)
        for label, scale in decay.items():
            _checks.real("layerwise_scale", f"decay[{label!r}]", scale)
    else:
        _checks.real("layerwise_scale", "decay", decay, minimum=0)

    def scale_of(label: Any) -> Any:
        if isinstance(decay, Mapping):
            return _by_label(decay, label)
        return _depth(decay, label)

    def update(
        updates: PyTree, state: optax.OptState, params: Params = None
    ) -> tuple[PyTree, optax.OptState]:
        model = updates if params is None else params
        tree = of_params(labels, model)
        scale = spread("layerwise_scale", "labels", jax.tree.map(scale_of, tree), model)
        return map_updates(lambda u, s: u * s, updates, scale), state

    stateless = optax.GradientTransformation(lambda _: optax.EmptyState(), update)
    return in_float32(stateless)


def _depth(decay: Any, label: Any) -> Any:
    if isinstance(label, bool) or not isinstance(label, numbers.Integral | np.integer):
        expected = "depths (integers) where decay is a number"
        _checks.fail_type("layerwise_scale", "labels", expected, label)
    if label < 0:
        _checks.fail("layerwise_scale", "labels", "depths >= 0", label)
    return decay ** int(label)


def _by_label(scales: Mapping[Hashable, Scalar], label: Any) -> Any:
    if label not in scales:
        expected = f"keys of decay, {_checks.near(label, map(str, scales))}"
        _checks.fail("layerwise_scale", "labels", expected, label)
    return scales[label]
