"""What models there are, and which of them are loaded."""

from fastapi import APIRouter, Depends, Request

from ..domain.errors import ModelUnavailable
from ..domain.life import ModelLife
from ..domain.registry import Registry
from .problems import MODEL, QUERY, responses
from .reading import check_queries
from .schemas import ModelInfo, ModelList


def router(registry: Registry, life: ModelLife) -> APIRouter:
    """The routes below `/v1/models` that describe, load and unload."""
    routes = APIRouter(prefix="/v1/models", tags=["models"], dependencies=[Depends(_no_query)])

    @routes.get("", responses=responses(*QUERY))
    async def list_models() -> ModelList:
        """Every version of every model, those that cannot be served included, with the reason."""
        return ModelList(
            models=[ModelInfo.of(entry, registry.versions(entry.package.model)) for entry in registry.entries()]
        )

    @routes.get("/{name}", responses=responses(*MODEL, *QUERY))
    async def get_model(name: str) -> ModelInfo:
        """The version of a model that is used when a request names none."""
        return ModelInfo.of(registry.find(name), registry.versions(name))

    @routes.get("/{name}/versions/{version}", responses=responses(*MODEL, *QUERY))
    async def get_version(name: str, version: str) -> ModelInfo:
        """One version of a model."""
        return ModelInfo.of(registry.find(name, version), registry.versions(name))

    @routes.post("/{name}/versions/{version}/load", responses=responses(*MODEL, *QUERY, ModelUnavailable))
    async def load(name: str, version: str) -> ModelInfo:
        """Loads, warms and checks a version that was unloaded or has failed, and answers when it is served."""
        await life.load(name, version)
        return await get_version(name, version)

    @routes.post("/{name}/versions/{version}/unload", responses=responses(*MODEL, *QUERY))
    async def unload(name: str, version: str) -> ModelInfo:
        """Serves a version no longer, when its requests are answered; those without a version go to an older one."""
        await life.unload(name, version)
        return await get_version(name, version)

    return routes


async def _no_query(request: Request) -> None:  # a plain function would be sent to a thread
    check_queries(request, ())
