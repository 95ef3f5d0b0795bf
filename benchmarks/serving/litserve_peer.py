"""The function behind LitServe: batches of 8 within 2 ms, its faster queue, raw bodies."""

import sys
from typing import Annotated, Any

import litserve  # type: ignore[import-not-found]
from fastapi import Body, Response

from benchmarks.serving.model import Convolution

OCTETS = "application/octet-stream"


class Api(litserve.LitAPI):  # type: ignore[misc]
    """What LitServe runs in its worker."""

    def setup(self, device: str) -> None:
        """Compiles the function."""
        self.model = Convolution()

    def decode_request(self, request: Annotated[bytes, Body(media_type=OCTETS)]) -> bytes:
        """The body as it is."""
        return request

    def batch(self, inputs: list[bytes]) -> list[bytes]:
        """The bodies as they are."""
        return inputs

    def predict(self, bodies: list[bytes]) -> list[bytes]:
        """All answers at once."""
        return self.model.many(bodies)

    def unbatch(self, output: list[bytes]) -> list[bytes]:
        """The answers as they are."""
        return output

    def encode_response(self, output: bytes) -> Any:
        """The answer as a body."""
        return Response(output, media_type=OCTETS)


if __name__ == "__main__":
    api = Api(max_batch_size=8, batch_timeout=0.002)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1, fast_queue=True)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False, log_level="warning")
