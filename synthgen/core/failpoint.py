"""Named places where a fault test can make the program fail. Off (a dictionary look-up) unless SYNTHGEN_FAULTS is set.

``SYNTHGEN_FAULTS`` names a folder. A file there called like the failpoint, or ``<failpoint>@<detail>``, arms it; its
text is the action. The process that passes first takes the file (an atomic rename), so a fault fires once, whoever runs
into it. A file ending in ``.always`` stays armed.

Actions: ``kill`` (SIGKILL to itself), ``segfault``, ``exit N``, ``hang``, ``hang-gil`` (holds the interpreter lock),
``enospc``, ``eio``, ``error``, ``sleep SECONDS``, ``leak MEGABYTES``.
"""

from __future__ import annotations

import errno
import os
import signal
import time
from pathlib import Path

VARIABLE = "SYNTHGEN_FAULTS"
_leaked: list[bytearray] = []


def failpoint(name: str, detail: str = "") -> None:
    """Fail here if a test armed this place; ``detail`` says which of many passes (such as a slot)."""
    folder = os.environ.get(VARIABLE)
    if folder:
        for key in (name, f"{name}@{detail}"):
            action = _take(Path(folder), key)
            if action:
                _act(action, name)


def arm(folder: Path, name: str, action: str, *, detail: str = "", always: bool = False) -> None:
    """Arm a failpoint: for the test's side."""
    folder.mkdir(parents=True, exist_ok=True)
    key = f"{name}@{detail}" if detail else name
    (folder / (key + (".always" if always else ""))).write_text(action)


def _take(folder: Path, key: str) -> str:
    always = folder / f"{key}.always"
    if always.exists():
        return always.read_text().strip()
    armed = folder / key
    fired = folder / f"{key}.fired.{os.getpid()}.{time.monotonic_ns()}"
    try:
        armed.rename(fired)
    except FileNotFoundError:
        return ""
    return fired.read_text().strip()


def _act(action: str, name: str) -> None:
    verb, _, argument = action.partition(" ")
    if verb == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif verb == "segfault":
        import ctypes

        ctypes.string_at(0)
    elif verb == "exit":
        os._exit(int(argument or "0"))
    elif verb == "hang":
        while True:
            time.sleep(3600)
    elif verb == "hang-gil":
        import ctypes

        ctypes.PyDLL(None).sleep(100_000)
    elif verb == "enospc":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), name)
    elif verb == "eio":
        raise OSError(errno.EIO, os.strerror(errno.EIO), name)
    elif verb == "sleep":
        time.sleep(float(argument))
    elif verb == "leak":
        _leaked.append(bytearray(os.urandom(1024)) * (int(argument) * 1024))
    else:
        raise RuntimeError(f"failpoint {name}: {action}")
