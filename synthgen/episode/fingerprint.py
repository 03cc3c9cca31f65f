"""What an episode's numbers depend on besides its spec: engine, versions, platform."""

from __future__ import annotations

import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from synthgen.core.simulator import SimulatorInfo

PACKAGES = ("synthgen", "numpy", "scipy", "mujoco", "usd-exchange", "av")


def fingerprint(info: SimulatorInfo) -> dict[str, Any]:
    """JSON-able description; equal fingerprints of a deterministic simulator mean equal episodes."""
    return {
        "simulator": {
            "name": info.name,
            "version": info.version,
            "device": info.device,
            "timestep": info.timestep,
            "deterministic": info.deterministic,
            "details": dict(info.details),
        },
        "python": platform.python_version(),
        "packages": {p: v for p in PACKAGES if (v := _version(p))},
        "platform": {"system": platform.system(), "machine": platform.machine(), "byteorder": sys.byteorder},
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
