"""A closed loop of HTTP requests: every connection sends the same bytes again as soon as its answer has come.

    python -m benchmarks.serving.load PORT CONNECTIONS SECONDS REQUEST

`REQUEST` is a file with one whole HTTP request. Prints what came back as JSON. One thread and no library, so that it
takes little of the cores that it shares with the server.
"""

import json
import selectors
import socket
import sys
import time
from collections import Counter
from pathlib import Path

HOST = "127.0.0.1"
CHUNK = 2**18
WARMING = 0.25
"""The share of the time whose answers are not counted."""
PATIENCE = 30.0
"""Seconds without any answer, after which the load ends."""


class Connection:
    """One connection with one request at a time."""

    def __init__(self, port: int, request: bytes):
        self._port, self._request = port, request
        self.socket = self._connect()
        self.send()

    def _connect(self) -> socket.socket:
        connected = socket.create_connection((HOST, self._port), timeout=PATIENCE)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connected

    def send(self) -> None:
        """Sends the request."""
        self.sent = time.perf_counter()
        self._received, self._needed = bytearray(), 0
        self.socket.sendall(self._request)

    def receive(self) -> int:
        """Reads what is there; the status when the answer is whole, 0 before, -1 when the connection has closed."""
        try:
            chunk = self.socket.recv(CHUNK)
        except OSError:
            return -1
        if not chunk:
            return -1
        self._received += chunk
        if not self._needed:
            self._needed = _length(self._received)
        whole = len(self._received) >= self._needed if self._needed > 0 else self._received.endswith(b"0\r\n\r\n")
        return int(self._received[9:12]) if self._needed and whole else 0

    def again(self) -> None:
        """Connects once more, and sends."""
        self.socket.close()
        self.socket = self._connect()
        self.send()


def _length(received: bytearray) -> int:
    """Bytes of head and body together; -1 for a body in chunks; 0 while the head is not there."""
    end = received.find(b"\r\n\r\n")
    if end < 0:
        return 0
    head = bytes(received[:end]).lower()
    start = head.find(b"\r\ncontent-length:")
    if start < 0:
        return -1
    return end + 4 + int(head[start + 17 :].split(b"\r\n", 1)[0])


def send(port: int, connections: int, count: int, request: bytes) -> float:
    """Seconds until so many requests have their answers, each of which must be good."""
    began = time.perf_counter()
    with selectors.DefaultSelector() as selector:
        for _ in range(connections):
            connection = Connection(port, request)
            selector.register(connection.socket, selectors.EVENT_READ, connection)
        left = count - connections
        while selector.get_map():
            for key, _ in selector.select(PATIENCE):
                connection = key.data
                status = connection.receive()
                if status not in (0, 200, 202):
                    raise RuntimeError(f"the answer is {status}")
                if status and left:
                    left -= 1
                    connection.send()
                elif status:
                    selector.unregister(connection.socket)
                    connection.socket.close()
    return time.perf_counter() - began


def load(port: int, connections: int, seconds: float, request: bytes) -> dict[str, object]:
    """The latencies in seconds and the statuses of what was answered after the first quarter of the time."""
    answers, latencies, statuses = 0, [], Counter[int]()
    with selectors.DefaultSelector() as selector:
        for _ in range(connections):
            connection = Connection(port, request)
            selector.register(connection.socket, selectors.EVENT_READ, connection)
        began = time.perf_counter()
        counted_from, end = began + WARMING * seconds, began + seconds
        while (now := time.perf_counter()) < end:
            ready = selector.select(PATIENCE)
            if not ready:
                break
            for key, _ in ready:
                connection = key.data
                status = connection.receive()
                if status == 0:
                    continue
                now = time.perf_counter()
                answers += 1
                if now >= counted_from:
                    latencies.append(now - connection.sent)
                    statuses[status] += 1
                if status > 0:
                    connection.send()
                else:
                    selector.unregister(key.fileobj)
                    connection.again()
                    selector.register(connection.socket, selectors.EVENT_READ, connection)
        for key in list(selector.get_map().values()):
            key.data.socket.close()
    latencies.sort()
    good = statuses[200]
    return {
        "requests/s": good / (now - counted_from),
        "p50, ms": 1e3 * latencies[len(latencies) // 2] if latencies else None,
        "p99, ms": 1e3 * latencies[len(latencies) * 99 // 100] if latencies else None,
        "answers": answers,
        "errors": sum(statuses.values()) - good if latencies else connections,
    }


def main(port: str, connections: str, seconds: str, request: str) -> None:
    """Loads a server on this machine."""
    print(json.dumps(load(int(port), int(connections), float(seconds), Path(request).read_bytes())))


if __name__ == "__main__":
    main(*sys.argv[1:])
