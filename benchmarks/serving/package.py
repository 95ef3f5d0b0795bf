"""What our service serves: the function as a model package, one that only doubles, and the bodies for both."""

import json
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from benchmarks.serving.model import GRID, Samples, convolve, random_layers
from equifield import MultiImage
from equifield.models import AbstractNetwork
from equifield.package import Architecture, Component, FieldSpec, GridSpec, Manifest, Provenance, write_package

VELOCITY = FieldSpec(
    name="velocity",
    order=1,
    components=(Component(axes=("x",), variable="u"), Component(axes=("y",), variable="v")),
)
TRACER = FieldSpec(name="tracer", order=0, components=(Component(variable="c"),))


class Plain(AbstractNetwork):
    """The function as a network of the group that has one element, with which everything commutes."""

    layers: list[jax.Array]

    @property
    def translation_step(self) -> int:
        """It commutes with every translation."""
        return 1

    def __call__(self, image: MultiImage) -> MultiImage:
        """Answers samples."""
        array = jnp.reshape(image.array, (-1, *image.array.shape[-3:]))
        return image.with_array(jnp.reshape(convolve(array, self.layers), image.array.shape))


class Doubling(AbstractNetwork):
    """Next to no work, so that what is measured is the way there and back."""

    factor: jax.Array

    @property
    def translation_step(self) -> int:
        """It commutes with every translation."""
        return 1

    def __call__(self, image: MultiImage) -> MultiImage:
        """Answers samples."""
        return image.with_array(self.factor * image.array)


@dataclass(frozen=True)
class Package:
    """One package: its name, its grid and its fields, by where they lie in a sample."""

    name: str
    grid: tuple[int, int]
    fields: dict[str, slice]
    variables: str

    def sample(self) -> Samples:
        """One sample to ask for."""
        shape = (1, *self.grid, len(self.variables))
        return np.random.default_rng(1).standard_normal(shape).astype(np.float32)

    def publish(self, store: Path, network: AbstractNetwork) -> None:
        """Writes the package, as an exported program: our service has no code for such a network."""
        fields = tuple(field for field in (VELOCITY, TRACER) if field.name in self.fields)
        manifest = Manifest(
            name=self.name,
            version="1",
            title=self.name,
            description="For benchmarks.",
            licence="Apache-2.0",
            architecture=Architecture(name=type(network).__name__, config={}),
            group="trivial2",
            inputs=fields,
            outputs=fields,
            grid=GridSpec(axes=("x", "y"), boundary=("periodic", "periodic"), warm=(self.grid,), spacing="any"),
            provenance=Provenance(created="2026-01-01", engine_version="0.1.0", training="none", data="none"),
        )
        write_package(store, manifest, network, card="", exported=True)

    def raw_body(self) -> tuple[bytes, int]:
        """A sample as a body of the Open Inference Protocol, and how much of it is JSON."""
        inputs, tensors = [], []
        for name, place in self.fields.items():
            values = self.sample()[..., place]
            shape = values.shape if name == "velocity" else values.shape[:-1]
            size = {"binary_data_size": values.nbytes}
            inputs.append({"name": name, "shape": shape, "datatype": "FP32", "parameters": size})
            tensors.append(values.tobytes())
        text = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()
        return text + b"".join(tensors), len(text)

    def read_raw(self, body: bytes, json_size: int) -> Samples:
        """The answer to such a body."""
        found, start = {}, json_size
        for output in json.loads(body[:json_size])["outputs"]:
            size = output["parameters"]["binary_data_size"]
            found[output["name"]] = np.frombuffer(body[start : start + size], np.float32).reshape(1, *self.grid, -1)
            start += size
        return np.concatenate([found[name] for name in self.fields], axis=-1)

    def netcdf(self) -> bytes:
        """A sample as a NetCDF-3 file."""
        coordinates = {name: np.arange(size, dtype=np.float64) for name, size in zip("xy", self.grid, strict=True)}
        values = np.moveaxis(self.sample()[0], -1, 0)
        fields = {name: (("x", "y"), value) for name, value in zip(self.variables, values, strict=True)}
        return bytes(xr.Dataset(fields, coordinates).to_netcdf(engine="scipy", format="NETCDF3_64BIT"))

    def read_netcdf(self, body: bytes) -> Samples:
        """The answer to such a file."""
        with xr.open_dataset(body, engine="scipy") as data:
            values = [data[name].transpose("x", "y").values for name in self.variables]
        return np.stack(values, axis=-1)[np.newaxis]


CONVOLUTION = Package("convolution", GRID, {"tracer": slice(0, 1), "velocity": slice(1, 3)}, "cuv")
DOUBLING = Package("doubling", (128, 128), {"velocity": slice(0, 2)}, "uv")


def publish(store: Path) -> None:
    """Writes both packages."""
    CONVOLUTION.publish(store, Plain(random_layers()))
    DOUBLING.publish(store, Doubling(jnp.float32(2)))
