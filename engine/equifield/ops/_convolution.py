"""Convolving images with filters that are images themselves."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..multi_image import MultiImage
from ..representations import Representation, Tensor
from ._algebra import product_type
from ._padding import pad


def convolve(
    image: MultiImage, filter: Float[Array, "*sizes_tensor"], filter_type: Tensor, *, dilation: int = 1
) -> MultiImage:
    """The convolution of every field with one geometric filter: tensor products summed over offsets (arXiv:2305.12585).

    The result at x is the sum over offsets a of (image at x + a) (x) (filter at a): orders and parities add. The grid
    stays, and the image continues beyond its edges as its boundaries say. Turning image and filter turns the
    result: f(g x, g c) = g f(x, c).

    **Arguments:**

    - image: any tensor fields.
    - filter: one field of shape `(*sizes, *tensor)` with odd sizes.
    - filter_type: the type of the filter.
    - dilation: the distance in pixels between neighbouring taps.

    **Raises:** `ValueError` for a filter without a middle pixel, and for fields that are not tensors.
    """
    types = [_product(representation, filter_type) for representation in image.field_type.representations]
    sizes = _checked_sizes(image, filter, filter_type, dilation)
    margins = tuple((size - 1) // 2 * dilation for size in sizes)
    padded = pad(image, margins, margins)
    one_by_one = jnp.moveaxis(padded, -1, 0)[..., None]
    letters = "XYZW"[: image.ndim]
    products = jax.lax.conv_general_dilated(
        one_by_one.reshape(-1, *one_by_one.shape[-1 - image.ndim :]),
        filter.reshape(*sizes, 1, -1).astype(padded.dtype),
        window_strides=(1,) * image.ndim,
        padding="VALID",
        rhs_dilation=(dilation,) * image.ndim,
        dimension_numbers=(f"N{letters}C", f"{letters}IO", f"N{letters}C"),
        precision=jax.lax.Precision.HIGHEST,
    )
    packed = jnp.moveaxis(products.reshape(padded.shape[-1], *image.array.shape[:-1], -1), 0, -2)
    fields: dict[Representation, Array] = {}
    for product, place in zip(types, image.field_type.slices(image.ndim).values(), strict=True):
        shape = (*image.array.shape[:-1], -1, *product.shape(image.ndim))
        fields[product] = packed[..., place, :].reshape(shape)
    return MultiImage.from_fields(fields, image.boundary)


def _product(representation: Representation, filter_type: Tensor) -> Tensor:
    if not isinstance(representation, Tensor):
        raise ValueError(f"`convolve` multiplies tensors, and a field of {representation} is none.")
    return product_type(representation, filter_type)


def _checked_sizes(
    image: MultiImage, filter: Float[Array, "*sizes_tensor"], filter_type: Tensor, dilation: int
) -> tuple[int, ...]:
    value = filter_type.shape(image.ndim)
    sizes = filter.shape[: image.ndim]
    if filter.shape != (*sizes, *value) or not all(size % 2 for size in sizes) or dilation < 1:
        raise ValueError(
            f"`convolve` on {image.ndim} grid axes with a {filter_type} needs a filter of shape (*sizes, *{value}) "
            f"with odd sizes and a positive dilation, not {filter.shape} and {dilation}."
        )
    return sizes
