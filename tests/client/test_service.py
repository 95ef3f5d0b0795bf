"""The SDK against the real service with two shipped models: one to a finer grid, one that keeps the grid."""

import asyncio
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import pytest
import xarray as xr

from equifield_client import (
    APIStatusError,
    AsyncClient,
    EmptyBody,
    InvalidQuery,
    NotNetCDF,
    UnknownModel,
    UnknownVersion,
    VariableMissing,
)

if TYPE_CHECKING:
    from tests.client.conftest import Call

MODEL = "wind-downscale-2d"
FORECAST = "turbulence-2d"


def test_a_shipped_model_is_listed_and_ready(service_url: str, call: "Call") -> None:
    (info,) = [info for info in call(service_url, lambda c: c.models()) if info.name == MODEL]
    assert (info.state, info.reason) == ("ready", None)
    variables = [component.variable for field in info.inputs for component in field.components]
    assert variables == ["u", "v"]
    assert [(field.name, field.order) for field in info.outputs] == [("wind", 1)]
    assert info.certificate is not None and info.certificate.passed
    assert call(service_url, lambda c: c.model(MODEL)) == info
    assert call(service_url, lambda c: c.model(MODEL, version=info.version)) == info


def test_a_dataset_comes_back_on_its_own_coordinates(service_url: str, call: "Call", flow: xr.Dataset) -> None:
    answer = call(service_url, lambda c: c.predict(FORECAST, flow))
    assert set(answer.data_vars) == {"u", "v"}
    for name in answer.data_vars:
        assert answer[name].dims == flow[name].dims
        assert np.isfinite(answer[name]).all()
    for axis in ("x", "y", "time"):
        xr.testing.assert_identical(answer[axis], flow[axis])


def test_a_finer_answer_lies_in_the_cells_of_the_dataset(service_url: str, call: "Call", wind: xr.Dataset) -> None:
    answer = call(service_url, lambda c: c.predict(MODEL, wind))
    assert set(answer.data_vars) == {"u", "v"}
    for name in answer.data_vars:
        assert answer[name].dims == wind[name].dims
        assert np.isfinite(answer[name]).all()
    for axis in ("x", "y"):
        np.testing.assert_allclose(answer[axis], (np.arange(64) - 0.5) / 64)
        assert answer[axis].attrs == wind[axis].attrs


def test_a_netcdf4_file_gives_the_same_answer_as_the_dataset(
    service_url: str, call: "Call", wind: xr.Dataset, tmp_path: Path
) -> None:
    wind.to_netcdf(tmp_path / "wind.nc", engine="netcdf4")
    from_file = call(service_url, lambda c: c.predict(MODEL, tmp_path / "wind.nc"))
    from_memory = call(service_url, lambda c: c.predict(MODEL, wind))
    for name in from_memory.data_vars:
        np.testing.assert_array_equal(from_file[name], from_memory[name])


def test_map_and_axes_name_what_the_service_cannot_guess(service_url: str, call: "Call", wind: xr.Dataset) -> None:
    strange = wind.rename(u="a", v="b", x="east", y="north").drop_attrs()
    options: Any = {"map": {"u": "a", "v": "b"}, "axes": {"x": "east", "y": "north"}}
    answer = call(service_url, lambda c: c.predict(MODEL, strange, **options))
    expected = call(service_url, lambda c: c.predict(MODEL, wind))
    assert set(answer.sizes) == {"east", "north"}
    np.testing.assert_allclose(answer["u"], expected["u"], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("own_data", [True, False], ids=["own-data", "random"])
def test_the_check_passes(service_url: str, call: "Call", wind: xr.Dataset, own_data: bool) -> None:
    options: Any = {"dataset": wind} if own_data else {"seed": 1, "grid": (32, 32)}
    report = call(service_url, lambda c: c.check_equivariance(MODEL, **options))
    assert report.passed, str(report)
    assert (report.model, report.grid) == (MODEL, (32, 32))
    assert {row.field for row in report.rows} == {"wind"}
    assert report.worst.error == max(row.error for row in report.rows) <= report.tolerance


def test_a_missing_variable_is_named_with_what_there_is(service_url: str, call: "Call", wind: xr.Dataset) -> None:
    with pytest.raises(VariableMissing, match="v") as caught:
        call(service_url, lambda c: c.predict(MODEL, wind.drop_vars("v")))
    assert (caught.value.status_code, bool(caught.value.request_id)) == (422, True)
    assert "variables" in caught.value.problem
    assert "wants" in caught.value.problem


@pytest.mark.parametrize(
    ("kind", "name", "body", "options"),
    [
        (UnknownModel, "no-such-model", b"CDF\x01", {}),
        (UnknownVersion, MODEL, b"CDF\x01", {"version": "999"}),
        (NotNetCDF, MODEL, b"<html>", {}),
        (EmptyBody, MODEL, b"", {}),
        (InvalidQuery, MODEL, b"CDF\x01", {"boundary": {"x": "open"}}),
    ],
    ids=["model", "version", "html", "empty", "boundary"],
)
def test_every_refusal_has_its_class(
    service_url: str, call: "Call", kind: type[Exception], name: str, body: bytes, options: Any
) -> None:
    with pytest.raises(kind):
        call(service_url, lambda c: c.predict(name, body, **options))


def test_there_is_a_class_for_every_code_that_openapi_describes(service_url: str) -> None:
    described = httpx.get(f"{service_url}/openapi.json", timeout=30).text
    codes = {code for part in re.findall(r'"code":\s*\{"enum":\s*(\[[^]]*\])', described) for code in json.loads(part)}
    assert codes == {leaf.code for leaf in APIStatusError.leaves()}


def test_predictions_at_once_are_those_made_alone(service_url: str, wind: xr.Dataset) -> None:
    inputs = [wind.roll(x=shift) for shift in range(8)]

    async def main() -> tuple[list[xr.Dataset], list[xr.Dataset]]:
        async with AsyncClient(service_url) as client:
            together = await asyncio.gather(*(client.predict(MODEL, one) for one in inputs))
            return together, [await client.predict(MODEL, one) for one in inputs]

    for together, alone in zip(*asyncio.run(main()), strict=True):
        for name in alone.data_vars:
            np.testing.assert_allclose(together[name], alone[name], rtol=1e-4, atol=1e-4)


def test_the_command_predicts_and_checks(service_url: str, wind: xr.Dataset, tmp_path: Path) -> None:
    wind.to_netcdf(tmp_path / "in.nc", engine="scipy")

    def shell(*arguments: str) -> Any:
        done = subprocess.run(
            [sys.executable, "-m", "equifield_client", *arguments, "--json", "--url", service_url],
            capture_output=True,
            text=True,
            timeout=120,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    assert set(shell("predict", MODEL, "in.nc", "-o", "out.nc")["variables"]) == {"u", "v"}
    assert dict(xr.load_dataset(tmp_path / "out.nc").sizes) == {"y": 64, "x": 64}
    assert shell("check", MODEL, "in.nc")["passed"] is True
    assert MODEL in [info["name"] for info in shell("models")]
