"""What all the adapters do with a batch and with a loss function's result."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from optax_cycles import _checks
from optax_cycles._typing import Batch, Metrics


def model_input(
    function: str, inputs: Callable[[Batch], Any] | None
) -> Callable[[Batch], Any]:
    """`inputs` itself, or by default the first element of a tuple or list."""
    if inputs is not None:
        _checks.function_of(function, "inputs", inputs)
        return inputs

    def first(batch: Batch) -> Any:
        if not isinstance(batch, tuple | list) or not batch:
            raise TypeError(
                f"{function}: inputs must be given (inputs(batch) -> model input) "
                "where a batch is not a tuple or list that begins with the model's "
                f"input, got a batch of type {type(batch).__name__}"
            )
        return batch[0]

    return first


def loss_and_metrics(function: str, result: Any) -> tuple[Any, Metrics]:
    """The loss and the further metrics that a `loss_fn` returned."""
    if not isinstance(result, tuple):
        return result, {}
    if len(result) != 2 or not isinstance(result[1], dict):
        kinds = ", ".join(type(part).__name__ for part in result)
        raise TypeError(
            f"{function}: loss_fn must return a scalar or (scalar, dict of metrics), "
            f"got a tuple of ({kinds})"
        )
    return result
