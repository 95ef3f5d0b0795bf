"""Our filters and ginjax's span the same spaces; theirs are stored, see `ginjax_reference/make_filters.py`."""

from pathlib import Path

import numpy as np
import pytest

from equifield import Tensor
from equifield.groups import group_named
from equifield.kernels import kernel_basis
from equifield.representations import scalar

with np.load(Path(__file__).parent / "ginjax_reference" / "filters.npz") as file:
    FILTERS = {name: file[name].reshape(len(file[name]), -1).astype(np.float64) for name in file if file[name].size}
    EMPTY = [name for name in file if not file[name].size]


def ours(case: str) -> np.ndarray:
    """An orthonormal basis of the same filters, one per row."""
    group, side, order, parity = case.split()
    sizes = (int(side),) * group_named(group).dimension
    basis: np.ndarray = kernel_basis(
        group_named(group), scalar, Tensor(int(order), int(parity)), sizes
    ).filters.toarray()
    return basis


def rest(filters: np.ndarray, basis: np.ndarray) -> float:
    """How much of the filters lies outside the span of an orthonormal basis, relatively."""
    return float(np.linalg.norm(filters - filters @ basis.T @ basis) / np.linalg.norm(filters))


@pytest.mark.parametrize("case", FILTERS, ids=str)
def test_the_filters_span_the_space_that_ginjax_finds(case: str) -> None:
    theirs, basis = FILTERS[case], ours(case)
    assert np.linalg.matrix_rank(theirs) == len(theirs) == len(basis)
    assert rest(theirs, basis) < 1e-6


@pytest.mark.parametrize("case", EMPTY, ids=str)
def test_there_is_no_filter_where_ginjax_finds_none(case: str) -> None:
    assert len(ours(case)) == 0


def test_another_group_or_parity_has_another_span() -> None:
    assert rest(FILTERS["flips2 3 2 0"], ours("B2 3 2 0")) > 0.1
    assert rest(FILTERS["B2 3 2 0"], ours("B2 3 2 1")) > 0.1
