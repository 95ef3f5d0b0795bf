"""Opens a body as raw variables, and decodes those that are needed."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import netCDF4
import numpy as np
import xarray as xr
from xarray.backends import NetCDF4DataStore
from xarray.conventions import decode_cf_variable

from ..domain.errors import DomainError, GroupMissing, InflatedTooLarge, MalformedFile, VariableUnusable
from .classic import read_header
from .classic_reading import variables_in
from .describing import clean
from .hdf5 import check_hdf5
from .values import Buffer, Kind, Limits

PACKING = {"scale_factor", "add_offset", "_FillValue", "missing_value", "_Unsigned", "dtype"}
"""The attributes that say that the values are other ones than those that are stored."""
RANGES = {"valid_range", "valid_min", "valid_max", "actual_range"}
"""The attributes that say between which numbers the values lie."""
NAME = "body"
"""Under which a body is opened; the library takes some names for addresses to fetch."""


@dataclass(frozen=True)
class File:
    """An open file.

    Attributes:
        variables: As stored: nothing unpacked, no times decoded, values read when asked for.
        attrs: The global attributes.
        unlimited: The unlimited dimensions.
        unreadable: Variables that are in the file but of a type that is never read, with the type's name.
    """

    variables: Mapping[str, xr.Variable]
    attrs: Mapping[str, Any] = field(default_factory=dict)
    unlimited: list[str] = field(default_factory=list)
    unreadable: Mapping[str, str] = field(default_factory=dict)


@contextlib.contextmanager
def reading(what: str) -> Iterator[None]:
    """Turns whatever a file makes the libraries raise into a refusal that repeats nothing of it."""
    try:
        yield
    except (DomainError, ImportError):  # what a library lacks is no fault of the file
        raise
    except MemoryError:
        raise InflatedTooLarge(f"{what} needs more memory than one request may use. Send less at once.") from None
    except Exception as error:
        raise MalformedFile(
            f"{what} failed ({type(error).__name__}): the file is damaged or cut short. Write it again, or "
            f"compare its checksum with the original's."
        ) from error


@contextlib.contextmanager
def opened(body: Buffer, kind: Kind, limits: Limits, group: str | None = None) -> Iterator[File]:
    """A file, looked through for what is unsafe or impossible before it is opened; open as long as the context lasts.

    Raises:
        GroupMissing: There is no such group.
        MalformedFile, UnsafeFile, InflatedTooLarge: It is damaged, or asks for too much.
    """
    if group is not None and kind != "netcdf4":
        raise GroupMissing(f"`group={clean(group)}`: a file of kind {kind} has no groups. Leave `group` out.")
    match kind:
        case "netcdf3":
            with reading("Opening the file"):
                header = read_header(body, limits)
                variables = variables_in(body, header)
            unlimited = [name for name, size in header.dimensions.items() if size == 0]
            yield File(variables, header.attrs, unlimited)
        case "netcdf4":
            with reading("Looking into the file"):
                unreadable = check_hdf5(bytes(body), limits, group)
            with contextlib.ExitStack() as stack:
                with reading("Opening the file"):
                    file = _open_netcdf4(
                        stack.enter_context(netCDF4.Dataset(NAME, memory=memoryview(body))), unreadable, group
                    )
                yield file
        case "json":
            with reading("Opening the file"):
                data = _from_json(bytes(body))
            yield File({str(name): variable for name, variable in data.variables.items()}, data.attrs)


def _open_netcdf4(root: netCDF4.Dataset, unreadable: Mapping[str, str], group: str | None) -> File:
    """The variables of a group, with the coordinates of its dimensions, which may lie in a group around it."""
    variables: dict[str, xr.Variable] = {}
    attrs: dict[str, Any] = {}
    place, unlimited = root, []
    for name in ["", *(part for part in (group or "").split("/") if part)]:
        place = place[name] if name else place
        found, own = NetCDF4DataStore(place).load()  # type: ignore[no-untyped-call]
        variables = {key: variable for key, variable in variables.items() if variable.dims == (key,)}
        variables |= {key: variable for key, variable in found.items() if key not in unreadable}
        attrs |= own
        unlimited += [key for key, dimension in place.dimensions.items() if dimension.isunlimited()]
    return File(variables, attrs, unlimited, unreadable)


def _from_json(body: bytes) -> xr.Dataset:
    data = xr.Dataset.from_dict(json.loads(body)).drop_encoding()
    for name, variable in data.variables.items():
        if variable.dtype == object:  # null is how JSON says "missing"
            with contextlib.suppress(TypeError, ValueError):
                data[name] = variable.copy(data=variable.values.astype(np.float64))
    return data


def decoded(file: File, name: str) -> xr.Variable:
    """A variable unpacked to numbers as xarray does it: scale, offset, fill values, sign and byte order.

    Raises:
        VariableUnusable: It is not numeric, or its packing attributes are not numbers.
        MalformedFile: Its values cannot be read.
    """
    if name in file.unreadable:
        raise VariableUnusable(
            f"Variable '{clean(name)}' has the type '{file.unreadable[name]}'; the model needs integers or "
            f"floats of 32 or 64 bits. Convert it and send the file again."
        )
    raw = file.variables[name]
    _check_packing(name, raw)
    with reading(f"Reading variable '{clean(name)}'"):
        stored = raw.copy(deep=False, data=raw.values)  # `load` would keep the values for as long as the file is open
    if not _is_packed(stored):
        return stored
    try:
        variable = decode_cf_variable("variable", stored, decode_times=False).load()
    except MemoryError:
        raise
    except Exception as error:
        raise VariableUnusable(
            f"Variable '{clean(name)}' cannot be unpacked: its attributes scale_factor, add_offset, "
            f"_FillValue, missing_value and _Unsigned do not fit together. Correct them and send the file "
            f"again."
        ) from error
    return variable


def _is_packed(stored: xr.Variable) -> bool:
    """Whether its attributes change its values; a fill value of NaN, which xarray always writes, does not."""
    said = PACKING & stored.attrs.keys()
    fill = stored.attrs.get("_FillValue")
    idle = said == {"_FillValue"} and stored.dtype.kind == "f" and isinstance(fill, np.floating) and np.isnan(fill)
    return bool(said) and not idle


def _check_packing(name: str, variable: xr.Variable) -> None:
    if variable.dtype.kind not in "biuf":
        raise VariableUnusable(
            f"Variable '{clean(name)}' holds '{variable.dtype}', which is no number. The model needs numbers here."
        )
    for attribute in {"scale_factor", "add_offset"} & variable.attrs.keys():
        value = np.asarray(variable.attrs[attribute])
        usable = value.dtype.kind in "iuf" and value.size == 1 and bool(np.isfinite(value).all())
        if not usable or (attribute == "scale_factor" and not value.all()):
            raise VariableUnusable(
                f"Variable '{clean(name)}' has {attribute} {clean(variable.attrs[attribute])}; unpacking "
                f"needs one finite number{', other than zero' if attribute == 'scale_factor' else ''}."
            )
