"""What the OpenAPI document says, the real service does: thousands of requests that it allows, or does not."""

from typing import Any

import hypothesis
import pytest
import schemathesis
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.running import Running

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
QUIET = [hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.filter_too_much, hypothesis.HealthCheck.data_too_large]


OURS = {"name": "tiny", "version": "1"}


def ask_everything(service: Running, examples: int) -> set[tuple[str, str]]:
    """Sends so many requests to every call of the document, and checks each answer; returns what was called."""
    schema = schemathesis.openapi.from_url(f"{service.url}/openapi.json")
    called = set()
    for found in schema.get_all_operations():
        assert isinstance(found, Ok)
        operation = found.ok()

        @hypothesis.given(case=operation.as_strategy())
        @hypothesis.settings(
            max_examples=examples, deadline=None, derandomize=True, database=None, suppress_health_check=QUIET
        )
        def answers_are_as_described(case: schemathesis.Case[Any]) -> None:
            if not case.path.endswith("load"):  # the model stays for whoever comes next
                case.path_parameters.update({name: OURS[name] for name in case.path_parameters if name in OURS})
            case.headers.pop("Equifield-Timeout-Ms", None)  # 504 is the right answer to one millisecond
            case.call_and_validate(checks=CHECKS, timeout=60)

        answers_are_as_described()
        called.add((operation.method.upper(), operation.path))
    return called


def test_every_answer_is_one_that_the_document_describes(service: Running) -> None:
    called = ask_everything(service, examples=5)
    assert ("POST", "/v1/models/{name}/predict") in called and len(called) >= 8


@pytest.mark.soak
def test_every_answer_to_very_many_requests_is_one_that_the_document_describes(service: Running) -> None:
    ask_everything(service, examples=500)
