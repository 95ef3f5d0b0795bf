"""The whole corpus of damaged and hostile files goes through one pool, which outlives it."""

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import xarray as xr

from equifield_service.domain.errors import (
    DomainError,
    EmptyBody,
    InflatedTooLarge,
    MalformedFile,
    NotNetCDF,
    PayloadError,
    UnsafeFile,
)
from equifield_service.payload import Limits, PayloadPool, ReadOptions
from tests.hostile.traps import laid

CORPUS = Path(__file__).parents[4] / "shared" / "data" / "hostile"
INDEX = json.loads((CORPUS / "index.json").read_text()) if CORPUS.is_dir() else {}
FIFO, SECRET = Path("/tmp/hostile_fifo"), Path("/tmp/hostile_secret.h5")

MIB = 2**20
STATUS: dict[type[DomainError], int] = {
    EmptyBody: 400,
    MalformedFile: 400,
    NotNetCDF: 415,
    UnsafeFile: 415,
    InflatedTooLarge: 413,
}
ASKED = {
    "type_vlen": {"u": "r"},
    "type_compound": {"u": "c"},
    "type_uint64_max": {"u": "q"},
    "val_fill_everywhere": {"u": "w"},
    "sch_uv_staggered": {"u": "us", "v": "vs"},
    "sch_uv_transposed": {"u": "us", "v": "vs"},
    "sch_zero_length_dim": {"u": "w"},
    "sch_tensor_2x3": {"stress": "s"},
    "sch_tensor_same_dim_twice": {"stress": "s"},
    "sch_leading_components": {"stress": "s"},
}
"""The variables at fault, in files that have good ones too."""
OTHERWISE = {
    "ok_cdf5.nc": (415, "CDF-5 is not read"),
    "real_netcdfc/bad_cdf5_begin.nc": (415, "CDF-5 is not read"),
    "gzip_bomb_1GiB.gz": (415, "nothing is unpacked"),
    "cyclic_group_inner.nc": (415, "as cyclic_group_root"),
    "group_dag_2pow30.nc": (415, "as cyclic_group_root"),
    "groups_plain.nc": (200, "the root group has the fields too"),
    "meta_valid_range_inverted.nc": (200, "valid_range is ignored, as by xarray"),
    "meta_time_overflow.nc": (200, "times are not decoded"),
    "sch_unicode_names.nc": (200, "the names are those of other variables"),
    "real_netcdfc/ref_test_corrupt_magic.nc": (422, "it is an HDF5 file with other variables"),
    "real_cve_hdf5/cve-2018-17233.h5": (413, "it declares 9 MB that were never written"),
    "real_cve_hdf5/cve-2018-17234.h5": (413, "it declares 9 MB that were never written"),
}
"""Where the answer is another one than the corpus expects, and why."""

pytestmark = pytest.mark.skipif(not INDEX, reason=f"{CORPUS} is not there")


@pytest.fixture(scope="module")
def traps() -> Iterator[None]:
    with laid(FIFO, SECRET):
        yield


@pytest.fixture(scope="module")
def hostile_pool(opened: Callable[..., AbstractContextManager[PayloadPool]], traps: None) -> Iterator[PayloadPool]:
    with opened(Limits(decoded_bytes=64 * MIB), 3.0) as pool:
        yield pool


@pytest.mark.parametrize("name", INDEX)
def test_every_file_of_the_corpus_is_answered_as_it_should_be(
    runner: asyncio.Runner, hostile_pool: PayloadPool, models: Any, stress: Any, name: str
) -> None:
    asked = ASKED.get(Path(name).stem, {})
    model = models.on(stress if "stress" in asked else models.velocity, minimum=4)
    status, refusal = 200, "{}"
    try:
        runner.run(
            hostile_pool.decode((CORPUS / name).read_bytes(), model, ReadOptions(map=asked), media=None, timeout=30.0)
        )
    except PayloadError as error:
        status, refusal = STATUS.get(type(error), 422), json.dumps(error.to_dict())
    allowed = {int(number) for number in re.findall(r"\b[24]\d\d\b", str(INDEX[name]["expect"]))}
    assert status in ({OTHERWISE[name][0]} if name in OTHERWISE else allowed), refusal
    assert "hostile_" not in refusal
    assert "root:" not in refusal
    assert "1234.5" not in refusal


def test_the_pool_works_after_the_corpus(
    runner: asyncio.Runner, hostile_pool: PayloadPool, models: Any, write: Callable[..., bytes], wind: xr.Dataset
) -> None:
    decoded = runner.run(hostile_pool.decode(write(wind), models.velocity, ReadOptions(), media=None, timeout=30.0))
    assert decoded.array.shape == (3, 16, 12, 2)
