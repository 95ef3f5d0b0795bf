"""Two-dimensional decaying turbulence."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import exponax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from ...package._field_model import field_type_of
from ...package.manifest import FieldSpec
from ..data import ArraySeries
from ._cache import simulated
from ._periodic import check_resolution, coarse, saved
from ._specifications import TORUS, VELOCITY
from ._vorticity import navier_stokes, random_vorticity, velocity_of


@dataclass(frozen=True)
class DecayingTurbulence2D:
    """Two-dimensional turbulence that decays freely on a periodic box of side 2 pi; the state is its velocity u.

        du/dt + (u . grad) u = -grad p + viscosity lap u,    div u = 0

    Solved for the vorticity by a Fourier pseudo-spectral method with the 2/3 rule and an exponential Runge-Kutta
    scheme of fourth order, exponax's `NavierStokesVorticity` (arXiv:2411.00180), in single precision. A trajectory
    starts from random vorticity in a band of wavenumbers whose velocity has the root mean square 1: lengths are those
    of the box, and a unit of time is that in which the first flow moves by a unit of length. What is saved are the
    wavenumbers that the saved points resolve, so the velocity has no divergence but rounding.

    **Arguments:**

    - points: the saved points per side.
    - simulated: those of the solver.
    - steps: the number of saved states.
    - interval: the time between them.
    - substeps: how many steps of the solver make an interval; the flow should move by less than a pixel in each.
    - spin_up: the number of intervals before the first saved state.
    - viscosity: the inverse of the Reynolds number in these units.
    - band: the lowest and the highest wavenumber of the start.

    **Raises:** `ValueError` for a band that the points do not resolve.
    """

    points: int = 64
    simulated: int = 128
    steps: int = 40
    interval: float = 0.2
    substeps: int = 20
    spin_up: int = 10
    viscosity: float = 1e-3
    band: tuple[int, int] = (3, 6)

    def __post_init__(self) -> None:
        check_resolution(type(self).__name__, self.points, self.simulated, self.band[1])

    @property
    def fields(self) -> tuple[FieldSpec, ...]:
        """The fields of a state."""
        return (VELOCITY,)

    def simulate(self, trajectories: int, *, seed: int, cache: Path | None = None) -> ArraySeries:
        """Trajectories from random starts, computed into the folder `cache`, or found there.

        The same seed gives the same trajectories, and the first of many are those of few. By default the folder is
        `equifield` in `$XDG_CACHE_HOME` or `~/.cache`.
        """
        made = simulated(self, lambda key: {"velocity": self.evolve(self.start(key))}, trajectories, seed, cache)
        return ArraySeries(made["velocity"], field_type_of(self.fields), TORUS)

    def start(self, key: PRNGKeyArray) -> Float[Array, "1 x y"]:
        """A random vorticity on the points of the solver."""
        return random_vorticity(key, self.simulated, self.band)

    def evolve(self, vorticity: Float[Array, "1 x y"]) -> Float[Array, "steps points points 2"]:
        """The saved velocities of the trajectory that starts from a vorticity."""
        states: Float[Array, "steps points points 2"] = self.observe(
            vorticity, lambda velocity: jnp.moveaxis(coarse(velocity, self.points), 0, -1)
        )
        return states

    def observe(self, vorticity: Float[Array, "1 x y"], save: Callable[[Float[Array, "2 x y"]], Any]) -> Any:
        """What `save` makes of the velocity on the points of the solver, at the times that are saved."""
        step = navier_stokes(self.simulated, self.interval / self.substeps, self.viscosity)
        advance = exponax.RepeatedStepper(step, self.substeps)
        return saved(advance, lambda state: save(velocity_of(-state)), -vorticity, self.spin_up, self.steps)

    def describe(self) -> str:
        """The physics and its numbers, for a model card."""
        return (
            f"Freely decaying two-dimensional incompressible turbulence on a periodic box of side 2 pi with viscosity "
            f"{self.viscosity:g}, from random vorticity at wavenumbers {self.band[0]} to {self.band[1]} with a "
            f"velocity of root mean square 1. Solved by exponax on {self.simulated} x {self.simulated} points in "
            f"steps of {self.interval / self.substeps:g}; {self.steps} states of {self.points} x {self.points} "
            f"points, {self.interval:g} apart, are saved from time {self.spin_up * self.interval:g} on."
        )
