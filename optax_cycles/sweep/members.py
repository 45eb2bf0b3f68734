"""A population: every leaf has a leading member axis."""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from optax_cycles import _checks
from optax_cycles._typing import Array, Hparams, State
from optax_cycles.sweep.divergence import Watch
from optax_cycles.sweep.space import Space, as_space, check_seeds


class Status(enum.IntEnum):
    """What has become of a member."""

    RUNNING = 0
    DIVERGED = 1
    PADDING = 2
    DROPPED = 3


class Members(NamedTuple):
    """A population of members, some of which may only pad it.

    Attributes:
      state: what `Trainable.init` and `Trainable.step` return, stacked.
      hparams: dict of arrays of shape `[members]`.
      ident: int32 `[members]`, the member's index in its space, -1 for padding.
      seed: int32 `[members]`. Members with one seed share initial parameters,
        data order and random numbers, so that they differ in hyperparameters only.
      order: int32 `[members]`, the order in which it reads the data: that of its seed,
        or one of its own.
      key: the member's own random stream, `[members]`.
      step: int32 `[members]`, the updates made; it stops where a member diverges.
      status: int32 `[members]`, a `Status`.
      watch: what the divergence rule remembers of each member.
    """

    state: State
    hparams: Hparams
    ident: Array
    seed: Array
    order: Array
    key: Array
    step: Array
    status: Array
    watch: Watch


def member_at(members: Members, index: int) -> Members:
    """The member at `index`, without the member axis."""
    return jax.tree.map(lambda leaf: leaf[index], members)


def starts_of(
    hparams: Space | Mapping[str, Any],
    parts: int,
    *,
    size: int | None = None,
    idents: np.ndarray | None = None,
    order: str = "seed",
) -> dict[str, Any]:
    """What members have before they are initialised, `[size]` rows of each.

    Args:
      hparams: a `Space`, or a dict of arrays of shape `[members]`.
      parts: how many equal parts the rows are divided into.
      size: as for `Engine.init`.
      idents: as for `Engine.init`.
      order: as for `Engine.init`.

    Raises:
      ValueError: as for `Engine.init`.
    """
    flat = as_space("init", hparams).members()
    count = len(next(iter(flat.values())))
    if size is None:
        size = parts * math.ceil(count / parts)
    if size < count or size % parts:
        wanted = f"at least {count} and a multiple of {parts}, for the devices"
        _checks.fail("init", "size", wanted, size)
    _checks.choice("init", "order", order, ("seed", "member"))
    rows = np.minimum(np.arange(size), count - 1)
    padding = np.arange(size) >= count
    seed = flat.pop("seed", np.zeros(count, np.int32))
    check_seeds("init", "seed", seed)
    own = np.arange(count) if idents is None else np.asarray(idents)
    status = np.where(padding, Status.PADDING, Status.RUNNING)
    return {
        "hparams": {name: jnp.asarray(v[rows]) for name, v in flat.items()},
        "ident": jnp.asarray(np.where(padding, -1, own[rows]), jnp.int32),
        "seed": jnp.asarray(seed[rows], jnp.int32),
        "order": jnp.asarray((seed if order == "seed" else own)[rows], jnp.int32),
        "status": jnp.asarray(status, jnp.int32),
    }


def taken(members: Members, rows: Array, padding: Array) -> Members:
    """The members at some rows, those of padding marked as such."""
    some: Members = jax.tree.map(lambda leaf: leaf[rows], members)
    return some._replace(
        ident=jnp.where(padding, -1, some.ident),
        status=jnp.where(padding, jnp.int32(Status.PADDING), some.status),
    )
