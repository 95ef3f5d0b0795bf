"""The leading order of sub-grid stress under a smooth filter."""

import jax.numpy as jnp

from ...multi_image import MultiImage
from ...operators import gradient
from ...representations import Tensor


def gradient_model(velocity: MultiImage, *, width: float, spacing: float) -> MultiImage:
    """The stress tau_ij = (width^2 / 12) d_k u_i d_k u_j, symmetric, with its trace.

    What is left of the stress of a Gaussian filter where the flow varies little over its width (Clark, Ferziger and
    Reynolds, Journal of Fluid Mechanics 91, 1979). It has no constant to fit. In two dimensions without divergence it
    has no part along the rate of strain, so there the closure of Smagorinsky describes nothing of the leading order.

    **Arguments:**

    - velocity: one filtered vector, `(*batch, *grid)`.
    - width: the width of the Gaussian, as a length: that of `SubgridStress2D` times the spacing.
    - spacing: the distance between pixels.
    """
    slopes = gradient(velocity, (spacing,) * velocity.ndim)[Tensor(2)]
    products = jnp.einsum("...ik,...jk->...ij", slopes, slopes)
    return MultiImage.from_fields({Tensor(2): width**2 / 12 * products}, velocity.boundary)
