"""The messages of an inference: what is read from bytes, what is refused, and what is written."""

import json
from typing import Any

import numpy as np
import pytest

from equifield_service.domain.errors import InvalidTensors, PayloadTooLarge, WorkerFailed
from equifield_service.routes.inference import wire

LIMIT = 10_000
BYTES = np.arange(8, dtype="<f4").tobytes()
BINARY = {"name": "a", "shape": [2, 4], "datatype": "FP32", "parameters": {"binary_data_size": 32}}
PLAIN = {"name": "b", "shape": [2, 2], "datatype": "FP64", "data": [[1, 2.5], [3, 4]]}


def body(content: Any, tensors: bytes = b"") -> tuple[bytes, int | None]:
    text = json.dumps(content).encode()
    return text + tensors, len(text) if tensors else None


def read(content: Any, tensors: bytes = b"") -> tuple[wire.Question, wire.Inputs]:
    return wire.read(*body(content, tensors), LIMIT)


def test_tensors_come_as_bytes_and_as_json_in_one_request() -> None:
    question, inputs = read({"id": "7", "inputs": [BINARY, PLAIN]}, BYTES)
    np.testing.assert_array_equal(inputs["a"], np.arange(8).reshape(2, 4))
    np.testing.assert_array_equal(inputs["b"], [[1, 2.5], [3, 4]])
    assert (question.id, str(inputs["a"].dtype), str(inputs["b"].dtype)) == ("7", "float32", "float64")


def test_bytes_belong_to_the_inputs_in_their_order() -> None:
    other = {**BINARY, "name": "c", "shape": [1], "parameters": {"binary_data_size": 4}}
    sent, size = body({"inputs": [other, PLAIN, BINARY]}, b"\0\0\x80\x3f" + BYTES)
    _, inputs = wire.read(sent, size, LIMIT)
    assert inputs["c"] == [1.0] and inputs["a"][1, 3] == 7.0


def test_flat_data_is_the_same_as_nested() -> None:
    _, inputs = read({"inputs": [{**PLAIN, "data": [1, 2.5, 3, 4]}]})
    np.testing.assert_array_equal(inputs["b"], [[1, 2.5], [3, 4]])


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ([], "JSON object"),
        ({}, "list of tensors"),
        ({"inputs": []}, "list of tensors"),
        ({"inputs": [1]}, "JSON object"),
        ({"inputs": [PLAIN, PLAIN]}, "name of its own"),
        ({"inputs": [{**PLAIN, "name": 3}]}, "name of its own"),
        ({"inputs": [{**PLAIN, "datatype": "BYTES"}]}, "datatype"),
        ({"inputs": [{**PLAIN, "datatype": ["FP32"]}]}, "datatype"),
        ({"inputs": [{**PLAIN, "shape": [2, -2]}]}, "list of sizes"),
        ({"inputs": [{**PLAIN, "shape": [2, True]}]}, "list of sizes"),
        ({"inputs": [{**PLAIN, "shape": [2, 3]}]}, "has not the shape"),
        ({"inputs": [{**PLAIN, "data": [[1, 2], [3]]}]}, "has not the shape"),
        ({"inputs": [{**PLAIN, "data": ["1", "2", "3", "4"]}]}, "no list of numbers"),
        ({"inputs": [{**PLAIN, "data": [True] * 4}]}, "no list of numbers"),
        ({"inputs": [{**PLAIN, "data": [10**40] * 4}]}, "no list of numbers"),
        ({"inputs": [{**PLAIN, "data": None}]}, "no list of numbers"),
        ({"inputs": [{**PLAIN, "parameters": {"shared_memory_region": "r"}}]}, "shared memory"),
        ({"inputs": [{**PLAIN, "parameters": {"binary_data_size": 4}}]}, "beside `data`"),
        ({"inputs": [BINARY]}, "declare 32 bytes"),
        ({"inputs": [PLAIN], "id": 7}, "`id`"),
        ({"inputs": [PLAIN], "parameters": {"sequence_id": 1}}, "no request parameter 'sequence_id'"),
        ({"inputs": [PLAIN], "parameters": {"priority": True}}, "`priority`"),
        ({"inputs": [PLAIN], "parameters": {"timeout": -1}}, "`timeout`"),
        ({"inputs": [PLAIN], "outputs": [{"name": "y", "parameters": {"classification": 3}}]}, "classification"),
        ({"inputs": [PLAIN], "outputs": [{"name": "y", "parameters": {"binary_data": 1}}]}, "true or false"),
    ],
)
def test_what_is_no_such_request_is_refused_and_named(content: Any, what: str) -> None:
    with pytest.raises(InvalidTensors, match=what):
        read(content)


@pytest.mark.parametrize(
    "text", [b"", b"{", b"\xff", b"[" * 5000, b"1" * 5000], ids=["no", "half", "code", "deep", "long"]
)
def test_what_is_not_json_is_refused(text: bytes) -> None:
    with pytest.raises(InvalidTensors, match="JSON"):
        wire.read(text, None, LIMIT)


@pytest.mark.parametrize("shape", [[2, 5], [10**18, 10**18], [0]])
def test_a_size_that_is_not_that_of_the_shape_is_refused_before_anything_is_made(shape: list[int]) -> None:
    with pytest.raises(InvalidTensors, match="but a tensor of the shape"):
        read({"inputs": [{**BINARY, "shape": shape}]}, BYTES)


@pytest.mark.parametrize("tensors", [BYTES[:-1], BYTES + b"\0"], ids=["short", "long"])
def test_bytes_that_do_not_add_up_are_refused(tensors: bytes) -> None:
    with pytest.raises(InvalidTensors, match="declare 32 bytes"):
        read({"inputs": [BINARY]}, tensors)


def test_json_is_bounded_both_ways() -> None:
    with pytest.raises(PayloadTooLarge, match="EQUIFIELD_MAX_JSON_BYTES"):
        wire.read(b" " * (LIMIT + 1), None, LIMIT)
    question, _ = read(
        {"inputs": [PLAIN], "outputs": [{"name": "y", "parameters": {"binary_data": True}}, {"name": "x"}]}
    )
    assert question.wanted({"x": 10, "y": 10**9}, LIMIT) == {"y": True, "x": False}
    with pytest.raises(PayloadTooLarge, match="binary_data_output"):
        question.wanted({"x": 1000, "y": 1}, LIMIT)


def test_all_outputs_are_wanted_unless_some_are_named() -> None:
    numbers = {"x": 1, "y": 1}
    assert read({"inputs": [PLAIN]})[0].wanted(numbers, LIMIT) == {"x": False, "y": False}
    binary = {"inputs": [PLAIN], "parameters": {"binary_data_output": True}}
    assert read(binary)[0].wanted(numbers, LIMIT) == {"x": True, "y": True}
    one = {**binary, "outputs": [{"name": "x", "parameters": {"binary_data": False}}]}
    assert read(one)[0].wanted(numbers, LIMIT) == {"x": False}
    with pytest.raises(InvalidTensors, match="no output 'z'. It has x, y"):
        read({**binary, "outputs": [{"name": "z"}]})[0].wanted(numbers, LIMIT)


def test_an_answer_has_its_bytes_behind_its_json_in_the_order_asked() -> None:
    question, _ = read({"id": "q", "inputs": [PLAIN]})
    outputs = {"x": np.ones((1, 2), np.float32), "y": np.full((1, 1), 2, np.float32), "z": np.zeros(1, np.float32)}
    sent, size = wire.write(("m", "3"), question, outputs, {"y": True, "z": False, "x": True})
    assert size is not None
    content = json.loads(sent[:size])
    assert (content["model_name"], content["model_version"], content["id"]) == ("m", "3", "q")
    assert [tensor["name"] for tensor in content["outputs"]] == ["y", "z", "x"]
    assert [tensor.get("parameters") for tensor in content["outputs"]] == [
        {"binary_data_size": 4},
        None,
        {"binary_data_size": 8},
    ]
    assert sent[size:] == outputs["y"].tobytes() + outputs["x"].tobytes()
    text, size = wire.write(("m", "3"), question, outputs, {"y": False})
    assert size is None and json.loads(text)["outputs"][0]["data"] == [2.0]


def test_a_prediction_that_is_not_finite_is_no_json_but_may_be_bytes() -> None:
    question, _ = read({"inputs": [PLAIN]})
    outputs = {"x": np.full(1, np.nan, np.float32)}
    with pytest.raises(WorkerFailed, match="binary"):
        wire.write(("m", "1"), question, outputs, {"x": False})
    assert wire.write(("m", "1"), question, outputs, {"x": True})[1] is not None
