"""Models that several benchmarks train."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax

import optax_cycles as oc


def mlp(layers: Sequence[int]) -> oc.Problem:
    """A classifier of flattened inputs in plain JAX, dense layers with ReLU."""

    def init(key: Any) -> Any:
        pairs = list(itertools.pairwise(layers))
        keys = jax.random.split(key, len(pairs))
        return [
            (jax.random.normal(k, (m, n)) * (2 / m) ** 0.5, jnp.zeros(n))
            for k, (m, n) in zip(keys, pairs, strict=True)
        ]

    def loss(params: Any, batch: Any, _: Any) -> Any:
        inputs, labels = batch
        hidden = inputs.reshape(inputs.shape[0], -1)
        for weights, bias in params[:-1]:
            hidden = jax.nn.relu(hidden @ weights + bias)
        weights, bias = params[-1]
        logits = hidden @ weights + bias
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

    return oc.problem_from_loss(init, loss)


def parameters(problem: oc.Problem) -> int:
    """How many numbers a member learns."""
    params, _ = jax.eval_shape(problem.init, jax.random.key(0))
    return sum(leaf.size for leaf in jax.tree.leaves(params))
