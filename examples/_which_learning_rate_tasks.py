"""What `which_learning_rate.py` trains: the data, the network, the optimizers."""

import gzip
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import _images
import numpy as np
import optax
from flax import linen as nn

import optax_cycles as oc
from optax_cycles import problems
from optax_cycles.sweep.convolution import conv_general_dilated

# With the settings of TensorFlow 1, which were his. Its Adam adds epsilon before it
# debiases, which is nothing at 1e-8.
OPTIMIZERS = {
    "Adam": optax.adam,
    "Adadelta": lambda rate: optax.adadelta(rate, rho=0.95, eps=1e-8),
    "Momentum": lambda rate: optax.sgd(rate, momentum=0.5),
    "Adagrad": lambda rate: optax.adagrad(rate, initial_accumulator_value=0.1, eps=0.0),
    "GD": optax.sgd,
    "RMSProp": lambda rate: optax.rmsprop(
        rate, decay=0.9, eps=1e-10, initial_scale=1.0
    ),
}

TEST_EVERY = 10
OPENML_SHAPE, OPENML_TRAIN = (70_000, 784), 60_000
IMAGES, LABELS = 0x803, 0x801  # what IDX files of bytes begin with, by their axes


class Network(nn.Module):
    """The network of TensorFlow 1's MNIST tutorial, `width` times as wide."""

    features: tuple[int, int]
    hidden: int
    kernel: int
    width: float = 1

    @nn.compact
    def __call__(self, images, train):
        def wide(features):
            return round(features * self.width)

        start = {"kernel_init": nn.initializers.glorot_uniform()}
        # Side by side, convolutions of `lax` are slow on a GPU too.
        product = {"conv_general_dilated": conv_general_dilated}
        square = (self.kernel, self.kernel)
        x = images
        for features in self.features:
            x = nn.relu(nn.Conv(wide(features), square, **start, **product)(x))
            n, height, across, channels = x.shape
            # Max pooling, 2 x 2; its gradient is cheaper than that of `nn.max_pool`.
            blocks = (n, height // 2, 2, across // 2, 2, channels)
            x = x.reshape(blocks).max((2, 4))
        x = x.reshape(x.shape[0], -1)
        x = nn.relu(nn.Dense(wide(self.hidden), **start)(x))
        x = nn.Dropout(0.4, deterministic=not train)(x)
        return nn.Dense(10, **start)(x)


class Task(NamedTuple):
    """Data, network, and how long a run may take.

    Attributes:
      name: what the data are called.
      train: `(images, labels)`.
      validation: the same, of other images.
      network: the network at width 1.
      batch: examples in a batch.
      updates: the most that a run makes.
      looks: all updates after which the validation accuracy would be taken.
      target: the accuracy that ends a run.
    """

    name: str
    train: tuple[np.ndarray, np.ndarray]
    validation: tuple[np.ndarray, np.ndarray]
    network: Network
    batch: int
    updates: int
    looks: Sequence[int]
    target: float

    @property
    def horizons(self) -> list[int]:
        """Updates after which the accuracy is taken, the last one among them."""
        return [at for at in self.looks if at < self.updates] + [self.updates]

    def problem(self, width: float = 1) -> oc.Problem:
        """The network at a width, to be trained."""
        example = (np.zeros((1, *self.train[0].shape[1:]), np.float32),)
        return oc.problem_from_linen(
            self.network.clone(width=width),
            problems.classification_loss,
            example,
            training={"train": True},
        )


def digits() -> Task:
    """His experiment on 8 x 8 images: an eighth of his features, kernels 3 x 3.

    Ten passes over the data to reach 95 %, looked at every tenth further.
    """
    data = problems.digits()
    batch = 32
    updates = 10 * (len(data.train[0]) // batch)
    looks = np.unique(np.round(5 * 1.12 ** np.arange(100)).astype(int)).tolist()
    network = Network((4, 8), 128, 3)
    return Task("digits", *data, network, batch, updates, looks, 0.95)


def like_his(name: str, train: Any, validation: Any) -> Task:
    """28 x 28 images with his network, batches, target, and looks.

    1,200 updates are what his runs came to in their 120 seconds.
    """
    network = Network((32, 64), 1024, 5)
    looks = range(50, 100_000, 50)
    return Task(name, train, validation, network, 100, 1200, looks, 0.97)


def generated(train: int = 60_000, validation: int = 1_000) -> Task:
    """Images as large as MNIST's: ten coarse patterns under noise, to measure time."""
    rng = np.random.default_rng(0)
    patterns = rng.random((10, 7, 7), np.float32).repeat(4, 1).repeat(4, 2)

    def some(count):
        labels = rng.integers(10, size=count).astype(np.int32)
        images = rng.random((count, 28, 28), np.float32) + patterns[labels]
        return images[..., None] / 2, labels

    return like_his("generated", some(train), some(validation))


def mnist(folder: Path | None) -> Task:
    """MNIST from its four IDX files, or through scikit-learn from openml.org.

    Every tenth of the 10,000 test images validates.
    """
    train, test = map(_ready, read_folder(folder) if folder else fetch())
    every = tuple(part[::TEST_EVERY] for part in test)
    return like_his("mnist", train, every)


def _ready(part: Any) -> Any:
    """Pixels from 0 to 1 with an axis of channels, and labels as JAX has them."""
    images, labels = part
    return _images.scaled(images)[..., None], labels.astype(np.int32)


def fetch() -> list[tuple[np.ndarray, np.ndarray]]:
    """Training and test images and labels, downloaded once."""
    images, labels = _images.fetch("mnist_784", *OPENML_SHAPE)
    images, at = images.reshape(-1, 28, 28), OPENML_TRAIN
    return [(images[:at], labels[:at]), (images[at:], labels[at:])]


def read_folder(folder: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """Training and test images and labels from four IDX files, gzipped or not."""
    parts = []
    for part in ("train", "t10k"):
        images = read_idx(find(folder, f"{part}-images-idx3-ubyte"), IMAGES)
        labels = read_idx(find(folder, f"{part}-labels-idx1-ubyte"), LABELS)
        if images.shape[1:] != (28, 28):
            raise ValueError(
                f"{folder}: images must have 28 x 28 pixels, got {images.shape[1:]}"
            )
        if len(images) != len(labels):
            raise ValueError(
                f"{folder}: {part} must have a label for each image, got "
                f"{len(images)} images and {len(labels)} labels"
            )
        parts.append((images, labels))
    return parts


def find(folder: Path, name: str) -> Path:
    """The file of this name, or with `.gz`."""
    return _images.find(folder, name, f"{name}.gz")


def read_idx(path: Path, magic: int) -> np.ndarray:
    """The bytes of an IDX file: a magic number, the length of each axis, the values."""
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rb") as file:
        content = file.read()
    header = np.frombuffer(content[: len(content) // 4 * 4], ">u4")
    if not len(header) or header[0] != magic:
        got = f"{header[0]:#x}" if len(header) else "nothing"
        raise ValueError(f"{path}: the file must begin with {magic:#x}, got {got}")
    axes = magic & 0xFF
    shape = tuple(header[1 : 1 + axes].tolist())
    values = np.frombuffer(content, np.uint8)[4 * (1 + axes) :]
    if len(shape) < axes or len(values) != np.prod(shape):
        raise ValueError(
            f"{path}: {shape} asks for {np.prod(shape):.0f} bytes after "
            f"the header, got {len(values)}"
        )
    return values.reshape(shape)


def task_of(data: str, folder: Path | None = None) -> Task:
    """The task that the command line names."""
    if data == "mnist":
        return mnist(folder)
    return {"digits": digits, "generated": generated}[data]()
