"""Messages between a supervisor and its simulator: a 4-byte length, then a JSON object, over a pipe of their own."""

from __future__ import annotations

import json
import os
import struct
import threading
from collections.abc import Iterator, Mapping
from typing import Any, cast

Message = dict[str, Any]
LARGEST = 16 << 20


class PipeWriter:
    """Sends messages; safe to use from several threads."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()

    def send(self, message: Mapping[str, Any]) -> None:
        """Send one message.

        Raises:
            BrokenPipeError: the other side is gone.
        """
        body = json.dumps(message).encode()
        data = memoryview(struct.pack("<I", len(body)) + body)
        with self._lock:
            while data:
                data = data[os.write(self._descriptor, data) :]


class PipeReader:
    """Takes messages apart as bytes come in."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._buffer = bytearray()

    def read(self) -> Iterator[Message]:
        """Read once (blocks until something comes) and yield the whole messages that are there.

        Raises:
            EOFError: the other side is gone, or sends what is not a message.
        """
        data = os.read(self._descriptor, 1 << 16)
        if not data:
            raise EOFError
        self._buffer += data
        while len(self._buffer) >= 4:
            (length,) = struct.unpack_from("<I", self._buffer)
            if length > LARGEST:
                raise EOFError(f"message of {length} bytes")
            if len(self._buffer) < 4 + length:
                return
            body = bytes(self._buffer[4 : 4 + length])
            del self._buffer[: 4 + length]
            try:
                message: Any = json.loads(body)
            except ValueError as error:
                raise EOFError("not a message") from error
            yield cast("Message", message)
