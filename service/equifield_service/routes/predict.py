"""Prediction: a file in, a file of the same kind out."""

from fastapi import APIRouter, Request, Response

from ..domain.errors import NotAcceptable, NotAutoregressive
from ..domain.predict import Form
from ..domain.rollouts import steps_of
from ..parts import Parts
from .accepting import MEDIA_TYPE, wanted_kind
from .asking import FILE, PredictQuery, ask_of, described, read_query
from .digest import CONTENT_DIGEST, check_digest
from .problems import WORK, responses
from .reading import read_body, while_wanted

COMPLETED = "Equifield-Steps-Completed"


def router(parts: Parts) -> APIRouter:
    """The route that predicts."""
    routes = APIRouter(prefix="/v1/models", tags=["prediction"])

    @routes.post(
        "/{name}/predict",
        response_class=Response,
        responses={
            **responses(*WORK, NotAcceptable, NotAutoregressive),
            200: {
                "description": "The predicted fields, on the grid of the file or a finer one",
                "content": FILE,
            },
        },
        openapi_extra=described(PredictQuery, needs_body=True),
    )
    async def predict(request: Request, name: str) -> Response:
        """Predicts the output fields from a NetCDF file, or from JSON.

        The answer has the kind that was sent, unless `Accept` says otherwise: `application/netcdf; version=3`,
        `application/netcdf; version=4` or `application/json`.

        With `steps` it is a rollout, whose states lie along the file's time if the model says how long a step is and
        the file has one time, else along a new dimension `step`. `Equifield-Steps-Completed` says up to which step
        all states are finite.
        """
        query = read_query(PredictQuery, request)
        ask = ask_of(request, name, query, parts.settings)
        kind = wanted_kind(request.headers.get("accept"))
        steps = steps_of(query.steps, query.every, most=parts.settings.max_steps)
        form = Form(kind, query.dtype, query.compress, query.precision, query.symmetrize, steps)
        parts.registry.serving(ask.model, ask.version)
        with parts.admission.enter() as guest:
            limit = parts.settings.max_body_bytes
            body = await read_body(request, guest, limit=limit, deadline=ask.deadline)
            await check_digest(request.headers.get(CONTENT_DIGEST), body)
            work = parts.predictor.predict(ask, body, form=form, guest=guest)
            del body  # the work holds it for as long as it needs it
            prediction = await while_wanted(request, work)
        request.state.samples = prediction.samples
        headers = {"Equifield-Model": f"{prediction.model}/{prediction.version}"}
        if prediction.completed is not None:
            headers[COMPLETED] = str(prediction.completed)
        return Response(prediction.body, media_type=MEDIA_TYPE[prediction.kind], headers=headers)

    return routes
