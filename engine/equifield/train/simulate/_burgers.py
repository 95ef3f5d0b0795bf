"""The three-dimensional Burgers equation."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import exponax
import jax.numpy as jnp
from jaxtyping import Array, Complex, Float, PRNGKeyArray

from ...package._field_model import field_type_of
from ...package.manifest import FieldSpec
from ..data import ArraySeries
from ._cache import simulated
from ._periodic import SIDE, check_resolution, coarse, random_field, saved
from ._specifications import TORUS_3D, VELOCITY_3D


@dataclass(frozen=True)
class Burgers3D:
    """A velocity u that carries itself along on a periodic box of side 2 pi and steepens to fronts, without pressure.

        du/dt + (u . grad) u = viscosity lap u

    Solved by a Fourier pseudo-spectral method with the 2/3 rule and an exponential Runge-Kutta scheme of fourth order,
    exponax's `ETDRK4` (arXiv:2411.00180), in single precision. A trajectory starts from
    random velocities in a band of wavenumbers with root mean square 1; lengths are those of the box, times those in
    which the first flow moves by a unit of length.

    **Arguments:**

    - points, simulated, steps, interval, substeps, spin_up, band: as for `DecayingTurbulence2D`.
    - viscosity: the width of the fronts is about this; the solver should resolve it.

    **Raises:** `ValueError` for a band that the points do not resolve.
    """

    points: int = 32
    simulated: int = 48
    steps: int = 20
    interval: float = 0.1
    substeps: int = 2
    spin_up: int = 0
    viscosity: float = 0.1
    band: tuple[int, int] = (1, 3)

    def __post_init__(self) -> None:
        check_resolution(type(self).__name__, self.points, self.simulated, self.band[1])

    @property
    def fields(self) -> tuple[FieldSpec, ...]:
        """The fields of a state."""
        return (VELOCITY_3D,)

    def simulate(self, trajectories: int, *, seed: int, cache: Path | None = None) -> ArraySeries:
        """Trajectories from random starts, as `DecayingTurbulence2D.simulate` gives them."""
        made = simulated(self, lambda key: {"velocity": self.evolve(self.start(key))}, trajectories, seed, cache)
        return ArraySeries(made["velocity"], field_type_of(self.fields), TORUS_3D)

    def start(self, key: PRNGKeyArray) -> Float[Array, "3 x y z"]:
        """A random velocity on the points of the solver."""
        return random_field(key, 3, 3, self.simulated, self.band)

    def evolve(self, velocity: Float[Array, "3 x y z"]) -> Float[Array, "steps points points points 3"]:
        """The saved velocities of the trajectory that starts from one."""
        step = _step(self.simulated, self.interval / self.substeps, self.viscosity)

        def advance(state: Float[Array, "3 x y z"]) -> Float[Array, "3 x y z"]:
            spectrum = exponax.repeat(step, self.substeps)(exponax.fft(state, num_spatial_dims=3))
            after: Float[Array, "3 x y z"] = exponax.ifft(spectrum, num_spatial_dims=3, num_points=self.simulated)
            return after

        states: Float[Array, "steps points points points 3"] = saved(
            advance, lambda state: jnp.moveaxis(coarse(state, self.points), 0, -1), velocity, self.spin_up, self.steps
        )
        return states

    def describe(self) -> str:
        """The physics and its numbers, for a model card."""
        return (
            f"The Burgers equation for a vector in three dimensions on a periodic box of side 2 pi with viscosity "
            f"{self.viscosity:g}, from random velocities at wavenumbers {self.band[0]} to {self.band[1]} with root "
            f"mean square 1. Solved by exponax on {self.simulated} points per side in steps of "
            f"{self.interval / self.substeps:g}; {self.steps} states of {self.points} points per side, "
            f"{self.interval:g} apart, are saved from time {self.spin_up * self.interval:g} on."
        )


def _step(points: int, step: float, viscosity: float) -> Callable[[Complex[Array, "3 ..."]], Complex[Array, "3 ..."]]:
    """One step of exponax's solver, in Fourier space.

    u . grad u is summed over the directions one after another. exponax's own `Burgers` multiplies and sums over all at
    once, which XLA for CPUs gets wrong in jaxlib 0.10.2 from 24 points per side on (jax-ml/jax#39103), unless run with
    `--xla_cpu_experimental_ynn_fusion_type=`.
    """
    derivative = exponax.spectral.build_derivative_operator(3, SIDE, points)
    laplacian = exponax.spectral.build_laplace_operator(derivative)
    convection = exponax.nonlin_fun.ConvectionNonlinearFun(
        3, points, derivative_operator=derivative, dealiasing_fraction=2 / 3
    )

    def carried(spectrum: Complex[Array, "3 ..."]) -> Complex[Array, "3 ..."]:
        velocity = convection.ifft(spectrum)
        terms = (u * convection.ifft(d * spectrum) for u, d in zip(velocity, derivative, strict=True))
        rate: Complex[Array, "3 ..."] = -convection.fft(functools.reduce(jnp.add, terms))
        return rate

    solver = exponax.etdrk.ETDRK4(step, viscosity * laplacian, carried)
    return lambda spectrum: solver.step_fourier(spectrum)
