"""CIFAR-10 for `super_convergence.py`: from its files, or from openml.org.

A. Krizhevsky, "Learning multiple layers of features from tiny images" (2009),
https://www.cs.toronto.edu/~kriz/cifar.html, where both kinds of files are.
"""

import pickle
from pathlib import Path

import _images
import numpy as np

SHAPE = (3, 32, 32)  # colours first
PIXELS = 3 * 32 * 32
TRAIN, TEST = [f"data_batch_{i}" for i in range(1, 6)], ["test_batch"]
OPENML_COUNT, OPENML_TRAIN = 60_000, 50_000
# All that a pickled array of bytes needs, by the names of old and new NumPy.
RECONSTRUCT = np.empty(0).__reduce__()[0]
ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"): RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): RECONSTRUCT,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


def cifar10(folder=None):
    """Training and test part, each `(images, labels)`.

    Images are float32 `[n, 32, 32, 3]` with the mean image of the training part
    taken off, as in the published runs, labels int32 `[n]`.
    """
    train, test = map(_ready, read_folder(folder) if folder else fetch())
    mean = train[0].mean(0)
    # In place: they are large.
    for images, _ in (train, test):
        np.subtract(images, mean, out=images)
    return train, test


def _ready(part):
    images, labels = part
    upright = images.reshape(-1, *SHAPE).transpose(0, 2, 3, 1)
    return _images.scaled(upright), labels.astype(np.int32)


def fetch():
    """Bytes of both parts, downloaded once; the test images are the last ones."""
    images, labels = _images.fetch("CIFAR_10", OPENML_COUNT, PIXELS)
    at = OPENML_TRAIN
    return [(images[:at], labels[:at]), (images[at:], labels[at:])]


def read_folder(folder):
    """Bytes of both parts, from the binary or the Python version's files."""
    parts = []
    for names in (TRAIN, TEST):
        read = [_read(_images.find(folder, f"{name}.bin", name)) for name in names]
        parts.append(tuple(map(np.concatenate, zip(*read, strict=True))))
    return parts


def _read(path):
    images, labels = (read_binary if path.suffix == ".bin" else read_pickled)(path)
    wrong = labels[labels > 9]
    if len(wrong):
        raise ValueError(f"{path}: labels must be below 10, got {wrong[0]}")
    return images, labels


def read_binary(path):
    """Records of a label and 3,072 pixels, all of them bytes."""
    content = np.frombuffer(Path(path).read_bytes(), np.uint8)
    if not len(content) or len(content) % (1 + PIXELS):
        raise ValueError(
            f"{path}: records must have {1 + PIXELS} bytes each, got {len(content)} "
            "bytes in all"
        )
    records = content.reshape(-1, 1 + PIXELS)
    return records[:, 1:], records[:, 0]


class OnlyArrays(pickle.Unpickler):
    """Reads arrays and plain containers; nothing in the file can be called."""

    def find_class(self, module, name):
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"{module}.{name} has no place in it")
        return ALLOWED[module, name]


def read_pickled(path):
    """A pickled dict of `data`, bytes `[n, 3072]`, and `labels`."""
    try:
        with Path(path).open("rb") as file:
            content = OnlyArrays(file, encoding="bytes").load()
        images, labels = content[b"data"], np.asarray(content[b"labels"], np.uint8)
    # Of a damaged file, pickle raises almost anything.
    except Exception as error:
        raise ValueError(
            f"{path}: the file must be a pickled dict of data and labels, got "
            f"{type(error).__name__}: {error}"
        ) from error
    if (
        getattr(images, "dtype", None) != np.uint8
        or images.shape != (len(labels), PIXELS)
        or not len(labels)
    ):
        raise ValueError(
            f"{path}: data must be {PIXELS} bytes for each of the {len(labels)} "
            f"labels, got {getattr(images, 'dtype', type(images).__name__)} "
            f"{np.shape(images)}"
        )
    return images, labels
