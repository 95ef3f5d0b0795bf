"""Datasets to bytes and back: the classic kind where nothing is lost, NetCDF-4 where it would be."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from equifield_client._netcdf import body_of, decode, encode

CLASSIC = b"CDF\x02"
NETCDF4 = b"\x89HDF"

TWO_THREADS = """
import sys; sys.path[:0] = {path!r}
import threading, numpy, xarray
from equifield_client._netcdf import decode, encode
dataset = xarray.Dataset({{"a": (("x", "y"), numpy.full((200, 200), 2**40))}})
def work():
    for _ in range(30):
        assert decode(encode(dataset)).identical(dataset)
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print("survived")
"""


def test_an_ordinary_dataset_goes_classic_and_comes_back_the_same(wind: xr.Dataset) -> None:
    content = encode(wind)
    assert content.startswith(CLASSIC)
    xr.testing.assert_identical(decode(content), wind)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (np.array([1.0, np.nan], "f4"), CLASSIC),
        (np.array([1, 2], "i8"), CLASSIC),
        (np.array([True, False]), CLASSIC),
        (np.array(["2024-02-29", "2024-03-01"], "M8[ns]"), CLASSIC),
        (np.array(["Ekofisk", "Bjørnøya"]), CLASSIC),
        (np.array([2**40, 1], "i8"), NETCDF4),
        (np.array([200, 1], "u1"), NETCDF4),
        (np.array([60000, 1], "u2"), NETCDF4),
        (np.array(["2024-02-29T00:00:00.000000001", "2024-03-01"], "M8[ns]"), NETCDF4),
    ],
    ids=["float", "small-int64", "bool", "days", "text", "large-int64", "uint8", "uint16", "nanoseconds"],
)
def test_values_survive_and_choose_the_kind(values: np.ndarray[Any, Any], kind: bytes) -> None:
    content = encode(xr.Dataset({"a": ("n", values)}))
    assert content.startswith(kind)
    np.testing.assert_array_equal(decode(content)["a"].values, values)


def test_attributes_beyond_32_bits_choose_netcdf4() -> None:
    dataset = xr.Dataset({"a": ("n", [1.0])}, attrs={"count": 2**40})
    content = encode(dataset)
    assert content.startswith(NETCDF4)
    assert decode(content).attrs == dataset.attrs


def test_a_variable_beyond_the_classic_limit_is_not_tried_as_classic(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("equifield_client._netcdf.CLASSIC_LIMIT", 79)
    assert encode(xr.Dataset({"a": ("n", np.zeros(10))})).startswith(NETCDF4)


def test_the_callers_dataset_is_left_alone(wind: xr.Dataset) -> None:
    before = wind.copy(deep=True)
    encode(wind)
    xr.testing.assert_identical(wind, before)
    assert wind["u"].encoding == {}


def test_a_scalar_beside_an_unlimited_dimension_takes_no_value_with_it() -> None:
    dataset = xr.Dataset({"u": (("time", "x"), np.arange(20.0).reshape(5, 4)), "crs": ((), np.int32(7))})
    dataset.encoding["unlimited_dims"] = {"time"}  # as of a file that has it so
    assert encode(dataset).startswith(CLASSIC)
    xr.testing.assert_identical(decode(encode(dataset)), dataset)


def test_a_path_is_sent_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "any.thing"
    path.write_bytes(b"not even NetCDF")
    assert body_of(path) == body_of(str(path)) == body_of(b"not even NetCDF")


def test_a_file_that_is_not_there_is_pythons_own_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        body_of(tmp_path / "none.nc")


@pytest.mark.parametrize("source", [xr.DataArray([1.0]), {"u": 1}, 7, None], ids=["array", "dict", "int", "none"])
def test_anything_else_is_refused_with_the_way_out(source: Any) -> None:
    with pytest.raises(TypeError, match=f"is a {type(source).__name__}.*to_dataset"):
        body_of(source)


@pytest.mark.parametrize("content", [b"", b"<html>", b"CDF\x05..."], ids=["empty", "html", "cdf5"])
def test_bytes_that_are_not_netcdf_are_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match="a NetCDF file starts with"):
        decode(content)


@pytest.mark.parametrize("kind", [CLASSIC, NETCDF4], ids=["classic", "netcdf4"])
def test_a_file_cut_short_is_refused(wind: xr.Dataset, kind: bytes) -> None:
    content = encode(wind if kind == CLASSIC else wind.assign_attrs(count=2**40))
    assert content.startswith(kind)
    with pytest.raises(ValueError, match="damaged"):
        decode(content[:4000])


def test_threads_may_encode_and_decode_at_once() -> None:
    script = TWO_THREADS.format(path=sys.path)
    environment = {**os.environ, "PYTHONFAULTHANDLER": "1"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, env=environment)
    assert done.stdout == "survived\n", done.stderr
