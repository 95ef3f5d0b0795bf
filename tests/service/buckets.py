"""Buckets that are neither Amazon's nor Google's."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http import HTTPStatus
from http.server import HTTPServer
from threading import Thread

import fsspec
import pytest
from gcp_storage_emulator.server import RequestHandler
from gcp_storage_emulator.storage import Storage
from moto.server import ThreadedMotoServer

PROTOCOLS = ("s3", "gs")


@contextmanager
def serving(protocol: str) -> Iterator[str]:
    """Where the protocol is spoken: a server of this process."""
    with _s3() if protocol == "s3" else _gcs() as endpoint:
        yield endpoint


@contextmanager
def _s3() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


class WithoutMoves(RequestHandler):  # type: ignore[misc]
    """Says at once that it moves no object, after which gcsfs copies it. The emulator's own answer would be retried."""

    def do_POST(self) -> None:
        if "/moveTo/" in self.path:
            self.send_error(HTTPStatus.METHOD_NOT_ALLOWED)
        else:
            super().do_POST()


@contextmanager
def _gcs() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), partial(WithoutMoves, Storage(use_memory_fs=True))) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def speak_to(protocol: str, endpoint: str, patch: pytest.MonkeyPatch) -> None:
    """Sets the environment as an operator would, and forgets who was spoken to before."""
    if protocol == "s3":
        patch.setenv("AWS_ENDPOINT_URL_S3", endpoint)
        patch.setenv("AWS_ACCESS_KEY_ID", "who")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    else:
        patch.setenv("STORAGE_EMULATOR_HOST", endpoint)
        patch.setenv("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
        patch.setitem(fsspec.config.conf, "gs", {"token": "anon"})  # FSSPEC_GS_TOKEN, which is read only once
    fsspec.get_filesystem_class(protocol).clear_instance_cache()
