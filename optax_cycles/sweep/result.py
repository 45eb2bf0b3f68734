"""What a sweep found out, as arrays with named axes."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
from importlib import metadata
from typing import TYPE_CHECKING, Any

import numpy as np

from optax_cycles import _checks
from optax_cycles._extras import require
from optax_cycles._typing import PyTree
from optax_cycles._version import __version__
from optax_cycles.sweep.members import Status
from optax_cycles.sweep.space import Axis, Space

if TYPE_CHECKING:
    import xarray

FORMAT = "optax_cycles.SweepResult/1"
# Names of dimensions and variables that a hyperparameter can't have besides.
RESERVED = ("step", "horizon", "status", "updates")
SLASH = "%2F"


def versions() -> dict[str, str]:
    """The versions of this package and of those that its numbers depend on."""
    packages = ("jax", "jaxlib", "optax", "numpy")
    others = {name: metadata.version(name) for name in packages}
    python = platform.python_version()
    return {"optax_cycles": __version__, **others, "python": python}


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
      complete: False where the sweep was interrupted; what had not run is NaN.
      seconds: dict from part of the work to the wall time it took.
      versions: dict from package to version.
      measured: dict from placement to the seconds that an update of one member took;
        empty unless `run(placement="measure")`, which takes the one with the least.
      state: final states, leaves `[members, ...]` in the order of the flattened
        axes; None unless `run(keep_state=True)`.
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
    state: PyTree = None

    def __repr__(self) -> str:
        """The axes and how far it came; the arrays are too long to show."""
        axes = [f"{axis.name}: {axis.size}" for axis in self.space.axes]
        steps = f"{self.steps} updates{'' if self.complete else ', incomplete'}"
        return f"SweepResult({', '.join(axes)}; {steps})"

    @property
    def diverged(self) -> np.ndarray:
        """bool `[*axes]`: the members that diverged."""
        return self.status == Status.DIVERGED

    def score(self, metric: str = "loss", horizon: int | None = None) -> np.ndarray:
        """A validation metric at one horizon, +inf where there is no number.

        Args:
          metric: a key of `validation`.
          horizon: a member of `horizons`; the last one by default.

        Returns:
          Float array `[*axes]`.

        Raises:
          ValueError: if the metric or the horizon was not recorded.
        """
        _checks.choice("score", "metric", metric, self.validation)
        known = self.horizons.tolist()
        if horizon is not None and horizon not in known:
            _checks.fail("score", "horizon", f"one of {known}", horizon)
        at = -1 if horizon is None else known.index(horizon)
        values = self.validation[metric][..., at]
        return np.where(np.isfinite(values), values, np.inf)

    def best(self, metric: str = "loss", *, mode: str = "min") -> dict[str, float]:
        """The hyperparameters of the member with the best last validation metric.

        Args:
          metric: a key of `validation`.
          mode: `"min"` or `"max"`.

        Raises:
          ValueError: if the metric was not recorded, or no member has a number.
        """
        _checks.choice("best", "mode", mode, ("min", "max"))
        _checks.choice("best", "metric", metric, self.validation)
        values = self.validation[metric][..., -1].reshape(-1)
        values = np.where(np.isfinite(values), values, np.nan)
        if np.all(np.isnan(values)):
            raise ValueError(f"best: no member has a finite {metric}")
        index = int(np.nanargmin(values) if mode == "min" else np.nanargmax(values))
        members = self.space.members()
        return {name: along[index].item() for name, along in members.items()}

    def to_xarray(self) -> xarray.Dataset:
        """An `xarray.Dataset` with the space's axes, `step` and `horizon` as dims.

        Variables are named `train_<metric>`, `validation_<metric>`, `status` and
        `updates`. Needs the extra `sweep`.
        """
        xr = require("xarray", "sweep", "to_xarray")
        axes = self.space.names
        evaluated = {"long_name": "updates made before the evaluation"}
        coords: dict[str, Any] = {
            "step": ("step", np.arange(self.steps), {"long_name": "0-based update"}),
            "horizon": ("horizon", self.horizons, evaluated),
        }
        for axis in self.space.axes:
            coords.update({name: (axis.name, v) for name, v in axis.values.items()})
        data: dict[str, Any] = {
            f"train_{k}": ((*axes, "step"), v) for k, v in self.train.items()
        }
        for name, values in self.validation.items():
            data[f"validation_{name}"] = ((*axes, "horizon"), values)
        codes = {code.name.lower(): int(code) for code in Status}
        data["status"] = (axes, self.status, {"codes": json.dumps(codes)})
        data["updates"] = (axes, self.updates, {"long_name": "updates made"})
        attrs = {
            "format": FORMAT,
            "axes": json.dumps([[a.name, list(a.values)] for a in self.space.axes]),
            "complete": int(self.complete),
            "seconds": json.dumps(self.seconds),
            "measured": json.dumps(self.measured),
            "versions": json.dumps(self.versions),
        }
        return xr.Dataset(data, coords, attrs)

    def to_dataframe(self) -> Any:
        """A `pandas.DataFrame`: a row a member and horizon, columns the metrics."""
        dataset = self.to_xarray()
        kept = [name for name in dataset if not str(name).startswith("train_")]
        return dataset[kept].to_dataframe().reset_index()

    def save(self, path: str | os.PathLike[str], **coords: Any) -> None:
        """Write all but `state` to a netCDF file. Needs the extra `sweep`.

        Args:
          path: the file.
          **coords: further coordinates, as for `xarray.Dataset.assign_coords`.
        """
        require("h5netcdf", "sweep", "save")
        dataset = self.to_xarray().assign_coords(coords)
        # A slash, common in the names of metrics, would make a group of the file.
        dataset = _replaced(dataset, "/", SLASH)
        dataset.to_netcdf(path, engine="h5netcdf")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> SweepResult:
        """Read what `save` wrote.

        Raises:
          ValueError: if the file is not a sweep's result of this format.
        """
        xr = require("xarray", "sweep", "load")
        require("h5netcdf", "sweep", "load")
        with xr.open_dataset(path, engine="h5netcdf") as opened:
            dataset = _replaced(opened.load(), SLASH, "/")
        if dataset.attrs.get("format") != FORMAT:
            found = dataset.attrs.get("format")
            raise ValueError(
                f"load: {os.fspath(path)} must hold {FORMAT!r}, got {found!r}"
            )
        return cls.from_xarray(dataset)

    @classmethod
    def from_xarray(cls, dataset: xarray.Dataset) -> SweepResult:
        """The result that `to_xarray` gave.

        Raises:
          ValueError: if the dataset is not a sweep's result of this format.
        """
        found = dataset.attrs.get("format")
        if found != FORMAT:
            _checks.fail("from_xarray", "format", repr(FORMAT), found)
        axes = tuple(
            Axis(name, {h: dataset[h].to_numpy() for h in hparams})
            for name, hparams in json.loads(dataset.attrs["axes"])
        )

        def metrics(prefix: str) -> dict[str, np.ndarray]:
            return {
                str(name).removeprefix(prefix): dataset[name].to_numpy()
                for name in dataset
                if str(name).startswith(prefix)
            }

        return cls(
            space=Space(axes),
            steps=dataset.sizes["step"],
            train=metrics("train_"),
            validation=metrics("validation_"),
            horizons=dataset["horizon"].to_numpy(),
            status=dataset["status"].to_numpy(),
            updates=dataset["updates"].to_numpy(),
            complete=bool(dataset.attrs["complete"]),
            seconds=json.loads(dataset.attrs["seconds"]),
            # Files from before it was measured don't have it.
            measured=json.loads(dataset.attrs.get("measured", "{}")),
            versions=json.loads(dataset.attrs["versions"]),
        )


def _replaced(dataset: xarray.Dataset, old: str, new: str) -> xarray.Dataset:
    """The dataset with `old` replaced by `new` in the names of all it holds."""
    names = [str(name) for name in (*dataset.variables, *dataset.dims)]
    return dataset.rename({n: n.replace(old, new) for n in names if old in n})
