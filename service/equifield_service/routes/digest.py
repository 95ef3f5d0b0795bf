"""Content-Digest (RFC 9530): whether a body is what its sender says."""

import asyncio
import base64
import binascii
import hashlib

from ..domain.errors import DigestMismatch

NAME = "sha-256"

CONTENT_DIGEST = "Content-Digest"


async def check_digest(header: str | None, body: bytes) -> None:
    """Compares a body with the digest in its header; other algorithms than SHA-256 are not looked at.

    Raises:
        DigestMismatch: it is another body, or the header cannot be read.
    """
    members = dict(_member(part) for part in (header or "").split(",") if part.strip())
    if NAME not in members:
        return
    said, found = _bytes(members[NAME]), (await asyncio.to_thread(hashlib.sha256, body)).digest()
    if said != found:
        raise DigestMismatch(
            f"Content-Digest is not that of the {len(body)} bytes that came, which is "
            f"{NAME}=:{base64.b64encode(found).decode()}:. The body was damaged on its way; send it again."
        )


def _member(part: str) -> tuple[str, str]:
    name, _, value = part.partition("=")
    return name.strip().lower(), value.split(";")[0].strip()


def _bytes(value: str) -> bytes:
    """A byte sequence of a structured field: base64 between colons."""
    try:
        if len(value) > 1 and value[0] == value[-1] == ":":
            return base64.b64decode(value[1:-1], validate=True)
    except binascii.Error:
        pass
    raise DigestMismatch(f"Content-Digest gives {NAME} as '{value[:80]}', which is not base64 between colons.")
