"""The store, as the Open Inference Protocol's repository extension has it."""

import json
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse

from ...domain.errors import InvalidTensors
from ...domain.registry import Entry
from ...parts import Parts
from ..reading import deadline_of, read_body, while_wanted

STATES = {"ready": "READY", "loading": "LOADING"}
LONGEST_COMMAND = 2**16


class Repository:
    """The calls that list, load and unload."""

    def __init__(self, parts: Parts):
        self._parts = parts

    async def index(self, request: Request) -> JSONResponse:
        """Every version of every model, or those that are ready."""
        wanted = await self._command(request, "ready")
        entries = [_listed(entry) for entry in self._parts.registry.entries()]
        return JSONResponse([entry for entry in entries if not wanted.get("ready") or entry["state"] == "READY"])

    async def load(self, request: Request) -> JSONResponse:
        """Loads the newest version of a model; what is in the store, not what a request brings."""
        await self._command(request, "parameters")
        await while_wanted(request, self._parts.life.load(request.path_params["name"], None))
        return JSONResponse({})

    async def unload(self, request: Request) -> JSONResponse:
        """Unloads every version of a model."""
        await self._command(request, "parameters")
        await while_wanted(request, self._parts.life.unload(request.path_params["name"], None))
        return JSONResponse({})

    async def _command(self, request: Request, *members: str) -> dict[str, Any]:
        """The JSON object that was sent, or an empty one."""
        with self._parts.admission.enter() as guest:
            deadline = deadline_of(None, self._parts.settings)
            body = await read_body(request, guest, limit=LONGEST_COMMAND, deadline=deadline)
        try:
            command = json.loads(body or b"{}")
        except (ValueError, RecursionError) as error:
            raise InvalidTensors(f"The body is not JSON: {error}.") from None
        if not isinstance(command, dict) or not isinstance(command.get("parameters", {}), dict):
            raise InvalidTensors(f"The body is {command!r:.80}; it is a JSON object, and so are its `parameters`.")
        unknown = [*(command.keys() - set(members)), *(command.get("parameters", {}).keys() - {"unload_dependents"})]
        if unknown:
            raise InvalidTensors(
                f"{unknown[0]!r:.80} is not supported: models come from the store as they are there, with no other "
                f"configuration or files."
            )
        return command


def _listed(entry: Entry) -> dict[str, str]:
    return {
        "name": entry.package.model,
        "version": entry.package.version,
        "state": STATES.get(entry.state, "UNAVAILABLE"),
        "reason": entry.reason or "",
    }
