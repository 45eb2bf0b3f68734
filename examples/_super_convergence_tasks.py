"""What `super_convergence.py` trains: the data, the network, how they are changed."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from _super_convergence_cifar import cifar10
from flax import linen as nn

import optax_cycles as oc
from optax_cycles import problems
from optax_cycles.sweep.convolution import conv_general_dilated

# Images that are evaluated at a time, and digits that are trained on.
EVALUATED, DIGITS = 2_000, 900
DEPTH = 56  # of the published network


class DenseResNet(nn.Module):
    """Residual blocks of two dense layers each, all with batch normalisation."""

    features: int
    blocks: int
    momentum: float = 0.9

    @nn.compact
    def __call__(self, images, train):
        def dense(x):
            start = nn.initializers.he_normal()
            x = nn.Dense(self.features, use_bias=False, kernel_init=start)(x)
            return nn.BatchNorm(
                use_running_average=not train, momentum=self.momentum, epsilon=1e-5
            )(x)

        x = nn.relu(dense(images.reshape(len(images), -1)))
        for _ in range(self.blocks):
            x = nn.relu(x + dense(nn.relu(dense(x))))
        return nn.Dense(10)(x)


class ResNet(nn.Module):
    """The residual network for small images (He et al. 2016, section 4.2).

    A convolution, stages of `blocks` blocks of two convolutions each, in which the
    features double and the image halves from stage to stage, the mean over the image,
    and a dense layer. Shortcuts have no parameters. Nine blocks in three stages from
    16 features on are ResNet-56.
    """

    features: int
    blocks: int
    stages: int
    # Of the running averages; 0.95 in the published runs with large rates.
    momentum: float = 0.95

    @nn.compact
    def __call__(self, images, train):
        def convolve(x, features, stride=1):
            x = nn.Conv(
                features,
                (3, 3),
                stride,
                padding=1,
                use_bias=False,
                kernel_init=nn.initializers.he_normal(),
                # Side by side, and in a scan, convolutions of `lax` are slow.
                conv_general_dilated=conv_general_dilated,
            )(x)
            return nn.BatchNorm(
                use_running_average=not train, momentum=self.momentum, epsilon=1e-5
            )(x)

        x = nn.relu(convolve(images, self.features))
        for stage in range(self.stages):
            features = self.features * 2**stage
            for block in range(self.blocks):
                stride = 2 if stage and not block else 1
                y = nn.relu(convolve(x, features, stride))
                y = convolve(y, features)
                x = nn.relu(shortcut(x, features, stride) + y)
        return nn.Dense(10)(x.mean((1, 2)))


def shortcut(x, features, stride):
    """Every `stride`-th pixel, and zeros for the features that are new."""
    new = features - x.shape[-1]
    return jnp.pad(x[:, ::stride, ::stride], ((0, 0), (0, 0), (0, 0), (0, new)))


def augment(images, key, pad, mirror):
    """Each image shifted by up to `pad` pixels either way, and half of them mirrored.

    Args:
      images: `[n, height, width, channels]`.
      key: a random key.
      pad: pixels of zeros around an image before its own part is cropped at random.
      mirror: whether left and right may change places.
    """
    count, height, width, _ = images.shape
    shift_key, mirror_key = jax.random.split(key)
    if pad:
        corners = jax.random.randint(shift_key, (count, 2), 0, 2 * pad + 1)
        rows = corners[:, :1] + jnp.arange(height)[None]
        columns = corners[:, 1:] + jnp.arange(width)[None]
        framed = jnp.pad(images, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
        at = jnp.arange(count)[:, None, None]
        images = framed[at, rows[:, :, None], columns[:, None, :]]
    if mirror:
        chosen = jax.random.bernoulli(mirror_key, shape=(count, 1, 1, 1))
        images = jnp.where(chosen, images[:, :, ::-1], images)
    return images


class Task(NamedTuple):
    """Data, network, and how it is trained.

    Attributes:
      name: what the data are called.
      train: `(images, labels)`.
      validation: the same, of other images.
      network: what is trained.
      batch: examples in a batch.
      updates: of a long training.
      share: a short training makes this many times fewer.
      rates: peaks that the piecewise constant decay is tried with.
      cycle: the lowest and the highest rate of the cycle, where they are published;
        None where a range test is to say.
      weight_decay: the factor of the L2 penalty.
      pad: see `augment`.
      mirror: see `augment`.
    """

    name: str
    train: tuple[np.ndarray, np.ndarray]
    validation: tuple[np.ndarray, np.ndarray]
    network: nn.Module
    batch: int
    updates: int
    share: int
    rates: Sequence[float]
    cycle: tuple[float, float] | None
    weight_decay: float = 1e-4
    pad: int = 0
    mirror: bool = False

    @property
    def lengths(self):
        """Updates of a short and of a long training."""
        return self.updates // self.share, self.updates

    def problem(self):
        """The network, trained on augmented images and evaluated in parts."""
        plain = oc.problem_from_linen(
            self.network,
            problems.classification_loss,
            (np.zeros((1, *self.train[0].shape[1:]), np.float32),),
            training={"train": True},
        )

        def loss(params, model_state, batch, key):
            images, labels = batch
            augment_key, key = jax.random.split(key)
            images = augment(images, augment_key, self.pad, self.mirror)
            return plain.loss(params, model_state, (images, labels), key)

        def evaluate(params, model_state, batch):
            parts = parts_of(len(batch[1]))
            apart = jax.tree.map(lambda x: x.reshape(parts, -1, *x.shape[1:]), batch)
            metrics = jax.lax.map(
                lambda part: plain.evaluate(params, model_state, part), apart
            )
            return jax.tree.map(jnp.mean, metrics)

        return oc.Problem(plain.init, loss, evaluate)


def parts_of(count):
    """The fewest equal parts of at most `EVALUATED` images."""
    return next(
        n for n in range(1, count + 1) if not count % n and count // n <= EVALUATED
    )


def digits(train_examples=None):
    """Scikit-learn's digits, a half to train on and the other half to validate.

    The network is deep and the batches are large, a third of the data: large rates are
    then both needed and hard to start with.
    """
    parts = zip(*problems.digits(), strict=True)
    both = [np.concatenate(part) for part in parts]
    order = np.random.default_rng(0).permutation(len(both[1]))
    images, labels = (part[order] for part in both)
    at = DIGITS
    return Task(
        "digits",
        first((images[:at], labels[:at]), train_examples),
        (images[at:], labels[at:]),
        DenseResNet(32, blocks=12),
        batch=300,
        updates=480,
        share=4,
        rates=(0.025, 0.05, 0.1, 0.2, 0.4),
        cycle=None,
    )


def cifar(folder=None, train_examples=None, depth=DEPTH):
    """The published setting: ResNet-56 on CIFAR-10, batches of 1,000.

    Of the authors' solver files and logs: the piecewise decay from 0.35 over 80,000
    updates, the triangle from 0.1 to 3 and back over 10,000; images are mirrored and
    not cropped.
    """
    blocks, rest = divmod(depth - 2, 6)
    if rest or blocks < 1:
        raise ValueError(f"--depth must be 6 n + 2, got {depth}")
    train, test = cifar10(folder)
    return Task(
        "CIFAR-10",
        first(train, train_examples),
        test,
        ResNet(16, blocks=blocks, stages=3),
        batch=1_000,
        updates=80_000,
        share=8,
        rates=(0.35,),
        cycle=(0.1, 3.0),
        mirror=True,
    )


def first(part, count):
    """The first examples of a part, or all of them."""
    available = len(part[1])
    if count is None:
        return part
    if count > available:
        raise ValueError(f"--train-examples must be at most {available}, got {count}")
    return part[0][:count], part[1][:count]
