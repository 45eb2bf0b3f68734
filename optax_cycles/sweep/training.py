"""The host loop around the engine: segments, evaluations, progress."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from optax_cycles._typing import Batch, Key
from optax_cycles.sweep.batches import ArrayBatches, Segment
from optax_cycles.sweep.checkpoint import Checkpoints
from optax_cycles.sweep.checkpoint_shared import SharedCheckpoints
from optax_cycles.sweep.engine import Engine
from optax_cycles.sweep.interrupts import held_back
from optax_cycles.sweep.judge import Judge, carry_out
from optax_cycles.sweep.members import Status
from optax_cycles.sweep.memory import USABLE, bytes_free, is_out_of_memory
from optax_cycles.sweep.plan import Piece, chunks_of, dealt, plan
from optax_cycles.sweep.record import Record, Timed, on_host
from optax_cycles.sweep.saving import (
    Lane,
    lay_out_as,
    restore,
    rows_of,
    saved_from,
)
from optax_cycles.sweep.streams import DataError, StreamBatches

FEWEST_ORDERS = 8


class TooLargeError(MemoryError):
    """Members don't fit into memory, and fewer at a time can't be tried."""


class Progress(NamedTuple):
    """How far a sweep has come, in updates summed over its members."""

    done: int
    total: int


@dataclasses.dataclass
class Training:
    """Takes chunks of members through all updates, and records what happens.

    Attributes:
      engine: trains one chunk.
      key: the population's key.
      hparams: flat arrays of all members.
      batches: what they read.
      validation: what they are evaluated on.
      record: where everything goes.
      chunk: members trained at a time, or `"auto"`: as many as the memory holds.
      segment: updates in one compiled program.
      order: whose order of the data a member reads, `"seed"` or `"member"`.
      keep_state: whether final states are recorded.
      progress: called after each piece, on the first process.
      checkpoints: where it is saved, if anywhere.
      judge: who decides at some updates who goes on, if anybody.

    Each of the chunks still to be trained has at most `at_once` members, `size` rows.
    """

    engine: Engine
    key: Key
    hparams: Mapping[str, np.ndarray]
    batches: ArrayBatches | StreamBatches
    validation: Batch | None
    record: Record
    chunk: int | str
    segment: int
    order: str
    keep_state: bool
    progress: Callable[[Progress], None] | None
    checkpoints: Checkpoints | SharedCheckpoints | None
    judge: Judge | None = None

    def __post_init__(self) -> None:
        self.lanes: dict[int, Lane] = {}
        self.chunks: list[np.ndarray] = []
        self.position, self.done = 0, 0
        # Updates of all members that the last checkpoint holds; the half done piece.
        self.saved = 0
        self.torn: Piece | None = None
        members = self.record.space.size
        self._divide(members if self.chunk == "auto" else int(self.chunk))

    def _divide(self, size: int, done: int = 0) -> None:
        """Divide the members into chunks of `size`; the first `done` chunks stay."""
        kept = self.chunks[:done]
        left = np.arange(sum(map(len, kept)), self.record.space.size)
        new = chunks_of(left, size)
        self.lay_out(kept + new, max(map(len, new)))

    def _back_to(self, chunk: int) -> None:
        """Forget what the chunks from this one on have done."""
        first = sum(map(len, self.chunks[:chunk]))
        self.lanes.clear()
        self.torn = None
        # Members that had been dropped come again with the others.
        kept = self.record.states
        self.record.states = [(i, state) for i, state in kept if i[0] < first]
        self.position = sum(piece.chunk < chunk for piece in self.pieces)
        self.done = first * self.record.steps

    def lay_out(self, chunks: list[np.ndarray], size: int) -> None:
        """Take these chunks, those still to be trained of at most `size` members."""
        self.chunks = chunks
        self.at_once, self.size = size, rows_of(self.engine, size)
        by_segment = isinstance(self.batches, StreamBatches)
        self.pieces = plan(
            len(self.chunks),
            self.record.steps,
            self.record.horizons,
            self.segment,
            by_segment=by_segment,
            together=self.record.lineage.steps.tolist(),
        )

    def prepare(self) -> None:
        """Compile all that is still needed, for chunks that the memory holds."""
        saved = self.checkpoints.load() if self.checkpoints else None
        if saved is not None:
            lay_out_as(saved, self)
        self._report()
        if saved is not None and saved.notes["position"] == len(self.pieces):
            self.like = self.engine.shapes(self.key, self._some_hparams, self.size)
        else:
            self._compile()
        while self.chunk == "auto" and saved is None and self._is_too_large():
            self._compile()
        if saved is not None:
            restore(saved, self)
            self._report()

    def _is_too_large(self) -> bool:
        """Whether a chunk does not fit; it is smaller then."""
        needed, processes = self.engine.bytes_needed, self.engine.processes
        free = bytes_free(processes.local_devices)
        share = USABLE * free / needed if free is not None and needed else math.inf
        share = float(processes.each(share).min())
        parts = self.engine.placement.parts
        if share >= 1 or self.size == parts:
            return False
        fitting = int(self.size * share)
        self._divide(max(parts, fitting - fitting % parts))
        return True

    def _compile(self) -> None:
        with Timed(self.record.seconds, "compile"):
            if isinstance(self.batches, StreamBatches):
                segment = self.batches.sample(self.segment)
            else:
                segment = self.batches.segment(self.orders_of(0), 0, self.segment, 1)
            validation = self.validation if self.record.horizons else None
            self.like = self.engine.prepare(
                self.key, self._some_hparams, segment, validation, size=self.size
            )

    @property
    def _some_hparams(self) -> dict[str, np.ndarray]:
        """Those of a chunk, for their shapes."""
        return {name: values[: self.size] for name, values in self.hparams.items()}

    @property
    def in_turns(self) -> bool:
        """Whether chunks wait for each other: none can be trained anew alone."""
        return isinstance(self.batches, StreamBatches) or self.judge is not None

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to do."""
        return self.position == len(self.pieces)

    def run(self) -> None:
        """Do all the pieces that are left."""
        while not self.is_done:
            piece = self.pieces[self.position]
            try:
                self._do(piece)
            except DataError:
                self._train_rest(piece)
                raise
            except jax.errors.JaxRuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                self._check_can_halve(piece, error)
                self._halve(piece)
                continue
            if self.checkpoints is not None and (
                self.is_done or self.checkpoints.is_due
            ):
                self._save(self.checkpoints)
            self._report()

    def save_rest(self) -> None:
        """Save what has been done since the last checkpoint, after something failed.

        Not in a sweep by many processes: others may not be there to do their part.
        """
        if self.checkpoints is None or self.engine.processes.many:
            return
        if self.torn is not None:
            if self.in_turns:
                return
            self._back_to(self.torn.chunk)
        if self.done > self.saved:
            self._save(self.checkpoints)

    @property
    def where_saved(self) -> str:
        """Where the last checkpoint is and how far it goes; "" without one."""
        if self.checkpoints is None or not self.saved:
            return ""
        total = self.record.space.size * self.record.steps
        return (
            f"; {self.saved} of {total} updates of all members are saved in "
            f"{self.checkpoints.folder}, from which the same call goes on"
        )

    def _check_can_halve(self, piece: Piece, error: Exception) -> None:
        """Raise unless the chunk can be trained anew in two, its batches read again."""
        why = None
        if self.engine.processes.many:
            # The others wait where this one failed.
            why = "many processes can't go on with fewer: give chunk="
        elif self.size == self.engine.placement.parts:
            why = "that is one for each device"
        elif piece.start > 0 and isinstance(self.batches, StreamBatches):
            why = "the batches can't be read again for fewer: give chunk="
        elif piece.start > 0 and self.judge is not None:
            why = "what was judged can't be judged again for fewer: give chunk="
        if why:
            raise TooLargeError(
                f"run: {self.size} members at a time don't fit into memory, and {why}"
            ) from error

    def _halve(self, piece: Piece) -> None:
        before = self.size
        done = 0 if self.in_turns else piece.chunk
        self._back_to(done)
        self._divide(-(-self.size // 2), done)
        warnings.warn(
            f"run: {before} members at a time don't fit into memory; going on with "
            f"{self.size}",
            stacklevel=2,
        )

    def _save(self, checkpoints: Checkpoints | SharedCheckpoints) -> None:
        with held_back():
            checkpoints.save(saved_from(self))
        self.saved = self.done

    def _train_rest(self, piece: Piece) -> None:
        """Train on what was read before the iterable failed, less than a segment.

        No checkpoint holds that, because the same call goes on with whole segments.
        """
        if self.engine.processes.many:  # Another may not have failed.
            return
        self.save_rest()
        assert isinstance(self.batches, StreamBatches)
        rest = self.batches.rest(self.segment)
        if rest is None:
            return
        self.torn = piece
        for part in self.pieces[self.position :]:
            if part.start != piece.start:
                break
            lane = self._lane(part.chunk)
            self._advance(lane, part._replace(length=int(rest.length)), rest)
            if len(self.chunks) > 1:
                lane.members = jax.tree.map(on_host, lane.members)

    def _lane(self, chunk: int) -> Lane:
        if chunk not in self.lanes:
            self.lanes[chunk] = self._start(chunk)
        return self.lanes[chunk]

    def _do(self, piece: Piece) -> None:
        lane = self._lane(piece.chunk)
        segment = self._read(lane, piece)
        with held_back():
            self.torn = piece
            if segment is not None:
                self._advance(lane, piece, segment)
            self._end(lane, piece)
            self.done += len(self.chunks[piece.chunk]) * piece.length
            self.position += 1
            self.torn = None

    def _end(self, lane: Lane, piece: Piece) -> None:
        """What follows the updates of a piece."""
        if piece.stop in self.record.horizons:
            self._evaluate(lane, piece.stop)
        if piece.stop == self.record.steps:
            if self.keep_state:
                rows = np.arange(len(lane.idents))
                self.record.keep_state(lane.idents, lane.members, rows)
            del self.lanes[piece.chunk]
        elif self.pieces[self.position + 1].chunk != piece.chunk:
            # Only one chunk at a time lives on the devices.
            lane.members = jax.tree.map(on_host, lane.members)
        if (
            piece.stop in self.record.lineage.steps
            and piece.chunk == len(self.chunks) - 1
        ):
            assert self.judge is not None
            carry_out(self, self.judge, piece.stop)
            if len(self.chunks) == 1:
                self._drop_stopped(lane, piece)

    def _start(self, chunk: int) -> Lane:
        idents = dealt(self.chunks[chunk], self.engine.placement.parts)
        hparams = {name: values[idents] for name, values in self.hparams.items()}
        with Timed(self.record.seconds, "init"):
            members = self.engine.init(
                self.key, hparams, size=self.size, idents=idents, order=self.order
            )
            jax.block_until_ready(members)
        lane = Lane(members, idents, self.orders_of(chunk))
        if 0 in self.record.horizons:
            self._evaluate(lane, 0)
        return lane

    def orders_of(self, chunk: int) -> np.ndarray:
        """The orders of a chunk: as many for all, the last one repeated.

        Some more than there are, so that sweeps of few seeds share one program.
        """
        everyone = np.arange(self.record.space.size)
        if self.order == "seed":
            everyone = self.hparams.get("seed", np.zeros_like(everyone))
        orders = [np.unique(everyone[idents]) for idents in self.chunks]
        count = max(*map(len, orders), min(FEWEST_ORDERS, self.at_once))
        missing = count - len(orders[chunk])
        return np.pad(orders[chunk], (0, missing), "edge")

    def _read(self, lane: Lane, piece: Piece) -> Segment | None:
        """The batches of a piece; None where no member needs any."""
        stopped = self.record.status[lane.idents] != Status.RUNNING
        if piece.start and stopped.all():
            return None
        with Timed(self.record.seconds, "train"):
            segment: Segment = self.batches.segment(
                lane.orders, piece.start, self.segment, piece.length
            )
        return segment

    def _advance(self, lane: Lane, piece: Piece, segment: Segment) -> None:
        with Timed(self.record.seconds, "train"):
            lane.members, metrics = self.engine.advance(lane.members, segment)
            self.record.trained(lane.idents, piece.start, piece.length, metrics)
            self.record.reached(lane.idents, lane.members)
        if piece.stop not in self.record.lineage.steps:  # no verdict copies to them now
            self._drop_stopped(lane, piece)

    def _drop_stopped(self, lane: Lane, piece: Piece) -> None:
        """Go on with half of the rows where no more are needed, if that is faster.

        One after another, stopped members cost nothing; side by side, as much as any.
        """
        needed = [Status.RUNNING]
        if np.any(self.record.lineage.steps > piece.stop):
            # They may go on with another's state.
            needed.append(Status.DIVERGED)
        running = np.flatnonzero(np.isin(self.record.status[lane.idents], needed))
        rows = lane.members.status.shape[0]
        smaller = rows
        parts = self.engine.placement.parts
        while 0 < len(running) <= smaller // 2 and smaller // 2 % parts == 0:
            smaller //= 2
        if not len(running) or smaller == rows or not self._pays(smaller / rows, piece):
            return
        stopped = np.setdiff1d(np.arange(len(lane.idents)), running)
        if self.keep_state:
            self.record.keep_state(lane.idents[stopped], lane.members, stopped)
        lane.members = self.engine.take(lane.members, running, smaller)
        lane.idents = lane.idents[running]

    def _pays(self, share: float, piece: Piece) -> bool:
        """Whether the time saved is more than that of compiling another program."""
        if self.engine.placement.inside == "map":
            return False
        each = self.record.seconds["train"] / max(self.position + 1, 1)
        left = (self.record.steps - piece.stop) / self.segment
        saved = (1 - share) * left * each
        pays = saved > self.engine.compile_seconds["advance"]
        return bool(self.engine.processes.first(pays))

    def _evaluate(self, lane: Lane, horizon: int) -> None:
        with Timed(self.record.seconds, "evaluate"):
            metrics = self.engine.evaluate(lane.members, self.validation)
            self.record.evaluated(lane.idents, horizon, metrics)

    def _report(self) -> None:
        if self.progress is not None and self.engine.processes.is_first:
            total = self.record.space.size * self.record.steps
            self.progress(Progress(self.done, total))


def as_source(source: Any, engine: Engine) -> None:
    """Put the data of a source that holds them all onto the devices."""
    if isinstance(source, ArrayBatches):
        source.data = engine.place(source.data)
