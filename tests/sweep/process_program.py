"""One of several processes that share sweeps; `test_processes.py` starts them."""

import itertools
import json
import sys
from unittest import mock

import jax
import numpy as np

import optax_cycles as oc
from optax_cycles.sweep.training import Training


def straight(sweep, linear):
    """Sweeps by name: members that the devices don't divide, and that they do."""
    options = {"segment": 7, "horizons": [0, 5, linear.STEPS]}
    yield "ten", sweep(**options)
    eight = oc.sweep.grid(learning_rate=oc.sweep.log_space(1e-3, 1.0, 4), seed=[0, 1])
    yield "eight", sweep(space=eight, chunk=4, **options)
    yield "vmap", sweep(placement="vmap", **options)
    batches = [linear.DATA[:8] + i for i in range(5)]
    yield "stream", sweep(itertools.cycle(batches), chunk=4, **options)
    diverging = oc.sweep.zip(learning_rate=[1e38] * 6 + [0.1, 0.01])
    with mock.patch.object(Training, "_pays", return_value=True):
        result = sweep(space=diverging, placement="vmap", trainable=sgd(), **options)
    yield "dropped", result


def sgd():
    import optax
    from linear import PROBLEM

    return oc.trainable(PROBLEM, lambda hp: optax.sgd(hp["learning_rate"]))


def refused(sweep, linear):
    """What is said where the processes do not make the same call."""
    own = linear.DATA + jax.process_index()
    try:
        sweep(own, segment=5 + jax.process_index())
    except ValueError as error:
        return str(error)
    return None


def saved(sweep, folder):
    """One sweep that is saved after each segment, if there is a folder."""
    seen = []

    def progress(now):
        seen.append(now.done)
        print(now.done, flush=True)

    result = sweep(
        steps=120,
        chunk=4,
        segment=10,
        checkpoint=folder or None,
        checkpoint_every=0.0,
        progress=progress,
    )
    return result, seen


def main(*, process, processes, port, devices, out, folder=None):
    oc.sweep.use_cpu_devices(devices)
    if processes > 1:
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        jax.distributed.initialize(f"127.0.0.1:{port}", processes, process)
    # These make arrays, which starts JAX.
    import linear

    known = {"devices": len(jax.devices()), "refused": None}
    if folder is None:
        results = dict(straight(linear.sweep, linear))
        if processes > 1:
            known["refused"] = refused(linear.sweep, linear)
    else:
        results = {}
        results["saved"], known["seen"] = saved(linear.sweep, folder)
    arrays = {}
    for name, result in results.items():
        arrays |= {
            f"{name}.train": result.train["loss"],
            f"{name}.x": result.state.params,
        }
        arrays |= {f"{name}.validation": result.validation["loss"]}
        arrays |= {f"{name}.status": result.status, f"{name}.updates": result.updates}
    np.savez(out, known=json.dumps(known), **arrays)


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
