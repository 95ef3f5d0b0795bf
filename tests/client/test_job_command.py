"""`equifield rollout` and `equifield jobs`, against a scripted office: output, files and exit codes."""

import json
import os
import signal
import subprocess
import sys
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from equifield_client._console import ExitCode

from .office import ID, Office, failed_json, file_of, states, status_json

if TYPE_CHECKING:
    from tests.client.conftest import Peer, Shell

CONTENT = file_of(states(10))
ENDED = status_json("successful", 10)


def files(folder: Path) -> list[str]:
    """What is in a folder."""
    return sorted(path.name for path in folder.iterdir())


def test_a_rollout_is_a_job_whose_result_is_written(peer: "Peer", shell: "Shell", source: Path) -> None:
    peer.script.append(Office([(status_json(), None), (ENDED, CONTENT)]))
    options = ("--steps", "200", "--every", "10", "--map", "u:u10,v:v10", "--dtype", "float64", "--priority", "-5")
    done = shell("rollout", "m", source, *options, "-o", "out.nc", url=peer.url)
    assert (done.returncode, done.stderr) == (ExitCode.OK, "")
    assert done.stdout == f"out.nc: {len(CONTENT)} bytes\n"
    assert (source.parent / "out.nc").read_bytes() == CONTENT
    assert files(source.parent) == ["in.nc", "out.nc"]
    asked = {"model": "m", "steps": "200", "every": "10", "map": "u:u10,v:v10", "dtype": "float64", "priority": "-5"}
    assert (peer.requests[0].query, peer.requests[0].body) == (asked, source.read_bytes())


def test_a_detached_rollout_prints_the_id_alone(peer: "Peer", inside: "Shell", source: Path) -> None:
    peer.script.append(Office([(status_json(), None)]))
    assert inside("rollout", "m", source, "--steps", "9", "--detach", url=peer.url).stdout == f"{ID}\n"
    said = inside("rollout", "m", source, "--steps", "9", "--detach", "--json", url=peer.url).stdout
    assert json.loads(said) == {"id": ID}
    assert {sent.method for sent in peer.requests} == {"POST"}


@pytest.mark.parametrize(
    "arguments",
    [
        ["rollout", "m", "in.nc", "-o", "out.nc"],
        ["rollout", "m", "in.nc", "--steps", "0", "-o", "out.nc"],
        ["rollout", "m", "in.nc", "--steps", "9"],
        ["rollout", "m", "in.nc", "--steps", "9", "--priority", "101", "-o", "out.nc"],
        ["rollout", "m", "in.nc", "--steps", "9", "--detach", "-o", "out.nc"],
        ["rollout", "m", "in.nc", "--steps", "9", "-o", "in.nc"],
        ["jobs", "--status", "lost"],
        ["jobs", "show"],
        ["jobs", "show", ""],
        ["jobs", "--limit", "3", "show", ID],
        ["jobs", "fetch", ID],
        ["jobs", "fetch", ID, "-o", "no/folder/out.nc"],
    ],
    ids=" ".join,
)
def test_wrong_arguments_are_found_before_anything_is_sent(
    peer: "Peer", inside: "Shell", source: Path, arguments: list[str]
) -> None:
    done = inside(*arguments, url=peer.url)
    assert done.returncode == ExitCode.USAGE
    assert (peer.requests, files(source.parent)) == ([], ["in.nc"])


INTERRUPTIBLE = """
import runpy, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
runpy.run_module("equifield_client", run_name="__main__", alter_sys=True)
"""
"""The command, also where whoever started the tests in the background lets interrupts be ignored."""


@pytest.mark.parametrize("by_option", [False, True], ids=["variable", "option"])
def test_an_interrupt_leaves_the_job_running_and_says_how_to_go_on(peer: "Peer", source: Path, by_option: bool) -> None:
    office = Office([(status_json(step=2), None)])
    command = [sys.executable, "-c", INTERRUPTIBLE, "rollout", "m", str(source), "--steps", "10", "-o", "a b.nc"]
    command += ["--url", peer.url] if by_option else []
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    environment |= {} if by_option else {"EQUIFIELD_URL": peer.url}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=source.parent, env=environment
    )

    def interrupt(handler: BaseHTTPRequestHandler) -> None:
        if handler.headers.get("If-None-Match"):
            process.send_signal(signal.SIGINT)
        office(handler)

    peer.script.append(interrupt)
    with process:
        try:
            stdout, stderr = process.communicate(timeout=300)
        finally:
            process.kill()
    assert (process.returncode, stdout) == (ExitCode.INTERRUPTED, "")
    where = f" --url {peer.url}" if by_option else ""
    for way in (f"`equifield jobs fetch {ID} -o 'a b.nc'{where}`", f"`equifield jobs cancel {ID}{where}`"):
        assert way in stderr
    assert "DELETE" not in {sent.method for sent in peer.requests}
    assert files(source.parent) == ["in.nc"]


def test_a_job_that_fails_has_an_exit_code_of_its_own(
    peer: "Peer", inside: "Shell", source: Path, tmp_path: Path
) -> None:
    peer.script.append(Office([(failed_json(4), CONTENT)]))
    done = inside("rollout", "m", source, "--steps", "10", "-o", "out.nc", url=peer.url)
    assert (done.returncode, done.stdout, files(tmp_path)) == (ExitCode.JOB_ENDED, "", ["in.nc"])
    assert "Not finite at step 4. (diverged)" in done.stderr
    done = inside("jobs", "fetch", ID, "--partial", "-o", "out.nc", url=peer.url)
    assert (done.returncode, (tmp_path / "out.nc").read_bytes()) == (ExitCode.OK, CONTENT)


def test_a_job_that_is_not_there_is_a_refusal(peer: "Peer", inside: "Shell") -> None:
    peer.script.append(Office([]))
    done = inside("jobs", "show", "f" * 32, "--json", url=peer.url)
    assert (done.returncode, json.loads(done.stderr)["code"]) == (ExitCode.REFUSED, "unknown_job")


def test_jobs_are_a_table(peer: "Peer", inside: "Shell") -> None:
    mean = status_json("accepted", jobID="2" * 32, model="[red]m\x1b[2J", steps=None, message="Waits.")
    peer.answers(200, {"jobs": [failed_json(4), mean], "links": []})
    header, first, second = inside("jobs", "--status", "failed", "--model", "m", url=peer.url).stdout.splitlines()
    assert header.split() == ["id", "model", "version", "status", "steps", "created", "message"]
    for word in (ID, "failed", "4 / 10", "2026-02-28 12:00", "Not finite at step 4."):
        assert word in first
    assert second.split() == ["2" * 32, "[red]m", "[2J", "1", "accepted", "2026-02-28", "12:00", "Waits."]
    assert (peer.requests[0].query["status"], peer.requests[0].query["model"]) == ("failed", "m")


def test_no_more_jobs_are_listed_than_are_wanted(peer: "Peer", inside: "Shell") -> None:
    peer.answers(200, {"jobs": [status_json()] * 3, "links": [{"rel": "next", "href": "/v1/jobs?cursor=a"}]})
    told = json.loads(inside("jobs", "--limit", "4", "--json", url=peer.url).stdout)
    assert [job["id"] for job in told] == [ID] * 4
    assert len(peer.requests) == 2


def test_one_job_is_shown_in_full(peer: "Peer", inside: "Shell") -> None:
    numbers: dict[str, Any] = {"mean_square": [1.0], "minimum": [0.0], "maximum": [1.0], "spectrum_slope": [None]}
    status = failed_json(4) | {"diagnostics": {"steps": [4], "fields": {"velocity": numbers}}}
    peer.script.append(Office([(status, None)]))
    lines = dict(line.split(maxsplit=1) for line in inside("jobs", "show", ID, url=peer.url).stdout.splitlines())
    assert (lines["id"], lines["status"], lines["step"]) == (ID, "failed", "4")
    assert lines["failure"] == "Not finite at step 4. (diverged)"
    told = json.loads(inside("jobs", "show", ID, "--json", url=peer.url).stdout)
    assert told["created"] == "2026-02-28T12:00:00+00:00"
    assert told["diagnostics"]["fields"]["velocity"]["spectrum_slope"] == [None]


def test_cancel_says_how_the_job_stands(peer: "Peer", inside: "Shell") -> None:
    peer.script.append(Office([(status_json(), None)]))
    assert "dismissed" in inside("jobs", "cancel", ID, url=peer.url).stdout
    assert [sent.method for sent in peer.requests] == ["DELETE"]


def test_what_is_written_and_listed_is_said_to_scripts(peer: "Peer", inside: "Shell", tmp_path: Path) -> None:
    peer.script.append(Office([(ENDED, CONTENT)]))
    told = json.loads(inside("jobs", "fetch", ID, "-o", "out.nc", "--json", url=peer.url).stdout)
    assert told == {"id": ID, "output": "out.nc", "bytes": len(CONTENT)}
    assert files(tmp_path) == ["out.nc"]
