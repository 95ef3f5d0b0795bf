"""The header of a classic NetCDF file (CDF-1, CDF-2, CDF-5), read bit by bit from elsewhere, and believed in nothing.

What is declared must lie inside the file, and once only, so that no header makes a reader take more memory than the
file has bytes. The format: https://docs.unidata.ucar.edu/nug/current/file_format_specifications.html
"""

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from ._text import clean

Fetch = Callable[[int, int], bytes]
"""`fetch(start, stop)` gives the file's bytes from `start` up to, but without, `stop`."""

DIMENSION, VARIABLE, ATTRIBUTE = 0x0A, 0x0B, 0x0C
NAMES = ("i1", "S1", ">i2", ">i4", ">f4", ">f8", "u1", ">u2", ">u4", ">i8", ">u8")
TYPES = {number: np.dtype(name) for number, name in enumerate(NAMES, start=1)}
CLASSIC_TYPES, TEXT = 6, 2
WORDS = {1: (4, 4), 2: (4, 8), 5: (8, 8)}  # bytes of a count and of a variable's place, by version
FIRST_PART = 2**13
MAX_HEADER = 2**24
MAX_OBJECTS = 10_000
MAX_RANK = 32
MAX_BYTES = 2**60  # of a variable or record, beyond which NumPy counts wrong


@dataclass(frozen=True)
class Declared:
    """A variable as a header declares it.

    Attributes:
        shape: All lengths; of a variable with records, those of one record.
        begin: The place of its first byte.
        has_records: Whether its first dimension is the unlimited one.
    """

    name: str
    dims: tuple[str, ...]
    attrs: dict[str, Any]
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    begin: int
    has_records: bool

    @property
    def nbytes(self) -> int:
        """Bytes of all values, or of those in one record."""
        return math.prod(self.shape) * self.dtype.itemsize


@dataclass(frozen=True)
class Header:
    """What a file holds: `records` of `stride` bytes each from `begin` on, behind everything else.

    Attributes:
        version: 1, 2 or 5.
        unlimited: The dimension of the records, if there is one.
        begin: Where the first record begins; where the file ends, if no variable has records.
    """

    version: int
    records: int
    stride: int
    begin: int
    unlimited: str | None
    dimensions: dict[str, int]
    attrs: dict[str, Any]
    variables: tuple[Declared, ...]


class Prefix:
    """The beginning of a file of `size` bytes, kept; the rest is fetched when asked for."""

    def __init__(self, fetch: Fetch, size: int, content: bytes = b""):
        self._fetch, self.size, self._content = fetch, size, content

    def __call__(self, start: int, stop: int) -> bytes:
        if stop <= len(self._content):
            return self._content[start:stop]
        return self._fetch(start, stop)

    def grow(self, stop: int) -> None:
        """Keeps at least the first `stop` bytes, and at least twice as many as before."""
        have = len(self._content)
        if stop > have:
            target = min(max(stop, 2 * have, FIRST_PART), self.size, MAX_HEADER)
            self._content += self._fetch(have, target)


def read_header(prefix: Prefix) -> Header:
    """The header of a file; of the file, only the beginning is fetched.

    Raises:
        ValueError: It is not a classic NetCDF file, contradicts itself, or declares more than there is or may be.
    """
    cursor = _Cursor(prefix)
    records = cursor.number(WORDS[cursor.version][0])
    dimensions = _dimensions(cursor)
    attrs = _attributes(cursor)
    variables = tuple(_variable(cursor, list(dimensions.items())) for _ in range(cursor.length(VARIABLE, "variables")))
    _check_once(cursor, [variable.name for variable in variables])
    stride = _stride(variables)
    _check_extents(cursor, variables, records, stride)
    begins = [variable.begin for variable in variables if variable.has_records]
    unlimited = next((name for name, size in dimensions.items() if size == 0), None)
    begin = min(begins, default=prefix.size)
    return Header(cursor.version, records, stride, begin, unlimited, dimensions, attrs, variables)


def some_records(header: Header, fixed: bytes, records: bytes, count: int) -> bytes:
    """A file with `count` of the records alone, made of what is before all records and of theirs."""
    width = WORDS[header.version][0]
    return fixed[:4] + count.to_bytes(width, "big") + fixed[4 + width : header.begin] + records


def records_in(header: Header, head: bytes) -> int:
    """How many records the file has by now, by its first 12 bytes."""
    return int.from_bytes(head[4 : 4 + WORDS[header.version][0]], "big")


class _Cursor:
    """Reads big-endian header words, and refuses to leave the file."""

    def __init__(self, prefix: Prefix):
        self.prefix, self.offset = prefix, 0
        magic = self.skip(4)
        if magic[:3] != b"CDF" or magic[3] not in WORDS:
            raise ValueError(f"a classic NetCDF file starts with 'CDF' and its version, but this with {magic!r}")
        self.version = magic[3]

    def refuse(self, what: str) -> NoReturn:
        raise ValueError(f"a damaged NetCDF header: byte {self.offset} of {self.prefix.size} {what}")

    def skip(self, length: int) -> bytes:
        stop = self.offset + -(-length // 4) * 4
        if stop > min(self.prefix.size, MAX_HEADER):
            self.refuse(f"announces {length} bytes; the file has {self.prefix.size}, a header at most {MAX_HEADER}")
        self.prefix.grow(stop)
        start, self.offset = self.offset, stop
        return self.prefix(start, start + length)

    def number(self, width: int) -> int:
        value: int = struct.unpack(">I" if width == 4 else ">Q", self.skip(width))[0]
        if value >= 2 ** (8 * width - 1):
            self.refuse(f"gives a number as {value}: perhaps the file was still being written")
        return value

    def count(self) -> int:
        return self.number(WORDS[self.version][0])

    def text(self, length: int) -> str:
        return self.skip(length).decode("utf-8", "replace")

    def length(self, tag: int, what: str) -> int:
        found, count = self.number(4), self.count()
        if found != tag and (found, count) != (0, 0):
            self.refuse(f"should begin the list of {what}")
        if count > MAX_OBJECTS:
            self.refuse(f"announces {count} {what}; at most {MAX_OBJECTS} are read")
        return count

    def dtype(self) -> np.dtype[Any]:
        code = self.number(4)
        if code not in TYPES or (code > CLASSIC_TYPES and self.version != 5):
            self.refuse(f"names type {code}, which version {self.version} does not have")
        return TYPES[code]


def _dimensions(cursor: _Cursor) -> dict[str, int]:
    count = cursor.length(DIMENSION, "dimensions")
    listed = [(cursor.text(cursor.count()), cursor.count()) for _ in range(count)]
    _check_once(cursor, [name for name, _ in listed])
    if sum(size == 0 for _, size in listed) > 1:
        cursor.refuse("ends a list with two unlimited dimensions")
    return dict(listed)


def _attributes(cursor: _Cursor) -> dict[str, Any]:
    attributes: dict[str, Any] = {}
    for _ in range(cursor.length(ATTRIBUTE, "attributes")):
        name, dtype, count = cursor.text(cursor.count()), cursor.dtype(), cursor.count()
        raw = cursor.skip(count * dtype.itemsize)
        attributes[name] = _value(raw, dtype, as_bytes=name == "_FillValue")
    return attributes


def _value(raw: bytes, dtype: np.dtype[Any], as_bytes: bool) -> Any:
    if dtype == TYPES[TEXT]:
        return raw if as_bytes else raw.rstrip(b"\0").decode("utf-8", "replace")
    values = np.frombuffer(raw, dtype).astype(dtype.newbyteorder("="))
    return values[0] if values.size == 1 else values


def _variable(cursor: _Cursor, dimensions: list[tuple[str, int]]) -> Declared:
    name, rank = cursor.text(cursor.count()), cursor.count()
    if rank > MAX_RANK:
        cursor.refuse(f"gives variable '{clean(name, 80)}' {rank} dimensions")
    indices = [cursor.count() for _ in range(rank)]
    if any(index >= len(dimensions) for index in indices):
        cursor.refuse(f"gives variable '{clean(name, 80)}' a dimension that is not in the file")
    attrs, dtype = _attributes(cursor), cursor.dtype()
    cursor.skip(WORDS[cursor.version][0])  # its size, which follows from the shape
    shape = tuple(dimensions[index][1] for index in indices)
    if 0 in shape[1:] or len(set(indices)) < rank:
        cursor.refuse(f"gives variable '{clean(name, 80)}' a dimension where it cannot be")
    has_records = shape[:1] == (0,)
    declared = Declared(
        name=name,
        dims=tuple(dimensions[index][0] for index in indices),
        attrs=attrs,
        dtype=dtype,
        shape=shape[1:] if has_records else shape,
        begin=cursor.number(WORDS[cursor.version][1]),
        has_records=has_records,
    )
    if declared.nbytes > MAX_BYTES:
        cursor.refuse(f"gives variable '{clean(name, 80)}' {declared.nbytes} bytes")
    return declared


def _check_once(cursor: _Cursor, names: list[str]) -> None:
    if len(set(names)) < len(names):
        cursor.refuse("ends a list with the same name twice")


def _stride(variables: tuple[Declared, ...]) -> int:
    """Bytes from one record to the next: padded for each variable, unless there is only one."""
    sizes = [variable.nbytes for variable in variables if variable.has_records]
    return sizes[0] if len(sizes) == 1 else sum(-(-size // 4) * 4 for size in sizes)


def _check_extents(cursor: _Cursor, variables: tuple[Declared, ...], records: int, stride: int) -> None:
    declared, size = 0, cursor.prefix.size
    for variable in variables:
        copies = records if variable.has_records else 1
        end = variable.begin + max(copies - 1, 0) * stride + variable.nbytes
        declared += copies * variable.nbytes
        if copies and (end > size or variable.begin < cursor.offset):
            raise ValueError(
                f"variable '{clean(variable.name, 80)}' lies at bytes {variable.begin} to {end}, "
                f"but the file has {size} with a header of {cursor.offset}: it is damaged or cut short"
            )
    if declared > size:
        raise ValueError(f"a NetCDF file of {size} bytes declares {declared}: its variables share storage")
