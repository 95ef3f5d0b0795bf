"""The client of the Open Inference Protocol from the package index, unmodified, meets the real service."""

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import httpx
import numpy as np
import pytest
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from tritonclient.utils import InferenceServerException

from tests.running import Running
from tests.service import files

SHAPES = {"velocity": (8, 8, 2), "tracer": (8, 8)}
Fields = dict[str, np.ndarray]


@pytest.fixture
def client(service: Running) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(service.url.removeprefix("http://"), concurrency=16) as client:
        yield client


def fields(seed: int, batch: int = 1) -> Fields:
    rng = np.random.default_rng(seed)
    return {name: rng.standard_normal((batch, *shape)).astype(np.float32) for name, shape in SHAPES.items()}


def inputs(given: Fields, *, binary: bool = True, datatype: str = "FP32", module: Any = triton) -> list[Any]:
    made = []
    for name, array in given.items():
        tensor = module.InferInput(name, array.shape, datatype)
        tensor.set_data_from_numpy(array, binary_data=binary)
        made.append(tensor)
    return made


def outputs(answer: Any) -> Fields:
    return {name: answer.as_numpy(name) for name in SHAPES}


def close(found: Fields, expected: Fields) -> None:
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-4, atol=1e-5)


def test_health_metadata_configuration_and_index(client: triton.InferenceServerClient) -> None:
    assert client.is_server_live() and client.is_server_ready()
    assert client.is_model_ready("tiny") and client.is_model_ready("tiny", "1")
    assert not client.is_model_ready("tiny", "2") and not client.is_model_ready("a model/of mine")
    assert {"binary_tensor_data", "statistics", "model_repository"} <= set(client.get_server_metadata()["extensions"])
    tensors = [
        {"name": "velocity", "datatype": "FP32", "shape": [-1, -1, -1, 2]},
        {"name": "tracer", "datatype": "FP32", "shape": [-1, -1, -1]},
    ]
    metadata = client.get_model_metadata("tiny", "1")
    assert metadata == client.get_model_metadata("tiny")
    assert (metadata["versions"], metadata["inputs"], metadata["outputs"]) == (["1"], tensors, tensors)
    configuration = client.get_model_config("tiny")
    assert configuration == client.get_model_config("tiny", "1")
    assert (configuration["max_batch_size"], configuration["input"][0]["dims"]) == (4, [-1, -1, 2])
    index = [{"name": "tiny", "version": "1", "state": "READY", "reason": ""}]
    assert client.get_model_repository_index() == index


def test_a_prediction_is_that_of_the_same_fields_in_a_file(
    client: triton.InferenceServerClient, http: httpx.Client
) -> None:
    data = files.dataset(1, batch=2)
    answer = http.post("/v1/models/tiny/predict", content=files.netcdf3(data))
    expected = files.opened(answer.content)
    grid = ("time", "lon", "lat")  # the manifest's axes are x and y
    u, v, c = (data[name].transpose(*grid).values.astype(np.float32) for name in ("u", "v", "c"))
    found = client.infer("tiny", inputs({"velocity": np.stack([u, v], axis=-1), "tracer": c}))
    predicted = [expected[name].transpose(*grid).values for name in ("u", "v", "c")]
    close(outputs(found), {"velocity": np.stack(predicted[:2], axis=-1), "tracer": predicted[2]})


def test_every_way_to_send_and_to_receive_gives_the_same(client: triton.InferenceServerClient) -> None:
    given = fields(2)
    answer = client.infer("tiny", inputs(given), request_id="q-1")
    assert (answer.get_response()["id"], answer.get_response()["model_version"]) == ("q-1", "1")
    expected = outputs(answer)
    close(outputs(client.infer("tiny", inputs(given, binary=False), model_version="1")), expected)
    doubles = {name: array.astype(np.float64) for name, array in given.items()}
    close(outputs(client.infer("tiny", inputs(doubles, datatype="FP64"))), expected)
    mixed = [triton.InferRequestedOutput("tracer", binary_data=False), triton.InferRequestedOutput("velocity")]
    answer = client.infer("tiny", inputs(given)[::-1], outputs=mixed)
    assert [tensor["name"] for tensor in answer.get_response()["outputs"]] == ["tracer", "velocity"]
    assert "data" in answer.get_output("tracer") and "data" not in answer.get_output("velocity")
    close(outputs(answer), expected)
    for algorithm in ("gzip", "deflate"):
        compressed = client.infer(
            "tiny",
            inputs(given),
            request_compression_algorithm=algorithm,
            response_compression_algorithm=algorithm,
        )
        close(outputs(compressed), expected)


def test_compression_is_what_was_asked_for(client: triton.InferenceServerClient, http: httpx.Client) -> None:
    body, size = client.generate_request_body(inputs(fields(3)))
    headers = {"Inference-Header-Content-Length": str(size)}
    for accepted, encoding in (("gzip", "gzip"), ("deflate", "deflate"), ("gzip, deflate, br", None)):
        answer = http.post("/v2/models/tiny/infer", content=body, headers={**headers, "Accept-Encoding": accepted})
        assert (answer.status_code, answer.headers.get("content-encoding")) == (200, encoding)


def test_requests_at_the_same_time_each_get_their_own_answer(client: triton.InferenceServerClient) -> None:
    given = [fields(seed, batch=1 + seed % 5) for seed in range(16)]
    waiting = [client.async_infer("tiny", inputs(one)) for one in given]
    together = [answer.get_result() for answer in waiting]
    for one, answer in zip(given, together, strict=True):
        close(outputs(answer), outputs(client.infer("tiny", inputs(one))))


def test_priority_and_timeout_and_boundary_are_parameters(client: triton.InferenceServerClient) -> None:
    given = inputs(fields(4))
    usual = outputs(client.infer("tiny", given, priority=2, timeout=60_000_000))
    walls = outputs(client.infer("tiny", given, parameters={"boundary": "x:zero,y:zero"}))
    assert np.abs(walls["velocity"] - usual["velocity"]).max() > 1e-3
    with pytest.raises(InferenceServerException, match="deadline") as refusal:
        client.infer("tiny", inputs(fields(4, batch=4)), timeout=1)
    assert refusal.value.status() == "504"


def test_statistics_count_what_was_asked(client: triton.InferenceServerClient) -> None:
    def counted() -> dict[str, Any]:
        (found,) = client.get_inference_statistics("tiny")["model_stats"]
        return dict(found)

    before = counted()
    client.infer("tiny", inputs(fields(5, batch=3)))
    after = counted()
    assert after["inference_count"] - before["inference_count"] == 3
    assert after["execution_count"] - before["execution_count"] == 1
    for stage in ("success", "queue", "compute_input", "compute_infer", "compute_output"):
        assert after["inference_stats"][stage]["count"] - before["inference_stats"][stage]["count"] == 1
    assert 3 in {batch["batch_size"] for batch in after["batch_stats"]}
    assert after["last_inference"] > 1.7e12, "milliseconds since 1970"
    assert client.get_inference_statistics()["model_stats"] == [counted()]
    assert client.get_inference_statistics("tiny", "1")["model_stats"] == [counted()]


def bad_shape() -> list[Any]:
    return inputs({"velocity": np.zeros((1, 8, 8, 3), np.float32), "tracer": np.zeros((1, 8, 8), np.float32)})


Call = Callable[[triton.InferenceServerClient], Any]
REFUSED: dict[str, tuple[Call, str, str]] = {
    "model": (lambda client: client.infer("huge", inputs(fields(6))), "404", "no model 'huge'"),
    "version": (lambda client: client.infer("tiny", inputs(fields(6)), model_version="9"), "404", "no version '9'"),
    "shape": (lambda client: client.infer("tiny", bad_shape()), "400", "velocity has the shape"),
    "missing": (lambda client: client.infer("tiny", inputs(fields(6))[:1]), "400", "takes velocity, tracer"),
    "datatype": (
        lambda client: client.infer("tiny", inputs({"tracer": np.zeros((1, 8, 8), np.int32)}, datatype="INT32")),
        "400",
        "datatype 'INT32'",
    ),
    "finite": (
        lambda client: client.infer("tiny", inputs({**fields(6), "tracer": np.full((1, 8, 8), np.nan, np.float32)})),
        "422",
        "tracer has 64 values",
    ),
    "sequence": (lambda client: client.infer("tiny", inputs(fields(6)), sequence_id=1), "400", "sequence_id"),
    "metadata": (lambda client: client.get_model_metadata("huge"), "404", "no model"),
    "statistics": (lambda client: client.get_inference_statistics("huge"), "404", "no model"),
    "files": (
        lambda client: client.load_model("tiny", config="{}", files={"file:1/model": b"x"}),
        "400",
        "models come from the store",
    ),
    "trace": (lambda client: client.get_trace_settings("tiny"), "404", "not served"),
    "trace update": (lambda client: client.update_trace_settings(settings={}), "404", "not served"),
    "log": (lambda client: client.get_log_settings(), "404", "not served"),
    "log update": (lambda client: client.update_log_settings({}), "404", "not served"),
    "shared memory": (lambda client: client.get_system_shared_memory_status(), "404", "not served"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_is_an_error_of_the_client_with_the_reason(
    client: triton.InferenceServerClient, case: str
) -> None:
    call, status, reason = REFUSED[case]
    with pytest.raises(InferenceServerException, match=reason) as refusal:
        call(client)
    assert refusal.value.status() == status


def test_an_error_is_a_problem_too(http: httpx.Client) -> None:
    answer = http.post("/v2/models/tiny/infer", content=b"hello")
    assert answer.headers["content-type"] == "application/problem+json"
    found = answer.json()
    assert (answer.status_code, found["code"], found["error"]) == (400, "invalid_tensors", found["detail"])
    large = http.post("/v2/models/tiny/infer", content=bytes(2**20 + 1))
    assert (large.status_code, large.json()["code"]) == (413, "payload_too_large")
    for size in ("0", "-1", "9" * 30, "many"):
        answer = http.post("/v2/models/tiny/infer", content=b"{}", headers={"Inference-Header-Content-Length": size})
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_query")


def test_the_client_for_asyncio_makes_the_same_calls(service: Running) -> None:
    given = fields(7)

    async def story() -> None:
        async with triton_aio.InferenceServerClient(service.url.removeprefix("http://")) as client:
            assert await client.is_server_live() and await client.is_server_ready()
            assert await client.is_model_ready("tiny", "1") and not await client.is_model_ready("huge")
            assert (await client.get_server_metadata())["name"] == "equifield"
            assert (await client.get_model_metadata("tiny"))["versions"] == ["1"]
            assert (await client.get_model_config("tiny"))["max_batch_size"] == 4
            assert (await client.get_model_repository_index())[0]["state"] == "READY"
            assert len((await client.get_inference_statistics())["model_stats"]) == 1
            sent = inputs(given, module=triton_aio)
            expected = outputs(await client.infer("tiny", sent))
            many = await asyncio.gather(*(client.infer("tiny", sent, request_id=str(n)) for n in range(8)))
            assert [answer.get_response()["id"] for answer in many] == [str(n) for n in range(8)]
            close(outputs(many[-1]), expected)
            for algorithm in ("gzip", "deflate"):
                compressed = await client.infer(
                    "tiny", sent, request_compression_algorithm=algorithm, response_compression_algorithm=algorithm
                )
                close(outputs(compressed), expected)
            texts = inputs(given, binary=False, module=triton_aio)
            wanted = [triton_aio.InferRequestedOutput(name, binary_data=False) for name in SHAPES]
            answer = await client.infer("tiny", texts, outputs=wanted)
            assert all("data" in tensor for tensor in answer.get_response()["outputs"])
            close(outputs(answer), expected)
            with pytest.raises(InferenceServerException, match="no model 'huge'"):
                await client.infer("huge", sent)
            with pytest.raises(InferenceServerException, match="not served"):
                await client.get_log_settings()

    run(story())


def run(story: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(story, 60))


def test_a_model_is_unloaded_and_loaded_again(client: triton.InferenceServerClient, http: httpx.Client) -> None:
    try:
        client.unload_model("tiny")
        assert not client.is_model_ready("tiny")
        assert client.get_model_repository_index()[0]["state"] == "UNAVAILABLE"
        ready = http.post("/v2/repository/index", content=json.dumps({"ready": True}))
        assert ready.json() == []
        with pytest.raises(InferenceServerException) as refusal:
            client.infer("tiny", inputs(fields(8)))
        assert refusal.value.status() == "503"
    finally:
        client.load_model("tiny")
    assert client.is_model_ready("tiny")
    assert client.infer("tiny", inputs(fields(8))).as_numpy("tracer").shape == (1, 8, 8)


def test_a_model_is_unloaded_and_loaded_again_by_the_client_for_asyncio(service: Running) -> None:
    sent = inputs(fields(10), module=triton_aio)

    async def story() -> None:
        async with triton_aio.InferenceServerClient(service.url.removeprefix("http://")) as client:
            try:
                await client.unload_model("tiny")
                assert not await client.is_model_ready("tiny")
                assert (await client.get_model_repository_index())[0]["state"] == "UNAVAILABLE"
                with pytest.raises(InferenceServerException) as refusal:
                    await client.infer("tiny", sent)
                assert refusal.value.status() == "503"
            finally:
                await client.load_model("tiny")
            assert await client.is_model_ready("tiny")
            index = [{"name": "tiny", "version": "1", "state": "READY", "reason": ""}]
            assert await client.get_model_repository_index() == index
            assert (await client.infer("tiny", sent)).as_numpy("tracer").shape == (1, 8, 8)

    run(story())


def test_the_metrics_name_the_route(client: triton.InferenceServerClient, http: httpx.Client) -> None:
    client.infer("tiny", inputs(fields(9)))
    assert 'route="/v2/models/{name}/infer",status="200"' in http.get("/metrics").text
