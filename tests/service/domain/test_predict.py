"""What the domain decides about an answer before it is written."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from equifield_service.domain.asking import sample_bytes
from equifield_service.domain.errors import InvalidQuery
from equifield_service.domain.predict import Form, Wanted, attributes, write_options
from equifield_service.domain.registry import Entry, PackageRef
from equifield_service.payload import Kind, WriteOptions
from tests.service import packages


@pytest.mark.parametrize(
    ("wanted", "sent", "answer"),
    [
        ("same", "netcdf3", "netcdf3"),
        ("same", "json", "json"),
        ("netcdf", "netcdf3", "netcdf3"),
        ("netcdf", "json", "netcdf4"),
        ("netcdf3", "netcdf4", "netcdf3"),
        ("netcdf4", "netcdf3", "netcdf4"),
        ("json", "netcdf4", "json"),
    ],
)
def test_the_answer_has_the_kind_that_was_sent_unless_another_is_wanted(
    wanted: Wanted, sent: Kind, answer: Kind
) -> None:
    assert write_options(Form(wanted), sent) == WriteOptions(answer)


@pytest.mark.parametrize(("wanted", "sent"), [("same", "netcdf3"), ("netcdf", "json"), ("netcdf4", "json")])
def test_a_compressed_answer_is_netcdf4_where_the_kind_is_open(wanted: Wanted, sent: Kind) -> None:
    assert write_options(Form(wanted, compress=4), sent) == WriteOptions("netcdf4", compress=4)


@pytest.mark.parametrize(("wanted", "sent"), [("netcdf3", "netcdf4"), ("json", "netcdf4"), ("same", "json")])
def test_kinds_without_compression_are_not_compressed(wanted: Wanted, sent: Kind) -> None:
    with pytest.raises(InvalidQuery, match="version=4"):
        write_options(Form(wanted, compress=4), sent)


def test_an_answer_says_where_it_comes_from() -> None:
    manifest = packages.manifest().model_copy(update={"digest": "abc"})
    entry = Entry(PackageRef("tiny", "1", Path()), manifest, "ready", certificate={"worst": {"error": 2.5e-7}})
    found = attributes(manifest, entry, datetime(2026, 1, 2, tzinfo=UTC))
    assert found["Conventions"] == "CF-1.11"
    assert found["equivariance_error"] == "2.50e-07"
    assert found["source"] == "A tiny model (tiny/1)"
    assert found["history"].startswith("2026-01-02T00:00:00Z equifield ")
    assert "predicted by tiny/1 (sha256 abc)" in found["history"]


def test_a_sample_is_counted_with_every_component_of_its_larger_side() -> None:
    assert sample_bytes(packages.manifest(), (8, 4)) == 4 * 3 * 32
    assert sample_bytes(packages.grounded(), (8, 4)) == 4 * 4 * 32
    assert sample_bytes(packages.grounded(), (8, 4), frames=5) == 4 * 15 * 32
