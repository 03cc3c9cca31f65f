"""``synthgen doctor``: what this machine can run, and what to do about what it cannot."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import click

from synthgen.core.errors import MachineError, SynthgenError

# Data centre GPUs that compute but have no ray tracing cores: Isaac Sim's renderer does not run on them.
WITHOUT_RT_CORES = ("A100", "A30", "H100", "H200", "H800", "GH200", "B100", "B200", "GB200", "V100", "P100")
EGL_PROBE = """
import mujoco
context = mujoco.GLContext(16, 16)
context.make_current()
from OpenGL import GL
print(GL.glGetString(GL.GL_RENDERER).decode())
context.free()
"""
EGL_REMEDY = (
    "install EGL and a driver (Debian, Ubuntu: apt-get install libegl1 libgl1 libgles2), or run with --cameras none"
)


@dataclass(frozen=True, kw_only=True)
class Check:
    """One finding.

    Attributes:
        name: what was looked at; state: "ok", "missing" (needed for the defaults) or "optional" (absent, but only some
            options need it); found: what is there; remedy: what to do when it is not "ok".
    """

    name: str
    state: Literal["ok", "missing", "optional"]
    found: str
    remedy: str = ""


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--simulators", is_flag=True, help="Print what each simulator supports, and nothing else.")
@click.pass_context
def doctor(ctx: click.Context, as_json: bool, simulators: bool) -> None:
    """What this machine can run: Python, EGL, GPU, RT cores, Isaac Lab, Ray, video codecs, disk, assets.

    Exit code 2 when something that the default options need is missing.

    \b
    Examples:
      synthgen doctor
      synthgen doctor --json
      synthgen doctor --simulators
    """
    if simulators:
        from synthgen.sim.isaac.capabilities import capabilities, table

        click.echo(json.dumps([asdict(c) for c in capabilities()]) if as_json else table())
        return
    checks = [probe() for probe in PROBES]
    if as_json:
        click.echo(json.dumps([asdict(c) for c in checks]))
    else:
        width = max(len(c.name) for c in checks)
        for c in checks:
            click.echo(f"{c.state:<8}  {c.name:<{width}}  {c.found}")
            if c.state != "ok" and c.remedy:
                click.echo(f"{'':<8}  {'':<{width}}  remedy: {c.remedy}")
    if any(c.state == "missing" for c in checks):
        ctx.exit(2)


def require_egl() -> None:
    """Refuse to start a run with cameras where nothing can be drawn.

    Raises:
        MachineError.
    """
    found = egl()
    if found.state != "ok":
        raise MachineError(f"cameras are asked for, but this machine cannot draw: {found.found}", remedy=EGL_REMEDY)


def python() -> Check:
    """The interpreter."""
    good = (3, 11) <= sys.version_info[:2] < (3, 14)
    found = f"{platform.python_version()} ({sys.executable})"
    return Check(name="Python", state="ok" if good else "missing", found=found, remedy="use Python 3.11, 3.12 or 3.13")


def machine() -> Check:
    """Cores and memory."""
    import psutil

    gib = psutil.virtual_memory().total / (1 << 30)
    return Check(
        name="machine",
        state="ok" if gib >= 4 else "optional",
        found=f"{os.cpu_count()} cores, {gib:.0f} GiB memory, {platform.platform(terse=True)}",
        remedy="a simulator with cameras needs about 2 GiB",
    )


def egl() -> Check:
    """Off-screen drawing, really tried, in a process of its own because drivers may crash."""
    backend = os.environ.get("MUJOCO_GL", "egl")
    try:
        run = subprocess.run(
            [sys.executable, "-P", "-c", EGL_PROBE],
            env={**os.environ, "MUJOCO_GL": backend},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Check(name="EGL", state="missing", found="no answer within 120 s", remedy=EGL_REMEDY)
    if run.returncode:
        last = (run.stderr.strip().splitlines() or [f"exit code {run.returncode}"])[-1]
        return Check(name="EGL", state="missing", found=last, remedy=EGL_REMEDY)
    renderer = run.stdout.strip()
    slow = " (software: pictures are drawn by the CPU)" if "llvmpipe" in renderer else ""
    return Check(name="EGL", state="ok", found=f"{backend}: {renderer}{slow}")


def gpus() -> list[str]:
    """Names of the NVIDIA GPUs, with driver version and memory."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    query = [tool, "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    try:
        run = subprocess.run(query, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [line.strip() for line in run.stdout.splitlines() if line.strip()] if run.returncode == 0 else []


def gpu() -> Check:
    """An NVIDIA GPU."""
    found = gpus()
    return Check(
        name="GPU",
        state="ok" if found else "optional",
        found="; ".join(found) or "none",
        remedy="MuJoCo needs none; Isaac Sim needs an NVIDIA GPU and driver",
    )


def rt_cores() -> Check:
    """Ray tracing cores, by the GPU's name."""
    found = gpus()
    good = [g for g in found if not any(model in g for model in WITHOUT_RT_CORES)]
    return Check(
        name="RT cores",
        state="ok" if good else "optional",
        found="; ".join(good) or ("none on " + "; ".join(found) if found else "no GPU"),
        remedy="Isaac Sim's renderer needs them (RTX, L4, L40, A10, A40); physics alone does not",
    )


def isaac() -> Check:
    """Isaac Lab in this Python."""
    parts = [p for p in ("isaacsim", "isaaclab") if find_spec(p) is not None]
    return Check(
        name="Isaac Lab",
        state="ok" if "isaaclab" in parts else "optional",
        found=", ".join(f"{p} {_version(p)}" for p in parts) or "not installed in this Python",
        remedy="--simulator ovphysx, newton and isaacsim need it: `make isaac`, or a container (docs/isaac.md)",
    )


def ray() -> Check:
    """Ray."""
    found = _version("ray")
    return Check(
        name="Ray",
        state="ok" if found else "missing",
        found=found or "not installed",
        remedy="pip install ray, or run with --workers 0",
    )


def codecs() -> Check:
    """Video encoders of PyAV."""
    try:
        from av.codec import Codec
        from av.codec.codec import UnknownCodecError
    except ImportError as error:
        return Check(name="video", state="missing", found=str(error), remedy="pip install av")
    there: list[str] = []
    for name in ("libx264", "libsvtav1"):
        try:
            Codec(name, "w")
        except UnknownCodecError:
            continue
        there.append(name)
    ffmpeg = shutil.which("ffmpeg") or "not needed"
    return Check(
        name="video",
        state="ok" if "libx264" in there else "missing",
        found=f"PyAV {_version('av')}: {', '.join(there) or 'no encoder'}; ffmpeg {ffmpeg}",
        remedy="install the PyAV wheel from PyPI, which has libx264",
    )


def disk() -> Check:
    """Room in the current folder and in shared memory."""
    free = shutil.disk_usage(Path.cwd()).free / (1 << 30)
    shared = Path("/dev/shm")
    memory = shutil.disk_usage(shared).free / (1 << 30) if shared.is_dir() else 0.0
    return Check(
        name="disk",
        state="ok" if free > 1 else "missing",
        found=f"{free:.0f} GiB free here, {memory:.1f} GiB shared memory",
        remedy="free some space: 1000 trajectories with two 256-pixel cameras take about 1.2 GB",
    )


def assets() -> Check:
    """Robot assets in the cache."""
    try:
        from synthgen.embodiments.assets import AssetStore

        store = AssetStore()
        missing = [name for name in store.packs if store.path(name) is None]
    except SynthgenError as error:
        return Check(name="assets", state="missing", found=error.message, remedy=error.remedy)
    return Check(
        name="assets",
        state="optional" if missing else "ok",
        found=f"{store.asset_root or store.folder}: " + (f"{', '.join(missing)} missing" if missing else "complete"),
        remedy="they are fetched when first needed; `synthgen assets fetch` fetches them now",
    )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


PROBES: tuple[Callable[[], Check], ...] = (
    python,
    machine,
    egl,
    gpu,
    rt_cores,
    isaac,
    ray,
    codecs,
    disk,
    assets,
)
