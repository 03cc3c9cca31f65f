"""When a head is taken for gone."""

from __future__ import annotations

import socket
import time

import pytest
from engine_helpers import wait_for

from synthgen.engine import headwatch
from synthgen.engine.headwatch import REFUSALS, SILENT, Abandoned, HeadWatch


def listener() -> tuple[socket.socket, str]:
    server = socket.create_server(("127.0.0.1", 0))
    return server, f"127.0.0.1:{server.getsockname()[1]}"


def test_an_actor_leaves_only_when_driver_and_head_are_both_gone() -> None:
    server, head = listener()
    abandoned = Abandoned(head)
    with server:
        assert not any(abandoned.look(SILENT + 100) for _ in range(5)), "the head answers"
    assert not any(abandoned.look(SILENT / 2) for _ in range(5)), "the driver speaks"
    assert [abandoned.look(SILENT) for _ in range(REFUSALS)] == [False] * (REFUSALS - 1) + [True]


def test_a_word_of_the_driver_or_of_the_head_in_between_counts() -> None:
    server, head = listener()
    abandoned = Abandoned(head)
    server.close()
    for silent in (SILENT, SILENT, 0.0, SILENT, SILENT):
        assert not abandoned.look(silent)
    assert abandoned.look(SILENT)


def test_the_driver_takes_a_head_for_gone_that_does_not_answer_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(headwatch, "EVERY", 0.05)
    monkeypatch.setattr(headwatch, "GONE", 0.5)
    monkeypatch.setattr(headwatch, "STUCK", 1000.0)
    server, head = listener()
    watch = HeadWatch(head, remedy="")
    with server:
        time.sleep(1.0)
        assert not watch.gone()
    wait_for(watch.gone, 30)
    with socket.create_server(("127.0.0.1", int(head.rpartition(":")[2]))):
        wait_for(lambda: not watch.gone(), 30)
    watch.close()
    assert not HeadWatch("", remedy="").gone()
