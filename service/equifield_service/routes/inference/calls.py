"""The calls of the protocol in one table: their routes, and what OpenAPI says of them.

They are plain routes, since none has a query, a form or a body that a framework could read, and predictions are to
cost as little as they can.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from starlette.routing import Match, Route
from starlette.types import Scope

from ...domain.errors import DomainError, InvalidTensors, ModelUnavailable
from ...parts import Parts
from ..problems import MODEL, WORK, responses
from .infer import Infer
from .models import Models
from .repository import Repository

JSON = {"application/json": {"schema": {"type": "object"}}}
LIST = {"application/json": {"schema": {"type": "array", "items": {"type": "object"}}}}
BYTES = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
ONE_OF_THEM = ("/v2/models/{name}", "/v2/models/{name}/versions/{version}")


@dataclass(frozen=True)
class Call:
    """One call: where, what, and which errors it may answer beside those of keys."""

    method: str
    paths: tuple[str, ...]
    summary: str
    handler: Callable[..., Any]
    errors: tuple[type[DomainError], ...] = ()
    answer: tuple[dict[str, Any], ...] = (JSON,)
    body: tuple[dict[str, Any], ...] = (JSON,)

    def operation(self, path: str) -> dict[str, Any]:
        """What OpenAPI says of it."""
        names = re.findall(r"{(\w+)}", path)
        operation: dict[str, Any] = {
            "tags": ["inference"],
            "summary": self.summary,
            "operationId": re.sub(r"\W+", "_", f"{self.method.lower()}{path}").strip("_"),
            "parameters": [
                {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names
            ],
            "responses": {
                "200": {"description": self.summary, "content": _merged(self.answer)},
                **{str(status): found for status, found in responses(*self.errors).items()},
            },
        }
        if self.method == "POST":
            operation["requestBody"] = {"content": _merged(self.body)}
        return operation


def calls(parts: Parts) -> list[Call]:
    """Every call, that of predictions first."""
    models, repository = Models(parts), Repository(parts)
    return [
        Call("POST", _each("/infer"), "Predict from tensors", Infer(parts), WORK, (JSON, BYTES), (JSON, BYTES)),
        Call("GET", ("/v2/health/live",), "The service answers", models.live),
        Call("GET", ("/v2/health/ready",), "Every model is ready", models.ready),
        Call("GET", ("/v2",), "The service and the extensions that it has", models.server),
        Call("GET", ("/v2/models/stats",), "The statistics of all models", models.all_statistics),
        Call("GET", _each(""), "The tensors of a model", models.metadata, (*MODEL, ModelUnavailable)),
        Call("GET", _each("/ready"), "Whether a model is ready", models.model_ready, MODEL),
        Call("GET", _each("/config"), "How a model is served", models.configuration, (*MODEL, ModelUnavailable)),
        Call("GET", _each("/stats"), "The statistics of a model", models.statistics, MODEL),
        Call(
            "POST",
            ("/v2/repository/index",),
            "All models and their state",
            repository.index,
            (InvalidTensors,),
            (LIST,),
        ),
        Call("POST", ("/v2/repository/models/{name}/load",), "Load a model", repository.load, WORK),
        Call("POST", ("/v2/repository/models/{name}/unload",), "Unload a model", repository.unload, WORK),
    ]


def _merged(contents: tuple[dict[str, Any], ...]) -> dict[str, Any]:
    return {media: schema for content in contents for media, schema in content.items()}


def _each(end: str) -> tuple[str, ...]:
    return tuple(path + end for path in ONE_OF_THEM)


class NamedRoute(Route):
    """A route that the metrics can name, as they can FastAPI's own."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Whether the route takes a request, and what it adds to its scope."""
        match, found = super().matches(scope)
        return match, {**found, "route": self}


def routes(listed: list[Call]) -> list[NamedRoute]:
    """The routes of these calls."""
    return [NamedRoute(path, call.handler, methods=[call.method]) for call in listed for path in call.paths]


def openapi(listed: list[Call]) -> dict[str, Any]:
    """The paths of these calls, as OpenAPI describes them."""
    return {path: {call.method.lower(): call.operation(path)} for call in listed for path in call.paths}
