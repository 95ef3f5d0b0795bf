"""Compressed bodies are read within bounds, and written when somebody asks for them."""

import gzip
import tracemalloc
import zlib

import pytest

from equifield_service.domain.errors import InflatedTooLarge, InvalidTensors, UnsupportedEncoding
from equifield_service.routes.inference import encoding

BODY = b"tensor" * 1000
COMPRESSED = {"gzip": gzip.compress(BODY), "deflate": zlib.compress(BODY)}


@pytest.mark.parametrize("name", COMPRESSED)
def test_both_encodings_are_read_and_written(name: str) -> None:
    assert encoding.inflate(COMPRESSED[name], name, len(BODY)) == BODY
    assert encoding.inflate(encoding.deflate(BODY, name), name, len(BODY)) == BODY


def test_a_bomb_is_refused_before_it_is_held() -> None:
    bomb, limit = gzip.compress(bytes(2**26)), 2**16
    tracemalloc.start()
    with pytest.raises(InflatedTooLarge, match="more than 65536 bytes"):
        encoding.inflate(bomb, "gzip", limit)
    held = tracemalloc.get_traced_memory()[1]
    assert len(encoding.inflate(bomb, "gzip", 2**26)) == 2**26
    control = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert held < 8 * limit < control


@pytest.mark.parametrize(
    "body",
    [b"", b"hello", COMPRESSED["gzip"][:-1], COMPRESSED["gzip"] + b"!", COMPRESSED["deflate"]],
    ids=["empty", "plain", "short", "long", "other"],
)
def test_what_is_not_one_whole_stream_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidTensors, match="gzip"):
        encoding.inflate(body, "gzip", len(BODY))


def test_an_encoding_is_used_when_it_is_named_alone() -> None:
    assert [encoding.wanted(header) for header in ("gzip", "deflate", "gzip, deflate", "br", None)] == [
        "gzip",
        "deflate",
        None,
        None,
        None,
    ]
    assert [encoding.sent(header) for header in (None, "identity", "gzip")] == [None, None, "gzip"]
    with pytest.raises(UnsupportedEncoding, match="gzip or deflate"):
        encoding.sent("br")
