"""An S3 that is not Amazon's."""

import fsspec
import pytest


def speak_to(endpoint: str, patch: pytest.MonkeyPatch) -> None:
    """Sets the environment as an operator would, and forgets who was spoken to before."""
    patch.setenv("AWS_ENDPOINT_URL_S3", endpoint)
    patch.setenv("AWS_ACCESS_KEY_ID", "who")
    patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    fsspec.get_filesystem_class("s3").clear_instance_cache()
