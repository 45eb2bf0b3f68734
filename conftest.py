"""Strict JAX for every test: two CPU devices, no rank promotion, no tracer leaks."""

import jax

import optax_cycles as oc

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_numpy_rank_promotion", "raise")
oc.sweep.use_cpu_devices(2)
