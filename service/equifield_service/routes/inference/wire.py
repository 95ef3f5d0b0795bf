"""The messages of an inference: JSON, with tensors as JSON or as bytes behind it. Knows no HTTP."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...domain.errors import InvalidTensors, PayloadTooLarge, WorkerFailed
from ...scheduling import Array

DATATYPES: Mapping[str, np.dtype[Any]] = {"FP32": np.dtype("<f4"), "FP64": np.dtype("<f8"), "FP16": np.dtype("<f2")}
JSON_BYTES_PER_NUMBER = 24
_as_json = json.JSONEncoder(allow_nan=False).encode
PARAMETERS: Mapping[str, type[bool | int | str]] = {
    "binary_data_output": bool,
    "boundary": str,
    "priority": int,
    "timeout": int,
}

Parameters = Mapping[str, Any]
Inputs = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Question:
    """An inference request, without its tensors.

    Attributes:
        id: What the caller calls it; the answer repeats it.
        parameters: Those in `PARAMETERS`.
        outputs: Which outputs are wanted, and which of them as bytes; None for all.
    """

    id: str | None
    parameters: Parameters
    outputs: Mapping[str, bool] | None

    def wanted(self, numbers: Mapping[str, int], max_json_bytes: int) -> dict[str, bool]:
        """The outputs to answer with, and whether each goes as bytes; `numbers` counts those of every output there is.

        Raises:
            InvalidTensors: one does not exist.
            PayloadTooLarge: those that go as JSON have too many numbers.
        """
        binary = bool(self.parameters.get("binary_data_output", False))
        chosen = dict.fromkeys(numbers, binary) if self.outputs is None else dict(self.outputs)
        if unknown := [name for name in chosen if name not in numbers]:
            raise InvalidTensors(f"The model has no output {unknown[0]!r:.80}. It has {', '.join(numbers)}.")
        size = JSON_BYTES_PER_NUMBER * sum(numbers[name] for name, as_bytes in chosen.items() if not as_bytes)
        if size > max_json_bytes:
            raise PayloadTooLarge(
                f"The outputs would be about {size} bytes of JSON, and EQUIFIELD_MAX_JSON_BYTES is {max_json_bytes}. "
                f"Ask for binary outputs with the parameter `binary_data_output`, or send less."
            )
        return chosen


def read(body: bytes, json_size: int | None, max_json_bytes: int) -> tuple[Question, Inputs]:
    """The request in a body, whose first `json_size` bytes are JSON (all of them if None), the rest tensors.

    The sizes that the JSON declares are compared with the body before any tensor is made; those that came as
    bytes are views of the body where they are aligned.

    Raises:
        InvalidTensors: it is not such a request.
        PayloadTooLarge: there is more JSON than `max_json_bytes`.
    """
    end = len(body) if json_size is None else json_size
    if end > len(body):
        raise InvalidTensors(f"Inference-Header-Content-Length is {end}, but the body has {len(body)} bytes.")
    if end > max_json_bytes:
        raise PayloadTooLarge(
            f"The request has {end} bytes of JSON, and EQUIFIELD_MAX_JSON_BYTES is {max_json_bytes}. Send the tensors "
            f"as bytes behind the JSON, with the input parameter `binary_data_size`."
        )
    content = _object("the request", _parsed(body[:end]))
    given_id = content.get("id")
    if given_id is not None and not isinstance(given_id, str):
        raise InvalidTensors(f"`id` is {given_id!r:.80}; it is a string.")
    parameters = _request_parameters(content)
    return Question(given_id, parameters, _outputs(content, parameters)), _inputs(content, body, end)


def _parsed(text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidTensors(
            f"The first {len(text)} bytes of the body are not JSON: {error}. Where tensors follow as bytes, the header "
            f"Inference-Header-Content-Length says how many bytes the JSON has."
        ) from None


def _object(what: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidTensors(f"{what} is {value!r:.80}; it is a JSON object.")
    return value


def _named(what: str, value: Any) -> list[tuple[str, dict[str, Any]]]:
    """The tensors of a list, by their names, which differ."""
    if not isinstance(value, list) or not value:
        raise InvalidTensors(f"`{what}` is {value!r:.80}; it is a list of tensors.")
    found = [(_object(f"a member of `{what}`", tensor).get("name"), tensor) for tensor in value]
    names = [name for name, _ in found]
    if not all(isinstance(name, str) for name in names) or len(set(names)) != len(names):
        raise InvalidTensors(f"`{what}` has the names {names!r:.200}; each tensor has a name of its own.")
    return [(str(name), tensor) for name, tensor in found]


def _request_parameters(content: dict[str, Any]) -> Parameters:
    parameters = _object("`parameters`", content.get("parameters", {}))
    for name, value in parameters.items():
        kind = PARAMETERS.get(name)
        if kind is None:
            raise InvalidTensors(f"There is no request parameter {name!r:.80}. Known: {', '.join(PARAMETERS)}.")
        if type(value) is not kind or (isinstance(value, int) and value < 0):
            raise InvalidTensors(f"The request parameter `{name}` is {value!r:.80}; it is a {kind.__name__}.")
    return parameters


def _inputs(content: dict[str, Any], body: bytes, start: int) -> Inputs:
    tensors = _named("inputs", content.get("inputs"))
    sizes = {name: _binary_size(name, tensor) for name, tensor in tensors}
    behind, declared = len(body) - start, sum(size for size in sizes.values() if size is not None)
    if declared != behind:
        raise InvalidTensors(
            f"The inputs declare {declared} bytes of tensors, but {behind} bytes follow the JSON. `binary_data_size` "
            f"of the inputs adds up to what follows."
        )
    inputs: Inputs = {}
    view = memoryview(body)
    for name, tensor in tensors:
        size, kind, shape = sizes[name], _datatype(name, tensor), _shape(name, tensor)
        if size is None:
            inputs[name] = _from_json(name, tensor.get("data"), kind, shape)
            continue
        if size != kind.itemsize * math.prod(shape):
            raise InvalidTensors(
                f"Input {name}: `binary_data_size` is {size}, but a tensor of the shape {list(shape)} with "
                f"{kind.itemsize} bytes per number has {kind.itemsize * math.prod(shape)}."
            )
        source = body if start % kind.itemsize else view  # what is not aligned is copied, which is faster to read
        inputs[name] = np.frombuffer(source[start : start + size], kind).reshape(shape)
        start += size
    return inputs


def _binary_size(name: str, tensor: dict[str, Any]) -> int | None:
    parameters = _object(f"`parameters` of the input {name!r:.80}", tensor.get("parameters", {}))
    if unknown := parameters.keys() - {"binary_data_size"}:
        raise InvalidTensors(
            f"Input {name!r:.80} has the parameter {min(unknown)!r:.80}; only `binary_data_size` is known, and "
            f"tensors do not come in shared memory."
        )
    size = parameters.get("binary_data_size")
    if size is not None and (type(size) is not int or size < 0 or "data" in tensor):
        raise InvalidTensors(f"Input {name!r:.80} has `binary_data_size` {size!r:.80} beside `data`, or no number.")
    return size


def _datatype(name: str, tensor: dict[str, Any]) -> np.dtype[Any]:
    datatype = tensor.get("datatype")
    if not isinstance(datatype, str) or datatype not in DATATYPES:
        raise InvalidTensors(f"Input {name!r:.80} has the datatype {datatype!r:.80}; known: {', '.join(DATATYPES)}.")
    return DATATYPES[datatype]


def _shape(name: str, tensor: dict[str, Any]) -> tuple[int, ...]:
    shape = tensor.get("shape")
    if not isinstance(shape, list) or not all(type(side) is int and side >= 0 for side in shape):
        raise InvalidTensors(f"Input {name!r:.80} has the shape {shape!r:.80}; it is a list of sizes.")
    return tuple(shape)


def _from_json(name: str, data: Any, kind: np.dtype[Any], shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """`data` may be nested or flat. No name of a type, no text and no truth value is taken for a number."""
    try:
        array = np.asarray(data)
        if array.dtype.kind not in "iuf":
            raise ValueError("it is no list of numbers")
        with np.errstate(over="ignore"):
            return array.astype(kind).reshape(shape)
    except ValueError as error:
        raise InvalidTensors(
            f"`data` of the input {name!r:.80} has not the shape {list(shape)!r:.80}: {error}."
        ) from None


def _outputs(content: dict[str, Any], parameters: Parameters) -> dict[str, bool] | None:
    if not content.get("outputs"):
        return None
    default = parameters.get("binary_data_output", False)
    chosen: dict[str, bool] = {}
    for name, tensor in _named("outputs", content["outputs"]):
        parameters = _object(f"`parameters` of the output {name!r:.80}", tensor.get("parameters", {}))
        if unknown := parameters.keys() - {"binary_data"}:
            raise InvalidTensors(f"Output {name!r:.80} has the parameter {min(unknown)!r:.80}; known: binary_data.")
        binary = parameters.get("binary_data", default)
        if not isinstance(binary, bool):
            raise InvalidTensors(f"`binary_data` of the output {name!r:.80} is {binary!r:.80}; it is true or false.")
        chosen[name] = binary
    return chosen


def write(
    model: tuple[str, str], question: Question, outputs: Mapping[str, Array], binary: Mapping[str, bool]
) -> tuple[bytes, int | None]:
    """The body of the answer, and how much of it is JSON where tensors follow.

    Raises:
        WorkerFailed: an output that goes as JSON is not finite.
    """
    described: list[dict[str, Any]] = []
    chunks: list[bytes | memoryview] = [b""]
    for name, as_bytes in binary.items():
        array = outputs[name]
        tensor: dict[str, Any] = {"name": name, "datatype": "FP32", "shape": array.shape}
        if as_bytes:
            tensor["parameters"] = {"binary_data_size": array.nbytes}
            chunks.append(array.data.cast("B"))
        else:
            tensor["data"] = array.ravel().tolist()
        described.append(tensor)
    content: dict[str, Any] = {"model_name": model[0], "model_version": model[1], "outputs": described}
    if question.id is not None:
        content["id"] = question.id
    try:
        chunks[0] = _as_json(content).encode()
    except ValueError:
        raise WorkerFailed("The prediction is not finite, which JSON cannot say. Ask for binary outputs.") from None
    return b"".join(chunks), len(chunks[0]) if len(chunks) > 1 else None
