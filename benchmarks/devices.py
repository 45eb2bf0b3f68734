"""The MLP sweep on 1, 2, 4 and 8 CPU devices, and on 4 x 2 with shared batches.

Time per member-step of the MLP of `sweep_mlp.py`, compile apart. CPU devices are
threads of one process: beyond the machine's cores they can't make anything faster,
and show what more devices cost.
"""

from __future__ import annotations

import _measure
import numpy as np
import sweep_mlp
from _measure import Row, spread_of_ratios

SIDES = {"1": (1, 1), "2": (2, 1), "4": (4, 1), "8": (8, 1), "4x2": (4, 2)}
SIZE = sweep_mlp.Size(members=64, steps=100)


def side(name: str, size: sweep_mlp.Size) -> dict[str, float]:
    """Microseconds for a member-step on so many devices."""
    import optax

    import optax_cycles as oc

    members_axis, data_axis = SIDES[name]
    oc.sweep.use_cpu_devices(members_axis * data_axis)
    import jax

    train = oc.trainable(
        oc.problem_from_loss(*sweep_mlp.jax_problem()),
        lambda hp: optax.sgd(hp["learning_rate"], momentum=sweep_mlp.MOMENTUM),
    )
    mesh = jax.make_mesh((members_axis, data_axis), ("members", "data"))
    engine = oc.sweep.build(train, mesh=mesh if data_axis > 1 else None)
    key = jax.random.key(0)
    batches = oc.sweep.ArrayBatches(sweep_mlp.data(), sweep_mlp.BATCH, key)
    batches.data = engine.place(batches.data)
    segment = batches.segment(np.zeros(1), 0, size.steps, size.steps)
    space = {"learning_rate": sweep_mlp.rates(size)}

    def once() -> float:
        members = jax.block_until_ready(engine.init(key, space))
        return _measure.seconds(
            lambda: jax.block_until_ready(engine.advance(members, segment))
        )

    once()
    spent = _measure.spread(once() for _ in range(size.repeats)).median
    us = spent / size.members / size.steps * 1e6
    return {"us": us, "compile": engine.compile_seconds["advance"]}


def rows(sides: dict[str, dict[str, list[float]]], cores: int) -> list[Row]:
    """How many times faster than one device."""
    found = []
    for name in [side for side in sides if side != "1"]:
        ratio = None
        if "1" in sides:
            ratio = spread_of_ratios(sides["1"]["us"], sides[name]["us"])
        goal = 0.8 * min(SIDES[name][0] * SIDES[name][1], cores)
        work = f"MLP sweep, {name} CPU devices on {cores} cores"
        found.append(Row(work, "one CPU device", ratio, "x faster", goal))
    return found


def main() -> None:
    """Run the sides in turn, or one of them."""
    parser = _measure.arguments(__doc__ or "", list(SIDES))
    options = parser.parse_args()
    size = sweep_mlp.QUICK if options.quick else SIZE
    if options.side:
        _measure.say(side(options.side, size))
        return
    environment = _measure.environment()
    extra = ["--quick"] if options.quick else []
    sides = _measure.alternate(__file__, options.sides, options.rounds, extra)
    record = {"environment": environment, "size": size._asdict(), "sides": sides}
    made = rows(sides, environment["cores"])
    _measure.finish("devices", options.results, record, made)


if __name__ == "__main__":
    main()
