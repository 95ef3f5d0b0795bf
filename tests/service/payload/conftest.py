"""Models, files and a pool of real payload processes for the tests of the payload rooms."""

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import xarray as xr

from equifield.package.manifest import Component, FieldSpec, GridSpec, Manifest
from equifield_service.payload import Decoded, Kind, Limits, PayloadPool, Progress, ReadOptions, WriteOptions

MIB = 2**20


def _model(fields: tuple[FieldSpec, ...], grid: GridSpec) -> Manifest:
    """A model whose outputs are its inputs."""
    return Manifest.model_validate(
        {
            "name": "identity",
            "version": "1",
            "title": "Identity",
            "description": "Gives back what it takes",
            "licence": "Apache-2.0",
            "architecture": {"name": "identity", "config": {}},
            "group": "B2" if len(grid.axes) == 2 else "B3",
            "inputs": fields,
            "outputs": fields,
            "grid": grid,
            "provenance": {"created": "", "engine_version": "", "training": "none", "data": "none"},
        }
    )


def _vector(name: str, variables: str, standard_names: tuple[tuple[str, ...], ...]) -> FieldSpec:
    axes = "xyz"[: len(variables)]
    return FieldSpec(
        name=name,
        order=1,
        units="m s-1",
        long_name=name,
        components=tuple(
            Component(axes=(axis,), variable=variable, standard_names=names)
            for axis, variable, names in zip(axes, variables, standard_names, strict=True)
        ),
    )


VELOCITY = _vector("velocity", "uv", (("eastward_wind", "x_wind"), ("northward_wind", "y_wind")))
TRACER = FieldSpec(
    name="tracer",
    order=0,
    units="K",
    components=(Component(variable="c", standard_names=("air_temperature",)),),
)
STRESS = FieldSpec(
    name="stress",
    order=2,
    units="Pa",
    components=tuple(Component(axes=(a, b), variable=f"s{a}{b}") for b in "zyx" for a in "xyz"),
)
PLANE = GridSpec(axes=("x", "y"), boundary=("periodic", "periodic"))
SPACE = GridSpec(axes=("x", "y", "z"), boundary=("zero", "zero", "zero"))


@dataclass(frozen=True)
class Models:
    """The models of the tests, and how to make others."""

    velocity: Manifest
    velocity_and_tracer: Manifest
    stress: Manifest

    def on(self, manifest: Manifest, **grid: Any) -> Manifest:
        """The same model with other demands on its grid."""
        return manifest.model_copy(update={"grid": manifest.grid.model_copy(update=grid)})

    def of(self, *fields: FieldSpec) -> Manifest:
        """A model of other fields in the plane."""
        return _model(fields, PLANE)


@pytest.fixture(scope="session")
def models() -> Models:
    return Models(_model((VELOCITY,), PLANE), _model((VELOCITY, TRACER), PLANE), _model((STRESS,), SPACE))


class Pool:
    """A payload pool, called without `await`."""

    def __init__(self, runner: asyncio.Runner, pool: PayloadPool):
        self.runner, self.pool = runner, pool

    def decode(self, body: bytes, manifest: Manifest, *, media: str | None = None, **options: Any) -> Decoded:
        """The body as a packed array; `map` and `axes` as in a request."""
        return self.runner.run(self.pool.decode(body, manifest, ReadOptions(**options), media=media, timeout=60.0))

    def encode(
        self,
        manifest: Manifest,
        decoded: Decoded,
        prediction: npt.NDArray[np.float32] | None = None,
        *,
        kind: Kind | None = None,
        attributes: Mapping[str, str] | None = None,
        progress: Progress | None = None,
        **options: Any,
    ) -> bytes:
        """The prediction as a file; by default of the body's kind, and the identity's."""
        work = self.pool.encode(
            manifest,
            decoded.frame,
            decoded.array if prediction is None else prediction,
            options=WriteOptions(kind or decoded.frame.kind, **options),
            attributes=attributes or {},
            timeout=60.0,
            progress=progress,
        )
        return bytes(self.runner.run(work))

    def there_and_back(
        self, body: bytes, manifest: Manifest, *, kind: Kind | None = None, **options: Any
    ) -> xr.Dataset:
        """What comes back when the model is the identity: raw, as stored."""
        media = "application/json" if body.startswith(b"{") else None
        decoded = self.decode(body, manifest, media=media, **options)
        return self.opened(self.encode(manifest, decoded, kind=kind))

    @staticmethod
    def opened(body: bytes) -> xr.Dataset:
        """A file, raw, in memory."""
        if body.startswith(b"{"):
            return xr.Dataset.from_dict(json.loads(body))
        engine = "scipy" if body.startswith(b"CDF") else "netcdf4"
        with xr.open_dataset(body, engine=engine, decode_cf=False) as data:
            return data.load()


@pytest.fixture(scope="session")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="session")
def opened(runner: asyncio.Runner) -> Callable[[Limits, float], AbstractContextManager[PayloadPool]]:
    """Opens a pool of two processes, which must both be there again in the end, and closes it whatever happens."""

    async def all_are_there(pool: PayloadPool) -> None:
        async with asyncio.timeout(120):
            while pool.alive < 2:
                await asyncio.sleep(0.01)

    @contextmanager
    def opened(limits: Limits, timeout: float) -> Iterator[PayloadPool]:
        pool = PayloadPool(2, 64 * MIB, limits, timeout=timeout)
        runner.run(pool.start())
        try:
            yield pool
            runner.run(all_are_there(pool))
        finally:
            runner.run(pool.close())

    return opened


@pytest.fixture(scope="session")
def pool(runner: asyncio.Runner, opened: Callable[..., AbstractContextManager[PayloadPool]]) -> Iterator[Pool]:
    """Two processes that all tests of the session share, as requests do."""
    with opened(Limits(decoded_bytes=64 * MIB), 60.0) as pool:
        yield Pool(runner, pool)


@pytest.fixture(scope="session")
def write() -> Callable[..., bytes]:
    """Writes a dataset as the bytes of a file of some kind."""

    def write(data: xr.Dataset, kind: Kind = "netcdf4", **options: Any) -> bytes:
        if kind == "json":
            return json.dumps(data.to_dict()).encode()
        if kind == "netcdf3":
            return bytes(data.to_netcdf(engine="scipy", format="NETCDF3_64BIT", **options))
        return bytes(data.to_netcdf(engine="netcdf4", **options))

    return write


@pytest.fixture
def wind() -> xr.Dataset:
    """A wind field of 12 x 16 with a time axis, bounds, an auxiliary coordinate and a grid mapping."""
    random = np.random.default_rng(0)

    def component(name: str) -> xr.Variable:
        values = random.normal(size=(3, 12, 16)).astype(np.float32)
        links = {"coordinates": "surface height", "grid_mapping": "crs"}
        return xr.Variable(("time", "lat", "lon"), values, {"standard_name": name, "units": "m s-1"} | links)

    lat, lon = np.arange(12) * 0.5, np.arange(16) * 0.5
    return xr.Dataset(
        {
            "u": component("eastward_wind"),
            "v": component("northward_wind"),
            "pressure": (("time", "lat", "lon"), np.ones((3, 12, 16), np.float32)),
            "lat_bounds": (("lat", "nv"), np.stack([lat - 0.25, lat + 0.25], axis=1)),
            "surface": (("lat", "lon"), random.normal(size=(12, 16)), {"units": "m"}),
            "height": ((), 10.0, {"units": "m", "standard_name": "height"}),
            "crs": ((), np.int32(0), {"grid_mapping_name": "latitude_longitude"}),
            "time": ("time", np.array([0.0, 6.0, 12.0]), {"units": "hours since 2020-01-01", "axis": "T"}),
            "lat": ("lat", lat, {"units": "degrees_north", "standard_name": "latitude", "bounds": "lat_bounds"}),
            "lon": ("lon", lon, {"units": "degrees_east", "standard_name": "longitude"}),
        },
        attrs={"title": "A test", "history": "made", "Conventions": "CF-1.8"},
    )


@pytest.fixture(scope="module")
def stress(models: Any) -> Any:
    """An order-2 tensor in the plane."""
    parts = tuple(Component(axes=(a, b), variable=f"s{a}{b}") for a in "xy" for b in "xy")
    return models.of(FieldSpec(name="stress", order=2, components=parts))
