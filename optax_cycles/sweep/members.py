"""A population: every leaf has a leading member axis."""

from __future__ import annotations

import enum
from typing import NamedTuple

import jax

from optax_cycles._typing import Array, Hparams, State
from optax_cycles.sweep.divergence import Watch


class Status(enum.IntEnum):
    """What has become of a member."""

    RUNNING = 0
    DIVERGED = 1
    PADDING = 2


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
