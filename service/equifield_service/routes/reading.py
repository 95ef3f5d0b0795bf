"""Taking a request apart: query, headers and body, each within its bounds."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from fastapi import Request
from starlette.requests import ClientDisconnect

from ..domain.errors import DeadlineExceeded, InvalidQuery, PayloadTooLarge, UnsupportedEncoding
from ..scheduling import Guest
from ..settings import Settings

T = TypeVar("T")


def check_queries(request: Request, names: Sequence[str]) -> None:
    """Refuses query parameters that do not exist, or come twice.

    Raises:
        InvalidQuery: There is one.
    """
    sent = [name for name, _ in request.query_params.multi_items()]
    for name in sent:
        if name not in names:
            known = f"Known: {', '.join(names)}." if names else "This call has none."
            raise InvalidQuery(f"There is no query parameter `{name[:80]}`. {known}")
        if sent.count(name) > 1:
            raise InvalidQuery(f"`{name}` was given {sent.count(name)} times. Give it once, comma separated.")


def positive(header: str, text: str | None) -> int | None:
    """The number in a header; None when it was not sent.

    Raises:
        InvalidQuery: it is not a positive whole number.
    """
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and 0 < int(text[:20]) < 2**53):
        raise InvalidQuery(f"The header {header} is '{text[:80]}'; it is a positive whole number.")
    return int(text)


def pairs(parameter: str, text: str | None) -> dict[str, str]:
    """`u:u10,v:v10` as a dictionary.

    Raises:
        InvalidQuery: it is not of that form, or says two things about one name.
    """
    found: dict[str, str] = {}
    for item in text.split(",") if text else []:
        key, colon, value = (part.strip() for part in item.partition(":"))
        if not (key and colon and value):
            raise InvalidQuery(
                f"`{parameter}={text}`: '{item}' is not of the form `name:value`. Example: `u:u10,v:v10`."
            )
        if key in found:
            raise InvalidQuery(f"`{parameter}={text}` says two things about '{key}'. Say one.")
        found[key] = value
    return found


def sizes(parameter: str, text: str | None) -> tuple[int, ...] | None:
    """`64,128` as numbers; None when it was not given.

    Raises:
        InvalidQuery: it is not a list of positive whole numbers.
    """
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() and 0 < len(part) < 8 and int(part) for part in parts):
        raise InvalidQuery(f"`{parameter}={text[:80]}` is not a list of positive sizes, such as `64,64`.")
    return tuple(map(int, parts))


def deadline_of(milliseconds: int | None, settings: Settings) -> float:
    """When the answer is due, in the event loop's time; a client may ask for any time, and gets the longest."""
    longest = settings.max_request_timeout_s
    seconds = settings.request_timeout_s if milliseconds is None else min(milliseconds, longest * 1000) / 1000
    return asyncio.get_running_loop().time() + seconds


async def read_body(request: Request, guest: Guest, *, limit: int, deadline: float) -> bytes:
    """The body, counted while it streams in.

    What is over the limit is read and thrown away up to the limit once more, so that the client has finished
    sending and reads the answer instead of a broken pipe.

    Raises:
        UnsupportedEncoding: it is compressed.
        PayloadTooLarge, QueueFull, DeadlineExceeded: there is no room or no time for it.
    """
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        raise UnsupportedEncoding(f"Content-Encoding '{encoding[:40]}' is not supported. Send the body as it is.")
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > 2 * limit:
        raise _too_large(limit)
    chunks: list[bytes] = []
    received = 0
    try:
        async with asyncio.timeout_at(deadline):
            async for chunk in request.stream():
                received += len(chunk)
                if received > 2 * limit:
                    break
                if received <= limit:
                    guest.hold(len(chunk))
                    chunks.append(chunk)
    except TimeoutError:
        raise DeadlineExceeded(f"The deadline passed when {received} bytes of the body had come.") from None
    if received > limit:
        raise _too_large(limit)
    return b"".join(chunks)


def _too_large(limit: int) -> PayloadTooLarge:
    return PayloadTooLarge(f"The body has more than {limit} bytes, the most this service takes. Send it in parts.")


async def while_wanted(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which is cancelled when the client hangs up.

    Raises:
        ClientDisconnect: it did.
    """
    mine, gone, waiting = asyncio.current_task(), asyncio.ensure_future(_hang_up(request)), True

    def give_up(_: object) -> None:
        if waiting and mine is not None:
            mine.cancel()

    gone.add_done_callback(give_up)
    try:
        return await work
    except asyncio.CancelledError:
        if gone.done() and mine is not None and mine.uncancel() == 0:
            raise ClientDisconnect from None
        raise
    finally:
        waiting = False
        gone.cancel()


async def _hang_up(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
