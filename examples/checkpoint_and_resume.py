"""A run that is stopped in the middle of its cycle, and goes on as if it had not been.

Everything that a resumed run needs is in the checkpoint: with the train state come the
step of the schedules, the moments and the betas that debias them. Batches and dropout
depend on nothing but the step.

Run `python examples/checkpoint_and_resume.py --stop 450`, then once more without
`--stop`: it goes on from step 400, where it finds the last checkpoint.
"""

import argparse
from pathlib import Path

import jax
import optax
import orbax.checkpoint as ocp
from flax import linen as nn
from flax.training.train_state import TrainState

import optax_cycles as oc
from optax_cycles.problems import digits

PEAK = 0.01
SAVE_EVERY = 100
DIRECTORY = Path("optax-cycles-out/checkpoints")


class Classifier(nn.Module):
    """64-128-10, with dropout."""

    @nn.compact
    def __call__(self, images, train=False):
        hidden = nn.relu(nn.Dense(128)(images.reshape(images.shape[0], -1)))
        hidden = nn.Dropout(0.2, deterministic=not train)(hidden)
        return nn.Dense(10)(hidden)


def new_state(steps, example):
    model = Classifier()
    policy = oc.one_cycle_policy(steps, PEAK, momentum_name="b1")
    return TrainState.create(
        apply_fn=model.apply,
        params=model.init(jax.random.key(0), example)["params"],
        tx=oc.adamw(**policy, weight_decay=0.0),
    )


@jax.jit
def train_step(state, batch, key):
    images, labels = batch
    rngs = {"dropout": jax.random.fold_in(key, state.step)}

    def loss_fn(params):
        logits = state.apply_fn({"params": params}, images, train=True, rngs=rngs)
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

    loss, grads = jax.value_and_grad(loss_fn)(state.params)
    state = state.apply_gradients(grads=grads)
    return state, {"loss": loss, **oc.current_hyperparams(state)}


def main(argv=None):
    """Train up to the stop; return the step that it began with, and the state."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=600, help="length of the cycle")
    parser.add_argument("--stop", type=int, help="break off after so many steps")
    parser.add_argument("--directory", type=Path, default=DIRECTORY)
    args = parser.parse_args(argv)

    data = digits()
    batches = oc.sweep.ArrayBatches(data.train, 32, jax.random.key(1))
    state = new_state(args.steps, data.train[0][:1])
    with ocp.CheckpointManager(args.directory.absolute()) as manager:
        first = manager.latest_step() or 0
        if first:
            state = manager.restore(first, args=ocp.args.StandardRestore(state))
            print(f"resumed at step {first}")
        stop = args.steps if args.stop is None else args.stop
        if first >= stop:
            parser.error(f"already at step {first}; take another --directory")
        order = batches.indices([0], first, stop - first)[0]
        for step, rows in enumerate(order, start=first + 1):
            batch = tuple(array[rows] for array in data.train)
            state, logged = train_step(state, batch, jax.random.key(2))
            if step % SAVE_EVERY == 0 or step == args.steps:
                manager.save(step, args=ocp.args.StandardSave(state))
                line = " ".join(f"{name} {value:.5f}" for name, value in logged.items())
                print(f"step {step:4d}  {line}")
    return first, state


if __name__ == "__main__":
    main()
