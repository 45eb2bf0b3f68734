"""Sweeps that read batches from any iterable."""

import itertools
import threading

import jax
import numpy as np
import optax
import pytest
from linear import (
    DATA,
    KEY,
    PROBLEM,
    SPACE,
    STEPS,
    TRAIN,
    assert_same,
    sweep,
)

import optax_cycles as oc
from optax_cycles.sweep import DataError, SweepError

SIZE = 8
BATCHES = [DATA[start : start + SIZE] for start in range(0, len(DATA), SIZE)]


def endless():
    while True:
        yield from BATCHES


class Loader:
    """Starts anew with each `iter`, as a `DataLoader` does."""

    def __init__(self, batches=BATCHES):
        self.batches, self.passes, self.threads = batches, 0, set()

    def __iter__(self):
        self.passes += 1
        for batch in self.batches:
            self.threads.add(threading.current_thread().name)
            yield batch


@pytest.fixture(scope="module")
def streamed():
    return sweep(endless())


def test_a_member_reads_what_a_plain_loop_reads(streamed):
    hparams = {"learning_rate": np.float32(SPACE.axes[0].values["learning_rate"][2])}
    init_key = jax.random.split(jax.random.fold_in(jax.random.split(KEY)[0], 1))[0]
    state, step = TRAIN.init(init_key, hparams), jax.jit(TRAIN.step)
    for update in range(STEPS):
        state, metrics = step(state, hparams, BATCHES[update % len(BATCHES)], KEY)
        found = streamed.train["loss"][2, 1, update]
        np.testing.assert_allclose(found, metrics["loss"], rtol=1e-5)


def test_an_iterable_that_ends_is_read_again(streamed):
    loader = Loader()
    assert_same(sweep(loader), streamed)
    assert loader.passes == STEPS // len(BATCHES)


def test_chunks_read_each_batch_once(streamed):
    loader = Loader()
    assert_same(sweep(loader, chunk=4, segment=7), streamed)
    assert loader.passes == STEPS // len(BATCHES)


def test_batches_are_read_ahead_by_another_thread():
    loader = Loader()
    sweep(loader, segment=10)
    assert any(name.startswith("batches") for name in loader.threads)


def test_no_more_batches_are_read_than_are_needed():
    count = []

    def counted():
        for number, batch in enumerate(endless()):
            count.append(number)
            yield batch

    sweep(counted(), steps=25)
    assert len(count) == 25


def test_batches_of_other_libraries_become_arrays(streamed):
    torch = pytest.importorskip("torch")
    data = torch.utils.data.TensorDataset(torch.tensor(DATA))
    loader = torch.utils.data.DataLoader(data, batch_size=SIZE)
    problem = oc.problem_from_loss(
        lambda key: jax.random.normal(key, (4,)),
        lambda params, batch, key: ((batch[0] @ params - 1.0) ** 2).mean(),
    )
    import optax

    train = oc.trainable(problem, lambda hp: optax.adam(hp["learning_rate"]))
    result = sweep(loader, trainable=train, validation=None)
    np.testing.assert_allclose(result.train["loss"], streamed.train["loss"], rtol=1e-5)


def test_a_batch_of_another_dtype_is_the_cause():
    batches = Loader([*BATCHES, BATCHES[0].astype(np.float64)])
    with pytest.raises(SweepError, match=r"batch 8 must be .*, got float64") as caught:
        sweep(batches, segment=4)
    assert isinstance(caught.value.__cause__, DataError)
    assert "drop_last" not in str(caught.value)


def test_a_shorter_batch_is_told_how_loaders_leave_it_out():
    """A set of examples that batches don't divide ends with one."""
    batches = Loader([*BATCHES, BATCHES[0][:3]])
    message = r"batch 8 must be .*, got float32\[3, 4\]; .* by drop_last=True of a Dat"
    with pytest.raises(SweepError, match=message):
        sweep(batches, segment=4)


def test_batches_that_were_read_before_one_failed_are_trained_on():
    """The thread reads 7 ahead and fails at the last, the next piece needs 3."""

    def failing():
        yield from BATCHES
        yield from BATCHES[:2]
        raise OSError

    with pytest.raises(SweepError, match="data failed at batch 10") as caught:
        sweep(failing(), segment=7, horizons=[10, STEPS])
    assert set(caught.value.result.updates.ravel()) == {10}
    assert np.isfinite(caught.value.result.validation["loss"][..., 0]).all()


@pytest.mark.parametrize("chunk", ["auto", 4])
def test_no_batch_that_was_read_is_lost_where_the_data_end(tmp_path, streamed, chunk):
    """25 batches are two segments and a half; the checkpoint has whole segments."""
    options = {"segment": 10, "chunk": chunk, "checkpoint": tmp_path}
    with pytest.raises(SweepError, match="data ended after 25 batches, 40") as caught:
        sweep(itertools.islice(endless(), 25), **options)
    result = caught.value.result
    assert set(result.updates.ravel()) == {25}
    losses = result.train["loss"]
    np.testing.assert_array_equal(losses[..., :25], streamed.train["loss"][..., :25])
    assert np.isnan(losses[..., 25:]).all()
    seen = []
    whole = sweep(endless(), progress=lambda now: seen.append(now.done), **options)
    assert_same(whole, streamed)
    assert seen[1] == 20 * SPACE.size


def test_a_stop_between_chunks_of_which_one_diverged_skips_no_batch(tmp_path):
    """The same call goes on with a chunk that needs none of the second segment."""
    trainable = oc.trainable(PROBLEM, lambda hp: optax.sgd(hp["learning_rate"]))
    space = oc.sweep.grid(learning_rate=[0.01, 0.1, 1e30, 1e35])
    options = {"space": space, "trainable": trainable, "chunk": 2, "segment": 10}
    straight = sweep(endless(), **options)
    assert straight.diverged.tolist() == [False, False, True, True]

    def stop(now):
        if now.done == 2 * 20 + 2 * 10:
            raise KeyboardInterrupt

    saved = {"checkpoint": tmp_path, "checkpoint_every": 0.0}
    with pytest.raises(oc.sweep.Interrupted):
        sweep(endless(), progress=stop, **saved, **options)
    assert_same(sweep(endless(), **saved, **options), straight)


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        (iter([]), {}, "run: data ended after 0 batches, 40 are needed"),
        (
            endless(),
            {"batch_size": 8},
            "run: batch_size must be None for an iterable of batches, which has its",
        ),
        (
            endless(),
            {"order": "member"},
            "run: order must be 'seed' for an iterable of batches",
        ),
        (
            iter([(DATA[:4], DATA[:3])]),
            {},
            "run: a batch of data must be arrays with equally many examples",
        ),
    ],
    ids=["empty", "batch_size", "order", "unequal lengths"],
)
def test_bad_input(data, options, message):
    with pytest.raises(ValueError, match=message):
        sweep(data, **options)


def test_members_may_read_the_data_in_orders_of_their_own():
    space = {"learning_rate": np.full(3, 0.1, np.float32)}
    alike = sweep(space=space).train["loss"]
    own = sweep(space=space, order="member").train["loss"]
    np.testing.assert_array_equal(alike[0], alike[1])
    assert (own[0] != own[1]).any()
    # The order of member 0 is that of seed 0; chunks don't change any.
    np.testing.assert_array_equal(own[0], alike[0])
    chunked = sweep(space=space, order="member", chunk=2).train["loss"]
    np.testing.assert_array_equal(own, chunked)
