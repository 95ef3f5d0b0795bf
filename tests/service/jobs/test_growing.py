"""A result that grows, and what of it is there."""

import struct

import pytest

from equifield_service.domain.jobs import Spool, file_of, new_id
from equifield_service.domain.jobs.growing import Elsewhere, Growing, InFolder, with_records

BODY = b"CDF\x02" + struct.pack(">I", 7) + bytes(range(40))


@pytest.mark.parametrize("size", [1, 3, 5, 48])
@pytest.mark.parametrize("start", [0, 3, 4, 6, 8, 20])
def test_every_part_of_a_file_says_the_number_of_its_records(start: int, size: int) -> None:
    rest = BODY[start:]
    chunks = [rest[first : first + size] for first in range(0, len(rest), size)]
    expected = BODY[:4] + struct.pack(">I", 3) + BODY[8:]
    assert b"".join(with_records(chunks, 3, start)) == expected[start:]
    assert b"".join(with_records(chunks, 7, start)) == rest


@pytest.mark.parametrize("kind", [InFolder, Elsewhere])
@pytest.mark.parametrize("records", [7, 3])
def test_what_has_grown_is_sealed_with_the_records_that_it_has(tmp_path: object, kind: type, records: int) -> None:
    spool = Spool(str(tmp_path)).start()
    growing: Growing = kind(spool, file_of(new_id(), "result", 1))
    for first in range(0, len(BODY), 10):
        growing.append(BODY[first : first + 10])
    growing.append(b"of a part that failed")
    growing.size = len(BODY)
    growing.append(b"more")
    piece = growing.seal(records)
    assert spool.load(piece) == BODY[:4] + struct.pack(">I", records) + BODY[8:] + b"more"
    assert growing.seal(records) == piece, "to seal twice is to seal once"
    growing.close()
    assert spool.load(piece)
