"""A very small model package, published for the tests."""

from pathlib import Path

from pydantic import JsonValue

from equifield.architectures import build_model
from equifield.package import (
    Architecture,
    Component,
    FieldSpec,
    GridSpec,
    Manifest,
    Provenance,
    field_type_of,
    write_package,
)

VELOCITY = FieldSpec(
    name="velocity",
    order=1,
    units="m s-1",
    components=(
        Component(axes=("x",), variable="u", standard_names=("eastward_wind",)),
        Component(axes=("y",), variable="v", standard_names=("northward_wind",)),
    ),
    scale=4.0,
)
GROUND = FieldSpec(
    name="ground",
    order=0,
    units="m",
    components=(Component(variable="z", standard_names=("surface_altitude",)),),
    mean=200.0,
    scale=100.0,
    constant=True,
)
TRACER = FieldSpec(name="tracer", order=0, units="1", components=(Component(variable="c"),), mean=0.5)


def manifest(name: str = "tiny", version: str = "1") -> Manifest:
    """What the small model takes and gives."""
    return Manifest(
        name=name,
        version=version,
        title="A tiny model",
        description="For tests; its weights are random.",
        licence="Apache-2.0",
        architecture=Architecture(name="ResNet", config={"hidden": "2x scalar + 1x vector", "num_blocks": 1}),
        group="C4",
        inputs=(VELOCITY, TRACER),
        outputs=(VELOCITY, TRACER),
        grid=GridSpec(axes=("x", "y"), boundary=("periodic", "periodic"), warm=((8, 8),), minimum=4, multiple=2),
        time_step=3600.0,
        provenance=Provenance(created="2026-01-01", engine_version="0.1.0", training="none", data="none"),
    )


def grounded() -> Manifest:
    """A small model that forecasts velocity and tracer over the height of the ground, which it names first."""
    return manifest("grounded").model_copy(update={"inputs": (GROUND, VELOCITY, TRACER)})


def finer() -> Manifest:
    """A small model of the velocity alone, on a grid twice as fine."""
    network: JsonValue = {"name": "SuperResolution", "config": {"hidden": "2x scalar + 1x vector", "num_blocks": 1}}
    small = manifest("finer")
    grid = small.grid.model_copy(update={"refinement": 2})
    architecture = Architecture(name="Residual", config={"network": network})
    only = {"inputs": (VELOCITY,), "outputs": (VELOCITY,), "grid": grid, "architecture": architecture}
    return small.model_copy(update=only)


def publish(store: Path, name: str = "tiny", version: str = "1", weight: float = 1.0) -> Path:
    """Writes the small model into a store, its weights times a number; returns the path of the package.

    With its own weights a rollout grows by 3 at each step, with half of them it comes to rest.
    """
    return publish_as(store, manifest(name, version), weight)


def publish_as(store: Path, content: Manifest, weight: float = 1.0) -> Path:
    """Writes the model that a manifest describes, with random weights times a number."""
    import equinox as eqx
    import jax
    import jax.random as jr

    from equifield.groups import group_named

    network = build_model(
        content.architecture.name,
        content.architecture.config,
        group_named(content.group),
        field_type_of(content.inputs),
        field_type_of(content.outputs),
        key=jr.key(int(content.version)),
    )
    network = jax.tree.map(lambda leaf: leaf * weight if eqx.is_inexact_array(leaf) else leaf, network)
    return write_package(store, content, network, card="# A tiny model\n\nFor tests.\n")
