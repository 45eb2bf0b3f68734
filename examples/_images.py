"""How the examples read images: from files, or through scikit-learn from openml.org."""

from pathlib import Path

import numpy as np


def find(folder, *names):
    """The first of these files that is there."""
    for name in names:
        path = Path(folder) / name
        if path.exists():
            return path
    *most, last = names
    missing = f"neither {', '.join(most)} nor {last}" if most else f"no {last}"
    raise FileNotFoundError(f"{folder}: {missing} is there")


def fetch(name, count, pixels):
    """Images `[count, pixels]` and labels `[count]` of a data set, downloaded once.

    Raises:
      ValueError: if what comes has another shape.
    """
    from sklearn.datasets import fetch_openml

    bunch = fetch_openml(name, version=1, as_frame=False, parser="liac-arff")
    images, labels = np.asarray(bunch.data), np.asarray(bunch.target, np.int32)
    if images.shape != (count, pixels) or len(labels) != len(images):
        raise ValueError(
            f"fetch: {name} must be {count} images of {pixels} pixels with a "
            f"label each, got {images.shape} and {len(labels)} labels"
        )
    return images, labels


def scaled(images):
    """Pixels from 0 to 1, of bytes or of numbers up to 255."""
    return np.divide(images, 255, dtype=np.float32, casting="same_kind")
