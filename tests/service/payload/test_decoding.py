"""Whatever says that values are other ones than those that are stored, it is understood as xarray does."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import xarray as xr

Write = Callable[..., bytes]

STORED = np.array([[0, 1, 2, 3, 4], [-1, -5, 100, 27, -128], [5, 6, 7, 8, 9], [10, 50, 20, 30, 40]])
SCALED = {"scale_factor": 0.25, "add_offset": -3.0}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "plain": ("<i4", {}),
    "scale and offset": ("<i2", SCALED),
    "big-endian": (">i4", SCALED),
    "a scale in 32 bits": ("<i2", {"scale_factor": np.float32(0.1)}),
    "_FillValue": ("<i2", SCALED | {"_FillValue": np.int16(27)}),
    "missing_value": ("<i4", {"missing_value": np.int32(27)}),
    "missing_value of floats": ("<f4", {"missing_value": np.float32(27)}),
    "valid_range": ("<i2", SCALED | {"valid_range": np.array([0, 10], np.int16)}),
    "_Unsigned": ("i1", {"_Unsigned": "true"}),
    "_Unsigned, packed, filled": ("i1", SCALED | {"_Unsigned": "true", "_FillValue": np.int8(-1)}),
    "doubles": (">f8", {"scale_factor": 2.0}),
}


@pytest.mark.parametrize("kind", ["netcdf3", "netcdf4"])
@pytest.mark.parametrize("case", CASES)
def test_the_model_sees_what_xarray_reads(pool: Any, models: Any, write: Write, case: str, kind: str) -> None:
    dtype, attributes = CASES[case]
    data = xr.Dataset({name: (("y", "x"), STORED.astype(dtype), attributes) for name in "uv"})
    body = write(data, kind)
    engine = "scipy" if kind == "netcdf3" else "netcdf4"
    with xr.open_dataset(body, engine=engine) as read:
        expected = read.u.fillna(0).values.astype(np.float32)
    assert np.array_equal(pool.decode(body, models.velocity, missing="zero").array[0, ..., 0], expected.T)
    if attributes:
        assert not np.array_equal(expected, STORED.astype(np.float32)), "or the case would say nothing"
