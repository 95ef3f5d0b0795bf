"""What the simulated fields are called in a manifest and in a file; all are dimensionless."""

import itertools

from ...multi_image import Boundary
from ...package.manifest import Component, FieldSpec

TORUS: tuple[Boundary, ...] = ("periodic", "periodic")
TORUS_3D: tuple[Boundary, ...] = ("periodic", "periodic", "periodic")


VELOCITY, VELOCITY_3D = (
    FieldSpec(
        name="velocity",
        order=1,
        units="1",
        components=tuple(Component(axes=(axis,), variable=name) for axis, name in zip(axes, "uvw", strict=False)),
    )
    for axes in ("xy", "xyz")
)
FORCING = FieldSpec(
    name="forcing",
    order=0,
    parity=1,
    units="1",
    long_name="source of vorticity",
    components=(Component(variable="forcing"),),
    constant=True,
)
STRESS = FieldSpec(
    name="stress",
    order=2,
    units="1",
    long_name="sub-grid stress",
    components=tuple(
        Component(axes=entry, variable=f"tau_{''.join(entry)}") for entry in itertools.product("xy", repeat=2)
    ),
)
