"""Fuzzes the payload reader: whatever is sent, the answer is a file or a refusal from the table.

A body goes there and back as a prediction, as a rollout, and as the result of a job that grows: what starts to grow is
never refused later, and its parts behind their one head are the whole file.

    python -m venv /tmp/fuzz && /tmp/fuzz/bin/pip install atheris==3.0.0 -r requirements/server-cpu.txt
    /tmp/fuzz/bin/python fuzz/seeds.py fuzz/corpus
    PYTHONPATH=engine:service /tmp/fuzz/bin/python fuzz/payload_reader.py -max_total_time=3600 -max_len=8192 \
        -timeout=10 -rss_limit_mb=2048 fuzz/corpus

Needs Python 3.11. The last byte of an input chooses the options of the request. A NetCDF-4 file is only looked at
as far as our own checks go: what the C library does with it may end a process, which is what the pool of payload
processes is for, and what `tests/hostile` tries.
"""

import sys
from typing import Any

import atheris
import numpy as np

with atheris.instrument_imports(include=["equifield_service.payload"]):
    from equifield.package.manifest import Component, FieldSpec, GridSpec, Manifest
    from equifield_service.domain.errors import DomainError, PayloadProcessFailed
    from equifield_service.payload.handling import decode, encode
    from equifield_service.payload.hdf5 import check_hdf5
    from equifield_service.payload.magic import kind_of
    from equifield_service.payload.reading import reading
    from equifield_service.payload.values import Limits, ReadOptions

LIMITS = Limits(decoded_bytes=2**24, chunk_bytes=2**22)
KINDS = ("netcdf3", "netcdf4", "json")


def model(spacing: str, refinement: int = 1, time_step: float | None = None) -> Manifest:
    """A model that gives back the wind and the temperature that it takes, on the same grid or a finer one."""
    parts = (
        Component(axes=("x",), variable="u", standard_names=("eastward_wind",)),
        Component(axes=("y",), variable="v", standard_names=("northward_wind",)),
    )
    fields = (
        FieldSpec(name="wind", order=1, units="m s-1", components=parts),
        FieldSpec(name="temperature", order=0, units="K", components=(Component(variable="t"),)),
    )
    return Manifest.model_validate(
        {
            "name": "fuzz",
            "version": "1",
            "title": "",
            "description": "",
            "licence": "",
            "architecture": {"name": "identity", "config": {}},
            "group": "B2",
            "inputs": fields,
            "outputs": fields,
            "grid": GridSpec(axes=("x", "y"), boundary=("zero", "zero"), spacing=spacing, refinement=refinement),
            "time_step": time_step,
            "provenance": {"created": "", "engine_version": "", "training": "", "data": ""},
        }
    )


MODELS = tuple(model(spacing, refinement) for refinement in (1, 2) for spacing in ("uniform", "any"))
STEPPING = tuple(model(spacing, time_step=step) for step in (None, 5400.0) for spacing in ("uniform", "any"))
STEPS, EVERY = 4, 2


def try_one(data: bytes) -> None:
    """Takes a body there and back; anything but a `DomainError` is a finding."""
    choice, body = (data[-1], data[:-1]) if data else (0, data)
    is_rollout = choice >= 128
    options = ReadOptions(
        missing=(None, "zero", "nearest", "nearest")[choice & 3],
        stagger="center" if choice & 4 else None,
        units={"t": "degC"} if choice & 8 else {},
        rollout=is_rollout,
    )
    manifest = (STEPPING if is_rollout else MODELS)[(choice >> 4 & 1) + (choice >> 5 & 2)]
    try:
        kind = kind_of(body, "application/json")
        if kind == "netcdf4":
            with reading("Looking into the file"):
                check_hdf5(body, LIMITS)
            return
        packed, plan, shell = decode(body, kind, manifest, options, LIMITS)
        how = {"kind": KINDS[choice % 3], "dtype": "float64" if choice & 32 else "float32", "compress": 0}
        message = {"plan": plan.to_json(), "options": how, "sent": kind, "attributes": {"history": "fuzzed"}}
        if is_rollout:
            roll_out(shell.to_bytes(), message, manifest, packed)
        else:
            finer = manifest.grid.refinement
            encode(shell.to_bytes(), message, manifest, packed.repeat(finer, 1).repeat(finer, 2))
    except PayloadProcessFailed:
        raise
    except DomainError as error:
        error.to_dict()


def roll_out(shell: Any, message: dict[str, Any], manifest: Manifest, start: Any) -> None:
    """Gives a rollout that ended early back as a prediction does, and a whole one as a job does."""
    states = np.stack([start, start + 1], axis=1)
    how = {**message, "options": {**message["options"], "kind": "netcdf3"}}

    def part(first: int, last: int) -> bytes:
        progress = {"steps": STEPS, "every": EVERY, "completed": STEPS, "part": (first, last)}
        return bytes(encode(shell, {**how, "progress": progress}, manifest, states[:, first // EVERY : last // EVERY]))

    head = part(0, 0)
    try:
        parts, whole = [part(0, EVERY), part(EVERY, STEPS)], part(0, STEPS)
    except DomainError as error:
        raise RuntimeError("what started to grow was refused later") from error
    if whole[8:] != head[8:] + b"".join(part[len(head) :] for part in parts):  # but for the number of records
        raise RuntimeError("the parts are not the whole")
    states[:, 1] = np.nan
    encode(shell, {**message, "progress": {"steps": STEPS, "every": EVERY, "completed": EVERY}}, manifest, states)


if __name__ == "__main__":
    atheris.Setup(sys.argv, try_one)
    atheris.Fuzz()
