"""The whole house on a real wind field: start the service, predict, compare, prove the symmetry, draw it, stop.

    python examples/demo.py

The winds of a climate model are averaged over cells of 2 x 2 points, and `wind-downscale-2d`, which never saw them,
gives them back on the fine grid. Writes `prediction.nc` and `prediction.png` into the current folder.
"""

import contextlib
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from rich.console import Console

from equifield.field_type import FieldType
from equifield.multi_image import MultiImage
from equifield.nn import Upsample
from equifield.plot import vectors_over_speed
from equifield_client import Client, EquivarianceReport

ROOT = Path(__file__).parents[1]
WIND = ROOT / "examples" / "wind_temperature.nc"
MODEL = "wind-downscale-2d"
NAMES = {"u": "U", "v": "V"}
FINER = 2
LEVEL = 500  # hPa
PART = {"lon": slice(-180, -2), "lat": slice(0, 90)}
READY = "Equifield is ready on "
START_SECONDS = 90
console = Console(highlight=False, soft_wrap=True)


@contextlib.contextmanager
def service() -> Iterator[str]:
    """A service on a free port with the model; stopped when the block ends."""
    command = [sys.executable, "-m", "equifield_service", "serve", "--port", "0"]
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile("w+") as log:
        shutil.copytree(ROOT / "models_store" / MODEL, f"{folder}/store/{MODEL}")
        settings = {"EQUIFIELD_JOBS": f"{folder}/jobs", "EQUIFIELD_STORE": f"{folder}/store"}
        with subprocess.Popen(command, env=os.environ | settings, stdout=subprocess.PIPE, stderr=log) as process:
            try:
                said = ready_line(process)
                if not said.startswith(READY):
                    log.seek(0)
                    raise SystemExit(f"No service became ready within {START_SECONDS} s. {said}\n{log.read()}")
                yield said.removeprefix(READY)
            finally:
                process.terminate()
                process.wait(timeout=60)
    if process.returncode != 0:
        raise SystemExit(f"The service ended with exit code {process.returncode}.")


def ready_line(process: "subprocess.Popen[bytes]") -> str:
    """The line in which the service says where it listens, once its model is compiled; empty when it never comes."""
    if process.stdout is None or not select.select([process.stdout], [], [], START_SECONDS)[0]:
        return ""
    return process.stdout.readline().decode().strip()


def interpolated(coarse: xr.Dataset, truth: xr.Dataset) -> xr.Dataset:
    """The coarse winds on the fine grid by cubic interpolation: what the model has to beat."""
    fields = [coarse[name].isel(time=0).transpose("lev", "lon", "lat").values for name in NAMES.values()]
    image = MultiImage(jnp.stack(fields, axis=-1), FieldType.parse("vector"), ("periodic", "replicate"))
    fine = np.asarray(Upsample(FINER, method="cubic")(image).array)
    dims = ("lev", "lon", "lat")
    return xr.Dataset({name: (dims, fine[..., i]) for i, name in enumerate(NAMES)}, {d: truth[d] for d in dims})


def error(wind: xr.Dataset, truth: xr.Dataset) -> float:
    """The root mean square of the difference of the vectors, in metres per second."""
    differences = [wind[name].values - truth[given].values for name, given in NAMES.items()]
    return float(np.sqrt(np.sum(np.square(differences), axis=0).mean()))


def summary(coarse: xr.Dataset, truth: xr.Dataset, prediction: xr.Dataset, seconds: float) -> None:
    """What went in, what came out, and how far it is from the truth."""
    before, after = (f"{data.sizes['lat']} x {data.sizes['lon']}" for data in (coarse, prediction))
    samples = prediction.sizes["time"] * prediction.sizes["lev"]
    console.print(f"\nPredicted {samples} winds of {after} points from {before} in {seconds:.2f} s:")
    for name, field in prediction.data_vars.items():
        lowest, highest = float(field.min()), float(field.max())
        dims = " x ".join(map(str, field.dims))
        console.print(f"  {name:<3} {dims:<24} {field.attrs['units']:<6} {lowest:8.2f} to {highest:7.2f}")
    first = truth.isel(time=0).transpose("lev", "lon", "lat")
    model = error(prediction.isel(time=0).transpose("lev", "lon", "lat"), first)
    cubic = error(interpolated(coarse, truth), first)
    console.print(f"Off the truth by {model:.2f} m/s (rms); cubic interpolation is off by {cubic:.2f} m/s.")


def picture(
    coarse: xr.Dataset, truth: xr.Dataset, prediction: xr.Dataset, report: EquivarianceReport, path: Path
) -> None:
    """Input, prediction and truth at one level over part of the globe, as arrows over speed."""
    shown = [("input", coarse, "UV"), ("prediction", prediction, "uv"), ("truth", truth, "UV")]
    parts = [(title, data.isel(time=0).sel({"lev": LEVEL, **PART}), names) for title, data, names in shown]
    winds = [[part[name].transpose("lon", "lat").values for name in names] for _, part, names in parts]
    top = max(float(np.hypot(u, v).max()) for u, v in winds)
    figure, panels = plt.subplots(3, 1, figsize=(9, 13), layout="constrained", sharex=True)
    for panel, (title, part, _), (u, v) in zip(panels, parts, winds, strict=True):
        mesh = vectors_over_speed(panel, part["lon"].values, part["lat"].values, u, v, largest=top)
        panel.set_title(f"{title}: wind at {LEVEL} hPa, {len(part['lat'])} x {len(part['lon'])} points", loc="left")
        panel.set_ylabel("latitude")
    panels[-1].set_xlabel("longitude")
    figure.colorbar(mesh, ax=panels, label="speed, m/s", shrink=0.6)
    verdict = f"{report.group}: largest relative error {report.worst.error:.0e} over all rotations and reflections"
    figure.suptitle(f"{MODEL}  ({verdict})", fontsize=11)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def main() -> None:
    truth = xr.load_dataset(WIND, decode_times=False)[list(NAMES.values())]
    coarse = truth.coarsen(lat=FINER, lon=FINER).mean(keep_attrs=True)
    started = time.perf_counter()
    with console.status(f"starting the service and compiling {MODEL}"), contextlib.ExitStack() as stack:
        url = stack.enter_context(service())
        running = stack.pop_all()
    with running, Client(url) as client:
        console.print(f"The service is ready on {url} after {time.perf_counter() - started:.0f} s.")
        with console.status(f"predicting from {WIND.name}, averaged over cells of {FINER} x {FINER} points"):
            sent = time.perf_counter()
            prediction = client.predict(MODEL, coarse, map=NAMES)
            seconds = time.perf_counter() - sent
        summary(coarse, truth, prediction, seconds)
        with console.status("rotating and reflecting the input, and comparing"):
            report = client.check_equivariance(MODEL, coarse, map=NAMES)
        console.print(f"\nEquivariance on the same winds, relative errors:\n{report}")
    prediction.to_netcdf("prediction.nc")
    picture(coarse, truth, prediction, report, Path("prediction.png"))
    console.print("\nWrote prediction.nc and prediction.png. The service has stopped.")
    if not report.passed:
        raise SystemExit("The equivariance check did not pass.")


if __name__ == "__main__":
    main()
