"""The HTTP application: a function of its settings and its parts."""

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI

from .access import KeyRing
from .parts import Parts
from .routes import equivariance, health, inference, jobs, models, predict
from .routes.context import RequestContext
from .routes.guard import Guard, scope_of
from .routes.pace import Pace
from .routes.problems import add_handlers
from .routes.schemas import Problem
from .settings import Settings

logger = logging.getLogger(__name__)


class Gateway(FastAPI):
    """FastAPI, with a description that tells the truth about errors and keys."""

    wants_keys = False
    other_paths: Mapping[str, Any] = {}
    """What OpenAPI says of the routes that are not FastAPI's."""

    def openapi(self) -> dict[str, Any]:
        """OpenAPI with our problems instead of FastAPI's validation errors, which this service never sends."""
        if self.openapi_schema is None:
            described = super().openapi()
            schemas = described.setdefault("components", {}).setdefault("schemas", {})
            for name in ("HTTPValidationError", "ValidationError"):
                schemas.pop(name, None)
            schemas["Problem"] = Problem.model_json_schema()
            described["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
            described["paths"] |= self.other_paths
            for path, operations in described["paths"].items():
                for operation in operations.values():
                    scope = scope_of(path)
                    without: list[dict[str, Any]] = [] if self.wants_keys else [{}]
                    operation["security"] = [] if scope is None else [{"key": [scope]}, *without]
                    if "HTTPValidationError" in str(operation["responses"].get("422")):
                        del operation["responses"]["422"]
        return super().openapi()


def create_app(settings: Settings, parts: Parts | None = None) -> FastAPI:
    """The application. Its processes start and end with its lifespan."""
    house = parts or Parts(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with house:
            yield

    app = Gateway(
        title="Equifield",
        summary="Predictions on tensor fields by networks that commute with rotations and reflections.",
        version=version("equifield"),
        lifespan=lifespan,
        redoc_url=None,
    )
    app.add_middleware(Pace, patience=settings.body_patience_s, rate=settings.body_min_rate)
    app.wants_keys = settings.keys is not None
    if settings.keys is None:
        logger.warning("there are no keys: whoever reaches %s may use the service", settings.host)
    else:
        app.add_middleware(Guard, keys=KeyRing.read(settings.keys))
    app.add_middleware(RequestContext, metrics=house.metrics)
    add_handlers(app)
    calls = inference.calls(house)
    app.router.routes.extend(inference.routes(calls))
    app.other_paths = inference.openapi(calls)
    for router in (
        health.router(house),
        models.router(house.registry, house.life),
        predict.router(house),
        equivariance.router(house),
        jobs.router(house),
    ):
        app.include_router(router)
    return app
