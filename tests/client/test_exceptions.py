"""The tree of errors: one class per code of the service, and nothing of httpx gets through."""

import pickle
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

import equifield_client
from equifield_client import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    Client,
    EquifieldError,
    PayloadError,
    Retry,
)
from equifield_service.domain import errors

LEAVES: list[type[APIStatusError]] = list(APIStatusError.leaves())


def descendants(kind: type[Any]) -> Iterator[type[Any]]:
    """Every class below one."""
    for child in kind.__subclasses__():
        yield child
        yield from descendants(child)


def test_there_is_a_class_for_every_code_of_the_service() -> None:
    ours = {leaf.__name__: leaf.code for leaf in LEAVES}
    assert ours == {leaf.__name__: leaf.code for leaf in errors.leaves(errors.DomainError)}


def test_the_payload_errors_are_the_same_on_both_sides() -> None:
    ours = {leaf.code for leaf in PayloadError.leaves()}
    assert ours == {leaf.code for leaf in errors.leaves(errors.PayloadError)}


def test_every_error_is_exported_and_in_the_picture_of_the_tree() -> None:
    picture = str(equifield_client._exceptions.__doc__)
    tree: list[type[EquifieldError]] = [EquifieldError, *descendants(EquifieldError)]
    for kind in tree:
        assert kind.__name__ in equifield_client.__all__
        assert kind.__name__ in picture


def fault_of(answer: Callable[[httpx.Request], httpx.Response]) -> Any:
    """What a call raises when the other side answers like this."""
    transport = httpx.MockTransport(answer)
    with (
        Client(transport=transport, retries=Retry(limit=1, initial=0)) as client,
        pytest.raises(EquifieldError) as caught,
    ):
        client.models()
    return caught.value


@pytest.mark.parametrize("kind", LEAVES, ids=lambda kind: str(kind.__name__))
def test_a_problem_becomes_the_class_of_its_code(kind: type[APIStatusError]) -> None:
    problem = {"code": kind.code, "detail": "what and why", "request_id": "r-1", "wants": ["u"]}
    answer = httpx.Response(422, json=problem, headers={"Content-Type": "application/problem+json"})
    error = fault_of(lambda _: answer)
    assert type(error) is kind
    assert (error.status_code, error.code, error.detail) == (422, kind.code, "what and why")
    assert (error.request_id, error.problem) == ("r-1", problem)
    assert str(error) == f"what and why ({kind.code}, HTTP 422, request r-1)"


def test_an_unknown_code_stays_the_general_class() -> None:
    error = fault_of(lambda _: httpx.Response(418, json={"code": "teapot", "detail": "short and stout"}))
    assert type(error) is APIStatusError
    assert (error.code, error.detail) == ("teapot", "short and stout")


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(500, html="<h1>Bad</h1>"),
        httpx.Response(500, content=b"{", headers={"Content-Type": "application/json"}),
        httpx.Response(500, json=["a", "list"]),
        httpx.Response(500, json={"code": 7, "detail": {"not": "text"}}),
        httpx.Response(302, headers={"Location": "https://elsewhere.example"}),
    ],
    ids=["html", "broken-json", "list", "wrong-types", "redirect"],
)
def test_an_answer_without_a_problem_document_is_still_typed(answer: httpx.Response) -> None:
    error = fault_of(lambda _: answer)
    assert type(error) is APIStatusError
    assert (error.status_code, error.code) == (answer.status_code, None)
    assert "no description" in error.detail


def test_control_characters_of_the_other_side_do_not_reach_the_message() -> None:
    problem = {"code": "unknown_model", "detail": "\x1b[2Jgone\r\nfar"}
    assert str(fault_of(lambda _: httpx.Response(404, json=problem))).isprintable()


@pytest.mark.parametrize("kind", list(descendants(httpx.RequestError)), ids=lambda kind: str(kind.__name__))
def test_every_fault_of_the_transport_is_mapped(kind: type[httpx.RequestError]) -> None:
    def fail(_: httpx.Request) -> httpx.Response:
        raise kind("broken")

    error = fault_of(fail)
    assert isinstance(error, APIConnectionError)
    assert isinstance(error.__cause__, kind)
    assert isinstance(error, APITimeoutError) == issubclass(kind, httpx.TimeoutException)


def test_an_error_about_a_job_crosses_process_borders_whole() -> None:
    now = datetime.now(UTC)
    error = equifield_client.JobTimeout("late", equifield_client.JobStatus("1", "m", "1", "running", now, now))
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), copy.status) == (type(error), "late", error.status)


def test_an_error_crosses_process_borders_whole() -> None:
    error = equifield_client.QueueFull(429, "busy", request_id="r-2", problem={"a": 1}, retry_after=2.5)
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is equifield_client.QueueFull
    assert (str(copy), vars(copy)) == (str(error), vars(error))
