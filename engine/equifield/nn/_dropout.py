"""Dropout of whole fields."""

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import PRNGKeyArray

from ..multi_image import MultiImage
from ..ops import channel_of_feature


class Dropout(eqx.Module):
    """Sets random channels to zero at all pixels and in all components, and scales up the others.

    A channel of a vector goes as a whole, so for a fixed key the layer commutes with every group and every translation.
    Each batch element has a draw of its own; the mean over draws is the input (Tompson et al. 2015, Efficient object
    localization using convolutional networks). `eqx.nn.inference_mode` turns it off and on.
    """

    inference: bool
    rate: float = eqx.field(static=True)

    def __init__(self, rate: float = 0.5, *, inference: bool = False):
        """**Arguments:**

        - rate: the probability of a channel to be set to zero.
        - inference: whether to leave the image as it is.
        """
        if not 0 <= rate < 1:
            raise ValueError(f"`Dropout(rate={rate})` needs a rate of at least 0 and less than 1.")
        self.rate = rate
        self.inference = inference

    def __call__(
        self, image: MultiImage, *, key: PRNGKeyArray | None = None, inference: bool | None = None
    ) -> MultiImage:
        """Maps an image of any type to another.

        **Arguments:**

        - key: randomness; not needed for inference.
        - inference: takes priority over that of the layer.

        **Raises:** `ValueError` without a key in training.
        """
        if self.rate == 0 or (self.inference if inference is None else inference):
            return image
        if key is None:
            raise ValueError("`Dropout` in training needs `key=...`. For inference use `eqx.nn.inference_mode`.")
        channel = channel_of_feature(image.field_type, image.ndim)
        kept = jr.bernoulli(key, 1 - self.rate, (*image.batch, *(1,) * image.ndim, channel[-1] + 1))[..., channel]
        return image.with_array(jnp.where(kept, image.array / (1 - self.rate), 0))
