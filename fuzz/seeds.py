"""Writes the seeds of the fuzzer: small good files of every kind, with what readers stumble over in them.

python fuzz/seeds.py fuzz/corpus
"""

import json
import sys
from pathlib import Path

import numpy as np
import xarray as xr


def plain() -> xr.Dataset:
    """Wind and temperature on 4 x 4 points, with coordinates."""
    random, dims = np.random.default_rng(0), ("y", "x")
    units = {"u": "m s-1", "v": "m s-1", "t": "degC"}
    return xr.Dataset(
        {name: (dims, random.normal(size=(4, 4)).astype("f4"), {"units": unit}) for name, unit in units.items()},
        coords={"y": ("y", np.arange(4.0), {"axis": "Y"}), "x": ("x", np.arange(4.0), {"axis": "X"})},
    )


def seeds() -> dict[str, xr.Dataset]:
    """The datasets by name."""
    data = plain()
    records = data.expand_dims(time=[0.0, 1.0])
    records.encoding["unlimited_dims"] = {"time"}
    timed = data.assign_coords(
        time=((), np.int16(6), {"units": "hours since 2020-01-01", "bounds": "time_bounds"}),
        forecast_period=((), 0.0, {"units": "hours", "standard_name": "forecast_period"}),
        time_bounds=("nv", [3.0, 9.0]),
    )
    for name in "uvt":
        timed[name].attrs["coordinates"] = "time forecast_period"
    start = data.expand_dims(time=[0.0])
    start.time.attrs["units"] = "days since 2020-01-01"
    packed = data.copy()
    packed["t"] = (
        ("y", "x"),
        np.full((4, 4), 3, "i2"),
        {"scale_factor": 0.5, "add_offset": 1.0, "_FillValue": np.int16(-1), "units": "K"},
    )
    labelled = data.assign(label=("y", np.array([b"ab", b"cd", b"ef", b"gh"])))
    labelled["t"].attrs |= {"coordinates": "label", "grid_mapping": "crs", "cell_methods": "y: mean"}
    missing = data.copy()
    missing["t"] = missing.t.where(missing.t > 0)
    staggered = data.drop_vars(["x", "y"])
    staggered["u"] = (("y", "xf"), np.ones((4, 5), "f4"))
    staggered["v"] = (("yf", "x"), np.ones((5, 4), "f4"))
    schema = xr.Dataset(
        {
            "w": (
                ("y", "x", "i"),
                np.ones((4, 4, 2), "f4"),
                {"tensor_order": np.int32(1), "tensor_dims": "i", "tensor_axes": "x y"},
            ),
            "t": data.t.variable,
        }
    )
    return {
        "plain": data,
        "records": records,
        "timed": timed,
        "start": start,
        "packed": packed,
        "labelled": labelled,
        "missing": missing,
        "staggered": staggered,
        "schema": schema,
    }


def main(folder: Path) -> None:
    """Writes every seed in every kind; the last byte chooses the options of the request."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, (name, data) in enumerate(seeds().items()):
        unlimited = data.encoding.get("unlimited_dims", ())
        bodies = {
            "cdf1": bytes(data.to_netcdf(engine="scipy", format="NETCDF3_CLASSIC", unlimited_dims=unlimited)),
            "cdf2": bytes(data.to_netcdf(engine="scipy", format="NETCDF3_64BIT", unlimited_dims=unlimited)),
            "json": json.dumps(data.to_dict(), default=bytes.decode).encode(),
        }
        if number == 0:
            bodies["hdf5"] = bytes(data.to_netcdf(engine="netcdf4"))
        options = 16 + (4 if name == "staggered" else 1)
        for kind, body in bodies.items():
            (folder / f"{name}.{kind}").write_bytes(body + bytes([options]))
            (folder / f"{name}.{kind}.rollout").write_bytes(body + bytes([options + 128 + 64]))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
