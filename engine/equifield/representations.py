"""Representations: how the value at one pixel transforms under a rotation or reflection.

Everything else in the engine asks a representation for its matrices and never which kind it is.
"""

import functools
import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from .groups import Group, SignedPermutation, group_named


class Representation(ABC):
    """A signed permutation rho(g) for every g, with rho(g) rho(h) = rho(g h). Hashable by value."""

    @abstractmethod
    def shape(self, ndim: int) -> tuple[int, ...]:
        """The shape of one value on a grid of `ndim` axes: `()` for a scalar, `(ndim,)` for a vector."""

    @abstractmethod
    def matrix(self, element: SignedPermutation) -> Float[np.ndarray, "size size"]:
        """rho(g), acting on the flattened value."""

    @property
    @abstractmethod
    def is_scalar(self) -> bool:
        """Whether rho(g) = 1 for every g of every group, so that any function may be applied to the value."""

    @property
    @abstractmethod
    def sort_key(self) -> tuple[Any, ...]:
        """Where it stands in a `FieldType`: types are kept in one canonical order."""

    def size(self, ndim: int) -> int:
        """The number of components of one value."""
        return int(np.prod(self.shape(ndim), dtype=int))


@functools.cache
def matrices(representation: Representation, group: Group) -> Float[np.ndarray, "order size size"]:
    """rho(g) for every g, in the order of the group."""
    return np.stack([representation.matrix(element) for element in group])


@functools.cache
def is_permuted(representation: Representation, group: Group) -> bool:
    """Whether the group only permutes the components of a value, and never changes a sign."""
    return bool((matrices(representation, group) >= 0).all())


@dataclass(frozen=True)
class Tensor(Representation):
    """Tensors of order k and parity p: rho(g) = det(g)^p g (x) ... (x) g, with k factors.

    Parity 0 is a true tensor, parity 1 a pseudotensor (vorticity, magnetisation). These are the pixels of the
    geometric images of arXiv:2305.12585. `covariant` says of each axis whether its index is down; by default all
    are up. Orthogonal transformations treat both alike, a metric does not, so they are different types.
    """

    order: int = 0
    parity: int = 0
    covariant: tuple[bool, ...] = ()

    def __post_init__(self) -> None:
        if self.order < 0 or self.parity not in (0, 1):
            raise ValueError(
                f"`Tensor(order={self.order}, parity={self.parity})` needs an order >= 0 and a parity of 0 or 1."
            )
        object.__setattr__(self, "covariant", self.covariant or (False,) * self.order)
        if len(self.covariant) != self.order:
            raise ValueError(
                f"`Tensor(order={self.order}, covariant={self.covariant})` needs one entry per axis of the tensor."
            )

    def shape(self, ndim: int) -> tuple[int, ...]:
        return (ndim,) * self.order

    def matrix(self, element: SignedPermutation) -> Float[np.ndarray, "size size"]:
        matrix = np.full((1, 1), float(element.determinant**self.parity))
        for _ in range(self.order):
            matrix = np.kron(matrix, element.matrix)
        return matrix

    @property
    def is_scalar(self) -> bool:
        return (self.order, self.parity) == (0, 0)

    @property
    def sort_key(self) -> tuple[Any, ...]:
        return (0, self.order, self.parity, self.covariant)

    def __str__(self) -> str:
        prefix = "pseudo" if self.parity else ""
        if self.order == 0:
            return f"{prefix}scalar"
        if self.order == 1:
            return f"{prefix}{'covector' if self.covariant[0] else 'vector'}"
        if any(self.covariant):
            return f"{prefix}tensor({''.join('d' if down else 'u' for down in self.covariant)})"
        return f"{prefix}tensor({self.order})"


@dataclass(frozen=True)
class Regular(Representation):
    """One value per group element, permuted by the group: rho(g) e_h = e_{g h}."""

    group: Group

    def shape(self, ndim: int) -> tuple[int, ...]:
        if ndim != self.group.dimension:
            raise ValueError(
                f"`Regular({self.group})` acts on {self.group.dimension} axes and cannot live on a grid of {ndim}."
            )
        return (self.group.order,)

    def matrix(self, element: SignedPermutation) -> Float[np.ndarray, "size size"]:
        images = [self.group.index(element @ h) for h in self.group]
        matrix = np.zeros((self.group.order, self.group.order))
        matrix[images, range(self.group.order)] = 1.0
        return matrix

    @property
    def is_scalar(self) -> bool:
        return False

    @property
    def sort_key(self) -> tuple[Any, ...]:
        return (1, self.group.name, self.group.order)

    def __str__(self) -> str:
        return f"regular({self.group})"


scalar = Tensor(0, 0)
pseudoscalar = Tensor(0, 1)
vector = Tensor(1, 0)
covector = Tensor(1, 0, (True,))
pseudovector = Tensor(1, 1)


def parse_representation(text: str) -> Representation:
    """The representation that prints as `text`: `scalar`, `pseudovector`, `tensor(2)`, `tensor(ud)`, `regular(B2)`.

    In `tensor(ud)` the first index is up (contravariant) and the second down (covariant).
    **Raises** `ValueError` for anything else.
    """
    if match := re.fullmatch(r"regular\((\w+)\)", text):
        return Regular(group_named(match[1]))
    if match := re.fullmatch(r"(pseudo)?(?:scalar|(vector)|(covector)|tensor\((?:([0-9]+)|([ud]+))\))", text):
        pseudo, is_vector, is_covector, order, indices = match.groups()
        indices = indices or ("u" if is_vector else "d" if is_covector else "u" * int(order or 0))
        return Tensor(len(indices), 1 if pseudo else 0, tuple(index == "d" for index in indices))
    raise ValueError(
        f"{text!r} names no representation. Write scalar, vector, covector, tensor(k), tensor(ud..), one of them with "
        f"the prefix 'pseudo', or regular(GROUP)."
    )
