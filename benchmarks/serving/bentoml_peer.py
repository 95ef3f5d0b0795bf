"""The function behind BentoML: adaptive batches of at most 8, one worker, raw bodies.

An API that batches takes arrays alone, so bodies come in through a service before it, as its documentation has it.
"""

from typing import Any

import bentoml  # type: ignore[import-not-found]
import numpy as np
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

from benchmarks.serving.model import FEATURES, GRID, Convolution, Samples


async def predict(request: Request) -> Response:
    """One answer."""
    sample = np.frombuffer(await request.body(), np.float32).reshape(1, *GRID, FEATURES)
    answer = await bentoml.get_current_service().answer(sample)
    return Response(np.asarray(answer).tobytes(), media_type="application/octet-stream")


app = Starlette()
app.add_route("/predict", predict, methods=["POST"])


@bentoml.service(workers=1)
class Model:
    """What BentoML runs in its worker."""

    def __init__(self) -> None:
        self._model = Convolution()

    @bentoml.api(batchable=True, batch_dim=0, max_batch_size=8)  # type: ignore[untyped-decorator]
    def predict(self, batch: np.ndarray) -> np.ndarray:
        """All answers at once."""
        return self._model(np.asarray(batch, np.float32))


@bentoml.service(workers=1)
@bentoml.asgi_app(app)
class Front:
    """Takes bodies."""

    model = bentoml.depends(Model)

    async def answer(self, sample: Samples) -> Any:
        """One answer."""
        return await self.model.to_async.predict(sample)
