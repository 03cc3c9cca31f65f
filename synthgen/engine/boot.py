"""Staggered boots: on each node one simulator warms the caches, then only a few boot at the same time."""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path


def node_folder() -> Path:
    """A folder of this user on this node, for locks; no one else may write there."""
    folder = Path(tempfile.gettempdir()) / f"synthgen-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        folder = Path(tempfile.mkdtemp(prefix="synthgen-"))
    return folder


@contextmanager
def boot_turn(key: str, *, stop: Callable[[], bool], at_once: int | None = None) -> Generator[bool]:
    """Wait for a turn to boot; yields whether this is the first boot of ``key`` on the node (a cold one).

    Leaving the context without an error marks the caches as warm. The kernel gives a turn back when its holder dies.
    ``stop``: asked while waiting; when it says yes, the wait ends at once.
    """
    folder = node_folder()
    warm = folder / f"{key}.warm"
    at_once = at_once or max(1, (os.cpu_count() or 2) // 2)
    descriptor = -1
    try:
        while descriptor < 0 and not stop():
            for turn in range(at_once if warm.exists() else 1):
                descriptor = _try_lock(folder / f"{key}.boot{turn}")
                if descriptor >= 0:
                    break
            else:
                time.sleep(0.1)
        yield not warm.exists()
        with suppress(OSError):
            warm.touch()
    finally:
        if descriptor >= 0:
            os.close(descriptor)


def _try_lock(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return -1
    return descriptor
