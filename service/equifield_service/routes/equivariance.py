"""The equivariance check, on request."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response

from ..domain.asking import Ask
from ..domain.errors import NotAcceptable
from ..domain.predict import Form
from ..parts import Parts
from .accepting import MEDIA_TYPE, NETCDF, wanted_kind
from .asking import FILE, QUERIES, Asking
from .digest import ContentDigest, check_digest
from .problems import WORK, responses
from .reading import only_queries, read_body, sizes, while_wanted
from .schemas import Check

Seed = Annotated[int, Query(description="Seed of the random fields.", ge=0, lt=2**32)]
Grid = Annotated[
    str | None,
    Query(description="Sizes of the random fields per axis, such as `64,64`; only without a body.", max_length=80),
]
RESIDUAL = {media: {"schema": {"type": "string", "format": "binary"}} for media in NETCDF}


def router(parts: Parts) -> APIRouter:
    """The route that checks."""
    routes = APIRouter(prefix="/v1/models", tags=["equivariance"])
    asking = Asking(parts.settings)

    @routes.post(
        "/{name}/equivariance",
        dependencies=[Depends(only_queries(*QUERIES, "seed", "grid"))],
        response_model=Check,
        responses={
            **responses(*WORK, NotAcceptable),
            200: {"description": "The report, or the residual", "content": RESIDUAL},
        },
        openapi_extra={"requestBody": {"required": False, "content": FILE}},
    )
    async def check(
        request: Request,
        response: Response,
        ask: Annotated[Ask, Depends(asking)],
        seed: Seed = 0,
        grid: Grid = None,
        digest: ContentDigest = None,
    ) -> Any:
        """Measures how far the model is from commuting with its group, on the file sent or on random fields.

        One row per group element, or translation, and output field, and a verdict. With `Accept: application/netcdf`
        the residual under the worst of them, on the grid of the file that was sent.
        """
        wanted = wanted_kind(request.headers.get("accept"))
        parts.registry.serving(ask.model, ask.version)
        with parts.admission.enter() as guest:
            limit = parts.settings.max_body_bytes
            body = await read_body(request, guest, limit=limit, deadline=ask.deadline)
            await check_digest(digest, body)
            if wanted not in ("same", "json"):
                file = await while_wanted(request, parts.checker.residual(ask, body, form=Form(wanted), guest=guest))
                name = f"{file.model}/{file.version}"
                return Response(file.body, media_type=MEDIA_TYPE[file.kind], headers={"Equifield-Model": name})
            work = parts.checker.check(ask, body, seed=seed, grid=sizes("grid", grid), guest=guest)
            report = await while_wanted(request, work)
        response.headers["Equifield-Model"] = f"{report['model']}/{report['version']}"
        return report

    return routes
