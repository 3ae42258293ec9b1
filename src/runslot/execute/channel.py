"""JSON lines over a socket, with file descriptors beside them: how a launcher, a template and
keepers talk.

Each side waits for the other's message before it sends again, so that a message and its descriptors
arrive together.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping, Sequence
from typing import Any

_MOST_DESCRIPTORS = 253
"""What one message can carry (SCM_MAX_FD)."""


class Channel:
    """One end. A closed other end reads as None, and is no error to write to."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._read = b""

    @classmethod
    def of(cls, descriptor: int) -> Channel:
        """Return the end that this process was given."""
        os.set_inheritable(descriptor, False)
        return cls(socket.socket(fileno=descriptor))

    @classmethod
    def pair(cls) -> tuple[Channel, socket.socket]:
        """Return an end, and the other one to give to a process."""
        near, far = socket.socketpair()
        return cls(near), far

    def fileno(self) -> int:
        """Return the descriptor, for `poll`."""
        return self._connection.fileno()

    def send(self, message: Mapping[str, Any], descriptors: Sequence[int] = ()) -> bool:
        """Send one message; False where nobody is left to read it."""
        data = json.dumps(message).encode() + b"\n"
        try:
            byte_count = (
                socket.send_fds(self._connection, [data], descriptors) if descriptors else 0
            )
            self._connection.sendall(data[byte_count:])
        except (BrokenPipeError, ConnectionResetError):
            return False
        return True

    def receive(self) -> tuple[dict[str, Any] | None, list[int]]:
        """Wait for one message and its descriptors; None where the other end is closed."""
        received: list[int] = []
        while b"\n" not in self._read:
            try:
                part, descriptors, _, _ = socket.recv_fds(
                    self._connection, 1 << 16, _MOST_DESCRIPTORS
                )
            except ConnectionResetError:
                return None, received
            received += descriptors
            if not part:
                return None, received
            self._read += part
        line, _, self._read = self._read.partition(b"\n")
        message: dict[str, Any] = json.loads(line)
        return message, received

    def finish(self) -> None:
        """Say that nothing more is sent; the other end may still answer."""
        try:
            self._connection.shutdown(socket.SHUT_WR)
        except OSError:  # nobody is there any more
            pass

    def close(self) -> None:
        """Close this end."""
        self._connection.close()
