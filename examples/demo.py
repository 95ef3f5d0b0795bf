"""The whole house on a real wind field: start the service, predict, prove the symmetry, draw it, stop.

    python examples/demo.py

Writes `prediction.nc` and `prediction.png` into the current folder.
"""

import contextlib
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from rich.console import Console

from equifield.plot import vectors_over_speed
from equifield_client import Client, EquivarianceReport

ROOT = Path(__file__).parents[1]
WIND = ROOT / "examples" / "wind_temperature.nc"
MODEL = "wind-denoise-2d"
NAMES = {"u": "U", "v": "V", "temperature": "T"}
UNITS = {"T": "K"}  # the file says C, coulombs, and holds kelvins
LEVEL = 500  # hPa
READY = "Equifield is ready on "
START_SECONDS = 90
console = Console(highlight=False, soft_wrap=True)


@contextlib.contextmanager
def service() -> Iterator[str]:
    """A service on a free port with the shipped store; stopped when the block ends."""
    command = [sys.executable, "-m", "equifield_service", "serve", "--port", "0", "--store", str(ROOT / "models_store")]
    with (
        tempfile.TemporaryDirectory() as jobs,
        tempfile.TemporaryFile("w+") as log,
        subprocess.Popen(
            command, env={**os.environ, "EQUIFIELD_JOBS": jobs}, stdout=subprocess.PIPE, stderr=log
        ) as process,
    ):
        try:
            said = ready_line(process)
            if not said.startswith(READY):
                log.seek(0)
                raise SystemExit(f"The service did not become ready within {START_SECONDS} s. {said}\n{log.read()}")
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


def summary(wind: xr.Dataset, prediction: xr.Dataset, seconds: float) -> None:
    """What went in, what came out."""
    samples = prediction.sizes["time"] * prediction.sizes["lev"]
    sizes = f"{prediction.sizes['lat']} x {prediction.sizes['lon']}"
    console.print(f"\nPredicted {samples} fields of {sizes} points in {seconds:.2f} s:")
    for name, field in prediction.data_vars.items():
        given = wind[NAMES[str(name)]]
        change = float(np.sqrt(((field - given) ** 2).mean()))
        console.print(
            f"  {name:<12} {' x '.join(map(str, field.dims)):<24} {field.attrs['units']:<6} "
            f"{float(field.min()):8.2f} to {float(field.max()):7.2f}   changed by {change:.2f} (rms)"
        )


def picture(wind: xr.Dataset, prediction: xr.Dataset, report: EquivarianceReport, path: Path) -> None:
    """Input and output wind at one level, as arrows over speed."""
    before, after = (data.isel(time=0).sel(lev=LEVEL).transpose("lon", "lat", ...) for data in (wind, prediction))
    fields = [("input", before["U"].values, before["V"].values), ("output", after["u"].values, after["v"].values)]
    top = max(float(np.hypot(u, v).max()) for _, u, v in fields)
    figure, panels = plt.subplots(2, 1, figsize=(9, 9.4), layout="constrained", sharex=True)
    for panel, (title, u, v) in zip(panels, fields, strict=True):
        mesh = vectors_over_speed(panel, before["lon"].values, before["lat"].values, u, v, largest=top)
        panel.set_title(f"{title}: wind at {LEVEL} hPa", loc="left")
        panel.set_ylabel("latitude")
    panels[-1].set_xlabel("longitude")
    figure.colorbar(mesh, ax=panels, label="speed, m/s", shrink=0.6)
    verdict = f"{report.group}: largest relative error {report.worst.error:.0e} over all rotations and reflections"
    figure.suptitle(f"{MODEL}  ({verdict})", fontsize=11)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def main() -> None:
    started = time.perf_counter()
    with console.status(f"starting the service and compiling {MODEL}"), contextlib.ExitStack() as stack:
        url = stack.enter_context(service())
        running = stack.pop_all()
    with running, Client(url) as client:
        console.print(f"The service is ready on {url} after {time.perf_counter() - started:.0f} s.")
        with console.status(f"predicting from {WIND.name}"):
            sent = time.perf_counter()
            prediction = client.predict(MODEL, WIND, map=NAMES, units=UNITS)
            seconds = time.perf_counter() - sent
        wind = xr.load_dataset(WIND, decode_times=False)
        summary(wind, prediction, seconds)
        with console.status("rotating and reflecting the input, and comparing"):
            report = client.check_equivariance(MODEL, WIND, map=NAMES, units=UNITS)
        console.print(f"\nEquivariance on the same file, relative errors:\n{report}")
    prediction.to_netcdf("prediction.nc")
    picture(wind, prediction, report, Path("prediction.png"))
    console.print("\nWrote prediction.nc and prediction.png. The service has stopped.")
    if not report.passed:
        raise SystemExit("The equivariance check did not pass.")


if __name__ == "__main__":
    main()
