"""What an update of a decoupled optimizer costs: time, memory, passes over memory.

`oc.sgdw` and `oc.adamw` with `decay_scale="learning_rate"` against the same work in
Optax, at 10^7 float32 parameters, with fixed numbers and with a policy that moves the
learning rate and the momentum (or `b1`). An update and `optax.apply_updates` are one
jitted function that gets parameters and state donated; compile is apart.

- Time: both sides take turns in every round, the order swapped each time. Each is
  compiled several times over, because copies differ by where their buffers lie. The
  figure is the ratio of the least times of the median copies, its spread that of any
  copy of ours over any of theirs.
- Memory: arguments, outputs and temporaries less what is donated, as the compiler
  accounts for them.
- Bandwidth: the bytes that an update has to move (parameters and state read and
  written, gradients read) per second, as a share of what an in-place pass over equally
  many parameters moves.
- Passes: what the compiled program runs over whole arrays. One for each array of
  parameters would be the least; on CPUs XLA makes one for each array that is written,
  so that Adam moves 10 arrays where 7 would do, and no more than 70 % are in reach.
"""

from __future__ import annotations

import itertools
import re
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import _measure
import jax
import jax.numpy as jnp
import optax
from _measure import Row, Spread, seconds

import optax_cycles as oc

RATE, DECAY, CYCLE = 1e-3, 1e-2, 10_000
# What an HLO program lists but does not run.
IDLE = frozenset({"parameter", "constant", "tuple", "get-tuple-element", "bitcast"})
COMPUTATION = re.compile(r"^((?:ENTRY )?%\S+) .*\{\n((?:  .*\n)*)\}", re.MULTILINE)
INSTRUCTION = re.compile(r"%\S+ = (?P<shape>.+?) (?P<opcode>[\w-]+)\((?P<rest>.*)")
CALLED = re.compile(r"to_apply=(?P<name>%[^\s,]+)")


class Size(NamedTuple):
    """How much is run: `arrays` of `rows` x `columns` parameters."""

    arrays: int = 10
    rows: int = 1000
    columns: int = 1000
    copies: int = 5
    rounds: int = 31
    updates: int = 2

    @property
    def parameters(self) -> int:
        return self.arrays * self.rows * self.columns


QUICK = Size(arrays=2, rows=64, columns=64, copies=2, rounds=2, updates=2)


class Case(NamedTuple):
    """The same work in both libraries.

    Attributes:
      ours: the optimizer of this library.
      peer: that of Optax.
      against: the peer in words.
      held: how many arrays like the parameters the state holds.
    """

    ours: optax.GradientTransformation
    peer: optax.GradientTransformation
    against: str
    held: int


def sgd_with_decay(
    learning_rate: Any, momentum: Any = 0.9, weight_decay: Any = DECAY
) -> optax.GradientTransformation:
    """`optax.sgd` with decoupled decay that the learning rate multiplies."""
    return optax.chain(
        optax.trace(momentum),
        optax.add_decayed_weights(weight_decay),
        optax.scale_by_learning_rate(learning_rate),
    )


def cases() -> dict[str, Case]:
    """Each optimizer with fixed numbers and with a policy."""
    same: dict[str, Any] = {"weight_decay": DECAY, "decay_scale": "learning_rate"}
    sgd, adam = (
        oc.one_cycle_policy(CYCLE, RATE, momentum_name=name)
        for name in ("momentum", "b1")
    )

    def injected(factory: Any) -> Any:
        return optax.inject_hyperparams(factory, hyperparam_dtype=jnp.float32)

    traced = "optax.trace, add_decayed_weights"
    return {
        "sgdw": Case(oc.sgdw(RATE, **same), sgd_with_decay(RATE), traced, 1),
        "sgdw, policy": Case(
            oc.sgdw(**sgd, **same),
            injected(sgd_with_decay)(**sgd),
            f"{traced}, injected",
            1,
        ),
        "adamw": Case(
            oc.adamw(RATE, **same),
            optax.adamw(RATE, weight_decay=DECAY),
            "optax.adamw",
            2,
        ),
        "adamw, policy": Case(
            oc.adamw(**adam, **same),
            injected(optax.adamw)(**adam, weight_decay=DECAY),
            "optax.adamw, injected",
            2,
        ),
    }


def arrays(size: Size, seed: int) -> list[jax.Array]:
    """New arrays of the size of all parameters."""
    keys = jax.random.split(jax.random.key(seed), size.arrays)
    return [jax.random.normal(key, (size.rows, size.columns)) for key in keys]


def compiled_update(optimizer: optax.GradientTransformation, size: Size) -> Any:
    """One update of all parameters, as a compiled program."""

    def update(params: Any, state: Any, gradients: Any) -> Any:
        updates, state = optimizer.update(gradients, state, params)
        return optax.apply_updates(params, updates), state

    params = arrays(size, 0)
    example = (params, jax.eval_shape(optimizer.init, params), params)
    return jax.jit(update, donate_argnums=(0, 1)).lower(*example).compile()


class Runner:
    """Makes updates of parameters of its own, whose buffers are donated each time."""

    def __init__(self, program: Any, held: tuple[Any, ...], rest: tuple[Any, ...]):
        self.program, self.held, self.rest = program, held, rest

    def __call__(self, updates: int) -> None:
        for _ in range(updates):
            self.held = self.program(*self.held, *self.rest)
        jax.block_until_ready(self.held)


def runner(
    optimizer: optax.GradientTransformation, gradients: Any, size: Size
) -> Runner:
    """A program that is compiled anew, with new parameters."""
    params = arrays(size, 0)
    program = compiled_update(optimizer, size)
    return Runner(program, (params, jax.jit(optimizer.init)(params)), (gradients,))


Times = dict[str, list[list[float]]]


def times(case: Case, gradients: Any, size: Size) -> tuple[Times, Times]:
    """`[copies][rounds]` seconds of an update of each side, taken in turn.

    Returns:
      Wall time, and the time of all processors, which other programs disturb less.
    """
    sides = {"ours": case.ours, "peer": case.peer}
    runs = {
        (side, copy): runner(optimizer, gradients, size)
        for copy in range(size.copies)
        for side, optimizer in sides.items()
    }
    for run in runs.values():
        run(1)
    wall: dict[Any, list[float]] = {name: [] for name in runs}
    processors: dict[Any, list[float]] = {name: [] for name in runs}
    for number in range(size.rounds):
        for name in list(runs) if number % 2 else list(runs)[::-1]:
            before = time.process_time()
            taken = seconds(lambda run=runs[name]: run(size.updates))
            used = time.process_time() - before
            wall[name].append(taken / size.updates)
            processors[name].append(used / size.updates)

    def by_side(found: dict[Any, list[float]]) -> Times:
        return {side: [found[side, c] for c in range(size.copies)] for side in sides}

    return by_side(wall), by_side(processors)


def in_place_rate(size: Size) -> float:
    """Bytes a second of a pass that reads and writes all parameters in place."""
    program: Any = jax.jit(
        lambda held: (jax.tree.map(jnp.negative, held),), donate_argnums=0
    )
    runs = [Runner(program, (arrays(size, 0),), ()) for _ in range(size.copies)]
    for run in runs:
        run(1)
    least = min(
        seconds(lambda run=run: run(size.updates))
        for _ in range(size.rounds)
        for run in runs
    )
    return 2 * array_bytes(size) * size.updates / least


def array_bytes(size: Size) -> int:
    """Bytes of one array like the parameters: float32."""
    return 4 * size.parameters


def memory(program: Any) -> int:
    """Bytes that a program needs, donated ones counted once."""
    found = program.memory_analysis()
    return (
        found.argument_size_in_bytes
        + found.output_size_in_bytes
        + found.temp_size_in_bytes
        - found.alias_size_in_bytes
    )


def passes(program: Any, size: Size) -> dict[str, int]:
    """What the program runs: over whole arrays, and over a few numbers.

    An instruction of the entry computation is a loop (a kernel, on a GPU); those that
    write a whole array, or several, are passes over memory.
    """
    bodies = dict(COMPUTATION.findall(program.as_text()))
    shapes = written(bodies, next(name for name in bodies if name.startswith("ENTRY")))
    whole = sum(f"[{size.rows},{size.columns}]" in shape for shape in shapes)
    return {"arrays": whole, "numbers": len(shapes) - whole}


def written(bodies: dict[str, str], name: str) -> list[str]:
    """The shapes of what a computation and those that it calls write."""
    shapes = []
    for found in INSTRUCTION.finditer(bodies[name]):
        if found["opcode"] == "call":  # on GPUs, a group of kernels
            called = CALLED.search(found["rest"])
            shapes += written(bodies, called["name"]) if called else []
        elif found["opcode"] not in IDLE:
            shapes.append(found["shape"])
    return shapes


def compare(case: Case, gradients: Any, size: Size) -> dict[str, Any]:
    """Time, memory and passes of both sides."""
    wall, processors = times(case, gradients, size)
    found: dict[str, Any] = {"seconds": wall, "processor_seconds": processors}
    for side in ("ours", "peer"):
        program = compiled_update(getattr(case, side), size)
        found[side] = {"memory": memory(program), "passes": passes(program, size)}
    found["bytes"] = (3 + 2 * case.held) * array_bytes(size)
    return found


def time_ratio(found: Times, reduce: Callable[..., Any]) -> Any:
    """Our time over the peer's, `reduce` over rounds; spread over pairs of copies."""
    ours, peer = ([reduce(copy) for copy in found[side]] for side in ("ours", "peer"))
    pairs = [a / b for a, b in itertools.product(ours, peer)]
    middle = statistics.median(ours) / statistics.median(peer)
    return Spread(middle, min(pairs), max(pairs))


def copies_differ(found: Times) -> float:
    """By how much the copies of one and the same program differ, in per cent."""
    least = [[min(copy) for copy in side] for side in found.values()]
    return 100 * (max(max(side) / min(side) for side in least) - 1)


def rows_of_case(
    name: str, case: Case, found: dict[str, Any], rate: float, size: Size
) -> list[Row]:
    """The rows of one comparison."""
    taken = found["seconds"]
    ours, peer = found["ours"], found["peer"]
    least = [min(copy) for copy in taken["ours"]]
    extra = ours["memory"] - peer["memory"]
    more = 100 * extra / peer["memory"]
    shares = [100 * found["bytes"] / one / rate for one in least]
    median = time_ratio(taken, statistics.median).median
    processors = ""
    if jax.default_backend() == "cpu":
        used = time_ratio(found["processor_seconds"], min).median
        processors = f"processor time {used:.3f} x; "
    loops = ", ".join(
        f"{side['passes']['arrays'] / size.arrays:g} passes over each array and "
        f"{side['passes']['numbers']} loops over numbers"
        for side in (ours, peer)
    )
    return [
        Row(
            f"{name}: time of an update",
            case.against,
            time_ratio(taken, min),
            "x the time",
            1.02,
            at_most=True,
            note=f"{1e3 * statistics.median(least):.3g} ms; medians of all rounds "
            f"{median:.3f} x; {processors}copies of one program differ by up to "
            f"{copies_differ(taken):.1f} %",
        ),
        Row(
            f"{name}: memory",
            case.against,
            Spread(more, more, more),
            "% more memory",
            0.01,
            at_most=True,
            note=f"{extra:+d} bytes; ours and theirs: {loops}",
        ),
        Row(
            f"{name}: bandwidth",
            "in-place pass",
            Spread(statistics.median(shares), min(shares), max(shares)),
            "% of its bytes a second",
            60,
            note=f"{found['bytes'] / 1e6:.0f} MB to move; {rate / 1e9:.3g} GB/s",
        ),
    ]


def main() -> None:
    parser = _measure.arguments(__doc__ or "", ())
    given = parser.parse_args()
    size = QUICK if given.quick else Size()
    environment = _measure.environment()
    environment["device"] = jax.devices()[0].device_kind
    gradients = arrays(size, 1)
    rate = in_place_rate(size)
    compared, rows = {}, []
    for name, case in cases().items():
        compared[name] = compare(case, gradients, size)
        rows += rows_of_case(name, case, compared[name], rate, size)
        print(f"{name} done", flush=True)
    record = {
        "environment": environment,
        "settings": {**size._asdict(), "parameters": size.parameters},
        "in_place_bytes_a_second": rate,
        "cases": compared,
    }
    _measure.finish("optimizers", given.results, record, rows)


if __name__ == "__main__":
    main()
