"""What several of the engine's tests use."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psutil

from synthgen.engine.settings import Job

MakeJob = Callable[..., Job]
MARK = "SYNTHGEN_TEST_SESSION"  # in the environment of everything these tests start
os.environ[MARK] = f"{os.getpid()}-{time.time_ns()}"
QUICK = {"cold": 60.0, "boot": 60.0, "reset": 1.0, "step": 1.0, "render": 1.0, "write": 5.0, "close": 1.0}


def children_of_this_test() -> list[psutil.Process]:
    """Guards and simulator children that this test process, or anything it started, has left running."""
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            line = process.cmdline()
            named = any("synthgen.engine.child" in part for part in line) and process.status() != psutil.STATUS_ZOMBIE
            if named and process.environ().get(MARK) == os.environ[MARK]:
                found.append(process)
    return found


def simulators() -> list[psutil.Process]:
    """The simulator children themselves (not their guards)."""
    found: list[psutil.Process] = []
    for process in children_of_this_test():
        with suppress(psutil.Error):  # it may end between the listing and the look
            if process.cmdline()[1:4] == ["-P", "-m", "synthgen.engine.child"]:
                found.append(process)
    return found


def wait_for(condition: Callable[[], Any], seconds: float = 60.0) -> Any:
    """Wait until ``condition()`` is true; its value."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"did not happen within {seconds} s")


def kill(process: psutil.Process) -> None:
    """kill -9."""
    with suppress(psutil.NoSuchProcess):
        process.send_signal(signal.SIGKILL)


PYTHON = sys.executable
