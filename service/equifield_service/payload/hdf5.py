"""Looks into an HDF5 file before the NetCDF library opens it.

What is refused here either reads other files of this machine (external storage, links, virtual datasets),
decodes to far more than was sent, or crashes the library. h5py is C as well, so this runs in the sandbox too.
"""

import io
import math
from collections.abc import Iterator

import h5py
from h5py import h5a, h5d, h5g, h5l, h5o, h5p, h5t, h5z

from ..domain.errors import GroupMissing, InflatedTooLarge, UnsafeFile
from .describing import clean, listing
from .values import MIB, Limits

MAX_ATTRIBUTES = 1024
FILTERS = {h5z.FILTER_DEFLATE: "deflate", h5z.FILTER_SHUFFLE: "shuffle", h5z.FILTER_FLETCHER32: "fletcher32"}
NUMBERS = [
    getattr(h5t, f"{family}_{letter}{bits}{order}")
    for family, letter, widths in (
        ("IEEE", "F", (32, 64)),
        ("STD", "I", (8, 16, 32, 64)),
        ("STD", "U", (8, 16, 32, 64)),
    )
    for bits in widths
    for order in ("LE", "BE")
]
TYPE_NAMES = {
    h5t.TypeCompoundID: "compound",
    h5t.TypeVlenID: "variable-length",
    h5t.TypeEnumID: "enumeration",
    h5t.TypeReferenceID: "reference",
    h5t.TypeOpaqueID: "opaque",
    h5t.TypeBitfieldID: "bit field",
}


def check_hdf5(body: bytes, limits: Limits, group: str | None = None) -> dict[str, str]:
    """Refuses an HDF5 file that is not safe to open.

    Args:
        body: The file.
        limits: What it may ask for.
        group: The group whose variables are wanted, `/a/b`; None for the root group.

    Returns:
        The variables in that group of a type that cannot be read as numbers or text, each with the type's name. They
        must not be read; that they are there is no fault.

    Raises:
        GroupMissing: There is no such group.
        UnsafeFile: The file points outside itself, at itself, or uses a filter that is not allowed.
        InflatedTooLarge: It would decode to more than the limits allow.
    """
    unreadable: dict[str, str] = {}
    prefix, groups, decoded = _prefix(group), [], 0
    with h5py.File(io.BytesIO(body), "r") as file:
        for path, item in _objects(file.id, limits):
            _check_attributes(path, item, limits)
            if isinstance(item, h5d.DatasetID):
                decoded += _check_dataset(path, item, limits)
                kind = _unreadable_type(item.get_type())
                if kind is not None and path.rpartition("/")[0] == prefix:
                    unreadable[path.rpartition("/")[2]] = kind
            else:
                groups.append(path)
    if prefix not in groups:
        raise GroupMissing(
            f"`group={clean(group)}` names no group of the file. It has {listing('/' + path for path in groups)}."
        )
    if decoded > limits.decoded_bytes:
        raise InflatedTooLarge(
            f"The variables of the file decode to {decoded} bytes together; at most {limits.decoded_bytes} "
            f"are read. Send only the variables that the model needs, or fewer samples."
        )
    return unreadable


def _prefix(group: str | None) -> str:
    return "/".join(part for part in (group or "").split("/") if part)


def _objects(file: h5py.h5f.FileID, limits: Limits) -> Iterator[tuple[str, h5g.GroupID | h5d.DatasetID]]:
    """Every object, reached by exactly one hard link; the root group first, under the path ''."""
    root = h5g.open(file, b"/")
    seen = {h5o.get_info(root).addr}
    pending = [("", root)]
    yield "", root
    while pending:
        prefix, group = pending.pop()
        for name, item in _members(prefix, group):
            address = h5o.get_info(item).addr
            if address in seen:
                raise UnsafeFile(
                    f"'{clean(name)}' is a second hard link to the same object. Send a file without links."
                )
            if len(seen) > limits.objects:
                raise InflatedTooLarge(f"The file has more than {limits.objects} variables and groups; send fewer.")
            seen.add(address)
            if isinstance(item, h5t.TypeID):
                continue
            yield name, item
            if isinstance(item, h5g.GroupID):
                pending.append((name + "/", item))


def _members(prefix: str, group: h5g.GroupID) -> Iterator[tuple[str, h5g.GroupID | h5d.DatasetID | h5t.TypeID]]:
    names: list[bytes] = []
    group.links.iterate(names.append)
    for name in names:
        path = prefix + name.decode("utf-8", "backslashreplace")
        if group.links.get_info(name).type != h5l.TYPE_HARD:
            raise UnsafeFile(f"'{clean(path)}' is a soft or external link. Send a file that holds its own data.")
        yield path, h5o.open(group, name)


def _check_attributes(path: str, item: h5g.GroupID | h5d.DatasetID, limits: Limits) -> None:
    count = h5a.get_num_attrs(item)
    if count > MAX_ATTRIBUTES:
        raise InflatedTooLarge(f"'{clean(path)}' has {count} attributes; at most {MAX_ATTRIBUTES} are read.")
    for index in range(count):
        size = h5a.get_info(item, index=index).data_size
        if size > limits.attribute_bytes:
            raise InflatedTooLarge(
                f"An attribute of '{clean(path)}' has {size} bytes; at most {limits.attribute_bytes} are read."
            )


def _check_dataset(path: str, dataset: h5d.DatasetID, limits: Limits) -> int:
    """Checks where a dataset's values come from, and returns how many bytes they decode to."""
    creation = dataset.get_create_plist()
    layout = creation.get_layout()
    if layout == h5d.VIRTUAL:
        raise UnsafeFile(f"'{clean(path)}' is a virtual dataset. Send a file that holds its own data.")
    if layout != h5d.CHUNKED and creation.get_external_count() > 0:
        raise UnsafeFile(f"'{clean(path)}' keeps its values in another file. Send a file that holds its own data.")
    decoded = _check_size(path, dataset, creation, limits)
    filters = [creation.get_filter(index)[0] for index in range(creation.get_nfilters())]
    if not set(filters) <= set(FILTERS) or len(set(filters)) < len(filters):
        raise UnsafeFile(
            f"'{clean(path)}' is stored through the HDF5 filters {filters}; {', '.join(FILTERS.values())} "
            f"are read, each at most once. Write the file again with zlib compression or with none."
        )
    return decoded


def _check_size(path: str, dataset: h5d.DatasetID, creation: h5p.PropDCID, limits: Limits) -> int:
    item_bytes = int(dataset.get_type().get_size())
    chunk = math.prod(creation.get_chunk()) * item_bytes if creation.get_layout() == h5d.CHUNKED else 0
    if chunk > limits.chunk_bytes:
        raise InflatedTooLarge(
            f"'{clean(path)}' has chunks of {chunk} bytes; at most {limits.chunk_bytes} are read. Use smaller ones."
        )
    decoded = math.prod(dataset.shape or ()) * item_bytes
    stored = int(dataset.get_storage_size())
    if decoded > limits.decoded_bytes or (decoded > MIB and decoded > limits.expansion * stored):
        raise InflatedTooLarge(
            f"'{clean(path)}' decodes from {stored} to {decoded} bytes; at most {limits.decoded_bytes} are "
            f"read, and at most {limits.expansion} times what is stored. Send fewer samples, and values "
            f"that were written."
        )
    return decoded


def _unreadable_type(kind: h5t.TypeID) -> str | None:
    """The name of a type that is neither a plain number nor text; None if it is."""
    if isinstance(kind, h5t.TypeStringID) or any(kind.equal(number) for number in NUMBERS):
        return None
    names = [name for family, name in TYPE_NAMES.items() if isinstance(kind, family)]
    return names[0] if names else f"{8 * kind.get_size()}-bit"
