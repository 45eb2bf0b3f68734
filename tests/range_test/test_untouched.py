"""After a range test, all that is the caller's is as it was, bit for bit."""

import hashlib
import random

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import optax_cycles as oc
from optax_cycles.sweep import Interrupted

RNG = np.random.default_rng(0)
X = RNG.normal(size=(32, 4)).astype(np.float32)
Y = (X @ np.arange(1.0, 5.0)).astype(np.float32)
OVER = {"learning_rate": [1e-3, 1e-2, 1e-1]}


def momentum(hparams):
    return optax.sgd(hparams["learning_rate"], momentum=0.9)


PROBLEM = oc.problem_from_loss(
    lambda key: {"w": jax.random.normal(key, (4,)), "b": jnp.zeros(())},
    lambda p, batch, key: jnp.mean((batch[0] @ p["w"] + p["b"] - batch[1]) ** 2),
)
TRAIN = oc.trainable(PROBLEM, momentum)


def _numbers(leaf):
    is_key = jnp.issubdtype(jnp.result_type(leaf), jax.dtypes.prng_key)
    return jax.random.key_data(leaf) if is_key else leaf


def digest(tree):
    """A hash of every bit of a pytree, of its structure and its types."""
    found = hashlib.sha256(str(jax.tree.structure(tree)).encode())
    for leaf in jax.tree.leaves(tree):
        numbers = np.asarray(_numbers(leaf))
        found.update(f"{type(leaf)}{numbers.shape}{numbers.dtype}".encode())
        found.update(numbers.tobytes())
    return found.hexdigest()


def random_states():
    """The global states of Python and NumPy."""
    name, keys, *rest = np.random.get_state()
    return random.getstate(), name, keys.tobytes(), rest


class Caller:
    """What a training in progress holds."""

    def __init__(self, data=(X, Y)):
        self.params = PROBLEM.init(jax.random.key(1))[0]
        optimizer = optax.sgd(0.1, momentum=0.9)
        self.opt_state = optimizer.init(self.params)
        self.key = jax.random.key(7)
        self.data = jax.tree.map(np.copy, data)
        self.on_device = jax.tree.map(jnp.asarray, data)
        grads = jax.tree.map(jnp.ones_like, self.params)
        updates, self.opt_state = optimizer.update(grads, self.opt_state)
        self.params = optax.apply_updates(self.params, updates)

    @property
    def snapshot(self):
        return oc.TrainState(self.params, (), self.opt_state)

    def digest(self):
        return digest([self.snapshot, self.key, self.data, self.on_device])


class Loader:
    """Batches in an order from the global random states, like a shuffling loader."""

    def __init__(self):
        self.batches = [(X[i : i + 8], Y[i : i + 8]) for i in range(0, 32, 8)]

    def __iter__(self):
        order = np.random.permutation(len(self.batches))
        order = sorted(order, key=lambda _: random.random())
        return iter([self.batches[place] for place in order])


def parallel(data, caller, **options):
    options = {"over": OVER, "seeds": 2, "steps": 12, "key": caller.key} | options
    return oc.parallel_range_test(
        TRAIN, data, caller.data, start=caller.snapshot, **options
    )


def ramp(data, caller, **options):
    options = {"steps": 12, "high": 0.1, "key": caller.key} | options
    return oc.ramp_range_test(
        TRAIN, data, caller.data, start=caller.snapshot, **options
    )


@pytest.mark.parametrize("kind", [parallel, ramp])
@pytest.mark.parametrize("where", ["data", "on_device"])
def test_state_keys_data_and_random_states_are_untouched(kind, where):
    caller = Caller()
    before, states = caller.digest(), random_states()
    test = kind(getattr(caller, where), caller, batch_size=8)
    assert caller.digest() == before
    assert random_states() == states
    # The test did train: elsewhere, and from the caller's parameters.
    first = test.sweep.train["loss"][..., 0].ravel()
    assert np.isfinite(first).all()
    assert np.any(test.sweep.train["loss"][..., -1].ravel() != first)


@pytest.mark.parametrize("kind", [parallel, ramp])
def test_a_loader_is_not_advanced_and_its_next_order_not_changed(kind):
    caller, loader = Caller(), Loader()
    random.seed(3)
    np.random.seed(3)
    untouched = [digest(batch) for batch in loader]
    random.seed(3)
    np.random.seed(3)
    kind(loader, caller)
    assert [digest(batch) for batch in loader] == untouched
    batches = list(loader.batches)
    kind(iter(batches * 3), caller)
    assert len(batches) == 4


def test_an_interrupted_test_leaves_everything_as_it_was_too():
    caller = Caller()
    before, states = caller.digest(), random_states()

    def stop(progress):
        random.random()
        np.random.rand()
        if progress.done:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted):
        parallel(caller.data, caller, batch_size=8, progress=stop)
    assert caller.digest() == before
    assert random_states() == states


def test_training_goes_on_after_a_test_as_it_would_have_without():
    def losses(test_in_between):
        caller, step = Caller(), jax.jit(TRAIN.step)
        state, seen = caller.snapshot, []
        rng = np.random.default_rng(5)
        for update in range(6):
            if update == 3 and test_in_between:
                snapshot = oc.TrainState(*state)
                oc.ramp_range_test(TRAIN, (X, Y), steps=10, start=snapshot)
            rows = rng.integers(32, size=8)
            hparams = {"learning_rate": jnp.float32(0.05)}
            key = jax.random.fold_in(caller.key, update)
            state, metrics = step(state, hparams, (X[rows], Y[rows]), key)
            seen.append(float(metrics["loss"]))
        return seen

    assert losses(True) == losses(False)


@pytest.mark.peer
def test_a_torch_loader_goes_on_in_the_order_it_would_have_had():
    torch = pytest.importorskip("torch")
    data = torch.utils.data.TensorDataset(torch.tensor(X), torch.tensor(Y))
    own = torch.Generator().manual_seed(2)
    sampler = torch.utils.data.RandomSampler(data, generator=own)
    batches = torch.utils.data.BatchSampler(sampler, 8, drop_last=False)
    for shuffled in (
        {"batch_size": 8, "shuffle": True},
        {"batch_size": 8, "shuffle": True, "generator": own},
        {"batch_size": 8, "sampler": sampler},
        {"batch_sampler": batches},
    ):
        loader = torch.utils.data.DataLoader(data, **shuffled)
        torch.manual_seed(0)
        own.manual_seed(2)
        expected = [digest([a.numpy(), b.numpy()]) for a, b in loader]
        torch.manual_seed(0)
        own.manual_seed(2)
        parallel(loader, Caller())
        found = [digest([a.numpy(), b.numpy()]) for a, b in loader]
        assert found == expected
