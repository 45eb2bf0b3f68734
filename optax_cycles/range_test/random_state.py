"""The random states of the process, as they were before a range test."""

from __future__ import annotations

import contextlib
import random
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np


@contextlib.contextmanager
def kept_random_states(data: Any) -> Iterator[None]:
    """Put back the global random states that reading `data` may draw from.

    A loader that shuffles draws from Python's, NumPy's or PyTorch's global state, or
    from a `generator` of its own, and a training after the test would see another
    order of the data than without it.
    """
    python, numpy = random.getstate(), np.random.get_state()
    generators = _torch_generators(data)
    states = [generator.get_state() for generator in generators]
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        for generator, state in zip(generators, states, strict=True):
            generator.set_state(state)


def _torch_generators(data: Any) -> list[Any]:
    """PyTorch's global generator, where it is imported, and those of a loader."""
    torch = sys.modules.get("torch")
    if torch is None:
        return []
    batches = getattr(data, "batch_sampler", None)
    samplers = [getattr(data, "sampler", None), batches]
    samplers.append(getattr(batches, "sampler", None))
    own = [getattr(each, "generator", None) for each in (data, *samplers)]
    found = [g for g in own if isinstance(g, torch.Generator)]
    return [torch.default_generator, *{id(g): g for g in found}.values()]
