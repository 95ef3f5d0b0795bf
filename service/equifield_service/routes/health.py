"""Health and metrics, for whoever watches over the service."""

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST

from ..parts import Parts
from .problems import responses
from .schemas import Live, ModelHealth, Ready


def router(parts: Parts) -> APIRouter:
    """The routes of health and metrics."""
    routes = APIRouter(tags=["operation"])

    @routes.get("/healthz/live")
    async def live() -> Live:
        """The process answers."""
        return Live()

    @routes.get("/healthz/ready", responses={503: {"model": Ready, "description": "Starting, or a model has failed"}})
    async def ready(response: Response) -> Ready:
        """Every model is loaded, warm and has passed its self-check."""
        status = parts.registry.health
        response.status_code = 200 if status == "ready" else 503
        entries = parts.registry.entries()
        states = {str(entry.package): ModelHealth(state=entry.state, reason=entry.reason) for entry in entries}
        return Ready(status=status, models=states)

    @routes.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}, **responses()})
    async def metrics() -> Response:
        """Measurements, in Prometheus' text format."""
        return Response(parts.metrics.exposition(), media_type=CONTENT_TYPE_LATEST)

    return routes
