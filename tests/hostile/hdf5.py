"""HDF5 files that reach for other files, that swell, that crash a library, or that never end."""

import io
import zlib
from collections.abc import Callable
from functools import partial

import h5py
import numpy as np
import numpy.typing as npt
from h5py import h5d, h5p, h5s, h5t, h5z

from .kinds import MALFORMED, NOT_TAKEN, OK, TOO_LARGE, UNFIT, add, kind
from .plain import netcdf4, wind, written

FIFO, SECRET = "/tmp/equifield_hostile_fifo", "/tmp/equifield_hostile_secret.h5"
"""What some files point at; whoever tries them makes both, so that a leak or a hang would show."""

MIB, GIB = 2**20, 2**30
OPTIONAL = h5z.FLAG_OPTIONAL  # lets a file name a filter that is not installed
BZIP2, UNKNOWN = 307, 32099


def hdf5(fill: Callable[[h5py.File], object], *, fields: bool = True, latest: bool = False) -> bytes:
    """The bytes of a file in memory, with good fields beside what `fill` adds."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", libver="latest" if latest else "earliest") as file:
        if fields:
            for name in "uv":
                file[name] = np.ones((12, 16), "f4")
        fill(file)
    return buffer.getvalue()


def zeros_deflated(size: int) -> bytes:
    """What zlib makes of `size` zero bytes, a multiple of MiB, without going through all of them."""
    deflate = zlib.compressobj(9)
    first = deflate.compress(bytes(MIB)) + deflate.flush(zlib.Z_FULL_FLUSH)
    again = deflate.compress(bytes(MIB)) + deflate.flush(zlib.Z_FULL_FLUSH)
    checksum = (size % 65521) << 16 | 1
    return first + again * (size // MIB - 1) + b"\x03\x00" + checksum.to_bytes(4, "big")


def stored(
    file: h5py.File, name: str, shape: tuple[int, ...], chunk: tuple[int, ...], filters: list[int], data: bytes | None
) -> None:
    """A dataset of bytes whose chunks all hold `data`, whatever its filters would have made of it."""
    creation = h5p.create(h5p.DATASET_CREATE)
    creation.set_chunk(chunk)
    for number in filters:
        creation.set_filter(number, OPTIONAL, (9,))
    made = h5d.create(file.id, name.encode(), h5t.NATIVE_UINT8, h5s.create_simple(shape), creation)
    for start in range(0, shape[0], chunk[0]) if data else ():
        made.write_direct_chunk((start, *[0] * (len(shape) - 1)), data)


def bomb(filters: list[int], data: bytes, chunk: int = 256 * MIB) -> bytes:
    """4.25 GiB out of a few kilobytes."""
    return hdf5(lambda file: stored(file, "bomb", (17 * chunk,), (chunk,), filters, data))


DEFLATE = h5z.FILTER_DEFLATE


@kind(TOO_LARGE)
def bomb_deflate_4GiB() -> bytes:
    return bomb([DEFLATE], zeros_deflated(256 * MIB))


@kind(TOO_LARGE, NOT_TAKEN)
def bomb_double_deflate_4GiB() -> bytes:
    return bomb([DEFLATE, DEFLATE], zlib.compress(zeros_deflated(256 * MIB), 9))


@kind(TOO_LARGE, NOT_TAKEN)
def bomb_triple_deflate_4GiB() -> bytes:
    return bomb([DEFLATE] * 3, zlib.compress(zlib.compress(zeros_deflated(256 * MIB), 9), 9))


@kind(TOO_LARGE, NOT_TAKEN)
def bomb_bzip2_4GiB() -> bytes:
    return bomb([BZIP2], b"BZh91AY&SY")


@kind(NOT_TAKEN)
def small_double_deflate() -> bytes:
    """Within every limit as declared, so that only the rule about filters speaks."""
    data = zlib.compress(zlib.compress(bytes(MIB)))
    return hdf5(lambda file: stored(file, "twice", (MIB,), (MIB,), [DEFLATE, DEFLATE], data))


@kind(TOO_LARGE)
def bomb_tiny_shape_huge_chunk() -> bytes:
    def fill(file: h5py.File) -> None:
        creation = h5p.create(h5p.DATASET_CREATE)
        creation.set_chunk((GIB,))
        creation.set_deflate(9)
        space = h5s.create_simple((1,), (h5s.UNLIMITED,))
        made = h5d.create(file.id, b"tiny", h5t.NATIVE_UINT8, space, creation)
        made.write_direct_chunk((0,), zeros_deflated(GIB))

    return hdf5(fill)


@kind(TOO_LARGE)
def bomb_unallocated_1TiB() -> bytes:
    return hdf5(lambda file: file.create_dataset("vast", (2**19, 2**19), "f4", chunks=(1024, 1024)))


@kind(NOT_TAKEN, TOO_LARGE)
def bomb_hard_links() -> bytes:
    def fill(file: h5py.File) -> None:
        stored(file, "v0", (32 * MIB,), (32 * MIB,), [DEFLATE], zeros_deflated(32 * MIB))
        for number in range(1, 34):
            file[f"v{number}"] = file["v0"]

    return hdf5(fill)


@kind(UNFIT, NOT_TAKEN, TOO_LARGE, u="text")
def bomb_vlen() -> bytes:
    """Many references to long texts in place of a field."""
    return hdf5(lambda file: file.create_dataset("text", data=["a" * 5_000] * 192, dtype=h5py.string_dtype()))


@kind(NOT_TAKEN)
def filter_unknown_32099() -> bytes:
    return hdf5(lambda file: stored(file, "w", (1024,), (1024,), [UNKNOWN], bytes(1024)))


@kind(NOT_TAKEN)
def filter_scaleoffset() -> bytes:
    return hdf5(lambda file: file.create_dataset("w", data=np.arange(1024), chunks=(64,), scaleoffset=0))


for _filter in ("zstd", "bzip2", "szip"):
    add(f"ok_{_filter}", partial(written, wind(), "NETCDF4", compression=_filter), OK, NOT_TAKEN)
add("ok_zlib_shuffle_fletcher", partial(written, wind(), "NETCDF4", compression="zlib", fletcher32=True), OK)
add("ok_nc4", partial(written, wind(), "NETCDF4"), OK)
add("ok_nc4classic", partial(written, wind(), "NETCDF4_CLASSIC"), OK)
add("ok_bigendian", partial(written, wind(), "NETCDF4", endian="big"), OK)


def raw(path: str, count: int = 192) -> bytes:
    """A field whose values are the bytes of some file of the machine that opens it."""

    def fill(file: h5py.File) -> None:
        file["v"] = np.ones((12, 16), "f4")
        file.create_dataset("u", (count,), "u1", external=[(path, 0, count)])

    return hdf5(fill, fields=False)


for _name, _path, _count in (
    ("environ", "/proc/self/environ", 256),
    ("passwd", "/etc/passwd", 256),
    ("devzero", "/dev/zero", GIB),
    ("fifo", FIFO, 192),
    ("relative", "../../../../../../etc/passwd", 192),
):
    add(f"ext_raw_{_name}", partial(raw, _path, _count), NOT_TAKEN)


def linked(path: str) -> bytes:
    return hdf5(lambda file: file.update({"w": h5py.ExternalLink(path, "/secret")}))


for _name, _path in (("h5", SECRET), ("fifo", FIFO), ("self", "x")):
    add(
        f"ext_link_{_name}",
        partial(linked, _path),
        NOT_TAKEN,
    )


def virtual(path: str, name: str) -> bytes:
    layout = h5py.VirtualLayout((4,), "f8")
    layout[:] = h5py.VirtualSource(path, name, (4,))
    return hdf5(lambda file: file.create_virtual_dataset("w", layout))


add("vds_local_h5", partial(virtual, SECRET, "secret"), NOT_TAKEN)
add("vds_self", partial(virtual, ".", "u"), NOT_TAKEN)


@kind(MALFORMED, NOT_TAKEN)
def soft_dangling() -> bytes:
    return hdf5(lambda file: file.update({"w": h5py.SoftLink("/nowhere")}))


@kind(MALFORMED, NOT_TAKEN)
def soft_loop() -> bytes:
    return hdf5(lambda file: file.update({"a": h5py.SoftLink("/b"), "b": h5py.SoftLink("/a")}))


@kind(NOT_TAKEN, TOO_LARGE)
def cyclic_group_root() -> bytes:
    return hdf5(lambda file: file.create_group("a").update({"loop": file["/"]}))


@kind(NOT_TAKEN, TOO_LARGE)
def cyclic_group_inner() -> bytes:
    return hdf5(lambda file: file.create_group("a/b").update({"a": file["/a"]}))


@kind(NOT_TAKEN, TOO_LARGE)
def group_dag_2pow30() -> bytes:
    """30 groups, each linked twice from the one before: 2^30 paths."""

    def fill(file: h5py.File) -> None:
        place = file["/"]
        for _ in range(30):
            inner = place.create_group("left")
            place["right"] = inner
            place = inner

    return hdf5(fill)


@kind(TOO_LARGE)
def groups_5000() -> bytes:
    return hdf5(lambda file: [file.create_group(f"g{number}") for number in range(5000)])


@kind(TOO_LARGE, MALFORMED)
def groups_nested_1100() -> bytes:
    return hdf5(lambda file: file.create_group("g/" * 1100))


@kind(MALFORMED)
def trunc_nc4_half() -> bytes:
    body = hdf5(lambda file: file)
    return body[: len(body) // 2]


@kind(OK, MALFORMED, UNFIT)
def trunc_nc4_padded() -> bytes:
    body = netcdf4(wind())
    kept = len(body) * 2 // 3
    return body[:kept] + bytes(len(body) - kept)


@kind(MALFORMED)
def corrupt_fletcher32() -> bytes:
    data = wind()
    body = bytearray(written(data, "NETCDF4", fletcher32=True))
    body[body.index(data.u.values.tobytes()) + 100] ^= 1
    return bytes(body)


@kind(MALFORMED)
def corrupt_objheader_checksum() -> bytes:
    body = bytearray(hdf5(lambda file: file, latest=True))
    body[body.rindex(b"OHDR") + 12] ^= 1
    return bytes(body)


@kind(MALFORMED, UNFIT)
def hang_one_bit_gcol() -> bytes:
    """The size of an object on a global heap is one too large: the library walks on for ever."""
    body = bytearray(written(wind(), "NETCDF4"))
    size = body.index(b"GCOL") + 24
    assert body[size] == 8
    body[size] = 9
    return bytes(body)


def typed(name: str, values: npt.ArrayLike, dtype: object = None) -> bytes:
    return hdf5(lambda file: file.create_dataset(name, data=values, dtype=dtype))


GRID = np.ones((12, 16))
for _name, _values, _type in (
    ("float16", GRID.astype("f2"), None),
    ("longdouble", GRID.astype(np.longdouble), None),
    ("complex", GRID.astype("c8"), None),
    ("compound", np.zeros((12, 16), [("a", "f4"), ("b", "i4")]), None),
    ("enum", GRID.astype("i1"), h5py.enum_dtype({"ON": 1, "OFF": 0}, "i1")),
    ("opaque", np.zeros((12, 16), "V5"), None),
):
    add(f"type_{_name}", partial(typed, "w", _values, _type), NOT_TAKEN, UNFIT, u="w")


@kind(NOT_TAKEN, UNFIT, u="w")
def type_vlen() -> bytes:
    return hdf5(lambda file: file.create_dataset("w", (12, 16), h5py.vlen_dtype("f4")))


@kind(NOT_TAKEN, UNFIT, u="w")
def type_reference() -> bytes:
    return hdf5(lambda file: file.create_dataset("w", (12, 16), h5py.ref_dtype))


@kind(OK, UNFIT)
def h5_no_dimscales() -> bytes:
    return hdf5(lambda file: file)


@kind(TOO_LARGE)
def meta_attr_1MB() -> bytes:
    return netcdf4(wind().assign_attrs(long="a" * 10**6))


@kind(OK)
def type_string_coord() -> bytes:
    return netcdf4(wind().assign(label=("y", np.array([f"row {row}" for row in range(12)], object))))


@kind(OK, UNFIT)
def groups_plain() -> bytes:
    def fill(file: h5py.File) -> None:
        for name in "uv":
            file[f"model/{name}"] = np.ones((12, 16), "f4")

    return hdf5(fill, fields=False)
