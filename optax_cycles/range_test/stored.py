"""What a range test notes in a file besides its sweep."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from optax_cycles._extras import require


def read_note(
    path: str | os.PathLike[str], kind: str
) -> tuple[dict[str, Any], Mapping[str, Any]]:
    """The note of one kind of test in the file that its `save` wrote, and coordinates.

    Raises:
      ValueError: if there is none.
    """
    xr = require("xarray", "sweep", "load")
    require("h5netcdf", "sweep", "load")
    with xr.open_dataset(path, engine="h5netcdf") as opened:
        if kind not in opened.coords:
            raise ValueError(f"load: {os.fspath(path)} must hold a {kind}, got none")
        found = opened.coords.to_dataset().load()
    return json.loads(str(found[kind].item())), found
