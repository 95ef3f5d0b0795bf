"""A NetCDF-3 header is believed only as far as the body reaches."""

import struct
from collections.abc import Callable
from typing import Literal

import numpy as np
import pytest
import xarray as xr

from equifield_service.domain.errors import InflatedTooLarge, MalformedFile
from equifield_service.payload.classic import read_header
from equifield_service.payload.values import Limits

LIMITS = Limits()
TEXT, FLOAT = 2, 5


def words(*values: int) -> bytes:
    return struct.pack(f">{len(values)}I", *(value % 2**32 for value in values))


def name(text: str) -> bytes:
    return words(len(text)) + text.encode().ljust(-(-len(text) // 4) * 4, b"\0")


def header(
    *,
    records: int = 0,
    dimensions: bytes = b"",
    attributes: bytes = b"",
    variables: bytes = b"",
    counts: tuple[int, int, int] = (1, 0, 1),
) -> bytes:
    """A classic header of one dimension and one variable, unless parts of it are replaced."""
    lists = [(0x0A, counts[0], dimensions or name("x") + words(4)), (0x0C, counts[1], attributes)]
    lists.append((0x0B, counts[2], variables or variable()))
    return (
        b"CDF\x01"
        + words(records)
        + b"".join(
            words(tag if count else 0, count) + content if count else words(0, 0) for tag, count, content in lists
        )
    )


def variable(key: str = "v", dims: tuple[int, ...] = (0,), kind: int = FLOAT, begin: int = 96) -> bytes:
    return name(key) + words(len(dims), *dims) + words(0, 0) + words(kind, 16, begin)


def variables(keys: str) -> bytes:
    return b"".join(map(variable, keys))


LONG = name("x") + words(64)
LONG_TEXT = name("a") + words(TEXT, 64) + bytes(64)


def body(content: bytes, size: int = 112) -> bytes:
    return content.ljust(size, b"\0")


def test_a_plain_file_passes() -> None:
    read_header(body(header()), LIMITS)


@pytest.mark.parametrize("form", ["NETCDF3_CLASSIC", "NETCDF3_64BIT"])
@pytest.mark.parametrize("unlimited", [[], ["time"]], ids=["fixed", "records"])
def test_files_of_the_library_pass(
    wind: xr.Dataset, form: Literal["NETCDF3_CLASSIC", "NETCDF3_64BIT"], unlimited: list[str]
) -> None:
    wind["flag"] = ("time", np.array([1, 0, 1], np.int8))
    written = bytes(wind.to_netcdf(engine="scipy", format=form, unlimited_dims=unlimited))
    read_header(written, LIMITS)
    with pytest.raises(MalformedFile):
        read_header(written[:-200], LIMITS)


def test_any_cut_is_noticed(wind: xr.Dataset) -> None:
    written = bytes(wind.to_netcdf(engine="scipy"))
    for end in range(4, 2000, 7):
        with pytest.raises(MalformedFile):
            read_header(written[:end], LIMITS)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (header(dimensions=name("x") + words(-1)), "length of dimension 'x' as 4294967295"),
        (header(dimensions=words(2**31 - 1)), "name of 2147483647 bytes"),
        (header(counts=(2**20, 0, 1)), "1048576 dimensions"),
        (header(counts=(2, 0, 1), dimensions=name("a") + words(0) + name("b") + words(0)), "two unlimited"),
        (header(variables=variable(dims=(7,))), "dimension that is not in the file"),
        (header(variables=variable(dims=(0,) * 33)), "33 dimensions"),
        (header(variables=variable(kind=77)), "type 77"),
        (header(variables=variable(begin=10_000)), "'v' ends at byte 10016, but the file has"),
        (header(counts=(1, 0, 2), variables=variable() * 2), "'v' twice"),
        (header(records=2**32 - 1), "still being written"),
        (header(records=2**31 - 1, dimensions=name("x") + words(0)), "cut short"),
        (header(counts=(1, 1, 1), attributes=name("a") + words(TEXT, 2**31 - 1)), "2147483647 bytes"),
        (header().replace(b"\x00\x00\x00\x0b", b"\x00\x00\x00\x0f"), "should begin the list of variables"),
    ],
    ids=[
        "negative length",
        "long name",
        "many dimensions",
        "two record dimensions",
        "unknown dimension",
        "high rank",
        "unknown type",
        "beyond the end",
        "one name twice",
        "streaming",
        "many records",
        "long attribute",
        "unknown tag",
    ],
)
def test_impossible_headers_are_refused(content: bytes, message: str) -> None:
    with pytest.raises(MalformedFile, match=message):
        read_header(body(content, 256), LIMITS)


@pytest.mark.parametrize(
    ("content", "limits", "message"),
    [
        (header(dimensions=LONG, counts=(1, 0, 9), variables=variables("abcdefghi")), LIMITS, "share storage"),
        (header(counts=(1, 0, 3), variables=variables("abc")), Limits(objects=2), "has 3 variables"),
        (
            header(counts=(1, 1, 1), attributes=name("a") + words(TEXT, 64) + bytes(64)),
            Limits(attribute_bytes=63),
            "'a'",
        ),
    ],
    ids=["overlapping variables", "many variables", "large attribute"],
)
def test_headers_that_ask_for_too_much_are_refused(content: bytes, limits: Limits, message: str) -> None:
    with pytest.raises(InflatedTooLarge, match=message):
        read_header(body(content, 512), limits)


def test_no_flipped_byte_gets_past_with_another_error(wind: xr.Dataset, write: Callable[..., bytes]) -> None:
    written = bytearray(write(wind[["u", "v"]], "netcdf3"))
    random = np.random.default_rng(6)
    for at, value in zip(random.integers(4, 900, 2000), random.integers(0, 256, 2000), strict=True):
        flipped = bytearray(written)
        flipped[at] = value
        try:
            read_header(bytes(flipped), LIMITS)
        except (MalformedFile, InflatedTooLarge):
            continue
