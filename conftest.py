"""Strict JAX for every test: two CPU devices, no rank promotion."""

import jax
from hypothesis import settings

import optax_cycles as oc

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_numpy_rank_promotion", "raise")
oc.sweep.use_cpu_devices(2)
jax.devices()  # From here on no test can ask for others, whichever comes first.

settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")

# Helpers that import peers, which not everybody has installed.
collect_ignore_glob = ["tests/peers/cases_*.py", "tests/peers/record.py"]
