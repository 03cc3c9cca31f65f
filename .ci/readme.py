"""Run every command of the README as typed, in order, in a clean clone.

Takes the lines of the ```sh blocks. ``make test`` is skipped because .ci/run has just run it; a block that starts with
``# cluster`` needs machines that CI does not have, so only the existence of its options is checked (``--help``).
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def blocks(text: str) -> list[list[str]]:
    """The ```sh blocks of a Markdown text, as lists of commands with continuation lines joined."""
    found: list[list[str]] = []
    lines: list[str] | None = None
    for line in text.splitlines():
        if line.strip() == "```sh":
            lines = []
        elif line.strip() == "```" and lines is not None:
            joined = "\n".join(lines).replace("\\\n", " ")
            found.append([c for c in joined.splitlines() if c.strip()])
            lines = None
        elif lines is not None:
            lines.append(line)
    return found


def run(command: str, folder: Path, env: dict[str, str]) -> None:
    """Run one command; exits with its code when it fails."""
    began = time.monotonic()
    print(f"$ {command}", flush=True)
    done = subprocess.run(["bash", "-c", command], cwd=folder, env=env, stdin=subprocess.DEVNULL, check=False)
    print(f"  ({time.monotonic() - began:.0f} s, exit {done.returncode})", flush=True)
    if done.returncode:
        sys.exit(f"README: command failed: {command}")


def check_options(command: str, folder: Path, env: dict[str, str]) -> None:
    """Every ``--option`` of a synthgen command that cannot run here must at least exist."""
    words = command.split()
    if words[0] != "synthgen":
        return
    asked = [*words[:2], "--help"]
    shown = subprocess.run(asked, cwd=folder, env=env, capture_output=True, text=True, check=True).stdout
    missing = [w for w in words if w.startswith("--") and w.split("=")[0] not in shown]
    if missing:
        sys.exit(f"README: {command!r}: no such option: {', '.join(missing)}")
    print(f"# options exist: {command}", flush=True)


def main() -> None:
    """Clone, share the environment, run."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--scratch", type=Path, required=True)
    clone = parser.parse_args().scratch / "clone"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    env = {**os.environ, "PATH": f"{clone / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    for block in blocks((ROOT / "README.md").read_text()):
        if block[0].startswith("# cluster"):
            for command in block[1:]:
                check_options(command, clone, env)
            continue
        for command in block:
            if not command.startswith("#") and command != "make test":
                run(command, clone, env)
    shutil.rmtree(clone)


if __name__ == "__main__":
    main()
