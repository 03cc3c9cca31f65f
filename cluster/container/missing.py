"""Of a lock file, print the entries whose package this Python does not have: ``python missing.py LOCK``."""

from __future__ import annotations

import re
import sys
from importlib.metadata import distributions
from pathlib import Path


def entries(text: str) -> list[str]:
    """The lock's entries, each with its continuation lines."""
    return [e.strip() for e in re.split(r"\n(?=[A-Za-z0-9])", text) if e.strip() and not e.startswith("#")]


def canonical(name: str) -> str:
    """A distribution's name as indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def missing(text: str, installed: set[str]) -> list[str]:
    """Entries of the lock ``text`` whose canonical name is not in ``installed``."""
    return [e for e in entries(text) if canonical(re.split(r"[=\s;\[]", e, maxsplit=1)[0]) not in installed]


if __name__ == "__main__":
    here = {canonical(d.metadata["Name"]) for d in distributions() if d.metadata["Name"]}
    print("\n".join(missing(Path(sys.argv[1]).read_text(), here)))
