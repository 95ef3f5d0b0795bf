"""The function behind MLServer: batches of 8 within 2 ms, one worker, Base64 in JSON: its REST has no raw bodies."""

import asyncio
import base64
import sys

from mlserver import MLModel, MLServer, ModelSettings, Settings  # type: ignore[import-not-found]
from mlserver.types import InferenceRequest, InferenceResponse, ResponseOutput  # type: ignore[import-not-found]

from benchmarks.serving.model import Convolution


class Model(MLModel):  # type: ignore[misc]
    """What MLServer runs in its worker."""

    async def load(self) -> bool:
        """Compiles the function."""
        self._model = Convolution()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """All answers at once."""
        bodies = [base64.b64decode(text) for text in payload.inputs[0].data]
        answers = [base64.b64encode(answer).decode() for answer in self._model.many(bodies)]
        output = ResponseOutput(name="answer", shape=[len(answers), 1], datatype="BYTES", data=answers)
        return InferenceResponse(model_name=self.name, outputs=[output])


async def main(port: int) -> None:
    """Serves until a signal comes."""
    settings = Settings(
        host="127.0.0.1",
        http_port=port,
        grpc_port=port + 1,
        metrics_port=port + 2,
        parallel_workers=1,
        debug=False,
        use_structured_logging=False,
    )
    server = MLServer(settings)
    model = ModelSettings(name="conv", implementation=Model, max_batch_size=8, max_batch_time=0.002)
    await server.start([model])


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
