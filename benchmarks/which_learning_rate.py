"""Mack's grid, six optimizers by 48 learning rates, against one run after another.

Whole processes on scikit-learn's digits, one seed, imports and compiles included:

- `ours`: `examples/which_learning_rate.py`, without figures of other widths;
- `torch`: a PyTorch loop for a sample of the same runs, each until it reaches the
  target, diverges, or has made all updates, looked at after the same updates; with one
  thread and with all, of which the faster counts. The figure is extrapolated from the
  sample to all runs.

Where there is a GPU, `gpu` runs the grid with five seeds at the size of his own network
on generated images of MNIST's size.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import _measure
import numpy as np
from _measure import Row, spread, spread_of_ratios

EXAMPLE = Path(__file__).parents[1] / "examples" / "which_learning_rate.py"
SIDES = ("ours", "torch", "gpu")
HIS_SECONDS = 31_095
UPDATES, TARGET, BATCH = 450, 0.95, 32  # those of the example on digits


class Size(NamedTuple):
    """How much is run; None leaves what the example does by itself.

    Attributes:
      rates: rates of each optimizer.
      updates: the most that a run makes on digits.
      every: of the rates, the PyTorch loop has each so many-th.
      gpu_updates: the most that a run makes on the GPU.
    """

    rates: int | None = None
    updates: int = UPDATES
    every: int = 8
    gpu_updates: int = 200

    def learning_rates(self) -> np.ndarray:
        """Those of the grid: his, or fewer from end to end."""
        if self.rates is None:
            return np.array([10 ** (i / 6) for i in range(-36, 13) if i != 0])
        return np.geomspace(1e-6, 100, self.rates)

    def runs(self) -> int:
        """Runs of the grid, one seed."""
        return 6 * len(self.learning_rates())


QUICK = Size(rates=2, updates=5, every=1, gpu_updates=2)


def example(size: Size, *words: str) -> dict[str, float]:
    """Run the example in a process of its own; its time, and what it says of it."""
    rates = [] if size.rates is None else ["--rates", str(size.rates)]
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(EXAMPLE), "--widths", "--out", folder]
        start = time.perf_counter()
        done = subprocess.run(
            [*command, *rates, *words], capture_output=True, text=True, check=False
        )
        wall = time.perf_counter() - start
        if done.returncode:
            raise RuntimeError(f"{EXAMPLE.name} failed\n{done.stderr}")
        found = json.loads((Path(folder) / "which_learning_rate.json").read_text())
    reached = sum(
        steps is not None
        for one in found["optimizers"].values()
        for of_rate in one["steps"]
        for steps in of_rate
    )
    parts = {name: found["seconds"][name] for name in ("compile", "train", "evaluate")}
    return {"seconds": wall, "reached": reached, **parts}


def ours_side(size: Size) -> dict[str, float]:
    """The grid on digits, one seed."""
    return example(size, "--seeds", "1", "--updates", str(size.updates))


def gpu_side(size: Size) -> dict[str, float]:
    """The grid with five seeds on the GPU; nothing where there is none."""
    import jax

    if jax.devices()[0].platform != "gpu":
        return {}
    words = ["--data", "generated", "--updates", str(size.gpu_updates)]
    return example(size, *words)


def torch_optimizers() -> dict[str, Any]:
    """His optimizers, with the settings that the example has."""
    from torch import optim

    def momentum(params: Any, rate: float) -> Any:
        return optim.SGD(params, rate, momentum=0.5)

    def adadelta(params: Any, rate: float) -> Any:
        return optim.Adadelta(params, rate, rho=0.95, eps=1e-8)

    def adagrad(params: Any, rate: float) -> Any:
        return optim.Adagrad(params, rate, initial_accumulator_value=0.1)

    def rmsprop(params: Any, rate: float) -> Any:
        return optim.RMSprop(params, rate, alpha=0.9, eps=1e-10)

    makers = (optim.Adam, adadelta, momentum, adagrad, optim.SGD, rmsprop)
    names = ("Adam", "Adadelta", "Momentum", "Adagrad", "GD", "RMSProp")
    return dict(zip(names, makers, strict=True))


def torch_network() -> Any:
    """The network that the example has for digits."""
    from torch import nn

    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 8, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(2 * 2 * 8, 128),
        nn.ReLU(),
        nn.Dropout(0.4),
        nn.Linear(128, 10),
    )


def torch_run(make: Any, rate: float, parts: Any, looks: set[int], most: int) -> bool:
    """One run; whether it reached the target."""
    import torch

    (images, labels), (held_out, answers) = parts
    network = torch_network()
    optimizer = make(network.parameters(), rate)
    order = np.random.default_rng(0).integers(len(images), size=(most, BATCH))
    criterion = torch.nn.CrossEntropyLoss()
    for number, rows in enumerate(torch.as_tensor(order), 1):
        optimizer.zero_grad()
        loss = criterion(network(images[rows]), labels[rows])
        if not torch.isfinite(loss):
            return False
        loss.backward()
        optimizer.step()
        if number in looks:
            network.eval()
            with torch.no_grad():
                right = network(held_out).argmax(1) == answers
            if right.float().mean() >= TARGET:
                return True
            network.train()
    return False


def torch_side(size: Size) -> dict[str, float]:
    """A sample of the runs one after another, extrapolated to all."""
    import torch

    from optax_cycles import problems

    torch.manual_seed(0)
    parts = [
        (torch.as_tensor(images).permute(0, 3, 1, 2), torch.as_tensor(labels).long())
        for images, labels in problems.digits()
    ]
    looks = set(np.round(5 * 1.12 ** np.arange(50)).astype(int).tolist())
    looks = {at for at in looks if at < size.updates} | {size.updates}
    chosen = size.learning_rates()[size.every // 2 :: size.every]
    makers = torch_optimizers()

    def train_all() -> int:
        return sum(
            torch_run(make, float(rate), parts, looks, size.updates)
            for make in makers.values()
            for rate in chosen
        )

    figures: dict[str, float] = {"sample": len(makers) * len(chosen)}
    every = torch.get_num_threads()
    for name, threads in (("all_threads", every), ("one_thread", 1)):
        torch.set_num_threads(threads)
        start = time.perf_counter()
        figures["sample_reached"] = train_all()
        spent = time.perf_counter() - start
        figures[f"seconds_{name}"] = spent * size.runs() / figures["sample"]
    both = figures["seconds_all_threads"], figures["seconds_one_thread"]
    return {"seconds": min(both), **figures}


def rows_of(said: dict[str, dict[str, list[float]]], size: Size) -> list[Row]:
    """The rows of the table; a side that was not run leaves an empty one."""
    work = f"Mack's grid on digits, {size.runs()} runs of {size.updates} updates"
    ours = said.get("ours", {}).get("seconds")
    theirs = said.get("torch", {}).get("seconds")
    gpu = said.get("gpu", {}).get("seconds")
    rows = []
    value, note = None, "not run"
    if ours and theirs:
        value = spread_of_ratios(theirs, ours)
        sample = int(said["torch"]["sample"][0])
        note = f"{spread(ours).median:.3g} s against {spread(theirs).median:.3g} s"
        note += f", of which {sample} runs were made and the rest is extrapolated"
    against = "torch, one run after another"
    rows.append(Row(work, against, value, "x faster", 2, note=note))
    value, note = None, "not run"
    if ours:
        value = spread(ours)
        note = f"his took {HIS_SECONDS:,} s on a K80, on MNIST"
    rows.append(Row(work, "-", value, "s", 180, at_most=True, note=note))
    images = f"the same, 5 seeds, {size.gpu_updates} updates, at his network's size"
    value, note = None, "no GPU here" if "gpu" in said else "not run"
    if gpu:
        value, note = spread(gpu), f"{5 * size.runs()} runs"
    rows.append(Row(images, "-", value, "s", 60, at_most=True, note=note))
    return rows


def main() -> None:
    parser = _measure.arguments(str(__doc__).splitlines()[0], SIDES)
    given: argparse.Namespace = parser.parse_args()
    size = QUICK if given.quick else Size()
    quick = ["--quick"] if given.quick else []
    if given.side:
        sides = dict(zip(SIDES, (ours_side, torch_side, gpu_side), strict=True))
        _measure.say(sides[given.side](size))
        return
    found = _measure.environment()
    said = _measure.alternate(__file__, given.sides, given.rounds, quick)
    record = {"environment": found, "settings": size._asdict(), "sides": said}
    _measure.finish("which_learning_rate", given.results, record, rows_of(said, size))


if __name__ == "__main__":
    main()
