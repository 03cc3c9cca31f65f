"""The process between a supervisor and its simulator that leaves no orphans. Run as a script; standard library only.

    python -I -S guard.py LIFELINE PROGRAM ARGUMENT...

Starts PROGRAM in a session of its own, and kills everything that came of it when LIFELINE (a pipe that only the
supervisor can write to) reports that the supervisor is gone. Ends as PROGRAM ended. When the guard itself is killed,
the kernel kills PROGRAM (``PR_SET_PDEATHSIG``, which the simulator child sets). As a subreaper it also finds
descendants that put themselves into other sessions.
"""

from __future__ import annotations

import ctypes
import os
import resource
import select
import signal
import sys
import time
from contextlib import suppress

PR_SET_CHILD_SUBREAPER = 36


def main(lifeline: int, command: list[str]) -> None:
    """Guard one program until it or the supervisor ends. Does not return."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    os.set_inheritable(lifeline, False)
    child = os.posix_spawn(command[0], command, os.environ, setsid=True)
    for descriptor in range(3, 1024):  # the child's ends of the message pipes: hold none of them open
        if descriptor != lifeline:
            with suppress(OSError):
                os.close(descriptor)
    status = _watch(lifeline, child)
    _kill_all(child)
    if status is None:
        status = os.waitpid(child, 0)[1]
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        signal.signal(-code, signal.SIG_DFL) if -code not in (signal.SIGKILL, signal.SIGSTOP) else None
        os.kill(os.getpid(), -code)
    os._exit(code)


def _watch(lifeline: int, child: int) -> int | None:
    """Wait; the child's wait status, or None when the supervisor went first."""
    poll = select.poll()
    poll.register(lifeline, select.POLLIN | select.POLLHUP)
    timeout = None
    try:
        poll.register(os.pidfd_open(child), select.POLLIN)
    except (OSError, AttributeError):
        timeout = 200
    while True:
        ready = {descriptor for descriptor, _ in poll.poll(timeout)}
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status
        if lifeline in ready:
            return None


def _kill_all(child: int) -> None:
    """Kill the child's session and every other descendant, and wait until they are gone."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child, signal.SIGKILL)
    for _ in range(100):
        found = _descendants()
        if not found:
            return
        for pid in found:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for pid in found:
            if pid != child:  # its status is reaped by main
                with suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)
        if found == {child}:
            return
        time.sleep(0.02)


def _descendants() -> set[int]:
    parents: dict[int, int] = {}
    for name in os.listdir("/proc"):  # noqa: PTH208 - pathlib would double the start-up time
        if name.isdigit():
            with suppress(OSError, ValueError, IndexError):
                with open(f"/proc/{name}/stat") as f:  # noqa: PTH123
                    fields = f.read().rpartition(")")[2].split()
                if fields[0] != "Z":
                    parents[int(name)] = int(fields[1])
    found: set[int] = set()
    frontier = {os.getpid()}
    while frontier:
        frontier = {pid for pid, parent in parents.items() if parent in frontier}
        found |= frontier
    return found


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
