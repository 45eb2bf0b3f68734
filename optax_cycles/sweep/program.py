"""Compiled programs whose compiles are counted, timed and done side by side."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax

from optax_cycles._typing import PyTree

# What a program is traced under, besides its arguments.
_SETTINGS = (
    "jax_enable_x64",
    "jax_default_matmul_precision",
    "jax_numpy_dtype_promotion",
    "jax_numpy_rank_promotion",
    "jax_debug_nans",
)


class Program:
    """A jitted function, compiled once for each set of shapes.

    Attributes:
      compiled: the compiled programs so far, by the shapes they are for.
      compile_seconds: time spent on tracing and compiling them.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        donate: tuple[int, ...] = (),
        options: Mapping[str, Any] | None = None,
    ) -> None:
        """Wrap a function.

        Args:
          function: what to compile.
          donate: the arguments whose buffers the outputs may take.
          options: the compiler's options.
        """
        self._jitted = jax.jit(function, donate_argnums=donate)
        self._options = dict(options or {})
        self._lowered: dict[Any, jax.stages.Lowered] = {}
        self.compiled: dict[Any, jax.stages.Compiled] = {}
        self.compile_seconds = 0.0

    def __call__(self, *args: Any) -> Any:
        """Run the program for these arguments, compiling it if it is new."""
        shapes = _shapes(args)
        if shapes not in self.compiled:
            self.lower(*args)
            self.compile()
        return self.compiled[shapes](*args)

    def shapes(self, *args: Any) -> PyTree:
        """The shapes of the outputs for these arguments; nothing is compiled."""
        return self._jitted.eval_shape(*args)

    def lower(self, *args: Any) -> PyTree:
        """Trace the program for these arguments, or their shapes; don't run it.

        Returns:
          The shapes of its outputs.
        """
        start = time.perf_counter()
        traced = self._jitted.trace(*args)
        shapes = _shapes(args)
        if shapes in self.compiled:  # the last one is that of the last arguments
            self.compiled[shapes] = self.compiled.pop(shapes)
        else:
            self._lowered[shapes] = traced.lower()
        self.compile_seconds += time.perf_counter() - start
        return traced.out_info

    def compile(self) -> None:
        """Compile what has been lowered."""
        start = time.perf_counter()
        while self._lowered:
            shapes, lowered = self._lowered.popitem()
            self.compiled[shapes] = lowered.compile(self._options)
        self.compile_seconds += time.perf_counter() - start


def compile_together(programs: Sequence[Program], at_once: int) -> None:
    """Compile what several programs have lowered, some of them `at_once`."""
    with ThreadPoolExecutor(at_once) as threads:
        list(threads.map(Program.compile, programs))


def _shapes(args: Any) -> Any:
    leaves, structure = jax.tree.flatten(args)
    shapes = tuple((leaf.shape, leaf.dtype) for leaf in leaves)
    return structure, shapes, tuple(getattr(jax.config, name) for name in _SETTINGS)
