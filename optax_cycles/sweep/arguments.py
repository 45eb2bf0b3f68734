"""What `run` is given: checked, and made into what it works with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from optax_cycles import _checks
from optax_cycles._typing import Batch, Key, PyTree
from optax_cycles.sweep.batches import ArrayBatches, check_batch_size, examples
from optax_cycles.sweep.given import as_arrays, named
from optax_cycles.sweep.netcdf import JUDGED, RESERVED
from optax_cycles.sweep.placement import Placement, resolve_placement
from optax_cycles.sweep.space import Space, check_seeds
from optax_cycles.sweep.streams import StreamBatches, is_stream

SEGMENTS = 20
SHORTEST_SEGMENT = 10
# With which results name their metrics.
PREFIXES = ("train_", "validation_", "hparams_")
LONGEST_SEGMENT = 500


def check_lengths(
    steps: int, segment: int | None, chunk: int | str, checkpoint_every: float
) -> int:
    """The updates of one compiled program, by default a share of all."""
    _checks.integer("run", "steps", steps, minimum=1)
    if chunk != "auto":
        _checks.integer("run", "chunk", chunk, minimum=1)
    _checks.real("run", "checkpoint_every", checkpoint_every, minimum=0)
    if segment is None:
        least = -(-int(steps) // SEGMENTS)
        return min(max(least, SHORTEST_SEGMENT), LONGEST_SEGMENT)
    _checks.integer("run", "segment", segment, minimum=1)
    return int(segment)


def layout(
    placement: Placement | str,
    devices: Sequence[jax.Device] | None,
    mesh: jax.sharding.Mesh | None,
) -> Placement:
    """The placement that is named; for `measure`, the first one to try."""
    if not isinstance(placement, Placement):
        known = ("auto", "map", "vmap", "measure")
        _checks.choice("run", "placement", placement, known)
    measures = placement == "measure"
    return resolve_placement("auto" if measures else placement, devices, mesh)


def source(
    data: Any, batch_size: int | None, steps: int, order: str, key: Key
) -> ArrayBatches | StreamBatches:
    """What members read: arrays, or the batches of an iterable."""
    if not is_stream(data):
        arrays = as_arrays("run", "data", data, hint=" or an iterable of batches")
        count = examples("run", "data", arrays)
        batch_size = 32 if batch_size is None else batch_size
        check_batch_size("run", count, batch_size)
        return ArrayBatches(arrays, batch_size, key)
    if batch_size is not None:
        expected = "None for an iterable of batches, which has its own"
        _checks.fail("run", "batch_size", expected, batch_size)
    if order != "seed":
        expected = "'seed' for an iterable of batches, which all members read alike"
        _checks.fail("run", "order", expected, order)
    return StreamBatches(data, steps)


def validation_batch(data: PyTree, validation: Any) -> Batch | None:
    """The validation batch as arrays, checked to be like the data."""
    if validation is None:
        return None
    if is_stream(validation):
        raise TypeError(
            "run: validation must be one batch, a pytree of arrays, got "
            f"{named(validation)}; next(iter(...)) is its first batch"
        )
    arrays = as_arrays("run", "validation", validation)
    examples("run", "validation", arrays)
    if is_stream(data):
        return arrays
    known: list[Any] = [jax.tree.structure(data), jax.tree.structure(arrays)]
    if known[0] != known[1]:
        expected = f"of the same structure as the data, {_structure(data)}"
        found = _structure(validation)
        raise ValueError(f"run: validation must be {expected}, got {found}")
    return arrays


def _structure(data: PyTree) -> str:
    """The structure of a pytree of arrays, in plain words where there are any."""
    if jax.tree_util.all_leaves([data]):
        return "one array"
    if type(data) in (tuple, list) and jax.tree_util.all_leaves(data):
        count = len(data)
        return f"a {type(data).__name__} of {count} array{'s' if count > 1 else ''}"
    if type(data) is dict and jax.tree_util.all_leaves(data.values()):
        return f"a dict of arrays {', '.join(map(repr, data))}"
    return str(jax.tree.map(lambda _: "array", data)).replace("'array'", "array")


def check_names(space: Space) -> None:
    """Check that no hyperparameter is called what results call their own."""
    for name, values in space.members().items():
        if name in RESERVED + JUDGED or name.startswith(PREFIXES):
            raise ValueError(f"run: {name!r} can't be the name of a hyperparameter")
        if name == "seed":
            check_seeds("run", name, values)


def check_key(key: Any) -> Key:
    """The key, if it is one."""
    if not (
        isinstance(key, jax.Array)
        and jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
        and key.shape == ()
    ):
        _checks.fail_type("run", "key", "a key from jax.random.key", key)
    return key


def check_horizons(
    steps: int, horizons: Sequence[int] | None, validation: Batch | None
) -> list[int]:
    """The numbers of updates after which members are evaluated."""
    if validation is None:
        if horizons is not None:
            raise ValueError("run: horizons need validation data, got none")
        return []
    if horizons is None:
        return [steps]
    expected = f"increasing integers from 0 to steps ({steps})"
    for horizon in horizons:
        _checks.integer("run", "horizons", horizon, minimum=0)
    kept = [int(horizon) for horizon in horizons]
    if not kept or kept != sorted(set(kept)) or kept[-1] > steps:
        _checks.fail("run", "horizons", expected, horizons)
    return kept
