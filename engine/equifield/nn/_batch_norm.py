"""Batch normalisation of tensor fields."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ..field_type import FieldType
from ..multi_image import MultiImage
from ..ops import channel_of_feature
from ._check import check_type
from ._normalise import Affine, check_eps, exact_mean, pooled, precise, rescale


class BatchNorm(eqx.Module):
    """Rescales every channel by statistics over batch and grid, and centres true scalars.

    Training uses the mean and variance of the batch and keeps running means of both; inference uses those, so an image
    then gets the same answer in any company. Only the mean of a true scalar is invariant. Subtracting the running mean
    of a vector, which points somewhere, would not commute with rotations, so all else has mean zero by definition and
    its mean square for a variance. Scale, bias and divisor are those of `GroupNorm` (Ioffe and Szegedy 2015, Batch
    normalization; for fields Weiler and Cesa 2019).

    The statistics are not parameters but an `equinox.nn.State`: `eqx.nn.make_with_state(BatchNorm)(field_type)` gives
    layer and state, and `eqx.nn.inference_mode` freezes them. A batch is what the batch axes of the image hold; under
    `vmap` every image would be a batch of its own.
    """

    affine: Affine
    running: eqx.nn.StateIndex[Float[Array, "mean_and_variance channels"]]
    inference: bool
    field_type: FieldType = eqx.field(static=True)
    momentum: float = eqx.field(static=True)
    eps: float = eqx.field(static=True)

    def __init__(self, field_type: FieldType, *, momentum: float = 0.99, eps: float = 1e-5, inference: bool = False):
        """**Arguments:**

        - field_type: the fields taken and given.
        - momentum: how much of the running means one step of training keeps.
        - eps: added to the variance; keeps zero fields, and their gradients, finite.
        - inference: whether to use the running means.
        """
        if not 0 <= momentum < 1:
            raise ValueError(f"`BatchNorm(momentum={momentum})` needs a momentum of at least 0 and less than 1.")
        check_eps(self, eps)
        channels = sum(count for _, count in field_type)
        self.field_type = field_type
        self.momentum = momentum
        self.eps = eps
        self.inference = inference
        self.affine = Affine(field_type)
        self.running = eqx.nn.StateIndex(jnp.stack([jnp.zeros(channels), jnp.ones(channels)]))

    def __call__(
        self, image: MultiImage, state: eqx.nn.State, *, inference: bool | None = None
    ) -> tuple[MultiImage, eqx.nn.State]:
        """Maps an image of `field_type` to another, and the state to the next.

        **Raises** `ValueError` for any other type. `inference` takes priority over that of the layer.
        """
        check_type(self, image, self.field_type)
        channel = channel_of_feature(self.field_type, image.ndim)
        centred = np.array([rho.is_scalar for rho, channels in self.field_type for _ in range(channels)])[channel]
        running = state.get(self.running)
        if self.inference if inference is None else inference:
            mean, variance = running[:, channel].astype(precise(image).dtype)
            mean = jnp.where(centred, mean, 0)
        else:
            mean, variance = self._of_batch(image, centred)
            first = np.unique(channel, return_index=True)[1]
            step = jnp.stack([mean, variance])[:, first].astype(running.dtype) - running
            state = state.set(self.running, running + (1 - self.momentum) * step)
        return rescale(image, mean, variance, self.affine, self.eps), state

    def _of_batch(
        self, image: MultiImage, centred: Bool[np.ndarray, " features"]
    ) -> tuple[Float[Array, " features"], Float[Array, " features"]]:
        array = precise(image)
        over = tuple(range(array.ndim - 1))
        mean = jnp.where(centred, jnp.squeeze(exact_mean(array, over), over), 0)
        variance = jnp.mean(jnp.square(array - mean), axis=over)
        return mean, pooled(variance, image, dict(self.field_type), components=True)
