"""The basis of all filters that satisfy K(g a) = rho_target(g) K(a) rho_source(g)^-1.

Orbit by orbit: a filter is determined by its value at one pixel of each orbit, which must be invariant under
the stabiliser of that pixel; the group carries the value along the orbit.
"""

import functools
from dataclasses import dataclass

import numpy as np
import scipy.sparse
import scipy.sparse.csgraph
from jaxtyping import Float

from ..groups import Group
from ..representations import Representation, matrices
from ._character import basis_dimension
from ._pixels import Offset, Pixels

ROUNDING = 1e-12
DEPENDENT = 1e-6
"""A column whose part outside the span of the others is shorter depends on them."""


@dataclass(frozen=True, eq=False)
class KernelBasis:
    """An orthonormal basis of equivariant kernels.

    `filters` is a sparse float64 matrix with one row per filter and one column per entry of a kernel
    `(*sizes, source, target)`. It is a constant: never a leaf of a model, never seen by an optimiser.
    """

    filters: scipy.sparse.csr_array
    sizes: tuple[int, ...]
    source_size: int
    target_size: int

    def __len__(self) -> int:
        return int(self.filters.shape[0])

    @functools.cached_property
    def dense(self) -> Float[np.ndarray, "filters *sizes source target"]:
        """The filters as one dense array."""
        dense: Float[np.ndarray, "filters *sizes source target"] = self.filters.toarray()
        dense.setflags(write=False)
        return dense.reshape(len(self), *self.sizes, self.source_size, self.target_size)


def kernel_basis(group: Group, source: Representation, target: Representation, sizes: tuple[int, ...]) -> KernelBasis:
    """The basis of equivariant kernels of the given sizes from `source` to `target`, solved once per process.

    **Raises** `ValueError` when the group does not act on the pixels or the representations.
    """
    return _solve(group, source, target, tuple(sizes))


@functools.cache
def _solve(group: Group, source: Representation, target: Representation, sizes: tuple[int, ...]) -> KernelBasis:
    space = Pixels(sizes)
    space.check(group)
    sources, targets = matrices(source, group), matrices(target, group)
    position = {offset: i for i, offset in enumerate(space.offsets)}
    pair_size = source.size(group.dimension) * target.size(group.dimension)
    rows, columns, values, found = [np.zeros(0, int)], [np.zeros(0, int)], [np.zeros(0)], 0
    for start, carriers in _orbits(group, space).items():
        fixing = [i for i, g in enumerate(group) if space.move(g, start) == start]
        invariants = _invariants(sources[fixing], targets[fixing]) / np.sqrt(len(carriers))
        for offset, i in carriers.items():
            carried = np.einsum("ps,stn,qt->pqn", sources[i], invariants, targets[i], optimize=True)
            entry, number = np.nonzero(carried.reshape(pair_size, -1))
            rows.append(found + number)
            columns.append(position[offset] * pair_size + entry)
            values.append(carried.reshape(pair_size, -1)[entry, number])
        found += invariants.shape[-1]
    expected = basis_dimension(group, source, target, space)
    if found != expected:
        raise ArithmeticError(
            f"The solver found {found} filters from {source} to {target} for {group} on {sizes}, "
            f"but the character formula counts {expected}."
        )
    entries = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
    filters = scipy.sparse.csr_array(entries, shape=(found, len(position) * pair_size))
    return KernelBasis(filters, sizes, source.size(group.dimension), target.size(group.dimension))


def _orbits(group: Group, space: Pixels) -> dict[Offset, dict[Offset, int]]:
    """The orbits of pixels: for the first of each, the index of an element that carries it to each of them."""
    orbits: dict[Offset, dict[Offset, int]] = {}
    seen: set[Offset] = set()
    for start in space.offsets:
        if start not in seen:
            carriers: dict[Offset, int] = {}
            for i, element in enumerate(group):
                carriers.setdefault(space.move(element, start), i)
            orbits[start] = carriers
            seen |= carriers.keys()
    return orbits


def _invariants(
    sources: Float[np.ndarray, "elements source source"], targets: Float[np.ndarray, "elements target target"]
) -> Float[np.ndarray, "source target rank"]:
    """An orthonormal basis of the values K that all elements leave as they are: rho_target K rho_source^T = K.

    They are the image of the averaging projector. It falls into blocks that do not touch each other; each is small.
    """
    source, target = sources.shape[-1], targets.shape[-1]
    projector = np.einsum("gps,gqt->pqst", sources, targets, optimize=True) / len(sources)
    projector = projector.reshape(source * target, source * target)
    projector[np.abs(projector) < ROUNDING] = 0
    count, label = scipy.sparse.csgraph.connected_components(scipy.sparse.csr_array(projector), directed=False)
    order = np.argsort(label, kind="stable")
    bounds = np.searchsorted(label[order], range(count + 1))
    images = []
    for members in np.split(order, bounds[1:-1]):
        block = _image(projector[np.ix_(members, members)])
        image = np.zeros((source * target, block.shape[1]))
        image[members] = block
        images.append(image)
    return np.concatenate(images, axis=1).reshape(source, target, -1)


def _image(projector: Float[np.ndarray, "n n"]) -> Float[np.ndarray, "n rank"]:
    """Orthonormal columns that span the image of a small dense projector: its own columns, orthogonalised in order.

    Stored weights are coordinates in this basis, so it must come out alike on every machine: eigenvectors of equal
    eigenvalues would not.
    """
    rank = round(float(np.trace(projector)))
    basis = np.zeros((len(projector), rank))
    found = 0
    for column in projector.T:
        rest = column - basis[:, :found] @ (basis[:, :found].T @ column)
        size = np.linalg.norm(rest)
        if size > DEPENDENT and found < rank:
            basis[:, found] = rest / size
            found += 1
    return basis
