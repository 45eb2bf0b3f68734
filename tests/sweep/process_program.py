"""One of several processes that share sweeps; `test_processes.py` starts them."""

import importlib
import itertools
import json
import sys
from pathlib import Path
from unittest import mock

import jax
import numpy as np
import optax

import optax_cycles as oc
from optax_cycles.sweep import Engine
from optax_cycles.sweep.training import Training


def together(linear):
    """Sweeps by name: members that the devices divide, and that they don't."""
    options = {"segment": 7, "horizons": [0, 5, linear.STEPS]}
    yield "ten", linear.sweep(**options)
    eight = oc.sweep.grid(learning_rate=oc.sweep.log_space(1e-3, 1.0, 4), seed=[0, 1])
    yield "eight", linear.sweep(space=eight, chunk=4, **options)
    yield "vmap", linear.sweep(placement="vmap", **options)
    linear.sweep(placement="measure", **options)
    batches = [linear.DATA[:8] + i for i in range(5)]
    yield "stream", linear.sweep(itertools.cycle(batches), chunk=4, **options)
    # Most rows diverge and leave; the others move to a smaller population.
    space = oc.sweep.zip(learning_rate=[1e38] * 6 + [0.1, 0.01])
    sgd = oc.trainable(linear.PROBLEM, lambda hp: optax.sgd(hp["learning_rate"]))
    with mock.patch.object(Training, "_pays", return_value=True):
        options |= {"placement": "vmap", "trainable": sgd}
        yield "dropped", linear.sweep(space=space, **options)
    # Gradients are summed inside a process, and from one to the other.
    devices = np.array(jax.devices()).reshape(2, 2)
    for name, grid in (("inside", devices), ("across", devices.T)):
        mesh = jax.sharding.Mesh(grid, ("members", "data"))
        yield name, linear.sweep(mesh=mesh)
    two = jax.local_devices()[:2]
    yield "apart", linear.sweep(devices=two)


def refused(linear, folder):
    """What this process is told where the processes can't go on together."""

    def said(**options):
        try:
            linear.sweep(**options)
        except ValueError as error:
            return str(error)
        return None

    process = jax.process_index()
    file = Path(folder) / "file"
    file.touch()
    own = {"devices": jax.local_devices(), "checkpoint": f"{folder}/own{process}"}
    return {
        "differ": said(data=linear.DATA + process, segment=5 + process),
        "file": said(checkpoint=file),
        "own": said(**own),
    }


def failed(linear):
    """What this process is handed where an allocation fails on all of them."""
    advance, calls = Engine.advance, itertools.count()

    def limited(engine, members, segment):
        # Two chunks of four members have made their four segments of ten updates.
        if next(calls) == 8:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")
        return advance(engine, members, segment)

    with mock.patch.object(Engine, "advance", limited):
        try:
            linear.sweep(chunk=4, segment=10)
        except oc.sweep.SweepError as error:
            return {"said": str(error), "updates": error.result.updates.tolist()}
    return None


def saved(linear, folder):
    """One sweep that is saved after each segment, and the progress it reports."""
    seen = []

    def progress(now):
        seen.append(now.done)
        print(now.done, flush=True)

    options = {"checkpoint": folder, "checkpoint_every": 0.0, "progress": progress}
    return linear.sweep(steps=120, chunk=4, segment=10, **options), seen


def judged():
    """Searches by name, and one whose members share their batches' examples."""
    sys.path.append(str(Path(__file__).parents[1] / "search"))
    searches = importlib.import_module("judged_searches")
    for name, search in searches.SEARCHES.items():
        yield name, search()
        yield f"{name}, vmap", search(placement="vmap")
    devices = np.array(jax.devices()).reshape(2, 2)
    mesh = jax.sharding.Mesh(devices.T, ("members", "data"))
    yield "population, across", searches.population(mesh=mesh)


def tuned(linear):
    """What a tuning on all processes says, but for the seconds."""
    recipe = oc.tune(
        linear.PROBLEM,
        linear.DATA,
        validation=linear.DATA[:8],
        key=jax.random.key(0),
        batch_size=8,
        steps=20,
        budget=48 * 20,
    )
    evidence = [(step.name, step.learned, step.rows) for step in recipe.evidence]
    return {"code": recipe.to_python(), "scores": recipe.scores, "evidence": evidence}


def main(*, process, processes, port, devices, folder, checkpoint=None, job):
    oc.sweep.use_cpu_devices(devices)
    if processes > 1:
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        jax.distributed.initialize(f"127.0.0.1:{port}", processes, process)
    # It makes arrays, which starts JAX.
    linear = importlib.import_module("linear")
    known = {"devices": len(jax.devices())}
    results = {}
    if job == "tuned":
        known["recipe"] = tuned(linear)
    elif job == "judged":
        found = dict(judged())
        results = {name: search.sweep for name, search in found.items()}
    elif job == "together":
        results = dict(together(linear))
        known["refused"] = refused(linear, folder)
        known["failed"] = failed(linear) if processes > 1 else None
    else:
        result, known["seen"] = saved(linear, checkpoint)
        results = {"saved": result}
    arrays = {}
    for name, result in results.items():
        arrays[f"{name}.train"] = result.train["loss"]
        arrays[f"{name}.validation"] = result.validation["loss"]
        arrays[f"{name}.params"] = result.state.params
        arrays[f"{name}.status"] = result.status
        arrays[f"{name}.updates"] = result.updates
        if result.lineage is not None:
            arrays[f"{name}.parents"] = result.lineage.parents
            for hyperparameter, values in result.lineage.hparams.items():
                arrays[f"{name}.{hyperparameter}"] = values
    np.savez(Path(folder) / f"{process}.npz", known=json.dumps(known), **arrays)


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
