"""Finite groups of rotations and reflections that map a pixel grid to itself.

All of them are subgroups of the hyperoctahedral group B_d: the rotations by 90 degrees and the reflections of
the d-cube, that is, the signed permutations of the d axes (arXiv:2305.12585).
"""

import functools
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from jaxtyping import Float

AXIS_LETTERS = "xyz"
DIMENSIONS = (1, 2, 3, 4)
"""The numbers of grid axes that XLA can convolve over."""

T = TypeVar("T")


@dataclass(frozen=True, order=True)
class SignedPermutation:
    """A rotation or reflection g of the d-cube: g e_j = signs[j] * e_{images[j]}.

    Prints as the images of the axes: `(+y -x)` turns x into y and y into -x, a quarter turn.
    """

    images: tuple[int, ...]
    signs: tuple[int, ...]

    def __post_init__(self) -> None:
        if sorted(self.images) != list(range(len(self.images))) or len(self.signs) != len(self.images):
            raise ValueError(
                f"`SignedPermutation(images={self.images}, signs={self.signs})` needs a permutation of the axes "
                f"0..d-1 and one sign for each."
            )
        if not set(self.signs) <= {-1, 1}:
            raise ValueError(f"`SignedPermutation` takes signs +1 and -1, not {self.signs}.")

    @property
    def dimension(self) -> int:
        """The number d of axes."""
        return len(self.images)

    @property
    def matrix(self) -> Float[np.ndarray, "d d"]:
        """The orthogonal matrix of g."""
        matrix = np.zeros((self.dimension, self.dimension))
        matrix[self.images, range(self.dimension)] = self.signs
        return matrix

    @property
    def determinant(self) -> int:
        """+1 for a rotation, -1 for a reflection."""
        return round(float(np.linalg.det(self.matrix)))

    @property
    def is_identity(self) -> bool:
        """Whether g leaves everything where it is."""
        return self.images == tuple(range(self.dimension)) and set(self.signs) == {1}

    @classmethod
    def flip(cls, dimension: int, axis: int) -> "SignedPermutation":
        """The reflection of one of `dimension` axes."""
        return cls(tuple(range(dimension)), tuple(-1 if a == axis else 1 for a in range(dimension)))

    def inverse(self) -> "SignedPermutation":
        """The element that undoes this one."""
        images = tuple(int(i) for i in np.argsort(self.images))
        return SignedPermutation(images, tuple(self.signs[i] for i in images))

    def permute(self, per_axis: tuple[T, ...]) -> tuple[T, ...]:
        """What belongs to each axis after g: the entry of axis j moves to axis images[j]."""
        return tuple(per_axis[j] for j in self.inverse().images)

    def __matmul__(self, other: "SignedPermutation") -> "SignedPermutation":
        """The product self after other."""
        images = tuple(self.images[i] for i in other.images)
        signs = tuple(s * self.signs[i] for s, i in zip(other.signs, other.images, strict=True))
        return SignedPermutation(images, signs)

    def __str__(self) -> str:
        axes = (
            f"{'+' if sign > 0 else '-'}{AXIS_LETTERS[image] if self.dimension <= 3 else image}"
            for image, sign in zip(self.images, self.signs, strict=True)
        )
        return f"({' '.join(axes)})"


@dataclass(frozen=True)
class Group:
    """A finite group of signed permutations, hashable by value; iterates over its elements, identity first."""

    name: str
    elements: tuple[SignedPermutation, ...]

    def __post_init__(self) -> None:
        listed = set(self.elements)
        if len(listed) != len(self.elements) or not listed or not self.elements[0].is_identity:
            raise ValueError(f"`Group({self.name})` needs distinct elements, the identity first.")
        if any(g @ h not in listed for g in listed for h in listed):
            raise ValueError(
                f"`Group({self.name})` is not closed: the product of two elements is missing. Use `Group.generated_by`."
            )

    @classmethod
    def generated_by(cls, name: str, *generators: SignedPermutation) -> "Group":
        """The smallest group that contains the generators."""
        if len({g.dimension for g in generators}) != 1:
            raise ValueError(
                f"`Group.generated_by` needs generators of one dimension, not {sorted(map(str, generators))}."
            )
        found: set[SignedPermutation] = set()
        fresh = {g @ g.inverse() for g in generators}
        while fresh:
            found |= fresh
            fresh = {g @ h for g in generators for h in fresh} - found
        return cls(name, tuple(sorted(found, key=lambda g: (not g.is_identity, g))))

    @property
    def dimension(self) -> int:
        """The number d of axes it acts on."""
        return self.elements[0].dimension

    @property
    def order(self) -> int:
        """The number of elements."""
        return len(self.elements)

    @property
    def exact_on_grid(self) -> bool:
        """Whether every element maps pixels to pixels: true of every group of signed permutations."""
        return True

    def index(self, element: SignedPermutation) -> int:
        """The position of an element. **Raises** `ValueError` when it is not in the group."""
        try:
            return _positions(self)[element]
        except KeyError:
            raise ValueError(f"{element} is not an element of the group {self.name}.") from None

    def product_table(self) -> np.ndarray:
        """`table[i, j]` is the index of `elements[i] @ elements[j]`."""
        return np.array([[self.index(g @ h) for h in self.elements] for g in self.elements])

    def __iter__(self) -> Iterator[SignedPermutation]:
        return iter(self.elements)

    def __contains__(self, element: object) -> bool:
        return element in self.elements

    def __str__(self) -> str:
        return self.name


@functools.cache
def _positions(group: Group) -> dict[SignedPermutation, int]:
    return {element: i for i, element in enumerate(group.elements)}


def _all_signed_permutations(dimension: int) -> list[SignedPermutation]:
    if dimension < 1:
        raise ValueError(f"A group needs at least one axis, not dimension {dimension}.")
    return [
        SignedPermutation(images, signs)
        for images in itertools.permutations(range(dimension))
        for signs in itertools.product((1, -1), repeat=dimension)
    ]


@functools.cache
def hyperoctahedral(dimension: int) -> Group:
    """B_d: all 2^d d! rotations and reflections of the d-cube; D4 (p4m) in the plane, O_h in space."""
    return Group.generated_by(f"B{dimension}", *_all_signed_permutations(dimension))


@functools.cache
def rotations(dimension: int) -> Group:
    """The rotations of the d-cube, determinant +1: C4 in the plane, the octahedral group O in space."""
    name = {2: "C4", 3: "O"}.get(dimension, f"rotations{dimension}")
    elements = (g for g in _all_signed_permutations(dimension) if g.determinant == 1)
    return Group.generated_by(name, *elements)


@functools.cache
def flips(dimension: int) -> Group:
    """The 2^d reflections of single axes and their products; what a grid with unequal axes allows."""
    identity = tuple(range(dimension))
    elements = (g for g in _all_signed_permutations(dimension) if g.images == identity)
    return Group.generated_by(f"flips{dimension}", *elements)


@functools.cache
def trivial(dimension: int) -> Group:
    """The identity alone: translations are the only symmetry left."""
    return Group.generated_by(f"trivial{dimension}", SignedPermutation(tuple(range(dimension)), (1,) * dimension))


@functools.cache
def half_turns() -> Group:
    """C2: the rotations of the plane by 180 degrees."""
    return Group.generated_by("C2", SignedPermutation((0, 1), (-1, -1)))


def named_groups(dimension: int) -> tuple[Group, ...]:
    """Every group of d axes that has a name."""
    groups = [trivial(dimension), flips(dimension), hyperoctahedral(dimension)]
    if dimension > 1:
        groups.append(rotations(dimension))
    if dimension == 2:
        groups.append(half_turns())
    return tuple(groups)


@functools.cache
def group_named(name: str) -> Group:
    """The group of that name: B1..B4, C2, C4, O, flips1..4, trivial1..4, rotations4. **Raises** `ValueError`."""
    makers: dict[str, Callable[[], Group]] = {"C2": half_turns, "C4": lambda: rotations(2), "O": lambda: rotations(3)}
    for d in DIMENSIONS:
        makers |= {
            f"B{d}": functools.partial(hyperoctahedral, d),
            f"flips{d}": functools.partial(flips, d),
            f"trivial{d}": functools.partial(trivial, d),
        }
    makers["rotations4"] = functools.partial(rotations, 4)
    if name not in makers:
        raise ValueError(f"There is no group named {name!r}. Named groups: {', '.join(sorted(makers))}.")
    return makers[name]()
