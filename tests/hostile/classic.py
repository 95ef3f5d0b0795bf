"""Bodies that are no NetCDF file, and NetCDF-3 headers that lie."""

import gzip
import struct
from functools import partial

import netCDF4
import numpy as np

from .kinds import MALFORMED, NOT_TAKEN, OK, TOO_LARGE, UNFIT, add, kind
from .plain import netcdf3, wind, written

CHAR, FLOAT = 2, 5
GIB = 2**30


def words(*values: int) -> bytes:
    return struct.pack(f">{len(values)}I", *(value % 2**32 for value in values))


def named(text: bytes) -> bytes:
    return words(len(text)) + text.ljust(-(-len(text) // 4) * 4, b"\0")


def variable(name: bytes = b"u", dims: tuple[int, ...] = (0,), code: int = FLOAT, begin: int = 96) -> bytes:
    return named(name) + words(len(dims), *dims) + words(0, 0) + words(code, 16, begin)


def header(
    *, records: int = 0, dims: bytes | None = None, attrs: bytes | None = None, variables: bytes = b"", count: int = 1
) -> bytes:
    """A classic file of one dimension and one variable of four floats, unless parts of it are replaced."""
    return b"".join(
        [
            b"CDF\x01" + words(records),
            words(0x0A, 1) + named(b"x") + words(4) if dims is None else dims,
            words(0, 0) if attrs is None else attrs,
            words(0x0B, count) + (variables or variable()),
        ]
    ).ljust(112, b"\0")


LIES = {
    "nc3_ndims_2billion": header(dims=words(0x0A, 2**31 - 1)),
    "nc3_attr_len_2GiB": header(attrs=words(0x0C, 1) + named(b"a") + words(CHAR, 2**31 - 1)),
    "nc3_negative_dim": header(dims=words(0x0A, 1) + named(b"x") + words(-1)),
    "nc3_offset_past_eof": header(variables=variable(begin=2**31 - 8)),
    "nc3_offset_negative": header(variables=variable(begin=-8)),
    "nc3_bad_dimid": header(variables=variable(dims=(99,))),
    "nc3_bad_type": header(variables=variable(code=77)),
    "nc3_streaming_numrecs": header(records=2**32 - 1, dims=words(0x0A, 1) + named(b"x") + words(0)),
    "nc3_dup_var_names": header(variables=variable() * 2, count=2),
    "nc3_attr_length_overflow": header(attrs=words(0x0C, 1) + named(b"a") + words(6, 2**29)),
    "nc3_rank_2billion": header(variables=named(b"u") + words(2**31 - 1)),
    "nc3_two_unlimited": header(dims=words(0x0A, 2) + (named(b"x") + words(0)) + named(b"y") + words(0)),
}
for _name, _body in LIES.items():
    add(_name, partial(bytes, _body), MALFORMED)

NAMES = {"slash": b"../../etc/passwd", "newline": b"u\r\nSet-Cookie: a=b", "invalid_utf8": b"\xff\xfe\xfd"}
for _name, _text in NAMES.items():
    add(f"nc3_name_{_name}", partial(header, variables=variable(_text, begin=100)), MALFORMED, UNFIT)

NO_NETCDF = {
    "one_byte": b"C",
    "html_error": b"<html><body>502 Bad Gateway</body></html>",
    "json": b'{"u": [1, 2, 3], "v": 4}',
    "cdf_version_7": b"CDF\x07" + bytes(64),
    "random_64k": np.random.default_rng(1).bytes(65536),
}
for _name, _body in NO_NETCDF.items():
    add(_name, partial(bytes, _body), NOT_TAKEN)
add("empty", bytes, MALFORMED)
add("magic_only_hdf5", partial(bytes, b"\x89HDF\r\n\x1a\n"), MALFORMED)


@kind(NOT_TAKEN)
def gzip_bomb() -> bytes:
    return gzip.compress(bytes(2**26))


@kind(TOO_LARGE, MALFORMED)
def nc3_numrecs_huge() -> bytes:
    return header(records=2**31 - 1, dims=words(0x0A, 1) + named(b"x") + words(0))


@kind(TOO_LARGE)
def nc3_overlapping_vars() -> bytes:
    """400 variables over the same 256 KiB: 280 kB that decode to 100 MB."""
    side, begin = 2**16, 2**15
    variables = b"".join(variable(b"v%03d" % number, begin=begin) for number in range(400))
    body = header(dims=words(0x0A, 1) + named(b"x") + words(side), variables=variables, count=400)
    return body.ljust(begin + 4 * side, b"\0")


@kind(TOO_LARGE)
def nc3_20000_vars() -> bytes:
    variables = b"".join(variable(b"%05d" % number, begin=2**20) for number in range(20_000))
    return header(variables=variables, count=20_000).ljust(2**20 + 16, b"\0")


@kind(MALFORMED)
def trunc_nc3_header() -> bytes:
    return netcdf3(wind())[:100]


@kind(MALFORMED)
def trunc_nc3_data() -> bytes:
    return netcdf3(wind())[:-600]


@kind(OK, MALFORMED)
def trailing_garbage_nc3() -> bytes:
    return netcdf3(wind()) + np.random.default_rng(2).bytes(4096)


@kind(NOT_TAKEN)
def ok_cdf5() -> bytes:
    return written(wind(), "NETCDF3_64BIT_DATA")


@kind(NOT_TAKEN)
def cdf5_negative_natts() -> bytes:
    """The number of attributes of the first variable is negative; netCDF4 opens it and then crashes."""
    body = bytearray(ok_cdf5())
    at = body.index(b"\0\0\0\x0c", 16)
    body[at + 4 : at + 12] = b"\xff" * 8
    return bytes(body)


@kind(NOT_TAKEN)
def cdf5_ndims_2pow60() -> bytes:
    body = bytearray(ok_cdf5())
    body[16:24] = struct.pack(">Q", 2**60)
    return bytes(body)


add("ok_cdf1", lambda: netcdf3(wind(), "NETCDF3_CLASSIC"), OK)
add("ok_cdf2", lambda: netcdf3(wind()), OK)


@kind(OK)
def type_char_array() -> bytes:
    return netcdf3(wind().assign(label=("y", np.array([b"row %d" % row for row in range(12)]))))


@kind(UNFIT)
def nc3_chars_for_numbers() -> bytes:
    file = netCDF4.Dataset("body", "w", memory=1024, format="NETCDF3_CLASSIC")
    for dim, size in (("y", 12), ("x", 16)):
        file.createDimension(dim, size)
    for name in "uv":
        file.createVariable(name, "S1", ("y", "x"))
    return bytes(file.close())
