"""Products of fields."""

import itertools
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from ..field_type import FieldType
from ..groups import Group, SignedPermutation
from ..kernels import Pixels, basis_dimension
from ..multi_image import MultiImage, block_features, from_block_features
from ..representations import Representation
from ._check import check_type
from ._linear import Linear

LARGEST = 256
"""Components of one product: the maps out of it are found by dense linear algebra."""


@dataclass(frozen=True)
class Product(Representation):
    """The Kronecker product rho_1(g) (x) rho_2(g); of two tensors, a tensor whose orders and parities add up."""

    first: Representation
    second: Representation

    def shape(self, ndim: int) -> tuple[int, ...]:
        return (*self.first.shape(ndim), *self.second.shape(ndim))

    def matrix(self, element: SignedPermutation) -> Float[np.ndarray, "size size"]:
        return np.kron(self.first.matrix(element), self.second.matrix(element))

    @property
    def is_scalar(self) -> bool:
        return self.first.is_scalar and self.second.is_scalar

    @property
    def sort_key(self) -> tuple[Any, ...]:
        return (2, self.first.sort_key, self.second.sort_key)

    def __str__(self) -> str:
        return f"{self.first} * {self.second}"


class TensorProduct(eqx.Module):
    """Multiplies two learned mixtures of the input, channel by channel, and maps the products to the output.

    With the linear maps u = A x and v = B x to fields of `in_type`, the output is C applied to all products
    u_i (x) v_i of representations r <= s, where i runs over the channels that both have; A, B and C are every linear
    map that the group allows (`Linear`), so C holds each contraction, trace and cross product. Quadratic:
    f(c x) = c^2 f(x). The products of two tensors are those of arXiv:2305.12585.

    With a `bound` b, x is first divided by sqrt(1 + |x|^2 / b^2), where |x|^2 is the mean square of a pixel's
    components: quadratic where fields are small, constant along a ray where they are large.
    """

    left: Linear
    right: Linear
    contraction: Linear
    in_type: FieldType = eqx.field(static=True)
    out_type: FieldType = eqx.field(static=True)
    group: Group = eqx.field(static=True)
    bound: float | None = eqx.field(static=True)

    def __init__(
        self,
        group: Group,
        in_type: FieldType,
        out_type: FieldType,
        *,
        bound: float | None = None,
        key: PRNGKeyArray,
    ):
        """**Arguments:**

        - group: the group the layer commutes with.
        - in_type, out_type: the fields taken and given.
        - bound: the root mean square of a pixel's components beyond which products no longer grow; None: they do.
        - key: randomness of the initial weights, which roughly keep the variance of unit normal input without a bound.

        **Raises:** `ValueError` for an output that no product reaches, for products of very large representations,
        and for a bound that is not positive.
        """
        if bound is not None and not bound > 0:
            raise ValueError(f"`TensorProduct(bound={bound})` needs a positive bound, or None for none.")
        left, right, contraction = jr.split(key, 3)
        self.group = group
        self.bound = bound
        self.in_type = in_type
        self.out_type = out_type
        self.left = Linear(group, in_type, in_type, use_bias=False, key=left)
        self.right = Linear(group, in_type, in_type, use_bias=False, key=right)
        products = _useful_products(group, in_type, out_type)
        self.contraction = Linear(group, products, out_type, use_bias=False, key=contraction)

    def __call__(self, image: MultiImage) -> MultiImage:
        """Maps fields of `in_type` to fields of `out_type` on the same grid. **Raises** `ValueError` for others."""
        check_type(self, image, self.in_type, self.group)
        if self.bound is not None:
            exact = image.array.astype(jnp.promote_types(image.array.dtype, jnp.float32))
            size = jnp.mean(jnp.square(exact), axis=-1, keepdims=True)
            image = image.with_array((exact / jnp.sqrt(1 + size / self.bound**2)).astype(image.array.dtype))
        left, right = self.left(image), self.right(image)
        blocks: dict[Representation, Array] = {}
        for first, second in itertools.combinations_with_replacement(self.in_type.representations, 2):
            product = Product(first, second)
            if channels := self.contraction.in_type.channels(product):
                u = block_features(left, first)[..., :channels, :, None]
                v = block_features(right, second)[..., :channels, None, :]
                blocks[product] = (u * v).reshape(*u.shape[:-2], -1)
        return self.contraction(from_block_features(blocks, image))


def _useful_products(group: Group, in_type: FieldType, out_type: FieldType) -> FieldType:
    """The products of two representations from which a map leads to some output, with the channels both have."""
    pixel = Pixels((1,) * group.dimension)
    channels: dict[Representation, int] = {}
    reached: set[Representation] = set()
    for (first, m), (second, n) in itertools.combinations_with_replacement(in_type, 2):
        product = Product(first, second)
        if product.size(group.dimension) > LARGEST:
            raise ValueError(
                f"`TensorProduct` takes products of up to {LARGEST} components, but that of {first} and {second} has "
                f"{product.size(group.dimension)}. Map to smaller representations first, with `Linear`."
            )
        targets = {t for t in out_type.representations if basis_dimension(group, product, t, pixel)}
        reached |= targets
        if targets:
            channels[product] = min(m, n)
    if missing := [str(t) for t in out_type.representations if t not in reached]:
        raise ValueError(
            f"No {group}-equivariant map leads from the products of two of {in_type} to {', '.join(missing)}. Add an "
            f"input representation, or drop the output."
        )
    return FieldType(channels)
