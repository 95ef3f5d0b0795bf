"""Health, metadata, configuration and statistics, as the Open Inference Protocol has them."""

from importlib.metadata import version
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse

from equifield.package.manifest import Manifest

from ...domain.registry import Entry
from ...domain.tensors import Tensor, Tensors
from ...parts import Parts

PLATFORM = "equifield_jax"
EXTENSIONS = ["binary_tensor_data", "model_configuration", "model_repository", "parameters", "statistics"]
NOT_READY = 503


class Models:
    """The calls that describe. Sizes of -1 are the caller's choice."""

    def __init__(self, parts: Parts):
        self._registry, self._statistics = parts.registry, parts.statistics
        self._max_batch = parts.settings.max_batch

    async def live(self, request: Request) -> JSONResponse:
        """The process answers."""
        return JSONResponse({"live": True})

    async def ready(self, request: Request) -> JSONResponse:
        """Every model is loaded, warm and has passed its self-check."""
        ready = self._registry.health == "ready"
        return JSONResponse({"ready": ready}, 200 if ready else NOT_READY)

    async def server(self, request: Request) -> JSONResponse:
        """Which service this is."""
        return JSONResponse({"name": "equifield", "version": version("equifield"), "extensions": EXTENSIONS})

    async def model_ready(self, request: Request) -> JSONResponse:
        """Whether a model can be asked."""
        entry = self._registry.find(*_chosen(request))
        ready = entry.state == "ready"
        return JSONResponse({"name": entry.package.model, "ready": ready}, 200 if ready else NOT_READY)

    async def metadata(self, request: Request) -> JSONResponse:
        """What a model takes and gives."""
        manifest = self._manifest(request)
        tensors, free = Tensors(manifest), [-1] * (1 + manifest.ndim)
        entries = [self._registry.find(manifest.name, number) for number in self._registry.versions(manifest.name)]
        return JSONResponse(
            {
                "name": manifest.name,
                "versions": [entry.package.version for entry in entries if entry.state == "ready"],
                "platform": PLATFORM,
                "inputs": [_described(tensor, free) for tensor in tensors.inputs],
                "outputs": [_described(tensor, free) for tensor in tensors.outputs],
            }
        )

    async def configuration(self, request: Request) -> JSONResponse:
        """How a model is served. Larger batches than `max_batch_size` are welcome: they travel in parts."""
        manifest = self._manifest(request)
        tensors, free = Tensors(manifest), [-1] * manifest.ndim
        return JSONResponse(
            {
                "name": manifest.name,
                "platform": PLATFORM,
                "backend": "equifield",
                "version_policy": {"all": {}},
                "max_batch_size": self._max_batch,
                "input": [_configured(tensor, free) for tensor in tensors.inputs],
                "output": [_configured(tensor, free) for tensor in tensors.outputs],
                "dynamic_batching": {"max_queue_delay_microseconds": 0},
                "parameters": {
                    "axes": {"string_value": ",".join(manifest.grid.axes)},
                    "boundary": {"string_value": ",".join(manifest.grid.boundary)},
                    "group": {"string_value": manifest.group},
                    "refinement": {"string_value": str(manifest.grid.refinement)},
                },
            }
        )

    async def statistics(self, request: Request) -> JSONResponse:
        """What a version, or every version of a model, was asked."""
        name, number = _chosen(request)
        self._registry.find(name, number)
        numbers = self._registry.versions(name) if number is None else [number]
        return self._counted([self._registry.find(name, number) for number in numbers])

    async def all_statistics(self, request: Request) -> JSONResponse:
        """What all models were asked."""
        return self._counted(self._registry.entries())

    def _counted(self, entries: list[Entry]) -> JSONResponse:
        packages = [entry.package for entry in entries]
        counted = [
            {"name": model, "version": number, **self._statistics.of(model, number).to_dict()}
            for model, number in ((package.model, package.version) for package in packages)
        ]
        return JSONResponse({"model_stats": counted})

    def _manifest(self, request: Request) -> Manifest:
        manifest, _ = self._registry.serving(*_chosen(request))
        return manifest


def _chosen(request: Request) -> tuple[str, str | None]:
    return request.path_params["name"], request.path_params.get("version")


def _described(tensor: Tensor, free: list[int]) -> dict[str, Any]:
    return {"name": tensor.name, "datatype": "FP32", "shape": [*free, *tensor.shape]}


def _configured(tensor: Tensor, free: list[int]) -> dict[str, Any]:
    return {"name": tensor.name, "data_type": "TYPE_FP32", "dims": [*free, *tensor.shape]}
