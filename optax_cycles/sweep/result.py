"""What a sweep found out, as arrays with named axes."""

from __future__ import annotations

import dataclasses
import os
import platform
from importlib import metadata
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from optax_cycles import _checks
from optax_cycles._typing import PyTree, State
from optax_cycles._version import __version__
from optax_cycles.sweep import netcdf, tables
from optax_cycles.sweep.lineage import Lineage
from optax_cycles.sweep.members import Status
from optax_cycles.sweep.space import Space

if TYPE_CHECKING:
    import xarray


def versions() -> dict[str, str]:
    """The versions of this package and of those that its numbers depend on."""
    packages = ("jax", "jaxlib", "optax", "numpy")
    others = {name: metadata.version(name) for name in packages}
    python = platform.python_version()
    return {"optax_cycles": __version__, **others, "python": python}


def mode_of(function: str, metric: str, mode: str | None) -> str:
    """Whether a metric is minimised or maximised, which only a loss tells by name."""
    if mode is None:
        if metric != "loss":
            raise ValueError(
                f"{function}: mode must be given for {metric!r}: 'max' where more is "
                "better, 'min' where less is"
            )
        return "min"
    _checks.choice(function, "mode", mode, ("min", "max"))
    return mode


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class SweepResult:
    """The outcome of `run`.

    Every array starts with the space's axes (`space.names`, `space.shape`). A
    member that diverged has NaN from there on, in training and validation.

    Attributes:
      space: the space that was swept.
      steps: updates that each member was to make.
      train: dict from metric to float32 `[*axes, steps]`, one value an update.
      validation: dict from metric to float32 `[*axes, horizons]`.
      horizons: int64 `[horizons]`, updates made before each evaluation.
      status: int32 `[*axes]`, a `Status`.
      updates: int32 `[*axes]`, updates made.
      complete: False where the sweep was stopped; what had not run is NaN.
      seconds: dict from part of the work to the wall time it took.
      versions: dict from package to version.
      measured: dict from placement to the seconds that an update of one member took;
        empty unless `run(placement="measure")`, which takes the one with the least.
      lineage: what a judge said of the members; None without one.
      state: final states, leaves `[rows, ...]`, in the host's memory; None unless
        `run(keep_state=True)`. `best_state` and `state_at` give those of one member.
      state_members: int64 `[rows]`, increasing: the members that `state` is of, by
        their places in the flattened axes. All of them where the sweep is complete,
        those that had finished where it was stopped; None where `state` is.
    """

    space: Space
    steps: int
    train: dict[str, np.ndarray]
    validation: dict[str, np.ndarray]
    horizons: np.ndarray
    status: np.ndarray
    updates: np.ndarray
    complete: bool
    seconds: dict[str, float]
    versions: dict[str, str]
    measured: dict[str, float] = dataclasses.field(default_factory=dict)
    lineage: Lineage | None = None
    state: PyTree = None
    state_members: np.ndarray | None = None

    def __repr__(self) -> str:
        """The axes, how far it came, and how many members did not get there."""
        axes = [f"{axis.name}: {axis.size}" for axis in self.space.axes]
        steps = f"{self.steps} updates{'' if self.complete else ', incomplete'}"
        diverged = int(self.diverged.sum())
        lost = f"; {diverged} of {self.space.size} diverged" if diverged else ""
        return f"SweepResult({', '.join(axes)}; {steps}{lost})"

    def _repr_html_(self) -> str:
        """A small table for notebooks: axes, what became of the members, the best."""
        return tables.html(self)

    @property
    def diverged(self) -> np.ndarray:
        """bool `[*axes]`: the members that diverged."""
        return self.status == Status.DIVERGED

    def score(
        self,
        metric: str = "loss",
        horizon: int | None = None,
        *,
        mode: str | None = None,
    ) -> np.ndarray:
        """A validation metric at one horizon, the worst where there is no number.

        Args:
          metric: a key of `validation`.
          horizon: a member of `horizons`; the last one by default.
          mode: `"min"` where less is better, which gives +inf where there is no
            number, or `"max"`, which gives -inf; needed but for `"loss"`.

        Returns:
          Float array `[*axes]`.

        Raises:
          ValueError: if the metric or the horizon was not recorded, or `mode` is
            missing.
        """
        values = self._evaluated("score", metric)
        worst = np.inf if mode_of("score", metric, mode) == "min" else -np.inf
        known = self.horizons.tolist()
        if horizon is not None and horizon not in known:
            _checks.fail("score", "horizon", f"one of {known}", horizon)
        at = -1 if horizon is None else known.index(horizon)
        return np.where(np.isfinite(values[..., at]), values[..., at], worst)

    def best(
        self, metric: str = "loss", *, mode: str | None = None
    ) -> dict[str, float]:
        """The hyperparameters of the member with the best last validation metric.

        Args:
          metric: a key of `validation`.
          mode: `"min"` or `"max"`; needed but for `"loss"`, which is minimised.

        Raises:
          ValueError: if the metric was not recorded, no member has a number, or
            `mode` is missing.
        """
        return self._hparams(self._best("best", metric, mode))

    def best_state(self, metric: str = "loss", *, mode: str | None = None) -> State:
        """The trained state of the member that `best` names.

        Args:
          metric: a key of `validation`.
          mode: as for `best`.

        Returns:
          What `Trainable.step` returned last: a `TrainState` with `params` for what
          `oc.trainable` made.

        Raises:
          ValueError: as `best` does, and if that member's state was not kept.

        Examples:
          >>> import jax, jax.numpy as jnp, optax, optax_cycles as oc
          >>> problem = oc.problem_from_loss(
          ...     lambda key: jnp.ones(2), lambda p, batch, key: jnp.sum((batch @ p)**2)
          ... )
          >>> train = oc.trainable(problem, lambda hp: optax.sgd(hp["learning_rate"]))
          >>> result = oc.sweep.run(
          ...     train, {"learning_rate": [0.1, 0.5]}, jnp.eye(2), 1, batch_size=2,
          ...     key=jax.random.key(0), validation=jnp.eye(2), keep_state=True,
          ... )
          >>> result.best_state().params, result.state_at(learning_rate=0.1).params
          (Array([0., 0.], dtype=float32), Array([0.8, 0.8], dtype=float32))
        """
        return self.state_of("best_state", self._best("best_state", metric, mode))

    def state_at(self, **hparams: float) -> State:
        """The trained state of one member.

        Args:
          **hparams: its hyperparameters, as the space has them (`state_at(**best())`);
            those in which members don't differ may be left out.

        Returns:
          As `best_state`.

        Raises:
          ValueError: if no member or more than one has these hyperparameters, or its
            state was not kept.
        """
        fits = np.ones(self.space.size, bool)
        members = self.space.members()
        for name, value in hparams.items():
            _checks.choice("state_at", "a hyperparameter", name, members)
            here = members[name] == value
            if not here.any():
                known = np.unique(members[name])
                close = np.sort(known[np.argsort(np.abs(known - value))[:3]]).tolist()
                expected = f"a value of the space, like {close}"
                _checks.fail("state_at", name, expected, value)
            fits &= here
        found = np.flatnonzero(fits)
        if len(found) != 1:
            vary = [n for n, v in members.items() if len(np.unique(v[found])) > 1]
            more = f": give {', '.join(vary)} too" if vary else ""
            raise ValueError(f"state_at: {len(found)} members have {hparams}{more}")
        return self.state_of("state_at", int(found[0]))

    def _evaluated(self, function: str, metric: str) -> np.ndarray:
        if not self.validation:
            raise ValueError(
                f"{function}: no validation metric was recorded: the sweep had no "
                "validation data, or was stopped before the first evaluation"
            )
        _checks.choice(function, "metric", metric, self.validation)
        return self.validation[metric]

    def _best(self, function: str, metric: str, mode: str | None) -> int:
        """The place of the best member in the flattened axes."""
        values = self._evaluated(function, metric)[..., -1].reshape(-1)
        mode = mode_of(function, metric, mode)
        values = np.where(np.isfinite(values), values, np.nan)
        if np.all(np.isnan(values)):
            raise ValueError(f"{function}: no member has a finite {metric}")
        return int(np.nanargmin(values) if mode == "min" else np.nanargmax(values))

    def _hparams(self, member: int) -> dict[str, float]:
        members = self.space.members()
        return {name: along[member].item() for name, along in members.items()}

    def state_of(self, function: str, member: int) -> State:
        """The final state at a place of the flattened axes, for `function`."""
        if self.state is None or self.state_members is None:
            raise ValueError(
                f"{function}: no states were kept: run(keep_state=True) keeps them, "
                "and files don't hold them"
            )
        (rows,) = np.nonzero(self.state_members == member)
        if not len(rows):
            which = self._hparams(member)
            raise ValueError(
                f"{function}: the member {which} had not finished when the sweep was "
                "stopped, so its state was not kept"
            )
        return jax.tree.map(lambda leaf: jax.numpy.asarray(leaf[rows[0]]), self.state)

    def to_xarray(self) -> xarray.Dataset:
        """An `xarray.Dataset` with the space's axes, `step` and `horizon` as dims.

        Variables are named `train_<metric>`, `validation_<metric>`, `status` and
        `updates`. Needs the extra `sweep`.
        """
        return netcdf.dataset_of(self)

    def to_dataframe(self, kind: str = "validation") -> Any:
        """A `pandas.DataFrame` in long form. Needs the extra `sweep`.

        Args:
          kind: `"validation"` for a row for each member and horizon, with `status`
            (the name of a `Status`, `"running"` or `"diverged"` mostly) and `updates`
            (a row for each member where nothing was evaluated); or `"train"` for the
            curves, a row for each member and update (`step`).

        Returns:
          Columns: the hyperparameters, `horizon` or `step`, the metrics as in
          `to_xarray`. Rows are in the order of the space.
        """
        return tables.dataframe(self, kind)

    def save(self, path: str | os.PathLike[str], **coords: Any) -> None:
        """Write all but `state` to a netCDF file. Needs the extra `sweep`.

        The file is written beside `path` and then renamed, so that what was there
        stays whole if anything fails.

        Args:
          path: the file.
          **coords: further coordinates, as for `xarray.Dataset.assign_coords`.

        Raises:
          OSError: if it can't be written.
        """
        netcdf.write(self.to_xarray().assign_coords(coords), path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> SweepResult:
        """Read what `save` wrote. Nothing in the file is executed.

        Raises:
          ValueError: if the file is not a sweep's result of this format.
          OSError: if it can't be read, or was damaged.
        """
        return netcdf.result_from("load", netcdf.read(path), cls)

    @classmethod
    def from_xarray(cls, dataset: xarray.Dataset) -> SweepResult:
        """The result that `to_xarray` gave.

        Raises:
          ValueError: if the dataset is not a sweep's result of this format.
        """
        return netcdf.result_from("from_xarray", dataset, cls)
