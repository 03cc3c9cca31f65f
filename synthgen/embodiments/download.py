"""Downloading one wheel with the user's own pip and its configuration (index, proxy, certificates, find-links)."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

from synthgen.core.errors import AssetError
from synthgen.embodiments.packs import AssetPack

_TIMEOUT = 1800.0


def pip_command() -> list[str] | None:
    """How to start pip: this interpreter's, else the first ``pip`` or ``python3 -m pip`` on the path, else None."""
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"]
    for name in ("pip3", "pip"):
        found = shutil.which(name)
        if found:
            return [found]
    python = shutil.which("python3")
    if python:
        probe = subprocess.run([python, "-m", "pip", "--version"], capture_output=True, check=False, timeout=60)
        if probe.returncode == 0:
            return [python, "-m", "pip"]
    return None


def download_wheel(pack: AssetPack, folder: Path) -> Path:
    """Download the pack's wheel into an empty folder and return its path. pip itself already checks the digest.

    Raises:
        AssetError: no pip, no network, or no file with that digest on the index.
    """
    pip = pip_command()
    offline = (
        f"where the index is reachable run 'synthgen assets fetch {pack.name}', or put the wheel in a folder and set "
        "PIP_FIND_LINKS to it, or give --asset-root a folder that holds the unpacked assets"
    )
    if pip is None:
        raise AssetError(
            f"asset pack {pack.name!r} is not cached and there is no pip to fetch it with",
            remedy=f"install pip ('{sys.executable} -m ensurepip'), then run 'synthgen assets fetch {pack.name}'",
        )
    wanted = folder / "requirement.txt"
    wanted.write_text(f"{pack.project}=={pack.version} --hash=sha256:{pack.sha256}\n")
    command = [*pip, "download", "--no-deps", "--only-binary", ":all:", "--require-hashes", "--quiet"]
    command += ["--disable-pip-version-check", "--no-input", "--dest", str(folder), "--requirement", str(wanted)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_TIMEOUT)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise AssetError(f"asset pack {pack.name!r} is not cached and pip failed: {error}", remedy=offline) from error
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode != 0 or not wheels:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip().startswith("ERROR")]
        why = lines[0].removeprefix("ERROR:").strip() if lines else f"exit status {done.returncode}"
        raise AssetError(
            f"asset pack {pack.name!r} ({pack.project} {pack.version}) is not cached and pip could not fetch it: {why}",
            remedy=offline,
        )
    return wheels[0]
