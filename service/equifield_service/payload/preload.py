"""Imported by the clean parent before it forks: every library that opens files, used once.

Python and the NetCDF library load much on first use, which a process that may open no file cannot.
"""

import contextlib
import functools
import gc
import json
import os
import sys
from dataclasses import asdict
from typing import Any

import numpy as np
import xarray as xr

from equifield.package.manifest import Manifest

from ..domain.errors import DomainError
from .describing import clean
from .handling import decode, encode
from .handling import handle as handle
from .process import MAIN_SCRIPT
from .values import Kind, Limits, ReadOptions, WriteOptions


def disown_main_script() -> None:
    """Keeps the children from running the gateway's script, which multiprocessing repeats in every child.

    It leaves a script alone that seems to be running already; nothing of it is needed here.

    Raises:
        SystemExit: This process was not started by `clean_parent`, so it may know secrets.
    """
    if MAIN_SCRIPT not in os.environ:
        raise SystemExit("The parent of payload processes must start with a clean environment.")
    if os.environ[MAIN_SCRIPT]:
        sys.modules["__main__"].__file__ = os.environ[MAIN_SCRIPT]


@functools.cache
def warm_up() -> None:
    """Takes a small file of each kind there and back, as each kind. Does nothing the second time."""
    manifest = Manifest.model_validate(_MANIFEST)
    data = _sample()
    bodies: dict[Kind, bytes] = {
        "netcdf3": bytes(data.to_netcdf(engine="scipy", format="NETCDF3_64BIT")),
        "netcdf4": bytes(
            data.assign(text=("y", ["a", "b"])).to_netcdf(engine="netcdf4", encoding={"u": {"zlib": True}})
        ),
        "json": json.dumps(data.to_dict(), default=str).encode(),
    }
    clean("\n")
    repr(data["u"].variable)  # as in the messages of xarray's errors
    options = ReadOptions(missing="nearest", units={"v": "km/h"})
    for kind, body in bodies.items():
        packed, plan, shell = decode(body, kind, manifest, options, Limits())
        for wanted in bodies:
            how = WriteOptions(wanted, compress=1 if wanted == "netcdf4" else 0)
            message = {"plan": plan.to_json(), "sent": kind, "options": asdict(how), "attributes": {}}
            encode(shell.to_bytes(), message, manifest, packed)
        with contextlib.suppress(DomainError):
            decode(body[:200], kind, manifest, ReadOptions(), Limits())
    with contextlib.suppress(DomainError):
        decode(bodies["netcdf4"], "netcdf4", manifest, ReadOptions(group="/none", units={"u": "no unit"}), Limits())


def _sample() -> xr.Dataset:
    packing = {"scale_factor": 0.5, "add_offset": 1.0, "_FillValue": np.int16(-1)}
    values = np.arange(4, dtype=np.int16).reshape(2, 2)
    return xr.Dataset(
        {
            "u": (("y", "x"), values, packing | {"coordinates": "label"}),
            "v": (("y", "x"), values.astype(np.float32)),
            "label": ("y", np.array([b"ab", b"cd"])),
        },
        coords={"y": [1.0, 0.0], "x": [0.0, 1.0]},
    )


_FIELD: dict[str, Any] = {
    "name": "velocity",
    "order": 1,
    "units": "m s-1",
    "components": [{"axes": ["x"], "variable": "u"}, {"axes": ["y"], "variable": "v"}],
}
_MANIFEST: dict[str, Any] = {
    "name": "warm-up",
    "version": "1",
    "title": "",
    "description": "",
    "licence": "",
    "architecture": {"name": "identity", "config": {}},
    "group": "B2",
    "inputs": [_FIELD],
    "outputs": [_FIELD],
    "grid": {"axes": ["x", "y"], "boundary": ["periodic", "periodic"]},
    "provenance": {"created": "", "engine_version": "", "training": "", "data": ""},
}

disown_main_script()
warm_up()
gc.collect()
gc.freeze()  # what the libraries made stays: looking through it again would stop a file for 30 ms
