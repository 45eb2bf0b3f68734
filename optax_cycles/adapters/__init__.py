"""Problems from models of other libraries, imported only when a problem is made."""

from optax_cycles.adapters.equinox import problem_from_equinox as problem_from_equinox
from optax_cycles.adapters.linen import problem_from_linen as problem_from_linen
from optax_cycles.adapters.nnx import problem_from_nnx as problem_from_nnx
