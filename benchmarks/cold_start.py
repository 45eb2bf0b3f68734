"""Cold start to suggestion: 64 learning rates of 100 updates, compile included.

The wall time of whole processes, from spawn to exit, on the digits and an MLP
64-128-128-10 at batch 64 with momentum SGD, one seed, each rate validated:

- `ours`: `oc.parallel_range_test` and `suggest`, which validates 21 times;
- `finder`: torch-lr-finder with equal ends of its ramp, so that the rate is
  constant, reset for each rate, validated once at the end;
- `torch`: the same as a bare PyTorch loop.

The peers stop a rate early where they would: torch-lr-finder at five times its
best loss, the bare loop at a loss that is not finite. They run on one thread: for
these sizes the threads of PyTorch wait for each other longer than they compute.
"""

from __future__ import annotations

import contextlib
import io
import math
import os
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import _measure
from _measure import Row, spread, spread_of_ratios

LAYERS = (64, 128, 128, 10)
BATCH = 64
MOMENTUM = 0.9
SIDES = ("ours", "finder", "torch")
PARTS = ("python", "imports", "data", "compile", "init", "train", "evaluate", "other")


class Size(NamedTuple):
    """How much is run."""

    rates: int = 64
    steps: int = 100


QUICK = Size(rates=8, steps=20)


class Clock:
    """Wall time by part of the work, from the spawn of the process on."""

    def __init__(self) -> None:
        self.last = float(os.environ["BENCHMARK_START"])
        self.parts: dict[str, float] = {}

    def mark(self, part: str) -> None:
        """Give the time since the last mark to `part`."""
        now = time.time()
        self.parts[part] = now - self.last
        self.last = now


def ours_side(size: Size) -> dict[str, float]:
    """The parallel range test, with the times of its parts."""
    clock = Clock()
    clock.mark("python")
    import optax

    import optax_cycles as oc
    from optax_cycles import problems

    oc.sweep.use_cpu_devices()
    clock.mark("imports")
    digits = problems.digits()
    clock.mark("data")
    train = oc.trainable(
        problems.digits_problem("mlp"),
        lambda hp: optax.sgd(hp["learning_rate"], momentum=MOMENTUM),
    )
    test = oc.parallel_range_test(
        train,
        *digits,
        over={"learning_rate": oc.sweep.log_space(1e-5, 10.0, size.rates)},
        seeds=1,
        steps=size.steps,
        batch_size=BATCH,
    )
    suggestion = test.suggest()
    clock.mark("other")
    parts = clock.parts | test.sweep.seconds
    parts["other"] -= sum(test.sweep.seconds.values())
    return {**parts, "suggestion": suggestion.best, "loss": suggestion.loss}


def torch_data() -> Any:
    """The digits as tensors: training and validation inputs and labels.

    The same split and scaling as `problems.digits`, without its imports.
    """
    import importlib.util
    from pathlib import Path

    import numpy as np
    import torch

    # The same file in the same way as ours: importing scikit-learn takes seconds.
    package = Path(importlib.util.find_spec("sklearn").origin).parent
    table = np.loadtxt(package / "datasets" / "data" / "digits.csv.gz", delimiter=",")
    inputs, labels = table[:, :-1], table[:, -1].astype(int)
    rank = np.zeros(len(labels), int)
    for label in range(10):
        rank[labels == label] = np.arange(np.sum(labels == label))
    held_out = rank % 5 == 4
    mean, deviation = inputs[~held_out].mean(), inputs[~held_out].std()
    scaled = torch.as_tensor((inputs - mean) / deviation, dtype=torch.float32)
    targets = torch.as_tensor(labels)
    parts = [torch.as_tensor(part) for part in (~held_out, held_out)]
    return [array[part] for part in parts for array in (scaled, targets)]


def torch_model() -> Any:
    """The MLP in PyTorch."""
    from torch import nn

    return nn.Sequential(
        *(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU()),
        nn.Linear(128, 10),
    )


def best_rate(size: Size, train: Callable[[float], float]) -> dict[str, float]:
    """Train each rate; the one with the least validation loss."""
    ratio = 1e6 ** (1 / (size.rates - 1))
    losses = {
        rate: train(rate) for rate in (1e-5 * ratio**i for i in range(size.rates))
    }
    finite = {rate: loss for rate, loss in losses.items() if math.isfinite(loss)}
    best = min(finite, key=lambda rate: finite[rate])
    return {"suggestion": best, "loss": finite[best]}


def finder_side(size: Size) -> dict[str, float]:
    """torch-lr-finder, once for each constant rate."""
    import torch
    from torch_lr_finder import LRFinder

    torch.set_num_threads(1)
    torch.manual_seed(0)
    inputs, labels, *validation = torch_data()
    pairs = torch.utils.data.TensorDataset(inputs, labels)
    loader = torch.utils.data.DataLoader(pairs, batch_size=BATCH, shuffle=True)
    model, criterion = torch_model(), torch.nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), 1.0, momentum=MOMENTUM)
    finder = LRFinder(model, optimizer, criterion, device="cpu")

    def train(rate: float) -> float:
        finder.reset()
        with contextlib.redirect_stdout(io.StringIO()):
            finder.range_test(loader, start_lr=rate, end_lr=rate, num_iter=size.steps)
        with torch.no_grad():
            return float(criterion(model(validation[0]), validation[1]))

    return best_rate(size, train)


def torch_side(size: Size) -> dict[str, float]:
    """A bare PyTorch loop, once for each constant rate."""
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)
    inputs, labels, *validation = torch_data()
    criterion = torch.nn.CrossEntropyLoss()
    order = torch.randint(len(inputs), (size.steps, BATCH))

    def train(rate: float) -> float:
        model = torch_model()
        optimizer = torch.optim.SGD(model.parameters(), rate, momentum=MOMENTUM)
        for rows in order:
            optimizer.zero_grad()
            loss = criterion(model(inputs[rows]), labels[rows])
            if not math.isfinite(loss.item()):
                return math.inf
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            return float(criterion(model(validation[0]), validation[1]))

    return best_rate(size, train)


def rows_of(said: dict[str, dict[str, list[float]]], size: Size) -> list[Row]:
    """The rows of the table; a side that was not run leaves an empty one."""
    work = f"cold start to suggestion, {size.rates} rates x {size.steps} updates"
    ours = said.get("ours", {}).get("process")
    peers = {
        "finder": "torch-lr-finder, one constant rate after another",
        "torch": "torch bare loop, one rate after another",
    }
    rows = []
    for side, against in peers.items():
        theirs = said.get(side, {}).get("process")
        value, note = None, "not run"
        if ours and theirs:
            value = spread_of_ratios(theirs, ours)
            medians = spread(ours).median, spread(theirs).median
            note = "{:.1f} s against {:.1f} s".format(*medians)
            used = spread(said["ours"]["cpu"]).median, spread(said[side]["cpu"]).median
            note += "; processor time {:.1f} s against {:.1f} s".format(*used)
        rows.append(Row(work, against, value, "x faster", 2, note=note))
    return rows


def breakdown(parts: dict[str, list[float]]) -> str:
    """Where our time goes, as a table."""
    total = spread(parts["process"]).median
    lines = []
    for part in PARTS:
        median, low, high = spread(parts[part])
        share = f"{100 * median / total:.0f} %"
        lines.append([part, f"{median:.2f}", f"{low:.2f} to {high:.2f}", share])
    return _measure.plain_table(["part of ours", "seconds", "spread", "share"], lines)


def main() -> None:
    parser = _measure.arguments(str(__doc__).splitlines()[0], SIDES)
    given = parser.parse_args()
    size = QUICK if given.quick else Size()
    if given.side:
        sides = (ours_side, finder_side, torch_side)
        _measure.say(dict(zip(SIDES, sides, strict=True))[given.side](size))
        return
    found = _measure.environment()
    quick = ["--quick"] if given.quick else []
    said = _measure.alternate(__file__, given.sides, given.rounds, quick)
    if "ours" in said:
        print(breakdown(said["ours"]))
    settings = {**size._asdict(), "layers": LAYERS, "batch": BATCH}
    record = {"environment": found, "settings": settings, "sides": said}
    _measure.finish("cold_start", given.results, record, rows_of(said, size))


if __name__ == "__main__":
    main()
