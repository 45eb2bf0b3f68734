"""What members cost that train side by side on one accelerator.

The engine with the placement "vmap" on one device, batch 32, momentum SGD, compile
apart, sizes in turn: the time of an update of 256 members of an MLP 64-128-128-10
against that of one member, and the time per member of 64 members of a small CNN against
one member, which is what they take one after another in a program that is compiled
once. The goals are for a GPU; elsewhere it runs all the same and names the device.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import _measure
import jax
from _measure import Row, spread, spread_of_ratios
from _models import mlp
from crossover import BATCH, Population, momentum_sgd
from crossover import Size as Timing

import optax_cycles as oc
from optax_cycles import problems


class Size(NamedTuple):
    """How much is run: members of each model, and how long a timing lasts."""

    mlp: int = 256
    cnn: int = 64
    seconds: float = 0.4
    updates: int = 1000
    rounds: int = 5


QUICK = Size(mlp=3, cnn=2, seconds=0.0, updates=2, rounds=2)


def timings(problem: oc.Problem, members: int, size: Size) -> dict[str, list[float]]:
    """Microseconds of an update: of `"one"` member, and of `"all"` side by side."""
    engine = oc.sweep.build(
        momentum_sgd(problem), placement="vmap", devices=jax.devices()[:1]
    )
    timing = Timing(seconds=size.seconds, updates=size.updates)
    counts = {"one": 1, "all": members}
    ready = {name: Population(engine, n, timing) for name, n in counts.items()}
    found: dict[str, list[float]] = {name: [] for name in counts}
    for _ in range(size.rounds):
        for name, one in ready.items():
            found[name].append(one.members * one.microseconds())
    return found


def rows_of(found: dict[str, Any], size: Size) -> list[Row]:
    """The rows of the table."""
    device = jax.devices()[0].device_kind
    dense, conv = found["mlp"], found["cnn"]

    def note(ours: list[float], theirs: list[float]) -> str:
        medians = spread(ours).median, spread(theirs).median
        return "{:.0f} us an update against {:.0f} us".format(*medians)

    in_turn = [size.cnn * one for one in conv["one"]]
    return [
        Row(
            f"MLP, {size.mlp} members side by side on one {device}",
            "1 member",
            spread_of_ratios(dense["all"], dense["one"]),
            "x the time",
            2,
            at_most=True,
            note=note(dense["all"], dense["one"]),
        ),
        Row(
            f"CNN, {size.cnn} members side by side on one {device}",
            "one after another",
            spread_of_ratios(in_turn, conv["all"]),
            "x faster",
            13,
            note=note(conv["all"], in_turn),
        ),
    ]


def main() -> None:
    parser = _measure.arguments(str(__doc__).splitlines()[0], ())
    given = parser.parse_args()
    size = QUICK if given.quick else Size()
    environment = _measure.environment()
    found = {
        "mlp": timings(mlp((64, 128, 128, 10)), size.mlp, size),
        "cnn": timings(problems.digits_problem("cnn"), size.cnn, size),
    }
    settings = {
        **size._asdict(),
        "batch": BATCH,
        "platform": jax.devices()[0].platform,
        "device": jax.devices()[0].device_kind,
    }
    record = {"environment": environment, "settings": settings, "sides": found}
    _measure.finish("sweep_gpu", given.results, record, rows_of(found, size))


if __name__ == "__main__":
    main()
