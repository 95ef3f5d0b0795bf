import hashlib
import itertools

import numpy as np
import pytest

from equifield import Group, Regular, Representation, Tensor
from equifield.groups import flips, group_named, hyperoctahedral, named_groups, rotations
from equifield.kernels import Pixels, basis_dimension, kernel_basis
from equifield.representations import parse_representation, scalar, vector

KINDS: list[Representation] = [Tensor(k, p) for k in range(3) for p in (0, 1)]
Case = tuple[Group, Representation, Representation, tuple[int, ...]]
CASES: list[Case] = [
    (group, source, target, (size,) * group.dimension)
    for dimension, size in ((1, 3), (1, 4), (2, 2), (2, 3), (3, 2))
    for group in named_groups(dimension)
    for source, target in [(scalar, kind) for kind in KINDS] + [(vector, kind) for kind in KINDS]
]
CASES += [
    (group, source, target, (3, 3))
    for group in (rotations(2), hyperoctahedral(2), flips(2))
    for source, target in itertools.product([vector, Regular(group)], repeat=2)
]
CASES += [(flips(2), vector, Tensor(2), (3, 5)), (rotations(2), scalar, Regular(hyperoctahedral(2)), (3, 3))]


def name(case: Case) -> str:
    group, source, target, sizes = case
    return f"{group} {source} to {target} {'x'.join(map(str, sizes))}"


every_case = pytest.mark.parametrize("case", CASES, ids=name)


def brute_force(group: Group, source: Representation, target: Representation, sizes: tuple[int, ...]) -> np.ndarray:
    """The projector on invariant kernels: the average of K(a) -> rho_target(g) K(g^-1 a) rho_source(g)^-1 over g."""
    space = Pixels(sizes)
    position = {offset: i for i, offset in enumerate(space.offsets)}
    total: np.ndarray = np.zeros(())
    for g in group:
        move = np.zeros((len(position), len(position)))
        for offset, i in position.items():
            move[position[space.move(g, offset)], i] = 1
        total = total + np.kron(move, np.kron(source.matrix(g), target.matrix(g)))
    return np.asarray(total / group.order)


@every_case
def test_the_basis_spans_what_averaging_over_the_group_finds(
    case: Case,
) -> None:
    basis = kernel_basis(*case)
    filters = basis.filters.toarray()
    np.testing.assert_allclose(filters @ filters.T, np.eye(len(basis)), atol=1e-12)
    np.testing.assert_allclose(filters.T @ filters, brute_force(*case), atol=1e-12)
    assert len(basis) == basis_dimension(case[0], case[1], case[2], Pixels(case[3]))


@every_case
def test_every_filter_satisfies_the_constraint(
    case: Case,
) -> None:
    group, source, target, sizes = case
    space, dense = Pixels(sizes), kernel_basis(*case).dense
    position = {offset: index for offset, index in zip(space.offsets, np.ndindex(*sizes), strict=True)}
    for g in group:
        for offset, index in position.items():
            moved = dense[(slice(None), *position[space.move(g, offset)])]
            expected = np.einsum("ps,nst,qt->npq", source.matrix(g), dense[(slice(None), *index)], target.matrix(g))
            np.testing.assert_allclose(moved, expected, atol=1e-12)


@pytest.mark.parametrize(
    "dimension, parity, counts",
    [(2, 0, [3, 2, 5, 8, 20]), (2, 1, [0, 2, 5, 8, 20]), (3, 0, [4, 3, 8, 16]), (3, 1, [0, 0, 4, 14])],
    ids=["B2 true", "B2 pseudo", "B3 true", "B3 pseudo"],
)
def test_filter_counts_are_those_of_the_literature(dimension: int, parity: int, counts: list[int]) -> None:
    group = hyperoctahedral(dimension)
    found = [len(kernel_basis(group, scalar, Tensor(k, parity), (3,) * dimension)) for k in range(len(counts))]
    assert found == counts


@pytest.mark.parametrize(
    ("target", "digest"),
    [
        (Tensor(2), "15a52517c8ec95d2"),
        (Tensor(2, 1), "6dd0773df77b0996"),
        (Regular(hyperoctahedral(2)), "c09488e6aa3a4f34"),
    ],
    ids=str,
)
def test_a_basis_is_the_same_on_every_machine(target: Representation, digest: str) -> None:
    """Stored weights are its coordinates: another basis of the same space would make every stored model wrong."""
    dense = kernel_basis(hyperoctahedral(2), vector, target, (3, 3)).dense
    rounded = np.rint(dense * 1e6).astype("<i4")
    assert hashlib.sha256(rounded.tobytes()).hexdigest()[:16] == digest


def test_a_basis_is_solved_once_per_process() -> None:
    group = group_named("B2")
    again = kernel_basis(group_named("B2"), parse_representation("vector"), Tensor(1), (3, 3))
    assert kernel_basis(group, vector, vector, (3, 3)) is again


def test_kernels_that_the_group_does_not_map_to_themselves_are_refused() -> None:
    with pytest.raises(ValueError, match=r"sizes \(3, 5\) is not mapped to itself.*flips2"):
        kernel_basis(hyperoctahedral(2), scalar, scalar, (3, 5))
    with pytest.raises(ValueError, match="acts on 3"):
        kernel_basis(hyperoctahedral(3), scalar, scalar, (3, 3))
    with pytest.raises(ValueError, match="not an element of the group C4"):
        kernel_basis(hyperoctahedral(2), scalar, Regular(rotations(2)), (3, 3))
