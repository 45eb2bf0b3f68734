"""Compiled programs whose compiles are counted and timed."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import jax


class Program:
    """A jitted function, compiled once for each set of shapes.

    Attributes:
      compiled: the compiled programs so far, by the shapes they are for.
      compile_seconds: time spent on tracing and compiling them.
    """

    def __init__(self, function: Callable[..., Any], donate: tuple[int, ...] = ()):
        """`donate` lists the arguments whose buffers the outputs may take."""
        self._jitted = jax.jit(function, donate_argnums=donate)
        self.compiled: dict[Any, jax.stages.Compiled] = {}
        self.compile_seconds = 0.0

    def __call__(self, *args: Any) -> Any:
        """Run the program for these arguments, compiling it if it is new."""
        leaves, structure = jax.tree.flatten(args)
        shapes = (structure, tuple(jax.typeof(leaf) for leaf in leaves))
        if shapes not in self.compiled:
            start = time.perf_counter()
            self.compiled[shapes] = self._jitted.lower(*args).compile()
            self.compile_seconds += time.perf_counter() - start
        return self.compiled[shapes](*args)
