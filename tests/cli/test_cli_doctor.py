from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from synthgen.cli import doctor


def test_every_probe_answers_and_what_is_not_well_has_a_remedy(synthgen: Callable[..., Any]) -> None:
    end = synthgen("doctor", "--json")
    checks = {c["name"]: c for c in json.loads(end.out)}
    assert {"Python", "EGL", "GPU", "RT cores", "Isaac Lab", "Ray", "video", "disk", "assets"} <= checks.keys()
    assert all(c["found"] and (c["state"] == "ok" or c["remedy"]) for c in checks.values())
    assert end.code == (2 if any(c["state"] == "missing" for c in checks.values()) else 0)
    assert checks["Python"]["state"] == "ok" and "libx264" in checks["video"]["found"]


@pytest.mark.parametrize(
    ("listed", "rt"),
    [
        ("NVIDIA L40S, 550.54, 46068 MiB", "ok"),
        ("NVIDIA GeForce RTX 4090, 550.54, 24564 MiB", "ok"),
        ("NVIDIA H100 80GB HBM3, 550.54, 81559 MiB", "optional"),
        ("NVIDIA A100-SXM4-80GB, 550.54, 81920 MiB", "optional"),
        ("NVIDIA A10, 550.54, 23028 MiB", "ok"),
    ],
)
def test_ray_tracing_cores_are_told_by_the_gpus_name(monkeypatch: pytest.MonkeyPatch, listed: str, rt: str) -> None:
    monkeypatch.setattr(doctor.shutil, "which", lambda name: "/usr/bin/nvidia-smi")
    answer = subprocess.CompletedProcess([], 0, stdout=listed + "\n", stderr="")
    monkeypatch.setattr(doctor.subprocess, "run", lambda *a, **k: answer)
    assert doctor.gpu().state == "ok" and listed in doctor.gpu().found
    assert doctor.rt_cores().state == rt


def test_a_probe_that_crashes_the_driver_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = subprocess.CompletedProcess([], -11, stdout="", stderr="")
    monkeypatch.setattr(doctor.subprocess, "run", lambda *a, **k: answer)
    assert doctor.egl().state == "missing"
    with pytest.raises(doctor.MachineError, match="cannot draw"):
        doctor.require_egl()
