"""A classic NetCDF file read by ranges: the same dataset, and no byte that nobody asked for."""

import asyncio
import io
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import netCDF4
import numpy as np
import numpy.typing as npt
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from equifield_client import _classic, _lazy
from equifield_client._lazy import open_classic
from equifield_client._netcdf import encode

Format = Literal["NETCDF3_CLASSIC", "NETCDF3_64BIT_OFFSET", "NETCDF3_64BIT_DATA"]
CLASSIC_TYPES = ("i1", "S1", "i2", "i4", "f4", "f8")
LARGER_TYPES = ("u1", "u2", "u4", "i8", "u8")


@dataclass
class File:
    """A file's bytes behind a `fetch`, which notes what is asked for."""

    content: bytes
    asked: list[tuple[int, int]] = field(default_factory=list)

    def fetch(self, start: int, stop: int) -> bytes:
        assert 0 <= start < stop <= len(self.content)
        self.asked.append((start, stop))
        return self.content[start:stop]

    def open(self) -> xr.Dataset:
        return open_classic(self.fetch, len(self.content))

    @property
    def fetched(self) -> int:
        return sum(stop - start for start, stop in self.asked)


def written(path: Path, kind: Format, variables: dict[str, tuple[str, tuple[str, ...]]], records: int = 3) -> bytes:
    """A file that the NetCDF library wrote: `variables` by name with type and dimensions, filled with numbers."""
    random = np.random.default_rng(0)
    with netCDF4.Dataset(path, "w", format=kind) as file:
        for name, size in {"time": None, "y": 4, "x": 5, "strlen": 3}.items():
            file.createDimension(name, size)
        file.setncatts({"title": "Bjørnøya", "count": np.int32(7), "edges": np.array([1.5, 2.5])})
        for name, (dtype, dims) in variables.items():
            variable = file.createVariable(name, dtype, dims)
            variable.setncatts({"units": "m s-1", "valid_range": np.array([0, 9], "f4")})
            shape = tuple(records if dim == "time" else len(file.dimensions[dim]) for dim in dims)
            numbers = random.integers(65, 90, shape)
            variable[...] = numbers.astype("u1").view("S1") if dtype == "S1" else numbers.astype(dtype)
    return path.read_bytes()


def rollout(records: int = 6, points: int = 4096) -> tuple[File, xr.Dataset]:
    """A file as the service writes a rollout's: steps as records."""
    values = np.arange(records * points, dtype="f4").reshape(records, points)
    dataset = xr.Dataset(
        {"u": (("time", "x"), values), "v": (("time", "x"), -values)},
        coords={
            "time": ("time", np.arange(records) * 3600.0, {"units": "seconds since 2024-02-29"}),
            "x": np.arange(points, dtype="f4"),
        },
    )
    content = bytes(dataset.to_netcdf(format="NETCDF3_64BIT", engine="scipy", unlimited_dims=["time"]))
    return File(content), xr.load_dataset(content, engine="scipy")


@pytest.mark.parametrize("kind", get_args(Format))
@pytest.mark.parametrize(
    "variables",
    [
        {"a": ("f4", ("y", "x")), "x": ("f8", ("x",)), "s": ("i4", ())},
        {"u": ("f4", ("time", "y", "x")), "time": ("f8", ("time",)), "x": ("i2", ("x",)), "s": ("f4", ())},
        {"odd": ("i2", ("time", "x"))},
        {"odd": ("i1", ("time", "strlen")), "even": ("i2", ("time", "y"))},
        {"name": ("S1", ("y", "strlen")), "letter": ("S1", ("time",)), "word": ("S1", ("strlen",))},
        {"s": ("f8", ())},
        {},
    ],
    ids=["fixed", "records", "one-record-variable", "padded-records", "text", "scalar", "nothing"],
)
@pytest.mark.parametrize("records", [0, 1, 3])
def test_every_form_is_what_the_library_reads(
    kind: Format, variables: dict[str, tuple[str, tuple[str, ...]]], records: int, tmp_path: Path
) -> None:
    content = written(tmp_path / "a.nc", kind, variables, records)
    with xr.open_dataset(tmp_path / "a.nc", engine="netcdf4") as expected:
        opened = File(content).open()
        xr.testing.assert_identical(opened, expected.load())
        for name, variable in expected.variables.items():
            if variable.dtype.kind != "O":
                assert opened[name].dtype == variable.dtype


@pytest.mark.parametrize("dtype", CLASSIC_TYPES + LARGER_TYPES)
def test_every_type_is_read(dtype: str, tmp_path: Path) -> None:
    kind: Format = "NETCDF3_64BIT_DATA" if dtype in LARGER_TYPES else "NETCDF3_CLASSIC"
    content = written(tmp_path / "a.nc", kind, {"a": (dtype, ("time", "y")), "b": (dtype, ("y",))})
    with xr.open_dataset(tmp_path / "a.nc", engine="netcdf4") as expected:
        xr.testing.assert_identical(File(content).open(), expected.load())


@pytest.mark.parametrize("writer", ["scipy", "encode"])
def test_what_scipy_writes_is_what_scipy_reads(writer: str, wind: xr.Dataset) -> None:
    packed = {"scale_factor": 0.5, "add_offset": 3.0, "dtype": "i2", "_FillValue": -1}
    dataset = wind.assign(station=("n", np.array(["Ekofisk", "Bjørnøya"])), yes=("n", [True, False]))
    dataset = dataset.assign_coords(time=("t", np.array(["2024-02-29", "2024-03-01"], "M8[ns]")))
    options: Any = {"format": "NETCDF3_64BIT", "engine": "scipy", "encoding": {"temperature": packed}}
    content = encode(dataset) if writer == "encode" else bytes(dataset.to_netcdf(**options))
    xr.testing.assert_identical(File(content).open(), xr.load_dataset(io.BytesIO(content), engine="scipy"))


SLICES = st.slices(4).filter(lambda part: (part.step or 1) > 0 or range(4)[part])  # xarray knows no empty one backwards
PARTS = st.one_of(st.integers(-4, 3), SLICES, st.lists(st.integers(-4, 3), min_size=0, max_size=6))


@settings(deadline=None, max_examples=60)
@given(key=st.tuples(PARTS, PARTS, PARTS), records=st.booleans())
def test_any_choice_of_values_is_the_same_choice_of_the_whole(key: tuple[Any, ...], records: bool) -> None:
    values = np.arange(64, dtype="f4").reshape(4, 4, 4)
    dataset = xr.Dataset({"a": (("t", "y", "x"), values), "b": (("t", "x"), values[0].astype("i2"))})
    content = bytes(dataset.to_netcdf(format="NETCDF3_64BIT", engine="scipy", unlimited_dims=["t"] if records else []))
    lazy = File(content).open()["a"]
    np.testing.assert_array_equal(lazy[key].values, dataset["a"][key].values)


def test_opening_reads_the_header_and_the_coordinates_alone() -> None:
    file, whole = rollout()
    opened = file.open()
    header, coordinates = _classic.FIRST_PART, whole["x"].nbytes + whole["time"].nbytes
    ends = 2 * 8  # of the times, which xarray looks at before it reads them all
    assert file.fetched <= header + coordinates + ends < whole["u"].nbytes
    before = len(file.asked)
    assert dict(opened.sizes) == dict(whole.sizes)
    assert opened["time"].values.tolist() == whole["time"].values.tolist()
    assert len(file.asked) == before


def test_an_axis_of_many_steps_is_left_until_it_is_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_lazy, "COSTLY", 5 * _lazy.GAP)
    file, whole = rollout(records=6)
    opened = file.open()
    assert file.fetched <= _classic.FIRST_PART + whole["x"].nbytes + 2 * 8
    assert set(opened.indexes) == {"x"} and set(opened.coords) == {"time", "x"}
    xr.testing.assert_identical(opened.set_xindex("time"), whole)
    assert set(rollout(records=5)[0].open().indexes) == {"time", "x"}


def test_one_step_reads_one_record_and_reads_it_once() -> None:
    file, whole = rollout()
    opened = file.open()
    file.asked.clear()
    step = opened["u"].isel(time=4)
    assert file.asked == []
    np.testing.assert_array_equal(step.values, whole["u"][4].values)
    assert [stop - start for start, stop in file.asked] == [whole["u"][4].nbytes]
    np.testing.assert_array_equal(step.values, whole["u"][4].values)
    assert len(file.asked) == 1


def test_a_choice_of_steps_reads_no_others() -> None:
    file, whole = rollout()
    opened = file.open()
    file.asked.clear()
    np.testing.assert_array_equal(opened["v"].isel(time=[5, 0, 5]).values, whole["v"][[5, 0, 5]].values)
    assert file.fetched == 2 * whole["v"][0].nbytes


def test_a_level_reads_no_other_level() -> None:
    dataset = xr.Dataset({"u": (("t", "z", "x"), np.zeros((3, 40, 100), "f4")), "v": ("t", np.zeros(3))})
    options: Any = {"format": "NETCDF3_64BIT", "engine": "scipy", "unlimited_dims": ["t"]}
    file = File(bytes(dataset.to_netcdf(**options)))
    opened = file.open()
    file.asked.clear()
    opened["u"].isel(t=2, z=30).load()
    opened["u"].isel(t=2, z=slice(10, 12)).load()
    assert [stop - start for start, stop in file.asked] == [100 * 4, 2 * 100 * 4]


def test_records_that_follow_each_other_are_one_request() -> None:
    values = np.zeros((50, 100), "f4")
    content = bytes(
        xr.Dataset({"u": (("time", "x"), values)}).to_netcdf(
            format="NETCDF3_64BIT", engine="scipy", unlimited_dims=["time"]
        )
    )
    file = File(content)
    opened = file.open()
    file.asked.clear()
    opened["u"][10:40].load()
    assert [stop - start for start, stop in file.asked] == [30 * 400]


def test_large_reads_come_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_lazy, "PIECE", 5000)
    file, whole = rollout()
    xr.testing.assert_identical(file.open().load(), whole)
    assert max(stop - start for start, stop in file.asked[1:]) <= 5000


def test_a_dataset_loads_without_blocking_the_event_loop() -> None:
    file, whole = rollout()
    loaded = asyncio.run(file.open().load_async())
    xr.testing.assert_identical(loaded, whole)


def test_an_error_on_the_way_reaches_who_touched_the_values() -> None:
    file, _ = rollout()
    opened = file.open()
    file.content = b""
    with pytest.raises(AssertionError):
        opened["u"].isel(time=0).load()


def test_no_byte_of_a_header_can_be_changed_into_a_crash() -> None:
    file, whole = rollout(records=3, points=8)
    random = np.random.default_rng(0)
    begin = min(variable.begin for variable in header_of(file.content).variables)
    refused = 0
    for place in range(begin):
        damaged = bytearray(file.content)
        damaged[place] ^= int(random.integers(1, 256))
        try:
            File(bytes(damaged)).open().load()
        except ValueError:
            refused += 1
    assert refused > begin / 4
    xr.testing.assert_identical(file.open(), whole)


def header_of(content: bytes) -> _classic.Header:
    """The header of a whole file."""
    return _classic.read_header(_classic.Prefix(lambda start, stop: content[start:stop], len(content)))


def words(*numbers: int) -> bytes:
    """Big-endian words of 32 bits."""
    return struct.pack(f">{len(numbers)}I", *numbers)


def name(text: bytes) -> bytes:
    """A name as a header holds it."""
    return words(len(text)) + text + b"\0" * (-len(text) % 4)


def variable(index: list[int], dtype: int = 5, begin: int = 200, label: bytes = b"v") -> bytes:
    """A variable of a CDF-1 header."""
    return name(label) + words(len(index), *index, 0, 0, dtype, 0, begin)


def cdf(dims: list[tuple[bytes, int]], *variables: bytes, records: int = 0, size: int = 400) -> bytes:
    """A CDF-1 file of `size` bytes."""
    listed = b"".join(name(label) + words(length) for label, length in dims)
    head = b"CDF\x01" + words(records) + (words(10, len(dims)) + listed if dims else words(0, 0)) + words(0, 0)
    head += words(11, len(variables)) + b"".join(variables) if variables else words(0, 0)
    return head.ljust(size, b"\0")


LARGE = 2**31 - 1
X = [(b"x", 4)]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"<html>Log in</html>", "starts with 'CDF'"),
        (b"\x89HDF\r\n\x1a\n", "starts with 'CDF'"),
        (b"CDF\x03" + bytes(40), "starts with 'CDF'"),
        (b"CD", "announces 4 bytes"),
        (b"CDF\x01" + words(0xFFFFFFFF) + bytes(40), "still being written"),
        (b"CDF\x01" + words(0, 10, 20_000) + bytes(400), "announces 20000 dimensions"),
        (b"CDF\x01" + words(0, 10, 1, LARGE) + bytes(40), "announces 2147483647 bytes"),
        (b"CDF\x05" + bytes(8) + words(10, 0, 1, LARGE, 0) + bytes(40), "announces 9223372"),
        (b"CDF\x01" + words(0, 99, 1) + bytes(40), "should begin the list"),
        (cdf([(b"x", 0), (b"y", 0)]), "two unlimited"),
        (cdf([(b"x", 4), (b"x", 5)]), "same name twice"),
        (cdf(X, variable([0], label=b"a"), variable([0], label=b"a")), "same name twice"),
        (cdf(X, variable([7])), "not in the file"),
        (cdf([(b"t", 0), (b"x", 4)], variable([1, 0])), "where it cannot be"),
        (cdf(X, variable([0, 0])), "where it cannot be"),
        (cdf(X, variable([0] * 40)), "40 dimensions"),
        (cdf(X, variable([0], dtype=7)), "names type 7"),
        (cdf(X, variable([0], begin=396)), "cut short"),
        (cdf(X, variable([0], begin=20)), "cut short"),
        (cdf([(b"x", LARGE)], variable([0])), "cut short"),
        (cdf([(b"t", 0), (b"x", 4)], variable([0, 1]), records=LARGE), "cut short"),
        (cdf([(bytes([97 + i]), LARGE) for i in range(9)], variable(list(range(9)))), "bytes"),
        (cdf([(b"x", 40)], variable([0], label=b"a"), variable([0], label=b"b"), variable([0], label=b"c")), "share"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_hostile_header_is_refused_before_anything_is_made_of_it(content: bytes, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        File(content).open()


def test_the_hostile_headers_can_be_sound() -> None:
    opened = File(cdf([(b"t", 0), (b"x", 4)], variable([0, 1]), records=3)).open()
    assert opened["v"].shape == (3, 4)


def test_a_header_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_classic, "MAX_HEADER", 2**16)
    asked: list[int] = []

    def endless(start: int, stop: int) -> bytes:
        asked.append(stop - start)
        return (b"CDF\x01" + words(0, 0, 0, 12, 10_000) + (name(b"a") + words(1, 0)) * 100_000)[start:stop]

    with pytest.raises(ValueError, match="a header at most"):
        open_classic(endless, 2**40)
    assert sum(asked) <= 2**16


def test_a_coordinate_too_large_to_be_read_at_the_opening_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_lazy, "MAX_COORDINATE", 100)
    with pytest.raises(ValueError, match="coordinate 'x'"):
        rollout()[0].open()


def test_attributes_that_make_no_sense_are_refused_as_such() -> None:
    values: npt.NDArray[Any] = np.arange(3.0)
    bad = xr.Dataset({"time": ("time", values, {"units": "hours since the flood"})})
    content = bytes(bad.to_netcdf(format="NETCDF3_64BIT", engine="scipy"))
    with pytest.raises(ValueError, match="cannot be decoded"):
        File(content).open()
