"""What a coarse grid does not see of a turbulent flow."""

import functools
from dataclasses import dataclass
from pathlib import Path

import exponax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ...package._field_model import field_type_of
from ...package.manifest import FieldSpec
from .._baseline import Baseline
from ..data import ArraySeries, Pairs
from ._cache import simulated
from ._decaying_turbulence import DecayingTurbulence2D
from ._gradient_model import gradient_model
from ._periodic import SIDE, coarse
from ._smagorinsky import fit_smagorinsky, smagorinsky
from ._specifications import STRESS, TORUS, VELOCITY


@dataclass(frozen=True)
class SubgridStress2D:
    """Filtered velocities of resolved two-dimensional turbulence, and the stress of what the filter took away.

        tau_ij = F(u_i u_j) - F(u_i) F(u_j)

    The filter F multiplies the Fourier coefficients by exp(-(k d)^2 / 24), a Gaussian of width d (Pope, Turbulent
    Flows, 2000, section 13.2), and keeps the wavenumbers that the coarse grid resolves. The products of filtered
    velocities are taken on the coarse grid. The stress is symmetric and keeps its trace.

    **Arguments:**

    - turbulence: the flow; its `simulated` points are the fine grid, its `points` the coarse one.
    - width: the width of the Gaussian in coarse pixels; with 0 there is the cut in wavenumbers alone.

    **Raises:** `ValueError` for a fine grid with less than 3/2 of the coarse points: the solver leaves products of
    velocities exact up to a third of its points.
    """

    turbulence: DecayingTurbulence2D = DecayingTurbulence2D(points=32)
    width: float = 2.0

    def __post_init__(self) -> None:
        if 2 * self.turbulence.simulated < 3 * self.turbulence.points:
            raise ValueError(
                f"`SubgridStress2D` needs 3/2 as many simulated points as saved ones, not {self.turbulence.simulated} "
                f"for {self.turbulence.points}."
            )

    @property
    def inputs(self) -> tuple[FieldSpec, ...]:
        """The filtered velocity."""
        return (VELOCITY,)

    @property
    def outputs(self) -> tuple[FieldSpec, ...]:
        """The stress."""
        return (STRESS,)

    def simulate(self, trajectories: int, *, seed: int, cache: Path | None = None) -> Pairs:
        """Pairs of velocity and stress from many flows, as `DecayingTurbulence2D.simulate` gives them."""
        flow = self.turbulence
        made = simulated(self, lambda key: flow.observe(flow.start(key), self.filtered), trajectories, seed, cache)
        velocity = ArraySeries(made["velocity"], field_type_of(self.inputs), TORUS)
        return Pairs(velocity, ArraySeries(made["stress"], field_type_of(self.outputs), TORUS))

    def baselines(self, training: Pairs) -> dict[str, Baseline]:
        """The classical closures in physical units, that of Smagorinsky with the constant that fits the pairs best."""
        spacing = SIDE / self.turbulence.points
        fitted = fit_smagorinsky(training, spacing=spacing)
        return {
            "gradient model": Baseline(
                functools.partial(gradient_model, width=self.width * spacing, spacing=spacing),
                "is the leading order of the stress, which has no constant to fit",
            ),
            "Smagorinsky": Baseline(
                functools.partial(smagorinsky, coefficient=fitted, spacing=spacing),
                f"is an eddy viscosity, without the trace of the stress, whose constant fits the training data best: "
                f"{fitted:.3g}",
            ),
        }

    def filtered(self, velocity: Float[Array, "2 x y"]) -> dict[str, Float[Array, "points points features"]]:
        """The coarse `velocity` and the `stress` of a velocity on the fine grid."""
        products = velocity[:, None] * velocity[None]
        smooth = self._filter(velocity)
        stress = self._filter(products.reshape(4, *velocity.shape[1:]))
        stress = stress - (smooth[:, None] * smooth[None]).reshape(stress.shape)
        return {"velocity": jnp.moveaxis(smooth, 0, -1), "stress": jnp.moveaxis(stress, 0, -1)}

    def _filter(self, field: Float[Array, "channels x y"]) -> Float[Array, "channels points points"]:
        fine, points = self.turbulence.simulated, self.turbulence.points
        wavenumbers = exponax.spectral.build_wavenumbers(2, fine)
        damping = jnp.exp(-jnp.sum(wavenumbers**2, axis=0) * (self.width * SIDE / points) ** 2 / 24)
        smooth = exponax.ifft(exponax.fft(field, num_spatial_dims=2) * damping, num_spatial_dims=2, num_points=fine)
        return coarse(smooth, points)

    def describe(self) -> str:
        """The physics and its numbers, for a model card."""
        return (
            f"Velocities filtered to {self.turbulence.points} x {self.turbulence.points} points by a Gaussian of width "
            f"{self.width:g} coarse pixels and a cut in wavenumbers, with the sub-grid stress, trace included. The "
            f"flow: {self.turbulence.describe()}"
        )
