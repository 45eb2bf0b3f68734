"""How much memory a sweep takes, against what its members have to hold.

A sweep of K members holds K times parameters and optimizer state, and the temporaries
(activations and gradients) of the members that train at one time: one on each device
under "map", all of them under "vmap". The temporaries of a member are what the compiler
accounts for in a jitted update of one member, written in plain JAX.

- The compiled programs: arguments, outputs and temporaries less what is donated, as the
  compiler accounts for them, of the largest of the engine's programs, on all devices.
- The process: its peak resident size on a CPU, the devices' peak elsewhere, less that
  of the same process with members of a few parameters. Each is a process of its own.
- Chunks: the same for a thousand and ten thousand members in chunks, over that of a
  population of one chunk.
"""

from __future__ import annotations

import argparse
import resource
import sys
from typing import Any, NamedTuple

import _measure
import numpy as np
from _measure import Row, spread, spread_of_ratios

BATCH, FEATURES, CLASSES = 32, 64, 10
PLACEMENTS = ("map", "vmap")
GOAL = 1.1


class Size(NamedTuple):
    """How much is run.

    Attributes:
      members: of the population in one piece.
      width: of the two hidden layers of its members; 960 makes a million parameters.
      chunk: members at a time in the populations in chunks.
      small: the width of their members; 128 makes 26,000 parameters.
      many: their sizes.
      updates: made by every member.
    """

    members: int = 64
    width: int = 960
    chunk: int = 250
    small: int = 128
    many: tuple[int, ...] = (1_000, 10_000)
    updates: int = 3


QUICK = Size(members=4, width=32, chunk=4, small=16, many=(8, 12), updates=1)


def sides(size: Size) -> tuple[str, ...]:
    """The processes: what is run, and the number of members where that varies."""
    return (*PLACEMENTS, "empty", "empty-chunk", *map(str, (size.chunk, *size.many)))


def problem(width: int) -> Any:
    """A classifier 64-width-width-10."""
    from _models import mlp

    return mlp((FEATURES, width, width, CLASSES))


def data() -> tuple[np.ndarray, np.ndarray]:
    """Few examples: what a sweep holds once, whatever its members, should not count."""
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(2 * BATCH, FEATURES)).astype(np.float32)
    return inputs, rng.integers(CLASSES, size=2 * BATCH).astype(np.int32)


def one_member(width: int) -> dict[str, int]:
    """Bytes of a member's parameters and state, and of an update's temporaries."""
    import jax
    import jax.numpy as jnp
    import optax
    from _models import parameters

    task = problem(width)
    optimizer = optax.adam(1e-3)

    def start(key: Any) -> Any:
        params, _ = task.init(key)
        return params, optimizer.init(params)

    def update(held: Any, batch: Any) -> Any:
        params, state = held
        gradient = jax.grad(lambda p: task.loss(p, (), batch, None)[0])(params)
        updates, state = optimizer.update(gradient, state, params)
        return optax.apply_updates(params, updates), state

    held = jax.eval_shape(start, jax.random.key(0))
    batch = tuple(jnp.asarray(part[:BATCH]) for part in data())
    compiled = jax.jit(update, donate_argnums=0).lower(held, batch).compile()
    found: Any = compiled.memory_analysis()
    return {
        "parameters": parameters(task),
        "held": sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(held)),
        "temporaries": found.temp_size_in_bytes,
    }


def peak() -> int:
    """The most bytes that this process has held."""
    import jax

    stats = [device.memory_stats() for device in jax.devices()]
    if all(found and "peak_bytes_in_use" in found for found in stats):
        return sum(found["peak_bytes_in_use"] for found in stats)
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used if sys.platform == "darwin" else 1024 * used


def trainable(width: int) -> Any:
    """Members with Adam."""
    import optax

    import optax_cycles as oc

    return oc.trainable(problem(width), lambda hp: optax.adam(hp["learning_rate"]))


def whole(placement: str, size: Size, width: int) -> dict[str, float]:
    """A population in one piece: what the programs need, and the process."""
    import jax

    import optax_cycles as oc

    devices = oc.sweep.use_cpu_devices()
    engine = oc.sweep.build(trainable(width), placement=placement)
    key = jax.random.key(0)
    space = {"learning_rate": np.geomspace(1e-5, 1e-3, size.members)}
    batches = oc.sweep.ArrayBatches(data(), BATCH, key)
    batches.data = engine.place(batches.data)
    segment = batches.segment(np.zeros(1), 0, size.updates, size.updates)
    engine.prepare(key, space, segment)
    members, _ = engine.advance(engine.init(key, space), segment)
    jax.block_until_ready(members)
    process = peak()
    devices = len(engine.placement.devices)
    one = one_member(width)
    together = devices if placement == "map" else size.members
    needed = size.members * one["held"] + together * one["temporaries"]
    programs = engine.bytes_needed * devices
    return {"peak": process, "programs": programs, "needed": needed, **one}


def in_chunks(members: int, size: Size, width: int) -> dict[str, float]:
    """A population in chunks, the whole sweep through `run`."""
    import jax

    import optax_cycles as oc

    oc.sweep.use_cpu_devices()
    result = oc.sweep.run(
        trainable(width),
        {"learning_rate": np.geomspace(1e-5, 1e-3, members)},
        data(),
        size.updates,
        key=jax.random.key(0),
        batch_size=BATCH,
        chunk=size.chunk,
    )
    if not np.all(result.updates == size.updates):
        raise RuntimeError("not every member made every update")
    return {"peak": peak()}


def side(name: str, size: Size) -> dict[str, float]:
    """What one process does."""
    if name == "empty":
        return whole("map", size, 1)
    if name == "empty-chunk":
        return in_chunks(size.chunk, size, 1)
    if name in PLACEMENTS:
        return whole(name, size, size.width)
    return in_chunks(int(name), size, size.small)


Said = dict[str, dict[str, list[float]]]


def above(said: Said, name: str, empty: str) -> list[float]:
    """Peaks less that of the empty process, round by round."""
    pairs = zip(said[name]["peak"], said[empty]["peak"], strict=True)
    return [full - nothing for full, nothing in pairs]


def rows_of(said: Said, size: Size) -> list[Row]:
    """The rows of the table."""
    rows = []
    unit = "x that"
    for name in PLACEMENTS:
        found = said[name]
        count = found["parameters"][0]
        work = f"{size.members} members of {count / 1e6:.2g} M parameters, Adam, {name}"
        against = "parameters, optimizer state, temporaries at one time"
        megabytes = found["needed"][0] / 1e6
        for kind, bytes_of in (
            ("compiled programs", found["programs"]),
            ("process", above(said, name, "empty")),
        ):
            value = spread_of_ratios(bytes_of, found["needed"])
            took = spread(bytes_of).median / 1e6
            note = f"{took:.0f} MB against {megabytes:.0f} MB"
            rows.append(Row(f"{work}: {kind}", against, value, unit, GOAL, True, note))
    chunk = above(said, str(size.chunk), "empty-chunk")
    for members in size.many:
        many = above(said, str(members), "empty-chunk")
        medians = spread(many).median / 1e6, spread(chunk).median / 1e6
        note = "{:.0f} MB against {:.0f} MB".format(*medians)
        work = f"{members:,} small members in chunks of {size.chunk}: process"
        value = spread_of_ratios(many, chunk)
        rows.append(Row(work, "one chunk alone", value, unit, GOAL, True, note))
    return rows


def main() -> None:
    parser = _measure.arguments(str(__doc__).splitlines()[0], ())
    parser.add_argument("--rounds", type=int, default=3, help="times in turn")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    given: argparse.Namespace = parser.parse_args()
    size = QUICK if given.quick else Size()
    if given.side:
        _measure.say(side(given.side, size))
        return
    found = _measure.environment()
    quick = ["--quick"] if given.quick else []
    said = _measure.alternate(__file__, sides(size), given.rounds, quick)
    settings = {**size._asdict(), "batch": BATCH}
    record = {"environment": found, "settings": settings, "sides": said}
    _measure.finish("sweep_memory", given.results, record, rows_of(said, size))


if __name__ == "__main__":
    main()
