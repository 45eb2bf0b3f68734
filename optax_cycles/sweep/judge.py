"""Searches: at some updates, somebody decides who goes on, and with what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from optax_cycles import _checks
from optax_cycles.sweep.members import Members, Status
from optax_cycles.sweep.processes import put
from optax_cycles.sweep.record import on_host
from optax_cycles.sweep.saving import Lane

if TYPE_CHECKING:
    from optax_cycles.sweep.training import Training


class Standing(NamedTuple):
    """What is known of a population when it is judged; rows are members.

    Attributes:
      step: updates made.
      hparams: dict from hyperparameter to `[members]`, with which they trained.
      status: int32 `[members]`, a `Status`.
      validation: dict from metric to `[members]`, just evaluated; NaN where a member
        does not run.
    """

    step: int
    hparams: Mapping[str, np.ndarray]
    status: np.ndarray
    validation: Mapping[str, np.ndarray]


class Verdict(NamedTuple):
    """What becomes of the members.

    Attributes:
      parents: int `[members]`: whose state each goes on with, its own for most; -1
        where it does not go on, for good.
      hparams: dict from hyperparameter to `[members]`, with which they go on; those
        that are not named stay. A copy keeps its own order of the data and its own
        random numbers.
    """

    parents: np.ndarray
    hparams: Mapping[str, np.ndarray] = {}


class Judge(Protocol):
    """Who decides; `run(judge=)` asks."""

    @property
    def steps(self) -> Sequence[int]:
        """After how many updates: increasing horizons below the last."""
        ...

    @property
    def setting(self) -> str:
        """All that decisions depend on: a checkpoint is refused where it differs."""
        ...

    def __call__(self, standing: Standing) -> Verdict:
        """The verdict: a pure function of what is known."""
        ...


def check_judge(judge: Judge | None, horizons: Sequence[int], steps: int) -> list[int]:
    """The updates after which there is a verdict.

    Raises:
      TypeError: if it is no judge.
      ValueError: if they don't increase, or nothing is evaluated then.
    """
    if judge is None:
        return []
    if not (callable(judge) and hasattr(judge, "steps") and hasattr(judge, "setting")):
        expected = "a Judge: what can be called and has `steps` and `setting`"
        _checks.fail_type("run", "judge", expected, judge)
    found = [int(step) for step in judge.steps]
    known = set(horizons) - {0, steps}
    if found != sorted(set(found)) or not set(found) <= known:
        expected = (
            f"increasing horizons before the last update, of horizons={sorted(known)}"
        )
        _checks.fail("run", "judge.steps", expected, list(judge.steps))
    return found


def carry_out(training: Training, judge: Judge, step: int) -> None:
    """Ask for a verdict, and do what it says."""
    record = training.record
    at = record.horizons.index(step)
    history = record.lineage.hparams
    number = record.lineage.steps.tolist().index(step)
    standing = Standing(
        step,
        {name: values[:, number].copy() for name, values in history.items()},
        record.status.copy(),
        {name: values[:, at].copy() for name, values in record.validation.items()},
    )
    parents, changed = _checked(judge(standing), standing)
    dropped = parents < 0
    parents = np.where(dropped, np.arange(len(parents)), parents)
    copied = parents != np.arange(len(parents))
    record.judged(step, np.where(dropped, -1, parents), changed)
    record.status[copied] = Status.RUNNING
    record.updates = record.updates[parents]
    record.status[dropped & (record.status == Status.RUNNING)] = Status.DROPPED
    lanes = list(training.lanes.values())
    if copied.any():
        _copy(training, lanes, parents)
    for lane in lanes:
        _mark(training, lane, changed)


def _checked(
    verdict: Verdict, standing: Standing
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The verdict's arrays.

    Raises:
      ValueError: if they don't fit the population, a member that does not run is
        copied, or one that was dropped is to go on.
    """
    count = len(standing.status)
    parents = np.asarray(verdict.parents)
    if parents.shape != (count,) or parents.dtype.kind not in "iu":
        _checks.fail("run", "judge's parents", f"{count} integers", verdict.parents)
    if np.any((parents < -1) | (parents >= count)):
        _checks.fail("run", "judge's parents", f"from -1 to {count - 1}", parents)
    copied = parents[(parents >= 0) & (parents != np.arange(count))]
    if np.any(standing.status[copied] != Status.RUNNING):
        _checks.fail("run", "judge's parents", "members that run", parents)
    back = (standing.status == Status.DROPPED) & (parents != np.arange(count))
    if np.any(parents[back] >= 0):  # Their rows may be gone.
        expected = "-1 or their own for members that were dropped"
        _checks.fail("run", "judge's parents", expected, parents)
    changed = {}
    for name, values in verdict.hparams.items():
        _checks.choice("run", "judge's hparams", name, standing.hparams)
        before = standing.hparams[name]
        new = np.asarray(values, before.dtype)
        if new.shape != before.shape or not np.all(np.isfinite(new)):
            expected = f"{count} finite numbers for {name}"
            _checks.fail("run", "judge's hparams", expected, values)
        changed[name] = new
    return parents, changed


def _copy(training: Training, lanes: list[Lane], parents: np.ndarray) -> None:
    """Give every member the state of its parent."""
    if len(lanes) == 1:
        (lane,) = lanes
        row = np.empty(len(parents), int)
        row[lane.idents] = np.arange(len(lane.idents))
        rows = len(lane.members.status)
        taken = training.engine.take(lane.members, row[parents[lane.idents]], rows)
        lane.members = _of_parents(lane.members, taken)
        return
    # Chunks wait in the host's memory, all of them.
    everyone = np.concatenate([lane.idents for lane in lanes])
    row = np.empty(len(parents), int)
    row[everyone] = np.arange(len(everyone))

    def joined(*leaves: Any) -> Any:
        kept = [leaf[: len(x.idents)] for leaf, x in zip(leaves, lanes, strict=True)]
        return (jnp if isinstance(leaves[0], jax.Array) else np).concatenate(kept)

    hosts = [jax.tree.map(on_host, lane.members) for lane in lanes]
    whole: Members = jax.tree.map(joined, *hosts)
    for lane, host in zip(lanes, hosts, strict=True):
        places = row[parents[lane.idents]]
        padded = np.pad(places, (0, len(host.status) - len(places)), "edge")
        taken = jax.tree.map(lambda leaf, at=padded: leaf[at], whole)
        lane.members = _of_parents(host, taken)


def _of_parents(own: Members, taken: Members) -> Members:
    """Members with the states of others: no copy is to repeat what its parent does."""
    return own._replace(state=taken.state, step=taken.step, watch=taken.watch)


def _mark(training: Training, lane: Lane, changed: Mapping[str, np.ndarray]) -> None:
    """Tell the members of a chunk what has become of them."""
    record, idents = training.record, lane.idents
    rows = len(lane.members.status)
    status = np.full(rows, Status.PADDING, np.int32)
    status[: len(idents)] = record.status[idents]
    hparams = dict(lane.members.hparams)
    for name in set(changed) & set(hparams):
        values = changed[name][idents]
        new = np.pad(values, (0, rows - len(idents)), "edge")
        hparams[name] = jnp.asarray(new, hparams[name].dtype)
    changes = put(
        {"status": jnp.asarray(status), "hparams": hparams}, training.engine.each
    )
    lane.members = lane.members._replace(**changes)
