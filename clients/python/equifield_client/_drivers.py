"""The two drivers of a flow, side by side: one waits, one awaits. Neither decides anything."""

import contextlib
import time
from collections.abc import AsyncIterator, Generator, Iterator
from typing import Any, TypeVar

import anyio
import anyio.to_thread
import httpx

from ._flow import Effect, Flow, Give, Reply, Send, Sleep, Stream
from ._transport import Answer, build

T = TypeVar("T")
E = TypeVar("E")
Outcome = tuple[Any, Exception | None]


def drive(http: httpx.Client, flow: Flow[T]) -> T:
    """Carries out the flow's effects one after the other; what fails is raised inside the flow."""
    with contextlib.closing(flow):
        try:
            effect = next(flow)
            while True:
                effect = _resume(flow, _outcome(http, effect))
        except StopIteration as stop:
            result: T = stop.value
            return result


def iterate(http: httpx.Client, stream: Stream[T]) -> Iterator[T]:
    """Like `drive`, for a flow that gives values on its way."""
    with contextlib.closing(stream):
        try:
            effect = next(stream)
            while True:
                if isinstance(effect, Give):
                    yield effect.value
                    effect = next(stream)
                else:
                    effect = _resume(stream, _outcome(http, effect))
        except StopIteration:
            return


async def drive_async(http: httpx.AsyncClient, flow: Flow[T]) -> T:
    """Like `drive`; blocking work goes to a thread, so that the event loop goes on."""
    with contextlib.closing(flow):
        try:
            effect = next(flow)
            while True:
                effect = _resume(flow, await _outcome_async(http, effect))
        except StopIteration as stop:
            result: T = stop.value
            return result


async def iterate_async(http: httpx.AsyncClient, stream: Stream[T]) -> AsyncIterator[T]:
    """Like `drive_async`, for a flow that gives values on its way."""
    with contextlib.closing(stream):
        try:
            effect = next(stream)
            while True:
                if isinstance(effect, Give):
                    yield effect.value
                    effect = next(stream)
                else:
                    effect = _resume(stream, await _outcome_async(http, effect))
        except StopIteration:
            return


def _resume(flow: Generator[E, Any, Any], outcome: Outcome) -> E:
    value, error = outcome
    return flow.send(value) if error is None else flow.throw(error)


def _outcome(http: httpx.Client, effect: Effect) -> Outcome:
    try:
        return _perform(http, effect), None
    except Exception as error:
        return None, error


async def _outcome_async(http: httpx.AsyncClient, effect: Effect) -> Outcome:
    try:
        return await _perform_async(http, effect), None
    except Exception as error:
        return None, error


def _perform(http: httpx.Client, effect: Effect) -> Any:
    if isinstance(effect, Send):
        return _send(http, effect)
    if isinstance(effect, Sleep):
        return time.sleep(effect.seconds)
    return effect.function()


async def _perform_async(http: httpx.AsyncClient, effect: Effect) -> Any:
    if isinstance(effect, Send):
        return await _send_async(http, effect)
    if isinstance(effect, Sleep):
        return await anyio.sleep(effect.seconds)
    return await anyio.to_thread.run_sync(effect.function)


def _send(http: httpx.Client, effect: Send) -> Reply:
    answer = Answer(effect)
    response = http.send(build(http, effect), stream=True)
    with contextlib.closing(response):
        for part in response.iter_bytes():
            answer.add(part)
            if answer.enough:
                break
    return answer.reply(response)


async def _send_async(http: httpx.AsyncClient, effect: Send) -> Reply:
    answer = Answer(effect)
    response = await http.send(build(http, effect), stream=True)
    async with contextlib.aclosing(response):
        async for part in response.aiter_bytes():
            answer.add(part)
            if answer.enough:
                break
    return answer.reply(response)
