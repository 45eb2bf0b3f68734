"""Data as people have them: taken, or refused with what to do instead."""

import numpy as np
import optax
import pytest
from linear import DATA, KEY, PROBLEM, sweep

import optax_cycles as oc
from optax_cycles.sweep import ArrayBatches

SPACE = {"learning_rate": [0.1]}
PAIR = oc.trainable(
    PROBLEM._replace(
        loss=lambda params, state, batch, key: PROBLEM.loss(
            params, state, batch[0], key
        ),
        evaluate=lambda params, state, batch: PROBLEM.evaluate(params, state, batch[0]),
    ),
    lambda hp: optax.adam(hp["learning_rate"]),
)


def generator():
    yield DATA[:8]


class Loader:
    """Can be iterated, as PyTorch's `DataLoader`."""

    def __iter__(self):
        yield DATA[:8]


class OnAnotherDevice:
    shape = (64,)

    def __array__(self, *args, **kwargs):
        raise RuntimeError("it lies on a GPU")


def test_tensors_of_torch_are_taken_as_arrays():
    torch = pytest.importorskip("torch")
    labels = np.arange(64)
    tensors = torch.tensor(DATA), torch.tensor(labels)
    arrays = DATA, labels
    found, expected = (
        sweep(data, SPACE, 3, PAIR, validation=data) for data in (tensors, arrays)
    )
    np.testing.assert_array_equal(found.train["loss"], expected.train["loss"])
    np.testing.assert_array_equal(found.validation["loss"], expected.validation["loss"])


EXAMPLES = "data must be a pytree of arrays with equally many examples .* batches, got"


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (generator, TypeError, rf"{EXAMPLES} the function generator; call it$"),
        (DATA[:3].tolist() * 2000, TypeError, f"{EXAMPLES} Python numbers; np.asarray"),
        (
            [(DATA[:8], DATA[:8])] * 3,
            ValueError,
            rf"{EXAMPLES} a .* 3 py.*; iter\(list",
        ),
        ((Loader(), Loader()), TypeError, f"{EXAMPLES} a Loader$"),
        (OnAnotherDevice(), TypeError, r"an OnAnotherDevice .* \(it lies on a GPU\)"),
        (np.array(["a", "b"]), TypeError, f"{EXAMPLES} an array of dtype <U1"),
        ((DATA, DATA[:3]), ValueError, r"got shapes \[64, 4\], \[3, 4\]$"),
        ((), ValueError, "got no arrays$"),
    ],
    ids=["function", "list", "batches", "loaders", "device", "text", "lengths", "none"],
)
def test_what_is_no_data_is_refused_with_what_to_do(data, error, message):
    with pytest.raises(error, match=f"^run: .*{message}") as caught:
        sweep(data)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("validation", "message"),
    [
        (Loader(), r"one batch, a pytree of arrays, got a Loader; next\(iter"),
        (generator(), r"one batch, a pytree of arrays, got a generator; next\(iter"),
        (generator, "got the function generator; call it"),
        (
            (DATA, DATA),
            "the same structure as the data, one array, got a tuple of 2 arrays",
        ),
        (
            {"x": DATA, "y": DATA},
            "same structure as the data, one array, got a dict of arrays 'x', 'y'",
        ),
        (((DATA,), DATA), r"data, one array, got \(\(array,\), array\)"),
    ],
    ids=["loader", "generator", "function", "pair", "dict", "nested"],
)
def test_what_is_no_validation_batch_is_refused_with_what_to_do(validation, message):
    with pytest.raises((TypeError, ValueError), match=f"^run: validation .*{message}"):
        sweep(validation=validation)


def test_the_function_that_was_called_is_named():
    with pytest.raises(
        ValueError, match=r"^run: batch_size must be at most the number"
    ):
        sweep(batch_size=65)
    with pytest.raises(ValueError, match=r"^ArrayBatches: batch_size must be at most"):
        ArrayBatches(DATA, 65, KEY)
    with pytest.raises(TypeError, match=r"^ArrayBatches: data must be .* a Loader"):
        ArrayBatches((Loader(),), 8, KEY)


def test_a_pytree_in_a_list_is_data_as_any_other():
    expected = sweep((DATA, DATA[:, 0]), SPACE, 2, PAIR, validation=None)
    found = sweep([DATA, DATA[:, 0]], SPACE, 2, PAIR, validation=None)
    np.testing.assert_array_equal(found.train["loss"], expected.train["loss"])
