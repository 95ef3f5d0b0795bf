"""Jobs of several keys, in a service whose spool is in S3."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import fsspec
import httpx
import pytest

from equifield_service.access import new_key
from tests.running import start
from tests.service import buckets, files
from tests.service.jobs.asking import JOBS, LONG, awaited, submitted

QUOTA = 2


@pytest.fixture(scope="module")
def clients(
    models: Path, endpoint: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, httpx.Client]]:
    folder = tmp_path_factory.mktemp("keys")
    made = {name: new_key(name, ["predict"], None) for name in ("ann", "bob")}
    (folder / "keys").write_text("".join(key.line + "\n" for _, key in made.values()))
    settings = {"keys": f"{folder}/keys", "jobs": "s3://jobs/spool", "ledger": f"sqlite:///{folder}/ledger.sqlite"}
    with pytest.MonkeyPatch.context() as patch:
        buckets.speak_to("s3", endpoint("s3"), patch)
        fsspec.filesystem("s3", use_listings_cache=False).mkdir("jobs")
        started = start(models, payload_processes="1", max_batch="2", max_jobs_per_key=str(QUOTA), **settings)
    with started.process:
        headers = {name: {"Authorization": f"Bearer {secret}"} for name, (secret, _) in made.items()}
        with ExitStack() as stack:
            yield {
                name: stack.enter_context(httpx.Client(base_url=started.url, headers=sent, timeout=120))
                for name, sent in headers.items()
            }
        started.stop()


def test_a_key_sees_its_own_jobs_and_no_others(clients: dict[str, httpx.Client]) -> None:
    ann, bob = clients["ann"], clients["bob"]
    path = submitted(ann, files.dataset(1), steps=50)
    assert awaited(ann, path)["status"] == "successful"
    assert [f"{JOBS}/{job['jobID']}" for job in ann.get(JOBS).json()["jobs"]] == [path]
    assert bob.get(JOBS).json()["jobs"] == []
    for call in (bob.get(path), bob.get(f"{path}/result"), bob.get(f"{path}/events"), bob.delete(path)):
        assert (call.status_code, call.json()["code"]) == (404, "unknown_job")
    result = files.opened(ann.get(f"{path}/result").content)
    assert list(result.step.values) == list(range(1, 51)), "a result behind a URL is whole when it is there"


def test_a_key_has_so_many_unfinished_jobs_and_a_dismissed_one_makes_room(clients: dict[str, httpx.Client]) -> None:
    bob = clients["bob"]
    paths = [submitted(bob, files.dataset(seed), steps=LONG) for seed in range(QUOTA)]
    full = bob.post(JOBS, content=files.netcdf3(files.dataset(9)), params={"model": "calm", "steps": 1})
    assert (full.status_code, full.json()["code"]) == (429, "quota_exceeded") and int(full.headers["retry-after"]) > 0
    submitted(clients["ann"], files.dataset(9), steps=1)
    awaited(bob, paths[0], "running")
    nothing = bob.get(f"{paths[0]}/result")
    assert (nothing.status_code, nothing.json()["code"]) == (404, "result_not_ready")
    assert nothing.headers["retry-after"] == "2"
    assert bob.delete(paths[0]).json()["status"] == "dismissed"
    gone = bob.get(f"{paths[0]}/result")
    assert (gone.status_code, gone.json()["code"]) == (409, "job_unsuccessful")
    submitted(bob, files.dataset(9), steps=1)
    bob.delete(paths[1])
