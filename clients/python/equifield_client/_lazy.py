"""A classic NetCDF file elsewhere as a dataset: its values are fetched when they are touched, and no others.

The values of one step are fetched in one piece for each variable. Values that lie near each other are fetched together,
several pieces at once. What was read is kept, as xarray does with files.
"""

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio.to_thread
import numpy as np
import xarray as xr
from xarray.backends import AbstractDataStore, BackendArray
from xarray.core import indexing

from ._classic import Declared, Fetch, Header, Prefix, read_header
from ._exceptions import EquifieldError
from ._text import clean

PIECE = 2**22
"""The most bytes of one request."""
GAP = 2**14
"""The most bytes that are fetched for nothing to save a request: what takes about as long."""
AT_ONCE = 8
"""The most requests at once."""
MAX_COORDINATE = 2**28
"""The most bytes of a coordinate that is read at the opening."""
COSTLY = 2**24
"""Bytes to read, or not to read for a request, beyond which the axis of records is left until it is touched."""

Span = tuple[int, int]
Array = np.ndarray[Any, Any]


def open_classic(fetch: Fetch, size: int, content: bytes = b"") -> xr.Dataset:
    """The dataset in a file, equal to what `xarray.open_dataset` makes of it; only coordinates are read at once.

    Each value of the axis of records lies in a record of its own. Where these are more than a thousand or so, the axis
    is not read at once and has no index: `dataset.set_xindex(name)` reads it and makes one.

    Args:
        fetch: Gives a part of the file; may be called by several threads.
        size: Bytes of the file.
        content: Its beginning, as far as it is known.

    Raises:
        ValueError: It is not a classic NetCDF file, or not a sound one. What `fetch` raises is passed on.
    """
    prefix = Prefix(fetch, size, content)
    header = read_header(prefix)
    for variable in header.variables:
        copies = header.records if variable.has_records else 1
        if variable.dims == (variable.name,) and copies * variable.nbytes > MAX_COORDINATE:
            raise ValueError(f"coordinate '{clean(variable.name, 80)}' has more than {MAX_COORDINATE} bytes")
    try:
        return _indexed(header, prefix)
    except EquifieldError:
        raise
    except Exception as error:  # attributes that make no sense raise a dozen kinds in the decoder
        raise ValueError(f"a NetCDF file that cannot be decoded: {error}") from error


def _indexed(header: Header, prefix: Prefix) -> xr.Dataset:
    """The dataset with an index for each coordinate that is read at once."""
    costly = header.records * min(header.stride, GAP) > COSTLY
    dataset = xr.open_dataset(_Store(header, prefix), create_default_indexes=not costly)
    for variable in header.variables if costly else ():
        if variable.dims == (variable.name,) and not variable.has_records:
            dataset = dataset.set_xindex(variable.name)
    return dataset


class _Store(AbstractDataStore):
    """The file as xarray's own reader wants it, which decodes it by the CF conventions."""

    def __init__(self, header: Header, fetch: Fetch):
        self._header, self._fetch = header, fetch

    def get_variables(self) -> dict[str, xr.Variable]:
        return {declared.name: self._variable(declared) for declared in self._header.variables}

    def get_attrs(self) -> dict[str, Any]:
        return self._header.attrs

    def get_encoding(self) -> dict[str, Any]:
        return {"unlimited_dims": {self._header.unlimited} - {None}}

    def _variable(self, declared: Declared) -> xr.Variable:
        values = indexing.LazilyIndexedArray(_Values(declared, self._header, self._fetch))
        return xr.Variable(declared.dims, values, declared.attrs)


class _Values(BackendArray):
    """The values of one variable."""

    def __init__(self, declared: Declared, header: Header, fetch: Fetch):
        self._declared, self._stride, self._fetch = declared, header.stride, fetch
        self.shape = (header.records, *declared.shape) if declared.has_records else declared.shape
        self.dtype = declared.dtype.newbyteorder("=")

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER, self._read)

    async def async_getitem(self, key: indexing.ExplicitIndexer) -> Any:
        """The same for `Dataset.load_async`."""
        return await anyio.to_thread.run_sync(self.__getitem__, key)

    def _read(self, key: tuple[Any, ...]) -> Array:
        ends = [_ends(part, length) for part, length in zip(key, self.shape, strict=True)]
        if any(low == high for low, high in ends):
            return np.array(_picked(np.broadcast_to(np.zeros((), self.dtype), self.shape), key))
        row_axes = int(self._declared.has_records)
        rows, order = np.zeros(1, int), np.zeros((), int)
        if row_axes:
            chosen = np.arange(self.shape[0])[key[0]]
            rows, order = np.unique(chosen, return_inverse=True)
            order = order.reshape(chosen.shape)
        first, box, within = _box(self._declared.shape, key[row_axes:], ends[row_axes:])
        start = self._declared.begin + first * self.dtype.itemsize
        length = math.prod(box) * self.dtype.itemsize
        spans = [(start + row * self._stride, start + row * self._stride + length) for row in rows.tolist()]
        values = np.frombuffer(gather(self._fetch, spans), self._declared.dtype).reshape(len(rows), *box)
        return np.array(_picked(values, (order, *within)), self.dtype)


def _picked(values: Array, key: Sequence[Any]) -> Array:
    """The values at the crossings of what each axis chooses."""
    for axis in reversed(range(len(key))):
        values = values[(slice(None),) * axis + (key[axis],)]
    return values


def _ends(part: Any, length: int) -> Span:
    """The first place that a part of a key chooses, and the one behind the last; equal if it chooses none."""
    if isinstance(part, slice):
        places = range(length)[part]
        return (places[0], places[-1] + 1) if places else (0, 0)
    chosen = np.asarray(part) % length
    return (int(chosen.min()), int(chosen.max()) + 1) if chosen.size else (0, 0)


def _box(shape: Sequence[int], key: Sequence[Any], ends: Sequence[Span]) -> tuple[int, tuple[int, ...], list[Any]]:
    """The shortest run of values that holds the chosen ones: its first, its shape, and the key within it."""
    first, pitch = 0, math.prod(shape)
    box, within = list(shape), list(key)
    for axis, (length, (low, high)) in enumerate(zip(shape, ends, strict=True)):
        pitch //= length
        first += low * pitch
        box[axis] = high - low
        if isinstance(key[axis], slice):
            within[axis] = slice(0, high - low, key[axis].step)
        else:
            within[axis] = np.asarray(key[axis]) % length - low
        if high - low > 1:
            break
    return first, tuple(box), within


def gather(fetch: Fetch, spans: Sequence[Span]) -> bytes:
    """The bytes of ascending spans, one behind the other, in few requests."""
    groups = list(_merged(spans))
    pieces = [(at, min(at + PIECE, stop)) for start, stop in groups for at in range(start, stop, PIECE)]
    if len(pieces) == 1:
        contents = [fetch(*pieces[0])]
    else:
        with ThreadPoolExecutor(min(AT_ONCE, len(pieces))) as pool:
            contents = list(pool.map(lambda piece: fetch(*piece), pieces))
    joined = b"".join(contents)
    if len(groups) == len(spans):
        return joined
    content, offsets = memoryview(joined), _offsets(groups, spans)
    return b"".join(content[at : at + stop - start] for at, (start, stop) in zip(offsets, spans, strict=True))


def _merged(spans: Sequence[Span]) -> Iterator[Span]:
    begin, end = spans[0]
    for start, stop in spans[1:]:
        if start - end > GAP:
            yield begin, end
            begin = start
        end = stop
    yield begin, end


def _offsets(groups: Sequence[Span], spans: Sequence[Span]) -> Iterator[int]:
    """Where each span begins in its groups, laid one behind the other."""
    before, rest = 0, iter(groups)
    group = next(rest)
    for start, _ in spans:
        while start >= group[1]:
            before += group[1] - group[0]
            group = next(rest)
        yield before + start - group[0]
