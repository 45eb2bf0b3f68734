"""Strict JAX for every test: two CPU devices, no rank promotion."""

import signal
import tempfile

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


# Shells start what runs in the background with Ctrl-C ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure(config):
    """Have each worker read what it has compiled before, in whichever test, again.

    Compiles are counted before it is looked up. The folder is each worker's own,
    because another would read files that JAX has not written to the end.
    """
    programs = tempfile.TemporaryDirectory(prefix="programs-")
    config.add_cleanup(programs.cleanup)
    jax.config.update("jax_compilation_cache_dir", programs.name)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
