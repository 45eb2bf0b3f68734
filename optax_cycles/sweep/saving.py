"""What a checkpoint holds of a sweep in training, and how that is taken up again."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import jax.numpy as jnp
import numpy as np

from optax_cycles.sweep.checkpoint import Saved, flatten, unflatten
from optax_cycles.sweep.engine import Engine
from optax_cycles.sweep.members import Members, taken
from optax_cycles.sweep.plan import dealt
from optax_cycles.sweep.streams import StreamBatches

if TYPE_CHECKING:
    from optax_cycles.sweep.training import Training


@dataclasses.dataclass
class Lane:
    """A chunk of members in training.

    Attributes:
      members: the population; rows beyond those of `idents` are padding.
      idents: the members' places in the space.
      orders: the orders in which they read the data.
    """

    members: Members
    idents: np.ndarray
    orders: np.ndarray


def saved_from(training: Training) -> Saved:
    """All that a checkpoint needs to hold."""
    record = training.record
    arrays = record.arrays()
    for chunk, lane in training.lanes.items():
        arrays[f"lane{chunk}.idents"] = lane.idents
        arrays |= flatten(f"lane{chunk}", lane.members)
    for number, (idents, state) in enumerate(record.states):
        arrays[f"state{number}.idents"] = idents
        arrays |= flatten(f"state{number}", state)
    notes = {
        "position": training.position,
        "done": training.done,
        "chunks": [len(chunk) for chunk in training.chunks],
        "at_once": training.at_once,
        "parts": training.engine.placement.parts,
        "lanes": list(training.lanes),
        "states": len(record.states),
        "seconds": record.seconds,
        "measured": record.measured,
    }
    return Saved(arrays, notes)


def lay_out_as(saved: Saved, training: Training) -> None:
    """Take the chunks that a checkpoint was written with."""
    everyone = np.arange(training.record.space.size)
    ends = np.cumsum(saved.notes["chunks"])[:-1]
    training.lay_out(np.split(everyone, ends), saved.notes["at_once"])


def _deal_anew(lane: Lane, training: Training, whole: int) -> None:
    """Deal the rows of a chunk out to as many parts as there are now.

    Args:
      lane: a chunk as it was saved, with the padding that other devices needed.
      training: what takes it up.
      whole: members of the chunk, some of which may have been dropped.
    """
    rows = dealt(np.argsort(lane.idents), training.engine.placement.parts)
    size = training.size if len(rows) == whole else rows_of(training.engine, len(rows))
    places, padding = np.resize(rows, size), np.arange(size) >= len(rows)
    lane.members = taken(lane.members, jnp.asarray(places), jnp.asarray(padding))
    lane.idents = lane.idents[rows]


def rows_of(engine: Engine, members: int) -> int:
    """Rows of a chunk of so many members: as many for each part of the devices."""
    parts = engine.placement.parts
    return parts * -(-members // parts)


def restore(saved: Saved, training: Training) -> None:
    """Go back to where a checkpoint was written."""
    notes, arrays = saved.notes, saved.arrays
    training.position = notes["position"]
    training.done = training.saved = notes["done"]
    training.record.restore(arrays, notes["seconds"])
    for chunk in notes["lanes"]:
        members = unflatten(f"lane{chunk}", arrays, training.like)
        lane = Lane(members, arrays[f"lane{chunk}.idents"], training.orders_of(chunk))
        if notes["parts"] != training.engine.placement.parts:
            _deal_anew(lane, training, whole=len(training.chunks[chunk]))
        training.lanes[chunk] = lane
    for number in range(notes["states"]):
        state = unflatten(f"state{number}", arrays, training.like.state)
        training.record.states.append((arrays[f"state{number}.idents"], state))
    if isinstance(training.batches, StreamBatches) and not training.is_done:
        training.batches.skip(training.pieces[training.position].start)
