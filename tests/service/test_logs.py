"""The log: one JSON object per line, whoever wrote it; one line per request; never a secret."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.service import packages

CHILD = """
import asyncio, logging, sys, warnings
import httpx
from equifield_service.app import create_app
from equifield_service.logs import LogOptions, configure_logging
from equifield_service.settings import Settings

app = create_app(Settings())
logging.getLogger("httpx").setLevel("WARNING")  # the client's own line

@app.get("/broken/{name}")
async def broken(name: str) -> None:
    logging.getLogger("deep.inside").warning("half of %s is gone", name, extra={"left": 3})
    raise RuntimeError("secret of the house")

async def story():
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        await client.get("/healthz/live")
        await client.get("/v1/models/none", headers={"X-Request-Id": "mine"})
        await client.get("/broken/it?key=hush", headers={"Authorization": "Bearer hush", "X-Request-Id": "odd"})
        await client.get("/no/such%1b[31m/path")

for form, level in (("auto", "info"), ("console", "info"), ("json", "warning")):
    sys.stderr.write(f"<<<{form} {level}\\n")
    configure_logging("gateway", LogOptions(form, level))
    asyncio.run(story())
    warnings.warn(f"mind the gap of {form}")
    logging.getLogger("deep.inside").debug("not seen")
"""

CHILDREN = """
import asyncio, contextlib, json, multiprocessing, sys
from equifield_service.channel import Child, ChildDied
from equifield_service.domain.errors import PayloadProcessFailed
from equifield_service.logs import LogOptions
from equifield_service.payload import Limits, process
from equifield_service.workers.options import WorkerOptions
from equifield_service.workers.process import main as worker

async def payload(log):
    child = await Child.start(
        process.clean_parent(), process.main, (Limits(), 60.0, log), name="payload", arena_bytes=2**16, timeout=60
    )
    print(child.process.pid)
    with contextlib.suppress(PayloadProcessFailed):
        await child.call({"op": "encode", "manifest": sys.argv[1]}, timeout=60)
    with contextlib.suppress(ChildDied):
        await child.call({"op": "no manifest"}, timeout=60)
    await child.kill()

async def story(log):
    await payload(log)
    with contextlib.suppress(ChildDied):
        await Child.start(
            multiprocessing.get_context("spawn"),
            worker,
            (WorkerOptions(max_batch=1, max_compiled_grids=1, compilation_cache=["no path"], log=log),),
            name="worker",
            arena_bytes=2**16,
            timeout=60,
        )

if __name__ == "__main__":
    asyncio.run(story(LogOptions("json")))
    asyncio.run(payload(LogOptions("console")))
"""


@pytest.fixture(scope="module")
def logged() -> dict[str, list[str]]:
    """The lines, by form and level, of a process that serves four requests and warns of something."""
    ended = subprocess.run([sys.executable, "-c", CHILD], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    parts = [part.splitlines() for part in ended.stderr.split("<<<")[1:]]
    return {part[0]: part[1:] for part in parts}


@pytest.fixture(scope="module")
def lines(logged: dict[str, list[str]]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in logged["auto info"]]


def test_every_line_says_when_who_and_how_grave(lines: list[dict[str, Any]]) -> None:
    assert all({"timestamp", "level", "logger", "event"} <= set(line) for line in lines)
    assert all(line["timestamp"].endswith("Z") for line in lines)
    assert any("mind the gap" in line["event"] for line in lines)


def test_every_line_names_its_process(lines: list[dict[str, Any]]) -> None:
    assert len({(line["process"], line["pid"]) for line in lines}) == 1
    assert lines[0]["process"] == "gateway"


def test_payload_processes_and_workers_log_in_the_same_form_even_their_last_words(tmp_path: Path) -> None:
    (tmp_path / "children.py").write_text(CHILDREN)
    environment = os.environ | {"PYTHONPATH": ":".join(path for path in sys.path if path)}
    ended = subprocess.run(
        [sys.executable, str(tmp_path / "children.py"), packages.manifest().model_dump_json()],
        capture_output=True,
        text=True,
        env=environment,
        timeout=120,
    )
    assert ended.returncode == 0, ended.stderr
    *lines, text = ended.stderr.split("\n", 3)
    fault, payload, worker = map(json.loads, lines)
    assert (fault["process"], fault["level"]) == ("payload", "error")
    assert "met a fault of its own" in fault["event"] and "IndexError" in fault["event"]
    assert fault["pid"] == payload["pid"] == int(ended.stdout.split()[0]) != worker["pid"]
    for last, process, reason in ((payload, "payload", "KeyError: 'manifest'"), (worker, "worker", "TypeError")):
        assert (last["process"], last["level"], last["event"]) == (process, "critical", "the process ends")
        assert reason in last["exception"]
    assert "KeyError: 'manifest'" in text and "Logging error" not in text


def test_every_request_is_one_line_with_its_route_and_never_its_path(lines: list[dict[str, Any]]) -> None:
    requests = [line for line in lines if line["logger"] == "equifield.access"]
    assert [(line["method"], line["route"], line["status"], line.get("code")) for line in requests] == [
        ("GET", "/healthz/live", 200, None),
        ("GET", "/v1/models/{name}", 404, "unknown_model"),
        ("GET", "/broken/{name}", 500, "internal_error"),
        ("GET", "unmatched", 404, "not_found"),
    ]
    assert [line["request_id"] for line in requests[1:3]] == ["mine", "odd"]
    assert all(0 < line["seconds"] < 60 for line in requests)


def test_what_is_logged_during_a_request_carries_its_id(lines: list[dict[str, Any]]) -> None:
    (inside,) = [line for line in lines if line["logger"] == "deep.inside"]
    assert (inside["event"], inside["left"], inside["request_id"]) == ("half of it is gone", 3, "odd")
    (fault,) = [line for line in lines if line["level"] == "error"]
    assert fault["request_id"] == "odd" and "RuntimeError: secret of the house" in fault["exception"]


def test_no_secret_of_a_request_is_logged(lines: list[dict[str, Any]]) -> None:
    assert "hush" not in json.dumps(lines)


def test_the_console_form_is_text_for_people(logged: dict[str, list[str]]) -> None:
    text = logged["console info"]
    assert any("unknown_model" in line and "404" in line for line in text)
    with pytest.raises(json.JSONDecodeError):
        json.loads(text[-1])


def test_what_is_below_the_level_is_not_logged(logged: dict[str, list[str]]) -> None:
    assert not [line for line in logged["auto info"] if "not seen" in line]
    assert {json.loads(line)["level"] for line in logged["json warning"]} == {"warning", "error"}
