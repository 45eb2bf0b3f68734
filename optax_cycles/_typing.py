"""Type aliases shared by the whole package."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import jax
import numpy as np

Array: TypeAlias = jax.Array
Key: TypeAlias = jax.Array
Scalar: TypeAlias = float | int | jax.Array | np.ndarray | np.generic
PyTree: TypeAlias = Any

Step: TypeAlias = int | jax.Array | np.ndarray | np.generic
Schedule: TypeAlias = Callable[[Any], Any]

Hparams: TypeAlias = Mapping[str, Any]
Metrics: TypeAlias = dict[str, Any]
State: TypeAlias = Any
Params: TypeAlias = Any
ModelState: TypeAlias = Any
Batch: TypeAlias = Any
