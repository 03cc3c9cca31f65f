"""The files of cluster/ as data, for the tests beside this file."""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
CLUSTER = ROOT / "cluster"
MUJOCO = CLUSTER / "kuberay" / "mujoco"
ISAAC = CLUSTER / "kuberay" / "isaac"


def read(path: Path) -> Any:
    """A YAML file with one document."""
    return yaml.safe_load(path.read_text())


def tool(name: str) -> str:
    """A linter that is installed beside this Python (or anywhere on the path)."""
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if found is None:
        pytest.skip(f"{name} has no wheel for this platform")
    return found


def run(*command: str | Path) -> str:
    """The output of a command that must succeed."""
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def isaac(kind: str) -> Any:
    """RayJob or RayCluster as cluster/kuberay/isaac makes it: kustomize's ``images`` and JSON ``patches``."""
    overlay = read(ISAAC / "kustomization.yaml")
    (made,) = (d for d in map(read, sorted(MUJOCO.glob("ray*.yaml"))) if d["kind"] == kind)
    made = copy.deepcopy(made)
    new = {i["name"]: i["newName"] for i in overlay["images"]}
    for container in containers(made):
        name, tag = container["image"].split(":")
        container["image"] = f"{new.get(name, name)}:{tag}"
    for patch in overlay["patches"]:
        if patch["target"]["kind"] == kind:
            text = patch["patch"] if "patch" in patch else (ISAAC / patch["path"]).read_text()
            for step in yaml.safe_load(text):
                _apply(made, step)
    return made


def cluster_spec(resource: Any) -> Any:
    """The RayClusterSpec of a RayJob or RayCluster."""
    return resource["spec"]["rayClusterSpec"] if resource["kind"] == "RayJob" else resource["spec"]


def pod_specs(resource: Any) -> list[Any]:
    """The pod specs of a RayJob or RayCluster, the head's first."""
    spec = cluster_spec(resource)
    return [g["template"]["spec"] for g in (spec["headGroupSpec"], *spec["workerGroupSpecs"])]


def containers(resource: Any) -> list[Any]:
    """Every container of a RayJob or RayCluster."""
    return [c for pod in pod_specs(resource) for c in pod["containers"]]


def _apply(document: Any, step: Any) -> None:
    """One "add" or "replace" of a JSON patch (RFC 6902); ``replace`` fails where there is nothing."""
    *parents, last = step["path"].strip("/").split("/")
    for key in parents:
        document = document[int(key) if isinstance(document, list) else key]
    assert step["op"] in ("add", "replace")
    assert step["op"] == "add" or last in document, step["path"]
    document[last] = json.loads(json.dumps(step["value"]))
