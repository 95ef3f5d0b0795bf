import numpy as np
import pytest

from equifield import Group, Regular, Representation, Tensor
from equifield.groups import group_named, hyperoctahedral, rotations
from equifield.representations import parse_representation

TENSORS = [Tensor(order, parity) for order in range(4) for parity in (0, 1)]
PAIRS: list[tuple[Group, Representation]] = [(hyperoctahedral(d), rho) for d in (1, 2) for rho in TENSORS]
PAIRS += [(hyperoctahedral(3), rho) for rho in TENSORS[:6]]
PAIRS += [(group, Regular(group)) for group in (group_named("C4"), hyperoctahedral(2), rotations(3))]
PAIRS += [(rotations(2), Regular(hyperoctahedral(2)))]
every_pair = pytest.mark.parametrize("group, rho", PAIRS, ids=lambda value: str(value))


@every_pair
def test_a_representation_respects_products(group: Group, rho: Representation) -> None:
    matrices = {g: rho.matrix(g) for g in group}
    for g in group:
        for h in group.elements[:8]:
            np.testing.assert_array_equal(matrices[g] @ matrices[h], matrices[g @ h])


@every_pair
def test_a_representation_is_orthogonal(group: Group, rho: Representation) -> None:
    for g in group:
        matrix = rho.matrix(g)
        assert matrix.shape == (rho.size(group.dimension),) * 2
        np.testing.assert_array_equal(matrix @ matrix.T, np.eye(len(matrix)))


VARIANT = [Tensor(1, 0, (True,)), Tensor(1, 1, (True,)), Tensor(2, 0, (True, True)), Tensor(3, 1, (False, True, False))]


@pytest.mark.parametrize("rho", [*TENSORS, *VARIANT, Regular(hyperoctahedral(2))], ids=str)
def test_a_representation_parses_what_it_prints(rho: Representation) -> None:
    assert parse_representation(str(rho)) == rho


def test_parity_is_the_sign_of_the_determinant() -> None:
    for g in hyperoctahedral(2):
        np.testing.assert_array_equal(Tensor(1, 1).matrix(g), g.determinant * g.matrix)


@pytest.mark.parametrize("text", ["", "matrix", "tensor(-1)", "vector(2)", "regular(D8)", "pseudo"])
def test_what_names_no_representation_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"names no representation|no group named"):
        parse_representation(text)


def test_indices_up_and_down_are_different_types_that_turn_alike() -> None:
    assert str(Tensor(1, 0, (True,))) == "covector" and str(Tensor(2, 1, (False, True))) == "pseudotensor(ud)"
    assert Tensor(2, 0, (False, False)) == Tensor(2) == parse_representation("tensor(uu)")
    assert Tensor(2) != Tensor(2, 0, (True, False))
    for g in hyperoctahedral(2):
        np.testing.assert_array_equal(Tensor(2).matrix(g), Tensor(2, 0, (True, False)).matrix(g))
    with pytest.raises(ValueError, match="one entry per axis of the tensor"):
        Tensor(2, 0, (True,))


def test_impossible_representations_are_refused() -> None:
    with pytest.raises(ValueError, match="parity of 0 or 1"):
        Tensor(1, 2)
    with pytest.raises(ValueError, match="cannot live on a grid of 3"):
        Regular(hyperoctahedral(2)).shape(3)
