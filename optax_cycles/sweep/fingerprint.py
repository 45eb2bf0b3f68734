"""What a sweep is of, in short strings that can be compared."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from optax_cycles._typing import Batch, Hparams, Key, PyTree
from optax_cycles.sweep.processes import whole
from optax_cycles.sweep.space import Space
from optax_cycles.sweep.trainable import Trainable, initial_state

if TYPE_CHECKING:
    from optax_cycles.sweep.batches import ArrayBatches
    from optax_cycles.sweep.engine import Engine
    from optax_cycles.sweep.streams import StreamBatches

# What stands for itself in digests only; other values are shown unless they are long.
_DIGESTS = ("problem", "space", "data", "validation", "key", "judge")
_LONGEST = 120
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


def _constants(program: Any, seen: set[int]) -> list[Any]:
    """The constants of a program and of those that it calls: `jit` has its own."""
    inner = getattr(program, "jaxpr", program)
    if id(inner) in seen:
        return []
    seen.add(id(inner))
    found = list(getattr(program, "consts", ()))
    for eqn in inner.eqns:
        called = jax.tree.leaves(list(eqn.params.values()), is_leaf=_is_program)
        for other in filter(_is_program, called):
            found += _constants(other, seen)
        values: list[Any] = [getattr(atom, "val", None) for atom in eqn.invars]
        found += [value for value in values if np.ndim(value)]
    return found


def _is_program(value: Any) -> bool:
    return hasattr(getattr(value, "jaxpr", value), "eqns")


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
    constants = [_constants(program, set()) for program in traced]
    return digest_of((np.frombuffer("".join(text).encode(), np.uint8), constants))


def setting_of(
    engine: Engine,
    space: Space,
    batches: ArrayBatches | StreamBatches,
    validation: Batch | None,
    *,
    key: Key,
    **settings: object,
) -> dict[str, str]:
    """All that the numbers of a sweep depend on, by name.

    Args:
      engine: what trains its members.
      space: the members.
      batches: what they read.
      validation: what they are evaluated on.
      key: the key of all randomness.
      **settings: what speaks for itself as a string.
    """
    with engine.placement.tracing():
        problem = problem_digest(
            engine.trainable, one_of(space), batches.example, validation
        )
    axes = [(dict(axis.values), axis.size) for axis in space.axes]
    return {
        "problem": problem,
        "space": digest_of(axes),
        "data": batches.digest,
        "validation": digest_of(validation),
        "key": digest_of(key),
        "divergence": str(engine.divergence),
        "mesh": str(engine.placement.inner),
        "jax": jax.__version__,
        **{name: str(value) for name, value in settings.items()},
    }


def one_of(space: Space) -> dict[str, Any]:
    """One member's hyperparameters, as the trainable sees them."""
    first = {name: jnp.asarray(v[0]) for name, v in space.members().items()}
    first.pop("seed", None)
    return first


def differences(saved: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """What differs between two fingerprints: names, and values that can be read."""
    names = [name for name in {**saved, **now} if saved.get(name) != now.get(name)]
    if {"batch_size", "problem"} <= set(names):
        # Programs hold the shapes of their batches.
        names.remove("problem")
    return [_compared(name, saved.get(name), now.get(name)) for name in names]


def _compared(name: str, saved: str | None, now: str | None) -> str:
    if name in _DIGESTS or saved is None or now is None or len(saved + now) > _LONGEST:
        return name
    return f"{name} {saved} (now {now})"
