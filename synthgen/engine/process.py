"""A simulator child as its supervisor holds it: guard, pipes, log, memory, and a certain end."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import psutil

from synthgen.engine import guard
from synthgen.engine.pipe import Message, PipeReader, PipeWriter

# Ray sets OMP_NUM_THREADS to the worker's CPUs; the simulator wants one thread. Mesa's software renderer takes 0 for
# "draw in the thread that asks", which costs a tenth less than handing over to one thread of its own.
THREADS = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "LP_NUM_THREADS": "0"}


def child_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """The child's environment: one thread per library; then ``extra``."""
    return dict(os.environ) | THREADS | dict(extra)


class ChildProcess:
    """One running simulator child. Its standard output and error go to ``log``."""

    def __init__(self, *, environment: Mapping[str, str], log: Path) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        self.log = log
        commands, self._command_end = os.pipe()
        self._event_end, events = os.pipe()
        lifeline, self._lifeline_end = os.pipe()
        inherited = (lifeline, commands, events)
        child = [sys.executable, "-P", "-m", "synthgen.engine.child", str(commands), str(events)]
        with log.open("ab") as sink:
            self._guard = subprocess.Popen(
                [sys.executable, "-I", "-S", guard.__file__, str(lifeline), *child],
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                pass_fds=inherited,
                env=dict(environment),
                start_new_session=True,
            )
        for descriptor in inherited:
            os.close(descriptor)
        self._writer = PipeWriter(self._command_end)
        self._reader = PipeReader(self._event_end)
        self._poll = select.poll()
        self._poll.register(self._event_end, select.POLLIN | select.POLLHUP)
        self._dead = False
        self.pid: int | None = None

    def send(self, message: Message) -> None:
        """Send a command; a dead child is noticed by ``receive``."""
        with suppress(BrokenPipeError):
            self._writer.send(message)

    def receive(self, timeout: float) -> list[Message]:
        """Messages that came within ``timeout`` seconds.

        Raises:
            EOFError: the child is gone.
        """
        if not self._poll.poll(timeout * 1000):
            if self._guard.poll() is not None:
                raise EOFError
            return []
        messages = list(self._reader.read())
        for message in messages:
            if message["t"] == "hello":
                self.pid = int(message["pid"])
        return messages

    def memory(self) -> int:
        """Resident bytes of the child and everything it started."""
        total = 0
        with suppress(psutil.Error):
            for process in psutil.Process(self._guard.pid).children(recursive=True):
                with suppress(psutil.Error):
                    total += process.memory_info().rss
        return total

    def end(self, *, within: float = 10.0) -> str:
        """Kill what is left of it and say how it ended, in words."""
        if self._dead:
            return "ended before"
        self._dead = True
        natural = self._wait(1.0 if self._hung_up() else 0.0)
        os.close(self._lifeline_end)
        if not natural and not self._wait(within):
            self._guard.kill()  # the kernel takes the child along
            self._guard.wait()
        if self.pid is not None:
            with suppress(
                ProcessLookupError, PermissionError
            ):  # helpers of the child, should the guard have died first
                os.killpg(self.pid, signal.SIGKILL)
        os.close(self._command_end)
        os.close(self._event_end)
        return _words(self._guard.returncode) if natural else "killed by its supervisor"

    def log_tail(self, lines: int = 40) -> str:
        """The last lines it printed."""
        with suppress(OSError), self.log.open("rb") as f:
            f.seek(max(0, os.fstat(f.fileno()).st_size - 16_384))
            return "\n".join(f.read().decode(errors="replace").splitlines()[-lines:])
        return ""

    def _hung_up(self) -> bool:
        return any(event & select.POLLHUP for _, event in self._poll.poll(0))

    def _wait(self, seconds: float) -> bool:
        end = time.monotonic() + seconds
        while self._guard.poll() is None:
            if time.monotonic() >= end:
                return False
            time.sleep(0.01)
        return True


def _words(code: int | None) -> str:
    if code is None or code == 0:
        return "exit code 0 without finishing"
    if code < 0:
        with suppress(ValueError):
            return f"killed by {signal.Signals(-code).name}"
    return f"exit code {code}"
