"""How much memory a program needs, and how much there is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax

# A share of the free memory is left to others, and to what the compiler rounds up.
USABLE = 0.9
_MEMINFO = Path("/proc/meminfo")


def bytes_needed(compiled: jax.stages.Compiled) -> int:
    """Bytes that a compiled program holds on each device as it runs; 0 if unknown."""
    found: Any = compiled.memory_analysis()
    if found is None:
        return 0
    held = found.argument_size_in_bytes + found.output_size_in_bytes
    return int(held - found.alias_size_in_bytes + found.temp_size_in_bytes)


def bytes_free(devices: tuple[jax.Device, ...]) -> int | None:
    """Bytes that are free on each of the devices, or None if nobody knows."""
    stats = [device.memory_stats() for device in devices]
    if all(found and "bytes_limit" in found for found in stats):
        return min(found["bytes_limit"] - found["bytes_in_use"] for found in stats)
    if devices[0].platform == "cpu" and _MEMINFO.exists():
        # They all share the machine's.
        return _available() // len(devices)
    return None


def _available() -> int:
    for line in _MEMINFO.read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return 1024 * int(line.split()[1])
    raise OSError(f"{_MEMINFO} has no MemAvailable")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether this is what JAX raises where an allocation fails."""
    return isinstance(error, jax.errors.JaxRuntimeError) and (
        "RESOURCE_EXHAUSTED" in str(error)
    )
