"""What an engine needs of the machine, checked before anything slow starts. One clear error each, exit 2."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec

from synthgen.core.errors import MachineError
from synthgen.sim.isaac.engines import Engine

PYTHON = (3, 12)
# Data centre GPUs that compute but have no ray tracing cores.
WITHOUT_RT_CORES = ("A100", "A30", "H100", "H200", "H800", "GH200", "B100", "B200", "GB200", "V100", "P100")
EULA = ("ACCEPT_EULA", "OMNI_KIT_ACCEPT_EULA")
YES = ("y", "yes", "1", "true")
KITLESS = "or choose --simulator ovphysx or newton, which need neither Kit nor RT cores"


def check(engine: Engine) -> None:
    """Refuse what cannot work.

    Raises:
        MachineError: wrong Python, Isaac Lab missing; (isaacsim) Isaac Sim missing, EULA not accepted; (OVRTX) its
            package missing; (RTX of either kind) no GPU, no RT cores.
    """
    check_python(engine, sys.version_info[:2])
    if find_spec("isaaclab") is None:
        raise MachineError(
            f"--simulator {engine.name} needs Isaac Lab 3.0, which is not installed",
            remedy="run 'make isaac' and use .venv-isaac/bin/synthgen, or choose --simulator mujoco",
        )
    if engine.kit:
        if find_spec("isaacsim") is None:
            raise MachineError(
                f"--simulator {engine.name} needs Isaac Sim 6.2, which is not installed",
                remedy="install 'isaaclab[isaacsim]==3.0.0' with NVIDIA's package index or use NVIDIA's Isaac Lab "
                f"container (docs/isaac.md), {KITLESS}",
            )
        check_eula(os.environ)
    if engine.renderer == "ovrtx" and find_spec("ovrtx") is None:
        raise MachineError(
            "--renderer ovrtx needs the package ovrtx, which is not installed",
            remedy="install 'isaaclab[ovrtx]==3.0.0' in the same environment, or leave --renderer out",
        )
    if engine.ray_traced:
        check_gpu(visible_gpu(), needed_by=f"--simulator {engine.name}" if engine.kit else "--renderer ovrtx")


def check_device(engine: Engine, device: str) -> None:
    """RTX reads what it draws from the GPU that simulates.

    Raises:
        MachineError: it is to be simulated elsewhere.
    """
    if engine.ray_traced and not device.startswith("cuda"):
        raise MachineError(
            f"SYNTHGEN_DEVICE={device}: pictures by RTX need the simulation on the GPU",
            remedy="unset SYNTHGEN_DEVICE, or set it to cuda:0",
        )


def check_python(engine: Engine, found: tuple[int, int]) -> None:
    """Refuse another Python than the one Isaac Lab 3.0 is built for.

    Raises:
        MachineError: it is another.
    """
    if found != PYTHON:
        raise MachineError(
            f"--simulator {engine.name} needs Python 3.12; this is {found[0]}.{found[1]}",
            remedy="run 'make isaac' and use .venv-isaac/bin/synthgen, or choose --simulator mujoco",
        )


def check_eula(environment: os._Environ[str] | dict[str, str]) -> None:
    """Kit asks on the terminal otherwise, and a worker has none.

    Raises:
        MachineError: not accepted in the environment.
    """
    missing = [name for name in EULA if environment.get(name, "").lower() not in YES]
    if missing:
        raise MachineError(
            f"NVIDIA's Isaac Sim licence is not accepted: {' and '.join(missing)} not set",
            remedy="read it, then set ACCEPT_EULA=Y and OMNI_KIT_ACCEPT_EULA=YES (and PRIVACY_CONSENT=N, if you like), "
            + KITLESS,
        )


def check_gpu(name: str | None, *, needed_by: str = "--simulator isaacsim") -> None:
    """RTX needs ray tracing cores. ``name``: the GPU, or None; ``needed_by``: the option that asks for RTX.

    Raises:
        MachineError: no GPU, or one without RT cores.
    """
    instead = KITLESS if "isaacsim" in needed_by else "or leave --renderer out: Newton-Warp draws without them"
    if name is None:
        raise MachineError(
            f"{needed_by} needs an NVIDIA GPU with RT cores, and nvidia-smi shows none",
            remedy=f"use such a machine, {instead}",
        )
    if any(model in name.replace("-", " ").split() for model in WITHOUT_RT_CORES):
        raise MachineError(
            f"{name} has no RT cores, which {needed_by} needs",
            remedy=f"use an RTX, L4, L40(S), A10 or A40 GPU, {instead} (newton also runs on this GPU)",
        )


def visible_gpu() -> str | None:
    """Name of the first GPU that nvidia-smi lists, or None."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return None
    command = [tool, "--query-gpu=name", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    lines = done.stdout.strip().splitlines()
    return lines[0].strip() if done.returncode == 0 and lines else None
