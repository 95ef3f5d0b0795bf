"""Two-dimensional turbulence that is driven by a given source of vorticity."""

from dataclasses import dataclass
from pathlib import Path

import exponax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, PRNGKeyArray

from ...package._field_model import field_type_of
from ...package.manifest import FieldSpec
from ..data import ArraySeries
from ..data._image import host_image
from ._cache import simulated
from ._periodic import check_resolution, coarse, random_field, saved
from ._specifications import FORCING, TORUS, VELOCITY
from ._vorticity import navier_stokes, random_vorticity, velocity_of


@dataclass(frozen=True)
class ForcedTurbulence2D:
    """Two-dimensional turbulence driven by a source of vorticity f; the state is its velocity u, f a constant field.

        dw/dt + (u . grad) w = viscosity lap w - drag w + f,    w = curl u,  div u = 0

    Each trajectory has an f of its own: random, constant in time, in a band of wavenumbers, of root mean square
    `forcing`. As vorticity, f is a pseudoscalar: a reflection changes its sign. Domain, solver and units are those of
    `DecayingTurbulence2D`; the source is added by operator splitting, exponax's `ForcedStepper`, which is of first
    order in the steps of the solver.

    **Arguments:**

    - points, simulated, steps, interval, substeps, spin_up, viscosity: as for `DecayingTurbulence2D`.
    - drag: the rate at which the largest eddies lose their vorticity; without it they grow on.
    - forcing: the root mean square of f.
    - band: the lowest and the highest wavenumber of f, and of the start.

    **Raises:** `ValueError` for a band that the points do not resolve.
    """

    points: int = 64
    simulated: int = 128
    steps: int = 40
    interval: float = 0.2
    substeps: int = 20
    spin_up: int = 50
    viscosity: float = 1e-3
    drag: float = 0.1
    forcing: float = 1.0
    band: tuple[int, int] = (3, 5)

    def __post_init__(self) -> None:
        check_resolution(type(self).__name__, self.points, self.simulated, self.band[1])

    @property
    def fields(self) -> tuple[FieldSpec, ...]:
        """The fields of a state."""
        return (VELOCITY,)

    @property
    def constant_fields(self) -> tuple[FieldSpec, ...]:
        """The fields that stay as they are during a trajectory."""
        return (FORCING,)

    def simulate(self, trajectories: int, *, seed: int, cache: Path | None = None) -> ArraySeries:
        """Trajectories from random starts with random sources, as `DecayingTurbulence2D.simulate` gives them."""

        def one(key: PRNGKeyArray) -> dict[str, Float[Array, "..."]]:
            vorticity, source = self.start(key)
            forcing = jnp.moveaxis(coarse(source, self.points), 0, -1)
            return {"velocity": self.evolve(vorticity, source), "forcing": forcing}

        made = simulated(self, one, trajectories, seed, cache)
        constants = host_image(made["forcing"], field_type_of(self.constant_fields), TORUS)
        return ArraySeries(made["velocity"], field_type_of(self.fields), TORUS, constants)

    def start(self, key: PRNGKeyArray) -> tuple[Float[Array, "1 x y"], Float[Array, "1 x y"]]:
        """A random vorticity and a random source, on the points of the solver."""
        first, second = jr.split(key)
        source = self.forcing * random_field(second, 1, 2, self.simulated, self.band)
        return random_vorticity(first, self.simulated, self.band), source

    def evolve(
        self, vorticity: Float[Array, "1 x y"], source: Float[Array, "1 x y"]
    ) -> Float[Array, "steps points points 2"]:
        """The saved velocities of the trajectory that starts from a vorticity, under a source."""
        step = navier_stokes(self.simulated, self.interval / self.substeps, self.viscosity, self.drag)
        forced = exponax.ForcedStepper(step)

        def advance(state: Float[Array, "1 x y"]) -> Float[Array, "1 x y"]:
            after: Float[Array, "1 x y"] = exponax.repeat(lambda now: forced(now, -source), self.substeps)(state)
            return after

        def save(state: Float[Array, "1 x y"]) -> Float[Array, "points points 2"]:
            return jnp.moveaxis(coarse(velocity_of(-state), self.points), 0, -1)

        states: Float[Array, "steps points points 2"] = saved(advance, save, -vorticity, self.spin_up, self.steps)
        return states

    def describe(self) -> str:
        """The physics and its numbers, for a model card."""
        return (
            f"Two-dimensional incompressible turbulence on a periodic box of side 2 pi with viscosity "
            f"{self.viscosity:g} and linear drag {self.drag:g}, driven by a random source of vorticity, constant in "
            f"time, at wavenumbers {self.band[0]} to {self.band[1]} with root mean square {self.forcing:g}; the source "
            f"is given. Solved by exponax on {self.simulated} x {self.simulated} points in steps of "
            f"{self.interval / self.substeps:g}; {self.steps} states of {self.points} x {self.points} points, "
            f"{self.interval:g} apart, are saved from time {self.spin_up * self.interval:g} on."
        )
