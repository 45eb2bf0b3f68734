"""Cyclical hyperparameters for Optax, and the fastest way to choose them."""

import importlib
from typing import TYPE_CHECKING, Any

from optax_cycles._version import __version__ as __version__

if TYPE_CHECKING:
    from optax_cycles._public import *  # noqa: F403
else:

    def __getattr__(name: str) -> Any:
        """A public name. The first one imports JAX, which `--help` does without."""
        if not name.startswith("_"):
            public = vars(importlib.import_module("optax_cycles._public"))
            globals().update({n: v for n, v in public.items() if n[0] != "_"})
        if name not in globals():
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return globals()[name]

    def __dir__() -> list[str]:
        """All names, those that nobody has used yet among them."""
        public = importlib.import_module("optax_cycles._public")
        return sorted({*globals(), *vars(public)})
