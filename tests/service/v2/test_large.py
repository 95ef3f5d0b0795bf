"""Large bodies of tensors: answered rightly, in little memory."""

import json
import re
from pathlib import Path

import httpx
import numpy as np
import pytest

from tests.running import Running, start

SAMPLES = 2**17
TIMES = 4


def peak(service: Running) -> float:
    """The most memory that the gateway has ever had, in bytes."""
    status = Path(f"/proc/{service.process.pid}/status").read_text()
    (kilobytes,) = re.findall(r"VmHWM:\s+(\d+) kB", status)
    return 1024 * float(kilobytes)


def body(batch: int) -> tuple[bytes, dict[str, str]]:
    rng = np.random.default_rng(0)
    one = [rng.standard_normal((4, *shape)).astype(np.float32) for shape in ((8, 8, 2), (8, 8))]
    arrays = [np.tile(array, (batch // 4, *(1,) * (array.ndim - 1))) for array in one]
    inputs = [
        {"name": name, "shape": array.shape, "datatype": "FP32", "parameters": {"binary_data_size": array.nbytes}}
        for name, array in zip(("velocity", "tracer"), arrays, strict=True)
    ]
    text = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()
    headers = {"Inference-Header-Content-Length": str(len(text))}
    return text + b"".join(array.tobytes() for array in arrays), headers


@pytest.mark.soak
def test_a_body_of_100_mb_is_answered_within_four_times_its_size(published: Path) -> None:
    running = start(published, max_batch="1024", max_body_bytes=str(2**28), payload_processes="1")
    with running.process, httpx.Client(base_url=running.url, timeout=240) as http:
        small = http.post("/v2/models/tiny/infer", content=body(4)[0], headers=body(4)[1])
        before = peak(running)
        content, headers = body(SAMPLES)
        answer = http.post("/v2/models/tiny/infer", content=content, headers=headers)
        taken = peak(running) - before
        running.stop()
    assert (small.status_code, answer.status_code) == (200, 200), answer.text[:500]
    assert len(content) > 1e8, "control: it is large"
    assert taken < TIMES * len(content), f"{taken / len(content):.2f} times the body"
    expected, found = (
        np.frombuffer(one.content[int(one.headers["inference-header-content-length"]) :], np.float32)
        for one in (small, answer)
    )
    velocity = found[: len(found) * 2 // 3].reshape(-1, 4, 8, 8, 2)
    np.testing.assert_allclose(velocity, np.broadcast_to(expected[:512].reshape(4, 8, 8, 2), velocity.shape), atol=1e-4)
