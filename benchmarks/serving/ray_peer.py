"""The function behind Ray Serve: batches of 8 within 2 ms, one replica, raw bodies."""

import signal
import sys

import ray  # type: ignore[import-not-found]
from ray import serve
from starlette.requests import Request
from starlette.responses import Response

from benchmarks.serving.model import Convolution


@serve.deployment(num_replicas=1, max_ongoing_requests=256)
class Model:
    """What Ray runs in its replica."""

    def __init__(self) -> None:
        self._model = Convolution()

    @serve.batch(max_batch_size=8, batch_wait_timeout_s=0.002)  # type: ignore[untyped-decorator]
    async def predict(self, bodies: list[bytes]) -> list[bytes]:
        """All answers at once."""
        return self._model.many(bodies)

    async def __call__(self, request: Request) -> Response:
        """One answer."""
        return Response(await self.predict(await request.body()), media_type="application/octet-stream")


if __name__ == "__main__":
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[1])})
    serve.run(Model.bind(), route_prefix="/")  # type: ignore[attr-defined]  # of its decorator
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.pause()
