"""What several of the engine's tests use."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from synthgen.engine.settings import Job
from synthgen.store.run import RunStore

MakeJob = Callable[..., Job]
MARK = "SYNTHGEN_TEST_SESSION"  # in the environment of everything these tests start
os.environ[MARK] = f"{os.getpid()}-{time.time_ns()}"
# For tests of hangs; others keep the engine's own deadlines, which no busy machine reaches.
QUICK = {"cold": 90.0, "boot": 90.0, "reset": 3.0, "step": 3.0, "render": 3.0, "write": 20.0, "close": 3.0}
spawned: list[subprocess.Popen[str]] = []
GONE = 15.0  # seconds after which no simulator may be left


def spawn(command: Sequence[str], **options: Any) -> subprocess.Popen[str]:
    """Start a process, which is ended and whose pipes are closed with the test, even with one that fails half-way."""
    process = subprocess.Popen(command, text=True, **options)
    spawned.append(process)
    return process


def end_spawned() -> None:
    """Kill what ``spawn`` started and is still there."""
    while spawned:
        process = spawned.pop()
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()


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


def spooled(root: Path) -> list[str]:
    """Slots ("<shard>/<slot>") whose episode waits in the run's spool, even while it is cleared."""
    found: list[str] = []
    with suppress(FileNotFoundError):
        for folder in (root / "spool").iterdir():
            with suppress(FileNotFoundError):
                found += [f"{folder.name}/{path.stem}" for path in folder.iterdir() if path.suffix == ".episode"]
    return found


def caught(faults: Path, name: str, detail: str, seconds: float = 90.0) -> psutil.Process:
    """Wait until a process ran into the failpoint (armed to ``sleep``); that process."""
    fired = wait_for(lambda: next(faults.glob(f"{name}@{detail}.fired.*"), None), seconds)
    return psutil.Process(int(fired.name.split(".fired.")[1].split(".")[0]))


def attempts_of(job: Job) -> Counter[str]:
    """The attempts ("<embodiment>.<slot>.<attempt>") that the run's records say their slots took."""
    store = RunStore.open(job.root)
    return Counter(
        f"{r.cell.split('.')[1]}.{s.slot}.{attempt}"
        for r in store.records()
        for s in r.slots
        for attempt in range(s.attempts)
    )


def kill(process: psutil.Process) -> None:
    """kill -9."""
    with suppress(psutil.NoSuchProcess):
        process.send_signal(signal.SIGKILL)


PYTHON = sys.executable
