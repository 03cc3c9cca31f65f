"""Noticing that the head of the cluster is gone: by the driver, even while it is stuck in a call to Ray, and by actors.

Ray's own nodes and workers wait a minute for a lost head to come back. That is too long for a simulator nobody holds.
A port that refuses, or a machine that does not answer, is enough to know: a busy head still accepts connections.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time

EVERY = 2.0  # seconds between the driver's looks
GONE = 4.0  # seconds after the first look in vain, with none better since, after which the head is taken for gone
STUCK = 4.0  # further seconds that the driver has to notice by itself
SILENT = 4.0  # seconds without a word from the driver after which an actor looks for the head itself
REFUSALS = 3  # looks in vain, one a second, after which the actor leaves


class HeadWatch:
    """Asks the head's port every few seconds.

    With the head gone, calls to Ray block, and after a minute Ray ends the process with a code of its own. The driver
    asks ``gone()`` between calls; should it be stuck in one, this ends the process in its place, with exit code 3.

    Args:
        head: HOST:PORT, or "" when it cannot be asked (``ray://``).
        remedy: what to tell the user.
    """

    def __init__(self, head: str, *, remedy: str) -> None:
        self._head = head
        self._remedy = remedy
        self._missed: float | None = None  # when it first did not answer; a stopped or busy driver misses nothing
        self._closed = threading.Event()
        if head:
            threading.Thread(target=self._watch, daemon=True, name="head-watch").start()

    def gone(self) -> bool:
        """Whether the head has not answered for a while."""
        missed = self._missed
        return missed is not None and time.monotonic() - missed > GONE

    def close(self) -> None:
        """Stop watching: the driver goes its own way from here."""
        self._closed.set()

    def _watch(self) -> None:
        while not self._closed.wait(EVERY):
            looked = time.monotonic()
            if answers(self._head):
                self._missed = None
                continue
            self._missed = self._missed or looked
            if time.monotonic() - self._missed > GONE + STUCK:
                sys.stderr.write(f"error: the head of the Ray cluster is gone\n  remedy: {self._remedy}\n")
                sys.stderr.flush()
                os._exit(3)


class Abandoned:
    """Whether an actor has neither driver nor head any more.

    As long as the driver speaks, the actor asks nobody: the driver watches the head for all of them.

    Args:
        head: HOST:PORT of the head.
    """

    def __init__(self, head: str) -> None:
        self._head = head
        self._refusals = 0

    def look(self, silent: float) -> bool:
        """To be asked once a second; ``silent``: seconds since the driver's last word."""
        if silent < SILENT or answers(self._head):
            self._refusals = 0
        else:
            self._refusals += 1
        return self._refusals >= REFUSALS


def answers(address: str) -> bool:
    """Whether somebody listens at HOST:PORT."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=2).close()
    except (OSError, ValueError):
        return False
    return True
