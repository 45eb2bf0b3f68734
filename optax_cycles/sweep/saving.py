"""What a checkpoint holds of a sweep in training, and how that is taken up again."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from optax_cycles.sweep.checkpoint import Saved, flatten, unflatten
from optax_cycles.sweep.members import Members
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
        "size": training.size,
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
    training.lay_out(np.split(everyone, ends), saved.notes["size"])


def restore(saved: Saved, training: Training) -> None:
    """Go back to where a checkpoint was written."""
    notes, arrays = saved.notes, saved.arrays
    training.position = notes["position"]
    training.done = training.saved = notes["done"]
    training.record.restore(arrays, notes["seconds"])
    for chunk in notes["lanes"]:
        members = unflatten(f"lane{chunk}", arrays, training.like)
        idents = arrays[f"lane{chunk}.idents"]
        training.lanes[chunk] = Lane(members, idents, training.orders_of(chunk))
    for number in range(notes["states"]):
        state = unflatten(f"state{number}", arrays, training.like.state)
        training.record.states.append((arrays[f"state{number}.idents"], state))
    if isinstance(training.batches, StreamBatches) and not training.is_done:
        training.batches.skip(training.pieces[training.position].start)
