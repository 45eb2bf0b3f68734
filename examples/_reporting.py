"""What several examples share of telling what they found."""

import os
import time

import jax
import optax

import optax_cycles as oc


class Clock:
    """Wall and processor time of a part of the work, and how busy the machine is."""

    def __enter__(self):
        self.start = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_):
        self.seconds = {
            "wall": time.perf_counter() - self.start[0],
            "processor": time.process_time() - self.start[1],
            "load": os.getloadavg()[0],
        }


def versions():
    """Of what the numbers depend on."""
    return {
        "optax_cycles": oc.__version__,
        "jax": jax.__version__,
        "optax": optax.__version__,
    }


def print_table(lines):
    """Rows of cells, the columns flush right."""
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    for line in lines:
        cells = (cell.rjust(w) for cell, w in zip(line, widths, strict=True))
        print("  ".join(cells))
