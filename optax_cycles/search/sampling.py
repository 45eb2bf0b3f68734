"""Points of a space, by chance or evenly spread."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from optax_cycles import _checks
from optax_cycles.search.distributions import (
    Distribution,
    check_distributions,
)
from optax_cycles.sweep.space import Axis, Space

MOST_SOBOL = 2**30


def random(space: Mapping[str, Distribution], num: int, *, seed: int = 0) -> Space:
    """Independent random points.

    Args:
      space: dict from hyperparameter to distribution.
      num: how many points.
      seed: of NumPy's generator. Fewer points of one seed are the first of more.

    Returns:
      A `Space` with one axis, `point`.

    Raises:
      TypeError, ValueError: for arguments that make no sense.

    J. Bergstra and Y. Bengio, "Random search for hyper-parameter optimization" (2012).

    Examples:
      >>> import optax_cycles as oc
      >>> space = {"learning_rate": oc.search.log_uniform(1e-4, 1.0)}
      >>> oc.search.random(space, 8).shape
      (8,)
    """
    known = _check("random", space, num, seed)
    shares = np.random.default_rng(seed).random((num, len(known)))
    return _points(known, shares)


def sobol(space: Mapping[str, Distribution], num: int, *, seed: int = 0) -> Space:
    """Points that fill a space more evenly than random ones: a scrambled Sobol net.

    Args:
      space: dict from hyperparameter to distribution.
      num: how many points; powers of two are spread best.
      seed: of the scrambling.

    Returns:
      A `Space` with one axis, `point`.

    Raises:
      TypeError, ValueError: for arguments that make no sense.

    A. B. Owen, "Scrambling Sobol' and Niederreiter-Xing points" (1998), as in
    `scipy.stats.qmc.Sobol`.

    Examples:
      >>> import optax_cycles as oc
      >>> rates = oc.search.sobol({"rate": oc.search.uniform(0.0, 4.0)}, 4)
      >>> sorted(int(rate) for rate in rates.members()["rate"])
      [0, 1, 2, 3]
    """
    known = _check("sobol", space, num, seed)
    _checks.integer("sobol", "num", num, minimum=1)
    if num > MOST_SOBOL:
        _checks.fail("sobol", "num", f"at most {MOST_SOBOL}", num)
    from scipy.stats import qmc  # comes with JAX, and takes long to import

    # A net of a power of two; the sequence warns where it is cut elsewhere.
    exponent = max(num - 1, 0).bit_length()
    net = qmc.Sobol(len(known), rng=np.random.default_rng(seed)).random_base2(exponent)
    return _points(known, net[:num])


def _check(
    function: str, space: Mapping[str, Distribution], num: int, seed: int
) -> dict[str, Distribution]:
    _checks.integer(function, "num", num, minimum=1)
    _checks.integer(function, "seed", seed, minimum=0)
    return check_distributions(function, space)


def _points(space: Mapping[str, Distribution], shares: np.ndarray) -> Space:
    values: dict[str, Any] = {
        name: distribution.at(shares[:, column])
        for column, (name, distribution) in enumerate(space.items())
    }
    return Space((Axis("point", values),))
