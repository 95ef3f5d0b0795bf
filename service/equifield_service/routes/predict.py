"""Prediction: a file in, a file of the same kind out."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from ..domain.asking import Ask
from ..domain.errors import NotAcceptable
from ..domain.predict import Form
from ..parts import Parts
from ..payload import Precision as Type
from ..scheduling import Precision
from .accepting import MEDIA_TYPE, wanted_kind
from .asking import FILE, QUERIES, Asking
from .digest import ContentDigest, check_digest
from .problems import WORK, responses
from .reading import only_queries, read_body, while_wanted

PrecisionQuery = Annotated[
    Precision, Query(description="The precision of matrix products and convolutions; all else is in float32.")
]
Symmetrize = Annotated[
    bool, Query(description="Whether to average the prediction over the model's group, at as many times the cost.")
]
Dtype = Annotated[Type, Query(description="The type of the predicted fields in the answer.")]
Compress = Annotated[
    int,
    Query(
        ge=0,
        le=9,
        description="Level of zlib compression of the predicted fields; above 0 the answer is NetCDF-4, "
        "unless another kind was asked for.",
    ),
]


def router(parts: Parts) -> APIRouter:
    """The route that predicts."""
    routes = APIRouter(prefix="/v1/models", tags=["prediction"])
    asking = Asking(parts.settings)

    @routes.post(
        "/{name}/predict",
        dependencies=[Depends(only_queries(*QUERIES, "dtype", "compress", "precision", "symmetrize"))],
        response_class=Response,
        responses={
            **responses(*WORK, NotAcceptable),
            200: {"description": "The predicted fields, on the grid of the file that was sent", "content": FILE},
        },
        openapi_extra={"requestBody": {"required": True, "content": FILE}},
    )
    async def predict(
        request: Request,
        ask: Annotated[Ask, Depends(asking)],
        dtype: Dtype = "float32",
        compress: Compress = 0,
        precision: PrecisionQuery = "float32",
        symmetrize: Symmetrize = False,
        digest: ContentDigest = None,
    ) -> Response:
        """Predicts the output fields from a NetCDF file, or from JSON.

        The answer has the kind that was sent, unless `Accept` says otherwise: `application/netcdf; version=3`,
        `application/netcdf; version=4` or `application/json`.
        """
        form = Form(wanted_kind(request.headers.get("accept")), dtype, compress, precision, symmetrize)
        parts.registry.serving(ask.model, ask.version)
        with parts.admission.enter() as guest:
            limit = parts.settings.max_body_bytes
            body = await read_body(request, guest, limit=limit, deadline=ask.deadline)
            await check_digest(digest, body)
            work = parts.predictor.predict(ask, body, form=form, guest=guest)
            del body  # the work holds it for as long as it needs it
            prediction = await while_wanted(request, work)
        request.state.samples = prediction.samples
        return Response(
            prediction.body,
            media_type=MEDIA_TYPE[prediction.kind],
            headers={"Equifield-Model": f"{prediction.model}/{prediction.version}"},
        )

    return routes
