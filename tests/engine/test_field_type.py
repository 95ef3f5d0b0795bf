import pytest
from hypothesis import given
from hypothesis import strategies as st

from equifield import FieldType, Regular, Representation, Tensor
from equifield.groups import rotations

TENSORS = [Tensor(order, parity) for order in range(4) for parity in (0, 1)]
representations: st.SearchStrategy[Representation] = st.sampled_from(
    [*TENSORS, Tensor(2, 0, (True, False)), Regular(rotations(2))]
)
channels = st.dictionaries(representations, st.integers(1, 5), min_size=1)


@given(channels)
def test_a_type_parses_what_it_prints(counts: dict[Representation, int]) -> None:
    assert FieldType.parse(str(FieldType(counts))) == FieldType(counts)


@given(channels, st.randoms())
def test_the_order_in_which_types_are_given_does_not_matter(counts: dict[Representation, int], random: object) -> None:
    shuffled = list(counts.items())
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert FieldType(dict(shuffled)) == FieldType(counts)
    assert hash(FieldType(dict(shuffled))) == hash(FieldType(counts))


@given(channels, channels)
def test_types_add_channel_by_channel(one: dict[Representation, int], other: dict[Representation, int]) -> None:
    total = FieldType(one) + FieldType(other)
    assert total == FieldType(other) + FieldType(one)
    for representation in total.representations:
        assert total.channels(representation) == one.get(representation, 0) + other.get(representation, 0)


@given(channels)
def test_slices_cover_all_features_without_overlap(counts: dict[Representation, int]) -> None:
    field_type = FieldType(counts)
    covered = [i for place in field_type.slices(2).values() for i in range(place.start, place.stop)]
    assert covered == list(range(field_type.size(2)))


def test_equal_terms_are_merged() -> None:
    assert str(FieldType.parse("vector + 2x scalar + 3x vector")) == "2x scalar + 4x vector"
    assert FieldType.parse("2x vector").scaled(3) == FieldType.parse("6x vector")


@pytest.mark.parametrize("text", ["", "0x vector", "ax vector", "2x", "vector - scalar"])
def test_what_is_no_type_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"names no representation|not of the form|at least one channel"):
        FieldType.parse(text)
