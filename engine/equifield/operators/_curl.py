"""The curl."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from ..field_type import FieldType
from ..multi_image import MultiImage
from ..ops import concatenate, split
from ..representations import Tensor
from ._check import check_spacing, check_tensors
from ._derivative import derivative


def curl(image: MultiImage, spacing: tuple[float, ...] | None = None) -> MultiImage:
    """How a field turns about every pixel. The parity changes, because the curl needs an orientation.

    In three dimensions, (curl T)_{a..b i} = sum_jk e_ijk d_j T_{a..b k}: a `Tensor(k, p)` becomes a `Tensor(k, 1 - p)`,
    so the velocity, a vector, gives the vorticity, a pseudovector. In the plane, which lacks the axis of turning:

    - (curl T)_{a..b} = d_0 T_{a..b 1} - d_1 T_{a..b 0} for a tensor with an index: a `Tensor(k, p)` becomes a
        `Tensor(k - 1, 1 - p)`, so the velocity gives the vorticity, a pseudoscalar.
    - curl s = (d_1 s, -d_0 s) for one without, its gradient turned by 90 degrees: a `Tensor(0, p)` becomes a
        `Tensor(1, 1 - p)`, so the stream function, a pseudoscalar, gives the velocity, a vector.

    Derivatives are taken as `gradient` does. The curl of a gradient and the divergence of a curl vanish on every
    boundary, because derivatives along different axes commute. Commutes with every rotation and reflection of the
    grid, which permutes the spacing along with the axes.

    **Arguments:**

    - image: tensors on two axes, or tensors of order one or more on three.
    - spacing: the distance between pixels along each grid axis, in any unit of length; 1 by default.

    **Raises:** `ValueError` on other numbers of axes, for scalars in three dimensions, for fields that are no tensors,
    and for a spacing that is not one positive length per axis.
    """
    steps = check_spacing("curl", image, spacing)
    if image.ndim not in (2, 3):
        raise ValueError(f"`curl` needs an image with two or three grid axes, but this one has {image.ndim}.")
    tensors = check_tensors("curl", image, image.ndim - 2)
    parts = split(image, *(FieldType({tensor: channels}) for tensor, channels in tensors))
    return concatenate(
        *(_curl(part, tensor, channels, steps) for part, (tensor, channels) in zip(parts, tensors, strict=True))
    )


def _curl(image: MultiImage, tensor: Tensor, channels: int, steps: tuple[float, ...]) -> MultiImage:
    def d(axis: int, component: int) -> Float[Array, "*batch_grid derived"]:
        last = slice(component, None, image.ndim) if tensor.order else slice(None)
        return derivative(image, axis, steps[axis], features=last)

    kept = tensor.covariant[:-1]
    if image.ndim == 3:
        columns = [d((i + 1) % 3, (i + 2) % 3) - d((i + 2) % 3, (i + 1) % 3) for i in range(3)]
        turned = Tensor(tensor.order, 1 - tensor.parity, (*kept, False))
    elif tensor.order:
        columns = [d(0, 1) - d(1, 0)]
        turned = Tensor(tensor.order - 1, 1 - tensor.parity, kept)
    else:
        columns = [d(1, 0), -d(0, 0)]
        turned = Tensor(1, 1 - tensor.parity)
    array = jnp.stack(columns, axis=-1).reshape(*image.array.shape[:-1], -1)
    return MultiImage(array.astype(image.array.dtype), FieldType({turned: channels}), image.boundary)
