"""Messages between a worker and the process of a cell: JSON lines, each with the cell's secret, and files."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

_AT_ONCE, _LONGEST = 1 << 20, 1 << 30


class Channel:
    """One end of a pair of sockets. A line without the secret, garbage that a plugin wrote say, is no message."""

    def __init__(self, own_end: socket.socket, secret: str) -> None:
        self.socket = own_end
        self._secret = secret.encode()
        self._received = b""

    def send(self, **message: Any) -> None:
        """Writes one message. NaN and infinity have no place in JSON: they raise ValueError."""
        text = json.dumps(message, allow_nan=False)
        self.socket.sendall(self._secret + b" " + text.encode() + b"\n")

    def receive(self) -> Iterator[dict[str, Any]] | None:
        """The messages that one reading completes, None at the end. Waits where there is nothing to read."""
        data = self.socket.recv(_AT_ONCE)
        if not data or len(self._received) > _LONGEST:
            return None
        *lines, self._received = (self._received + data).split(b"\n")
        return filter(None, map(self._message, lines))

    def send_file(self, descriptor: int) -> None:
        """Hands over an open file."""
        socket.send_fds(self.socket, [b"f"], [descriptor])

    def receive_file(self) -> int:
        """The file that the other end hands over. Waits for it. Raises ConnectionError where none comes."""
        _, descriptors, _, _ = socket.recv_fds(self.socket, 1, 1)
        if not descriptors:
            raise ConnectionError("the worker is gone")
        return descriptors[0]

    def _message(self, line: bytes) -> dict[str, Any] | None:
        secret, _, text = line.partition(b" ")
        if secret != self._secret:
            return None
        try:
            message = json.loads(text)
        except ValueError:
            return None
        return message if isinstance(message, dict) else None
