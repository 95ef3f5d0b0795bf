"""Compressed bodies: gzip and deflate, within bounds."""

import zlib

from ...domain.errors import InflatedTooLarge, InvalidTensors, UnsupportedEncoding

WINDOW_BITS = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}
FAST = 1  # the numbers of a field shrink little, however long one tries


def sent(header: str | None) -> str | None:
    """The encoding of a body by its Content-Encoding; None where it is as it is.

    Raises:
        UnsupportedEncoding: it is none of those known here.
    """
    encoding = (header or "identity").strip().lower()
    if encoding == "identity":
        return None
    if encoding not in WINDOW_BITS:
        raise UnsupportedEncoding(
            f"Content-Encoding '{encoding[:40]}' is not supported. Send the body as it is, or with gzip or deflate."
        )
    return encoding


def wanted(header: str | None) -> str | None:
    """The encoding that a client asks for with Accept-Encoding: only one that it names alone.

    Libraries list by themselves all that they can read; that is no wish to wait for a compressor.
    """
    encoding = (header or "").strip().lower()
    return encoding if encoding in WINDOW_BITS else None


def inflate(body: bytes, encoding: str, limit: int) -> bytes:
    """The body as it was before it was compressed; never holds more than `limit` bytes of it.

    Raises:
        InflatedTooLarge: there are more.
        InvalidTensors: it is not of that encoding, or cut short.
    """
    stream = zlib.decompressobj(WINDOW_BITS[encoding])
    try:
        inflated = stream.decompress(body, limit + 1)
    except zlib.error as error:
        raise InvalidTensors(f"The body is not {encoding}, as its Content-Encoding says: {error}.") from None
    if len(inflated) > limit:
        raise InflatedTooLarge(f"The body inflates to more than {limit} bytes, the most this service takes.")
    if not stream.eof or stream.unused_data:
        raise InvalidTensors(f"The body does not end where its {encoding} stream does. Send one whole stream.")
    return inflated


def deflate(body: bytes, encoding: str) -> bytes:
    """The body, compressed."""
    stream = zlib.compressobj(FAST, wbits=WINDOW_BITS[encoding])
    return stream.compress(body) + stream.flush()
