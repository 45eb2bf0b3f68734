"""Which placement is fastest: the candidates, timed on a sweep's own first updates."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from optax_cycles.sweep.engine import Engine
from optax_cycles.sweep.placement import Placement
from optax_cycles.sweep.record import Record, Timed
from optax_cycles.sweep.streams import StreamBatches
from optax_cycles.sweep.training import Training

# A timing lasts this long where the first segment does, and the least of some counts.
LONG_ENOUGH = 0.2
REPEATS = 3
# Members side by side on a device where a population is cut into chunks.
GROUP = 8


def fastest(training: Training, engine_of: Callable[[Placement], Engine]) -> Training:
    """The same sweep with the placement that is fastest for it.

    Args:
      training: a sweep that has not begun. Its record takes in what was measured.
      engine_of: makes the engine of a placement.

    Returns:
      The sweep, still not begun; one that a checkpoint holds keeps its placement.
    """
    choices = _choices(training, engine_of)
    measured = _saved(training)
    if not set(measured) & set(choices):
        training.record.seconds["measure"] = 0.0
        with Timed(training.record.seconds, "measure"):
            measured = {name: seconds_of(one) for name, one in choices.items()}
    training.record.measured = measured
    return choices[min(set(measured) & set(choices), key=lambda name: measured[name])]


def _choices(
    training: Training, engine_of: Callable[[Placement], Engine]
) -> dict[str, Training]:
    """The sweep in each of the placements, by what they are called."""
    placement, chunk = training.engine.placement, training.chunk
    engines = {
        "map": engine_of(placement._replace(inside="map")),
        "vmap": engine_of(placement._replace(inside="vmap")),
    }
    found = {
        name: dataclasses.replace(training, engine=engine)
        for name, engine in engines.items()
    }
    some = GROUP * placement.parts
    # Chunks that read a stream in turns wait in the host's memory, which costs more.
    streams = isinstance(training.batches, StreamBatches)
    if chunk == "auto" and not streams and training.record.space.size >= 2 * some:
        found[f"vmap, {some} at a time"] = dataclasses.replace(
            found["vmap"], chunk=some
        )
    return found


def _saved(training: Training) -> dict[str, float]:
    """What was measured before the sweep was stopped, if it was."""
    saved = training.checkpoints.load() if training.checkpoints else None
    return {} if saved is None else dict(saved.notes.get("measured", {}))


def seconds_of(training: Training) -> float:
    """Seconds for an update of one member, compilation apart."""
    first = _trial(training, 1)
    first.prepare()
    fitting = dataclasses.replace(training, chunk=len(first.chunks[0]))
    _train(first)  # Whatever is only slow once.
    # Processes that share a sweep go by the clock of the first.
    processes = training.engine.processes
    once = float(processes.first(_train(_trial(fitting, 1))))
    most = min(training.segment, training.record.steps)
    updates = min(max(int(LONG_ENOUGH / once), 1), most)
    times = [once]
    if updates > 1:
        times = [_train(_trial(fitting, updates)) for _ in range(REPEATS)]
    least = float(processes.first(min(times)))
    return least / updates / training.record.space.size


def _trial(training: Training, updates: int) -> Training:
    """The first updates of a sweep, which leave nothing behind."""
    batches = training.batches
    if isinstance(batches, StreamBatches):
        batches = batches.first_again(updates)
    return dataclasses.replace(
        training,
        batches=batches,
        record=Record(training.record.space, updates, []),
        judge=None,
        keep_state=False,
        progress=None,
        checkpoints=None,
    )


def _train(trial: Training) -> float:
    """Seconds for all its updates."""
    trial.run()
    if isinstance(trial.batches, StreamBatches):
        trial.batches.close()
    return trial.record.seconds["train"]
