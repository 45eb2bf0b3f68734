"""Faults of losses, optimizers, data and callbacks."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from faults import OPTIONS, Outcome, registry
from linear import DATA, PROBLEM, STEPS, TRAIN, sweep
from test_streams import BATCHES, endless

import optax_cycles as oc
from optax_cycles.sweep import Status, SweepError

FAULTS, fault = registry()


def at(text, function):
    """A pattern for the place of the line of this file that ends with a text."""
    lines = Path(__file__).read_text().splitlines()
    (number,) = (i for i, line in enumerate(lines, 1) if line.endswith(text))
    return rf'File ".*faults_of_users\.py", line {number}, in {function}'


# NaN members


def poisoned(state, hparams, batch, key):
    """A step of `TRAIN` whose loss is `value` at update `at`, where that is not 0."""
    new, metrics = TRAIN.step(state, hparams, batch, key)
    hit = (state.opt_state[0].count == hparams["at"]) & (hparams["value"] != 0)
    bad = jnp.array([0.0, jnp.nan, jnp.inf, -jnp.inf])[hparams["value"]]
    return new, {"loss": jnp.where(hit, bad, metrics["loss"])}


POISONED = TRAIN._replace(step=poisoned)
RATES = oc.sweep.log_space(1e-3, 1.0, 8)


def with_poison(scene, value, at):
    """Half of the members lose their loss; the others are as if they had not."""
    values = np.array([0, value] * 4)
    folder = scene.folder.with_name("poisoned")

    def call(values=values, **more):
        space = oc.sweep.zip(learning_rate=RATES, at=np.full(8, at), value=values)
        return scene.call(trainable=POISONED, space=space, **more)

    kept = call(checkpoint=folder)
    healthy = call(np.zeros(8, int), checkpoint=None)
    assert kept.status.tolist() == [Status.RUNNING, Status.DIVERGED] * 4
    assert kept.updates.tolist() == [STEPS, at + 1] * 4
    for kind in ("train", "validation"):
        pair = getattr(kept, kind)["loss"][::2], getattr(healthy, kind)["loss"][::2]
        np.testing.assert_array_equal(*pair)
    rows = [jax.tree.map(lambda s: s[::2], r.state) for r in (kept, healthy)]
    jax.tree.map(np.testing.assert_array_equal, *rows)
    assert kept.best()["value"] == 0

    def again(**more):
        return call(checkpoint=folder, **more)

    return Outcome("", kept, again, kept)


@fault("NaN members", "")
def nan_at_the_first_update(scene):
    return with_poison(scene, 1, at=0)


@fault("NaN members", "")
def nan_on_the_way(scene):
    return with_poison(scene, 1, at=13)


@fault("NaN members", "")
def infinity(scene):
    return with_poison(scene, 2, at=13)


@fault("NaN members", "")
def minus_infinity(scene):
    return with_poison(scene, 3, at=STEPS - 1)


# Exceptions in the user's code, at trace time. The checkpoint stays as it was.


def problem_with(**changes):
    return oc.trainable(
        PROBLEM._replace(**changes), lambda hp: optax.adam(hp["learning_rate"])
    )


@fault(
    "exception in the user's code while it is traced",
    rf"step: raised while it was traced, at {at('# the loss', 'loss')}",
)
def the_loss_raises(scene):
    def loss(params, model_state, batch, key):
        raise LookupError("no such column")  # the loss

    return scene.stopped(LookupError, trainable=problem_with(loss=loss))


@fault(
    "exception in the user's code while it is traced",
    rf"step: raised while it was traced, at {at('# a shape', 'loss')}",
)
def the_loss_does_not_fit_the_data(scene):
    def loss(params, model_state, batch, key):
        return jnp.dot(params, batch), (model_state, {})  # a shape

    return scene.stopped(TypeError, trainable=problem_with(loss=loss))


@fault(
    "exception in the user's code while it is traced",
    rf"evaluate: raised while it was traced, at {at('# of the batch', 'evaluate')}",
)
def evaluation_raises(scene):
    def evaluate(params, model_state, batch):
        return {"loss": jnp.mean(batch["images"])}  # of the batch

    return scene.stopped(TypeError, trainable=problem_with(evaluate=evaluate))


@fault(
    "exception in the user's code while it is traced",
    rf"init: raised while it was traced, at {at('# the optimizer', 'optimizer')}",
)
def the_optimizer_raises(scene):
    def optimizer(hparams):
        raise RuntimeError("no such optimizer")  # the optimizer

    return scene.stopped(RuntimeError, trainable=oc.trainable(PROBLEM, optimizer))


@fault(
    "exception in the user's code while it is traced",
    rf"hyperparameter 'learning_rate' is traced, .*{at('# a branch', 'optimizer')}.*"
    "use jnp.where",
)
def the_optimizer_branches_on_a_hyperparameter(scene):
    def optimizer(hparams):
        slow = hparams["learning_rate"] < 0.1  # compared
        return optax.adam(0.1 if slow else 0.2)  # a branch

    return scene.stopped(TypeError, trainable=oc.trainable(PROBLEM, optimizer))


@fault(
    "exception in the user's code while it is traced",
    rf"'lr' is read, .*{at('# a name', 'optimizer')}.* one of learning_",
)
def a_hyperparameter_is_misspelt(scene):
    def optimizer(hparams):
        return optax.adam(hparams["lr"])  # a name

    return scene.stopped(ValueError, trainable=oc.trainable(PROBLEM, optimizer))


# Iterators. Their sweep has a folder of its own.


def with_batches(scene, batches):
    """Stopped by its batches; the same call has good ones."""
    call = scene._replace(folder=scene.folder.with_name("batches")).call
    with pytest.raises(SweepError) as caught:
        call(data=batches, segment=3)

    def again(**more):
        return call(data=endless(), segment=3, **more)

    straight = sweep(endless(), **OPTIONS | {"segment": 3})
    # Two segments, which a checkpoint holds, and the part of a third that was read.
    part = len(BATCHES) - 6
    found = scene.after(
        caught.value,
        call=again,
        straight=straight,
        floor=6 * straight.updates.size,
        redone=part * straight.updates.size,
    )
    assert set(found.kept.updates.ravel()) == {len(BATCHES)}
    return found


@fault("iterator", rf"batch 8, with OSError at {at('# read', 'failing')}: unplugged")
def the_iterator_fails(scene):
    def failing():
        yield from BATCHES
        raise OSError("unplugged")  # read

    return with_batches(scene, failing())


@fault("iterator", "data ended after 8 batches, 40 are needed")
def the_iterator_ends(scene):
    return with_batches(scene, iter(BATCHES))


@fault("iterator", "batch 8 must be like the first")
def a_batch_has_another_shape(scene):
    return with_batches(scene, iter([*BATCHES, DATA[:3]]))


@fault("iterator", rf"batch 8, with OSError at {at('# started', '__iter__')}")
def the_iterable_cant_be_read_again(scene):
    class Once:
        used = False

        def __iter__(self):
            if self.used:
                raise OSError("spent")  # started
            self.used = True
            return iter(BATCHES)

    return with_batches(scene, Once())


# Exceptions while it runs.


@fault(
    "exception while it runs",
    rf"run: stopped by ZeroDivisionError at {at('# of the progress', 'progress')}",
)
def progress_raises(scene):
    def progress(now):
        if now.done >= 200:
            now.done / 0  # of the progress

    return scene.stopped(progress=progress)


@fault("exception while it runs", "run: stopped by ZeroDivisionError")
def progress_raises_at_the_end(scene):
    def progress(now):
        return 1 / (now.total - now.done)

    found = scene.stopped(progress=progress)
    assert found.kept.complete
    return found
