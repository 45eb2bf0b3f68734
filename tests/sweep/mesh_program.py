"""Trains members that span devices; needs eight, so it is a process of its own."""

import json
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import PartitionSpec as P

import optax_cycles as oc
from optax_cycles.sweep import ArrayBatches

FEATURES, CLASSES, STEPS = 6, 4, 30
RNG = np.random.default_rng(0)
INPUTS = RNG.normal(size=(60, FEATURES)).astype(np.float32)
DATA = INPUTS, np.argmax(INPUTS[:, :CLASSES], axis=1).astype(np.int32)
# Six members, of which one diverges at its second update.
RATES = [0.01, 0.03, 3e38, 0.1, 0.2, 0.3]
SPACE = oc.sweep.zip(learning_rate=RATES, seed=[0, 0, 0, 3, 3, 3])


def _init(key):
    first, second = jax.random.split(key)
    return {
        "hidden": jax.random.normal(first, (FEATURES, 8)) / FEATURES**0.5,
        "out": jax.random.normal(second, (8, CLASSES)) / 8**0.5,
    }


def _loss(params, batch, key):
    inputs, labels = batch
    inputs = inputs + 0.1 * jax.random.normal(key, inputs.shape)
    logits = jnp.tanh(inputs @ params["hidden"]) @ params["out"]
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


def _evaluate(params, batch):
    return {"loss": _loss(params, batch, jax.random.key(0))}


TRAIN = oc.trainable(
    oc.problem_from_loss(_init, _loss, evaluate=_evaluate),
    lambda hp: optax.sgd(hp["learning_rate"], momentum=0.9),
)


def split_state(trainable):
    """The trainable with its weights and their momentum split over `model`."""

    def split(leaf):
        where = P(None, "model") if leaf.shape == (FEATURES, 8) else P("model")
        return jax.lax.with_sharding_constraint(leaf, where if leaf.ndim == 2 else P())

    def init(key, hparams):
        return jax.tree.map(split, trainable.init(key, hparams))

    return trainable._replace(init=init)


def with_engine(trainable=TRAIN, **how):
    """Train in two segments; returns the arrays and what is known of the programs."""
    engine = oc.sweep.build(trainable, **how)
    members = engine.init(jax.random.key(7), SPACE)
    batches = ArrayBatches(DATA, 8, jax.random.key(7))
    losses = []
    for start in (0, STEPS // 2):
        segment = batches.segment(np.array([0, 3]), start, STEPS // 2, STEPS // 2)
        members, metrics = engine.advance(members, segment)
        losses.append(np.asarray(metrics["loss"]))
    # 59 examples, which two devices don't divide.
    validation = engine.evaluate(members, tuple(leaf[:59] for leaf in DATA))["loss"]
    (program,) = engine._advance.compiled.values()
    text = program.as_text()
    hidden = members.state.params["hidden"]
    momentum = members.state.opt_state[0].trace["hidden"]
    known = {
        "all_reduces": text.count(" all-reduce("),
        "all_gathers": text.count(" all-gather("),
        "collectives": sum(
            text.count(f" {kind}(")
            for kind in ("all-reduce", "all-gather", "all-to-all", "collective-permute")
        ),
        "compiles": engine.compiles,
        "ident": members.ident.tolist(),
        "shards": [
            list(leaf.addressable_shards[0].data.shape) for leaf in (hidden, momentum)
        ],
    }
    arrays = {
        "loss": np.concatenate(losses, 1)[: SPACE.size],
        "validation": np.asarray(validation)[: SPACE.size],
        "hidden": np.asarray(hidden)[: SPACE.size],
    }
    return arrays, known


def with_run(**how):
    result = oc.sweep.run(
        TRAIN,
        SPACE,
        DATA,
        STEPS,
        key=jax.random.key(1),
        batch_size=8,
        validation=DATA,
        chunk=4,
        **how,
    )
    return {"loss": result.train["loss"], "validation": result.validation["loss"]}


def cases():
    def mesh(shape, *names):
        return jax.make_mesh(shape, names)

    one = jax.devices()[:1]
    yield "one", with_engine(devices=one)
    for inside in ("map", "vmap"):
        grid = mesh((4, 2), "members", "data")
        yield f"data-{inside}", with_engine(mesh=grid, placement=inside)
        yield f"members-{inside}", with_engine(placement=inside)
        grid = mesh((4, 2), "members", "model")
        split = split_state(TRAIN)
        yield f"model-{inside}", with_engine(split, mesh=grid, placement=inside)
    grid = mesh((2, 2, 2), "data", "members", "model")
    yield "both", with_engine(split_state(TRAIN), mesh=grid)
    yield "run-one", (with_run(devices=one), {})
    yield "run-data", (with_run(mesh=mesh((2, 4), "data", "members")), {})


if __name__ == "__main__":
    oc.sweep.use_cpu_devices(8)
    arrays, known = {}, {}
    for name, (found, about) in cases():
        arrays |= {f"{name}.{key}": value for key, value in found.items()}
        known[name] = about
    np.savez(sys.argv[1], **arrays)
    print(json.dumps(known))
