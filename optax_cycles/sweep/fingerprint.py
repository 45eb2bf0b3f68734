"""What a sweep is of, in short strings that can be compared."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from optax_cycles._typing import Batch, Hparams, PyTree
from optax_cycles.sweep.processes import whole
from optax_cycles.sweep.trainable import Trainable, initial_state

_ADDRESS = re.compile(r"0x[0-9a-f]+")


def digest_of(tree: PyTree) -> str:
    """A digest of the structure and of every bit of a pytree of arrays."""
    found = hashlib.blake2b(str(jax.tree.structure(tree)).encode(), digest_size=16)
    for leaf in jax.tree.leaves(tree):
        array = np.ascontiguousarray(plain(leaf))
        found.update(f"{array.dtype}{array.shape}".encode())
        found.update(array.view(np.uint8).data if array.size else b"")
    return found.hexdigest()


def plain(leaf: Any) -> np.ndarray:
    """All of a leaf as a NumPy array; a key as its numbers."""
    is_array = isinstance(leaf, jax.Array)
    if is_array and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        leaf = jax.random.key_data(leaf)
    return np.asarray(whole(leaf))


def problem_digest(
    trainable: Trainable, hparams: Hparams, batch: Batch, validation: Batch | None
) -> str:
    """A digest of the programs that a trainable consists of, constants included."""
    key = jax.eval_shape(lambda: jax.random.key(0))

    def start(hp: Hparams, k: Any) -> Any:
        return initial_state(trainable, k, hp)

    state = jax.eval_shape(start, hparams, key)
    traced = [
        jax.make_jaxpr(start)(hparams, key),
        jax.make_jaxpr(trainable.step)(state, hparams, batch, key),
    ]
    if trainable.evaluate is not None and validation is not None:
        traced.append(jax.make_jaxpr(trainable.evaluate)(state, validation))
    text = [_ADDRESS.sub("", str(program.jaxpr)) for program in traced]
    constants = [program.consts for program in traced]
    return digest_of((np.frombuffer("".join(text).encode(), np.uint8), constants))


def differences(saved: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """The names under which two fingerprints differ."""
    names = {**saved, **now}
    return [name for name in names if saved.get(name) != now.get(name)]
