"""Reads the header of a NetCDF-3 file, and believes nothing of it.

Everything that is declared must lie inside the body, and must not be declared twice.
The format: https://docs.unidata.ucar.edu/nug/current/file_format_specifications.html
"""

import math
import struct
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from ..domain.errors import InflatedTooLarge, MalformedFile
from .describing import clean, listing
from .values import Buffer, Limits

DIMENSION, VARIABLE, ATTRIBUTE = 0x0A, 0x0B, 0x0C
TYPES = {number: np.dtype(code) for number, code in enumerate(("i1", "S1", ">i2", ">i4", ">f4", ">f8"), start=1)}
TEXT = TYPES[2]
STREAMING = 0xFFFFFFFF
LARGEST = 2**31 - 1
MAX_RANK = 32


@dataclass(frozen=True)
class Declared:
    """A variable as a header declares it; `shape` is that of one record, if it has records."""

    name: str
    dims: tuple[str, ...]
    attrs: dict[str, Any]
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    begin: int
    has_records: bool

    @property
    def nbytes(self) -> int:
        """Bytes of all values, or of one record."""
        return math.prod(self.shape) * self.dtype.itemsize


@dataclass(frozen=True)
class Header:
    """A header that fits its body: `records` of `stride` bytes each, and what was declared."""

    records: int
    stride: int
    dimensions: dict[str, int]  # 0: unlimited
    attrs: dict[str, Any]
    variables: list[Declared]


class _Cursor:
    """Reads big-endian header words, and refuses to leave the body."""

    def __init__(self, body: Buffer, limits: Limits):
        self.body, self.limits, self.offset = memoryview(body), limits, 0

    def malformed(self, what: str) -> NoReturn:
        raise MalformedFile(
            f"The NetCDF-3 header is damaged: byte {self.offset} of {len(self.body)} {what}. "
            f"Write the file again, or compare its checksum with the original's."
        )

    def skip(self, length: int) -> memoryview:
        padded = -(-length // 4) * 4
        if length < 0 or self.offset + padded > len(self.body):
            self.malformed(f"announces {length} bytes, more than there are")
        start, self.offset = self.offset, self.offset + padded
        return self.body[start : start + length]

    def word(self, what: str) -> int:
        value: int = struct.unpack(">I", self.skip(4))[0]
        if value > LARGEST:
            self.malformed(f"gives {what} as {value}")
        return value

    def offset_word(self) -> int:
        size, code = (4, ">I") if self.body[3] == 1 else (8, ">Q")
        return int(struct.unpack(code, self.skip(size))[0])

    def name(self) -> str:
        length = self.word("the length of a name")
        if length > self.limits.attribute_bytes:
            self.malformed(f"announces a name of {length} bytes")
        return decoded_text(self.skip(length))

    def count(self, tag: int, what: str) -> int:
        found, count = self.word("a tag"), self.word(f"the number of {what}")
        if found != tag and (found, count) != (0, 0):
            self.malformed(f"should begin the list of {what}")
        if count * 8 > len(self.body):
            self.malformed(f"announces {count} {what}, which would not fit into the file")
        if count > self.limits.objects:
            raise InflatedTooLarge(
                f"The file has {count} {what}; at most {self.limits.objects} are read. "
                f"Send only the variables that the model needs."
            )
        return count

    def dtype(self) -> np.dtype[Any]:
        code = self.word("a type")
        if code not in TYPES:
            self.malformed(f"names type {code}; NetCDF-3 has types 1 to 6")
        return TYPES[code]


def decoded_text(raw: memoryview) -> str:
    """Text of a file: UTF-8 by the standard, Latin-1 in files that are older than that."""
    try:
        return str(raw, "utf-8")
    except UnicodeDecodeError:
        return str(raw, "latin-1")


def read_header(body: Buffer, limits: Limits) -> Header:
    """The header of a NetCDF-3 file whose body holds everything that it announces.

    Raises:
        MalformedFile: Something declared lies outside the file, or the header contradicts itself.
        InflatedTooLarge: The variables overlap, so that they decode to more than was sent, or are too many.
    """
    cursor = _Cursor(body, limits)
    cursor.offset = 4
    records = struct.unpack(">I", cursor.skip(4))[0]
    if records == STREAMING:
        cursor.malformed("says that the file was still being written when it was copied")
    dimensions = _dimensions(cursor)
    attrs = _attributes(cursor)
    declared = list(dimensions.items())
    variables = [_variable(cursor, declared) for _ in range(cursor.count(VARIABLE, "variables"))]
    _check_once(cursor, [variable.name for variable in variables])
    stride = stride_of(variables)
    _check_extents(cursor, variables, records, stride)
    return Header(records, stride, dimensions, attrs, variables)


def _check_once(cursor: _Cursor, names: list[str]) -> None:
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        cursor.malformed(f"ends a header that declares {listing(twice)} twice")


def _dimensions(cursor: _Cursor) -> dict[str, int]:
    names, sizes = [], []
    for _ in range(cursor.count(DIMENSION, "dimensions")):
        names.append(cursor.name())
        sizes.append(cursor.word(f"the length of dimension '{clean(names[-1])}'"))
    if sizes.count(0) > 1:
        cursor.malformed("ends a list with two unlimited dimensions; NetCDF-3 has at most one")
    _check_once(cursor, names)
    return dict(zip(names, sizes, strict=True))


def _attributes(cursor: _Cursor) -> dict[str, Any]:
    attributes: dict[str, Any] = {}
    for _ in range(cursor.count(ATTRIBUTE, "attributes")):
        name, dtype = cursor.name(), cursor.dtype()
        count = cursor.word(f"the length of attribute '{clean(name)}'")
        length = count * dtype.itemsize
        raw = cursor.skip(length)
        if length > cursor.limits.attribute_bytes:
            raise InflatedTooLarge(
                f"Attribute '{clean(name)}' has {length} bytes; at most {cursor.limits.attribute_bytes} are read."
            )
        attributes[name] = bytes(raw) if dtype == TEXT and name == "_FillValue" else _value(raw, dtype)
    return attributes


def _value(raw: memoryview, dtype: np.dtype[Any]) -> Any:
    if dtype == TEXT:
        return decoded_text(raw).rstrip("\0")
    values = np.frombuffer(raw, dtype).astype(dtype.newbyteorder("="))
    return values[0] if values.size == 1 else values


def _variable(cursor: _Cursor, dimensions: list[tuple[str, int]]) -> Declared:
    name = cursor.name()
    rank = cursor.word(f"the rank of variable '{clean(name)}'")
    if rank > MAX_RANK:
        cursor.malformed(f"gives variable '{clean(name)}' {rank} dimensions")
    indices = [cursor.word("a dimension") for _ in range(rank)]
    if any(index >= len(dimensions) for index in indices):
        cursor.malformed(f"gives variable '{clean(name)}' a dimension that is not in the file")
    attrs, dtype = _attributes(cursor), cursor.dtype()
    cursor.skip(4)  # the size, which follows from the shape
    shape = tuple(dimensions[index][1] for index in indices)
    if 0 in shape[1:]:
        cursor.malformed(f"puts the unlimited dimension of variable '{clean(name)}' after another one")
    has_records = shape[:1] == (0,)
    return Declared(
        name=name,
        dims=tuple(dimensions[index][0] for index in indices),
        attrs=attrs,
        dtype=dtype,
        shape=shape[1:] if has_records else shape,
        begin=cursor.offset_word(),
        has_records=has_records,
    )


def stride_of(variables: list[Declared]) -> int:
    """Bytes from one record to the next: padded for each variable, unless there is only one."""
    sizes = [variable.nbytes for variable in variables if variable.has_records]
    return sizes[0] if len(sizes) == 1 else sum(-(-size // 4) * 4 for size in sizes)


def _check_extents(cursor: _Cursor, variables: list[Declared], records: int, stride: int) -> None:
    declared = 0
    for variable in variables:
        copies = records if variable.has_records else 1
        end = variable.begin + max(copies - 1, 0) * stride + variable.nbytes
        declared += copies * variable.nbytes
        if copies and end > len(cursor.body):
            raise MalformedFile(
                f"The NetCDF-3 file is cut short: variable '{clean(variable.name)}' ends at byte {end}, "
                f"but the file has {len(cursor.body)}. Send the whole file."
            )
    if declared > len(cursor.body):
        raise InflatedTooLarge(
            f"The file has {len(cursor.body)} bytes but declares {declared}: its variables share storage, "
            f"which NetCDF-3 does not allow. Write the file again."
        )
