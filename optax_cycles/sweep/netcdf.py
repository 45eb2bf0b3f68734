"""A sweep's result as a dataset with named axes, and as a netCDF file."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from optax_cycles._extras import require
from optax_cycles.sweep.lineage import Lineage
from optax_cycles.sweep.members import Status
from optax_cycles.sweep.origin import explained
from optax_cycles.sweep.space import Axis, Space

if TYPE_CHECKING:
    import xarray

    from optax_cycles.sweep.result import SweepResult

FORMAT = "optax_cycles.SweepResult/1"
SLASH = "%2F"
# What every dataset of this format has.
_ATTRIBUTES = ("axes", "complete", "seconds", "versions")
# Names of dimensions and variables that a hyperparameter can't have besides.
RESERVED = ("step", "horizon", "status", "updates")
# And those that only what was judged has.
JUDGED = ("verdict", "stretch", "parents")


def dataset_of(result: SweepResult) -> xarray.Dataset:
    """All but the states of a result; see `SweepResult.to_xarray`."""
    xr = require("xarray", "sweep", "to_xarray")
    axes = result.space.names
    evaluated = {"long_name": "updates made before the evaluation"}
    coords: dict[str, Any] = {
        "step": ("step", np.arange(result.steps), {"long_name": "0-based update"}),
        "horizon": ("horizon", result.horizons, evaluated),
    }
    for axis in result.space.axes:
        coords.update({name: (axis.name, v) for name, v in axis.values.items()})
    data: dict[str, Any] = {
        f"train_{k}": ((*axes, "step"), v) for k, v in result.train.items()
    }
    for name, values in result.validation.items():
        data[f"validation_{name}"] = ((*axes, "horizon"), values)
    if result.lineage is not None:
        coords["verdict"] = ("verdict", result.lineage.steps, {"long_name": "updates"})
        shape = result.space.shape
        parents = result.lineage.parents.reshape(*shape, -1)
        data["parents"] = ((*axes, "verdict"), parents)
        for name, values in result.lineage.hparams.items():
            kept = values.reshape(*shape, -1)
            data[f"hparams_{name}"] = ((*axes, "stretch"), kept)
    codes = {code.name.lower(): int(code) for code in Status}
    data["status"] = (axes, result.status, {"codes": json.dumps(codes)})
    data["updates"] = (axes, result.updates, {"long_name": "updates made"})
    attrs = {
        "format": FORMAT,
        "axes": json.dumps([[a.name, list(a.values)] for a in result.space.axes]),
        "complete": int(result.complete),
        "seconds": json.dumps(result.seconds),
        "measured": json.dumps(result.measured),
        "versions": json.dumps(result.versions),
    }
    return xr.Dataset(data, coords, attrs)


def result_from(
    function: str, dataset: xarray.Dataset, cls: type[SweepResult]
) -> SweepResult:
    """The result that `dataset_of` took apart.

    Raises:
      ValueError: if the dataset is of another format, or something is missing.
    """
    found = dataset.attrs.get("format")
    if found != FORMAT:
        raise ValueError(f"{function}: format must be {FORMAT!r}, got {found!r}")
    missing = [name for name in _ATTRIBUTES if name not in dataset.attrs]
    missing += [name for name in RESERVED if name not in dataset.variables]
    if missing:
        raise ValueError(f"{function}: the dataset has no {', '.join(missing)}")

    def attribute(name: str, default: str = "") -> Any:
        try:
            return json.loads(dataset.attrs.get(name, default))
        except ValueError as error:
            text = f"{function}: the attribute {name!r} must be JSON, got {error}"
            raise ValueError(text) from None

    axes = tuple(
        Axis(name, {h: dataset[h].to_numpy() for h in hparams})
        for name, hparams in attribute("axes")
    )

    def metrics(prefix: str) -> dict[str, np.ndarray]:
        return {
            str(name).removeprefix(prefix): dataset[name].to_numpy()
            for name in dataset
            if str(name).startswith(prefix)
        }

    space = Space(axes)
    lineage = None
    if "verdict" in dataset.dims:
        lineage = Lineage(
            dataset["verdict"].to_numpy(),
            dataset["parents"].to_numpy().reshape(space.size, -1),
            {n: v.reshape(space.size, -1) for n, v in metrics("hparams_").items()},
        )
    return cls(
        space=space,
        lineage=lineage,
        steps=dataset.sizes["step"],
        train=metrics("train_"),
        validation=metrics("validation_"),
        horizons=dataset["horizon"].to_numpy(),
        status=dataset["status"].to_numpy(),
        updates=dataset["updates"].to_numpy(),
        complete=bool(dataset.attrs["complete"]),
        seconds=attribute("seconds"),
        # Files from before it was measured don't have it.
        measured=attribute("measured", "{}"),
        versions=attribute("versions"),
    )


def write(dataset: xarray.Dataset, path: str | os.PathLike[str]) -> None:
    """Write a netCDF file with checksums, all of it or nothing.

    Raises:
      OSError: if it can't be written; what was there before stays.
    """
    require("h5netcdf", "sweep", "save")
    path = Path(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    # A slash, common in the names of metrics, would make a group of the file.
    dataset = _replaced(dataset, "/", SLASH)
    checked = {str(n): {"fletcher32": True} for n, v in dataset.items() if v.size}
    # Not to the disk at once: HDF5 crashes the process where that is full.
    content = dataset.to_netcdf(engine="h5netcdf", encoding=checked)
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        reason = error.strerror or error
        raise OSError(f"save: {path} can't be written ({reason})") from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()


def read(path: str | os.PathLike[str]) -> xarray.Dataset:
    """Read a netCDF file that `write` wrote.

    Raises:
      OSError: if it can't be read, or a checksum is wrong.
    """
    xr = require("xarray", "sweep", "load")
    require("h5netcdf", "sweep", "load")
    try:
        with xr.open_dataset(path, engine="h5netcdf") as opened:
            return _replaced(opened.load(), SLASH, "/")
    except FileNotFoundError:
        raise
    except Exception as error:
        raise OSError(
            f"load: {os.fspath(path)} can't be read, {explained(error)}"
        ) from error


def _replaced(dataset: xarray.Dataset, old: str, new: str) -> xarray.Dataset:
    """The dataset with `old` replaced by `new` in the names of all it holds."""
    names = [str(name) for name in (*dataset.variables, *dataset.dims)]
    return dataset.rename({n: n.replace(old, new) for n in names if old in n})
