"""The `equifield` command, as a process, against a real peer: output, files and exit codes."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import xarray as xr

from equifield_client import APIConnectionError, APIResponseError, APIStatusError
from equifield_client._arguments import pairs
from equifield_client._console import MEANINGS, ExitCode, exit_code
from equifield_client._netcdf import encode
from equifield_client.command import build_app

if TYPE_CHECKING:
    from tests.client.conftest import Peer, Shell

REFUSAL = {"code": "variable_missing", "detail": "No variable for 'v'.", "status": 422, "request_id": "r-3"}


def plugin(folder: Path, entry: str) -> str:
    """An installed distribution with one entry point, in a folder for `PYTHONPATH`."""
    info = folder / "plug-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plug\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[equifield.commands]\n{entry}\n")
    return str(folder)


def test_predict_writes_the_answer_as_it_came(peer: "Peer", shell: "Shell", source: Path, wind: xr.Dataset) -> None:
    peer.answers(200, encode(wind * 2))
    rollout = ("--steps", "24", "--every", "6")
    done = shell("predict", "m", source, "-o", "out.nc", "--map", "u:u10,v:v10", *rollout, url=peer.url)
    assert (done.returncode, done.stderr) == (ExitCode.OK, "")
    assert (source.parent / "out.nc").read_bytes() == encode(wind * 2)
    assert sorted(path.name for path in source.parent.iterdir()) == ["in.nc", "out.nc"]
    assert done.stdout.splitlines()[-1] == f"out.nc: {len(encode(wind * 2))} bytes"
    assert "-2 to 2" in done.stdout
    asked = {"map": "u:u10,v:v10", "steps": "24", "every": "6"}
    assert (peer.requests[0].body, peer.requests[0].query) == (source.read_bytes(), asked)


def test_predict_tells_scripts_what_it_wrote(peer: "Peer", inside: "Shell", source: Path, wind: xr.Dataset) -> None:
    peer.answers(200, encode(wind))
    done = inside("predict", "m", source, "-o", "out.nc", "--url", peer.url, "--json")
    said = json.loads(done.stdout)
    assert (said["model"], said["output"], said["bytes"]) == ("m", "out.nc", len(encode(wind)))
    assert said["variables"]["temperature"]["dimensions"] == {"y": 32, "x": 32}
    assert said["variables"]["temperature"]["units"] == "K"
    assert said["variables"]["u"]["max"] == float(wind["u"].max())


def test_models_lists_what_each_takes_and_gives(peer: "Peer", inside: "Shell", model_json: dict[str, Any]) -> None:
    peer.answers(200, {"models": [model_json]})
    done = inside("models", url=peer.url)
    header, line = done.stdout.splitlines()
    assert header.split() == ["model", "version", "state", "group", "axes", "takes", "gives", "title"]
    for word in ("wind-downscale-2d", "ready", "B2", "x y", "wind (vector)", "Finer wind"):
        assert word in line
    (told,) = json.loads(inside("models", "--json", url=peer.url).stdout)
    assert (told["name"], told["inputs"][0]["components"][1]["variable"]) == ("wind-downscale-2d", "v")


def test_check_prints_the_table_and_ends_by_its_verdict(
    peer: "Peer", shell: "Shell", inside: "Shell", source: Path, report_json: dict[str, Any]
) -> None:
    peer.answers(200, report_json).answers(200, {**report_json, "passed": False})
    good = shell("check", "m", source, url=peer.url)
    assert good.returncode == ExitCode.OK
    assert "quarter turn  2.5e-07      1.0e-07" in good.stdout
    bad = inside("check", "m", "--seed", "7", "--grid", "8,8", "--json", url=peer.url)
    assert (bad.returncode, json.loads(bad.stdout)["passed"]) == (ExitCode.CHECK_FAILED, False)
    assert [len(sent.body) > 0 for sent in peer.requests] == [True, False]
    assert peer.requests[1].query == {"seed": "7", "grid": "8,8"}


def test_a_refusal_is_a_sentence_and_leaves_no_file(peer: "Peer", shell: "Shell", source: Path) -> None:
    peer.answers(422, REFUSAL)
    done = shell("predict", "m", source, "-o", "out.nc", url=peer.url)
    assert (done.returncode, done.stdout) == (ExitCode.REFUSED, "")
    assert done.stderr == ("equifield: No variable for 'v'. (variable_missing, HTTP 422, request r-3)\n")
    assert [path.name for path in source.parent.iterdir()] == ["in.nc"]


def test_a_refusal_is_the_problem_document_for_scripts(peer: "Peer", inside: "Shell", source: Path) -> None:
    peer.answers(422, REFUSAL)
    done = inside("predict", "m", source, "-o", "out.nc", "--json", url=peer.url)
    assert (done.returncode, json.loads(done.stderr)) == (ExitCode.REFUSED, REFUSAL)


def test_a_service_that_stays_busy_has_a_code_of_its_own(peer: "Peer", shell: "Shell") -> None:
    peer.answers(429, {"code": "queue_full", "detail": "Busy."}, Retry_After="0")
    done = shell("models", "--retries", "2", url=peer.url)
    assert (done.returncode, len(peer.requests)) == (ExitCode.SERVICE_FAILED, 3)


def test_a_peer_that_hangs_up_is_no_connection(peer: "Peer", shell: "Shell") -> None:
    peer.hangs_up()
    done = shell("models", "--retries", "0", "--json", url=peer.url)
    assert (done.returncode, json.loads(done.stderr)["code"]) == (ExitCode.NO_CONNECTION, "no_connection")


def test_a_file_that_cannot_be_written_is_a_local_fault(
    peer: "Peer", inside: "Shell", source: Path, wind: xr.Dataset
) -> None:
    peer.answers(200, encode(wind))
    done = inside("predict", "m", source, "-o", "x" * 300 + ".nc", url=peer.url)
    assert done.returncode == ExitCode.LOCAL_FILE
    assert "File name too long" in done.stderr
    assert peer.requests == []


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["fly"],
        ["predict", "m", "in.nc"],
        ["predict", "m", "none.nc", "-o", "out.nc"],
        ["predict", "m", "in.nc", "-o", "in.nc"],
        ["predict", "m", "in.nc", "-o", "no/folder/out.nc"],
        ["predict", "m", "in.nc", "-o", "out.nc", "--map", "u10"],
        ["predict", "m", "in.nc", "-o", "out.nc", "--map", "u:a,u:b"],
        ["predict", "", "in.nc", "-o", "out.nc"],
        ["check", "m", "--grid", "64x64"],
        ["models", "--url", "here"],
        ["models", "--timeout", "0"],
    ],
    ids=lambda arguments: " ".join(arguments) or "nothing",
)
def test_wrong_arguments_are_found_before_anything_is_sent(
    peer: "Peer", inside: "Shell", source: Path, arguments: list[str]
) -> None:
    done = inside(*arguments, url=peer.url)
    assert done.returncode == ExitCode.USAGE
    assert done.stdout or done.stderr
    assert (peer.requests, [path.name for path in source.parent.iterdir()]) == ([], ["in.nc"])


def test_a_device_is_written_as_it_is(peer: "Peer", inside: "Shell", source: Path, wind: xr.Dataset) -> None:
    peer.answers(200, encode(wind))
    assert inside("predict", "m", source, "-o", os.devnull, url=peer.url).returncode == ExitCode.OK
    assert Path(os.devnull).is_char_device()


def test_a_command_of_another_package_is_added(shell: "Shell", tmp_path: Path) -> None:
    (tmp_path / "plugged.py").write_text("def hello(times: int = 1):\n    'Greets.'\n    print('hello ' * times)\n")
    path = plugin(tmp_path, "hello = plugged:hello")
    assert shell("hello", "--times", "2", path=(path,)).stdout == "hello hello \n"
    assert "Greets." in shell("--help", path=(path,)).stdout


def test_a_command_without_its_packages_names_the_extra(shell: "Shell", tmp_path: Path) -> None:
    path = plugin(tmp_path, "sail = not_there.at_all:sail [train,plot]")
    done = shell("sail", "--port", "0", path=(path,))
    assert done.returncode == ExitCode.NOT_INSTALLED
    assert "pip install 'equifield[train,plot]'" in done.stderr or "pip install 'equifield[plot,train]'" in done.stderr
    assert "not_there" in done.stderr
    assert "sail" in shell("--help", path=(path,)).stdout


def test_a_command_of_another_package_is_not_imported_for_ours(peer: "Peer", shell: "Shell", tmp_path: Path) -> None:
    (tmp_path / "heavy.py").write_text("raise SystemExit(99)")
    peer.answers(200, {"models": []})
    assert shell("models", url=peer.url, path=(plugin(tmp_path, "heavy = heavy:heavy"),)).returncode == 0


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (APIConnectionError(""), ExitCode.NO_CONNECTION),
        (APIStatusError(404, ""), ExitCode.REFUSED),
        (APIStatusError(429, ""), ExitCode.SERVICE_FAILED),
        (APIStatusError(503, ""), ExitCode.SERVICE_FAILED),
        (APIStatusError(302, ""), ExitCode.SERVICE_FAILED),
        (APIResponseError(""), ExitCode.SERVICE_FAILED),
        (PermissionError(""), ExitCode.LOCAL_FILE),
        (ValueError(""), ExitCode.USAGE),
    ],
    ids=["connection", "404", "429", "503", "302", "not-ours", "file", "value"],
)
def test_every_fault_has_its_exit_code(error: Exception, code: ExitCode) -> None:
    assert exit_code(error) == code


def test_every_exit_code_is_explained_by_the_help() -> None:
    assert set(MEANINGS) == set(ExitCode)
    epilog = build_app([]).info.epilog
    assert all(f"{code.value} {meaning}" in str(epilog) for code, meaning in MEANINGS.items())


def test_a_check_that_is_not_finite_is_still_json(peer: "Peer", inside: "Shell", report_json: dict[str, Any]) -> None:
    worst = {**report_json["worst"], "error": None}
    peer.answers(200, {**report_json, "worst": worst, "passed": False})
    done = inside("check", "m", "--json", url=peer.url)
    assert done.returncode == ExitCode.CHECK_FAILED
    assert json.loads(done.stdout)["worst"]["error"] is None
    assert "NaN" not in done.stdout


def test_pairs_are_read() -> None:
    assert pairs("map", "u:u10,v:v10") == {"u": "u10", "v": "v10"}
    assert pairs("map", None) is None
