"""The devices and processes that a command runs on."""

from __future__ import annotations

import argparse
import contextlib
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from optax_cycles.sweep.placement import use_cpu_devices
from optax_cycles.sweep.processes import Processes


class Machine(NamedTuple):
    """What a command runs on.

    Attributes:
      processes: those that make the same call; one, unless `--distributed`.
      options: what `oc.sweep.run` is to be told.
    """

    processes: Processes
    options: dict[str, Any]


def start(args: argparse.Namespace) -> Machine:
    """Start JAX as the arguments ask for.

    Raises:
      ValueError: if there are fewer devices, or no other processes to be found.
      RuntimeError: if the other processes can't be reached.
    """
    _make_cpu_devices(args)
    if args.distributed or args.coordinator is not None:
        _join(args)
    options: dict[str, Any] = {"placement": args.placement}
    if args.chunk is not None:
        options["chunk"] = args.chunk
    devices: Sequence[jax.Device] = jax.devices()
    if args.devices is not None:
        devices = options["devices"] = _first_of_each_process(args.devices)
    if args.mesh is not None:
        options["mesh"] = _mesh(args.mesh)
        devices = options["mesh"].devices.flatten().tolist()
    return Machine(Processes(devices), options)


def _make_cpu_devices(args: argparse.Namespace) -> None:
    """Make as many devices of the CPU as are asked for, by default one a core."""
    wanted = args.devices
    if args.mesh is not None:
        wanted = math.ceil(math.prod(args.mesh.values()) / (args.processes or 1))
    if wanted is None and args.placement == "vmap":
        return
    # Where JAX has already started, it keeps its devices.
    with contextlib.suppress(RuntimeError):
        use_cpu_devices(wanted)


def _join(args: argparse.Namespace) -> None:
    """Meet the other processes."""
    try:
        jax.distributed.initialize(args.coordinator, args.processes, args.process)
    except ValueError as error:
        raise ValueError(
            "--distributed: no cluster is found here "
            f"({error}); say --coordinator HOST:PORT --processes N --process I"
        ) from error


def _first_of_each_process(count: int) -> list[jax.Device]:
    chosen: list[jax.Device] = []
    everyone = jax.devices()
    for process in sorted({device.process_index for device in everyone}):
        own = [device for device in everyone if device.process_index == process]
        if len(own) < count:
            raise ValueError(
                f"--devices must be at most {len(own)}, the {own[0].platform} devices "
                f"there are, got {count}"
            )
        chosen += own[:count]
    return chosen


def _mesh(shape: dict[str, int]) -> jax.sharding.Mesh:
    devices, needed = jax.devices(), math.prod(shape.values())
    if len(devices) < needed:
        written = ",".join(f"{name}={size}" for name, size in shape.items())
        raise ValueError(
            f"--mesh {written} needs {needed} devices, there are {len(devices)} "
            f"({devices[0].platform})"
        )
    grid = np.array(devices[:needed]).reshape(*shape.values())
    return jax.sharding.Mesh(grid, tuple(shape))
