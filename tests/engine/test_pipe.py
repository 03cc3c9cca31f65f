from __future__ import annotations

import os
import threading

import pytest

from synthgen.engine.pipe import PipeReader, PipeWriter


def test_messages_of_any_size_arrive_whole_and_in_order() -> None:
    read, write = os.pipe()
    sent = [{"i": i, "text": "ä" * size} for i, size in enumerate((0, 1, 100, 70_000, 3, 300_000))]

    def send() -> None:
        writer = PipeWriter(write)
        for message in sent:
            writer.send(message)
        os.close(write)

    thread = threading.Thread(target=send)
    thread.start()
    reader = PipeReader(read)
    got: list[object] = []
    with pytest.raises(EOFError):
        while True:
            got += reader.read()
    thread.join()
    os.close(read)
    assert got == sent


@pytest.mark.parametrize("noise", [b"\xff\xff\xff\xff", b"\x03\x00\x00\x00{]}"])
def test_noise_is_an_end_not_a_crash(noise: bytes) -> None:
    read, write = os.pipe()
    os.write(write, noise)
    with pytest.raises(EOFError):
        list(PipeReader(read).read())
    os.close(read)
    os.close(write)
