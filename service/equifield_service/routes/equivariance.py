"""The equivariance check, on request."""

from typing import Any

from fastapi import APIRouter, Request, Response

from ..domain.errors import NotAcceptable
from ..domain.predict import Form
from ..parts import Parts
from .accepting import MEDIA_TYPE, NETCDF, wanted_kind
from .asking import CheckQuery, ask_of, described, read_query
from .digest import CONTENT_DIGEST, check_digest
from .problems import WORK, responses
from .reading import read_body, sizes, while_wanted
from .schemas import Check

RESIDUAL = {media: {"schema": {"type": "string", "format": "binary"}} for media in NETCDF}


def router(parts: Parts) -> APIRouter:
    """The route that checks."""
    routes = APIRouter(prefix="/v1/models", tags=["equivariance"])

    @routes.post(
        "/{name}/equivariance",
        response_model=Check,
        responses={
            **responses(*WORK, NotAcceptable),
            200: {"description": "The report, or the residual", "content": RESIDUAL},
        },
        openapi_extra=described(CheckQuery, needs_body=False),
    )
    async def check(request: Request, response: Response, name: str) -> Any:
        """Measures how far the model is from commuting with its group, on the file sent or on random fields.

        One row per group element, or translation, and output field, and a verdict. With `Accept: application/netcdf`
        the residual under the worst of them, as a file like a prediction.
        """
        query = read_query(CheckQuery, request)
        ask = ask_of(request, name, query, parts.settings)
        wanted = wanted_kind(request.headers.get("accept"))
        parts.registry.serving(ask.model, ask.version)
        with parts.admission.enter() as guest:
            limit = parts.settings.max_body_bytes
            body = await read_body(request, guest, limit=limit, deadline=ask.deadline)
            await check_digest(request.headers.get(CONTENT_DIGEST), body)
            if wanted not in ("same", "json"):
                file = await while_wanted(request, parts.checker.residual(ask, body, form=Form(wanted), guest=guest))
                used = f"{file.model}/{file.version}"
                return Response(file.body, media_type=MEDIA_TYPE[file.kind], headers={"Equifield-Model": used})
            work = parts.checker.check(ask, body, seed=query.seed, grid=sizes("grid", query.grid), guest=guest)
            report = await while_wanted(request, work)
        response.headers["Equifield-Model"] = f"{report['model']}/{report['version']}"
        return report

    return routes
