"""Losing a node, and the whole local cluster, under a real ``synthgen run``."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from engine_helpers import GONE, simulators, wait_for

from synthgen.store.run import RunStore
from synthgen.store.status import status

pytestmark = [pytest.mark.xdist_group("ray"), pytest.mark.slow, pytest.mark.timeout(400)]
CLUSTER = """
import sys, warnings
warnings.simplefilter("ignore")
from ray.cluster_utils import Cluster
small = {"object_store_memory": 80 << 20, "include_dashboard": False}
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **small})
nodes = [cluster.add_node(num_cpus=1, **small) for _ in range(2)]
print("ADDRESS", cluster.address, flush=True)
sys.stdin.readline()
nodes[1].kill_raylet()
print("KILLED", flush=True)
sys.stdin.readline()
cluster.shutdown()
"""


@pytest.fixture
def cluster() -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A head without CPUs and two nodes with one each; a line on stdin kills the second node's raylet."""
    from synthgen.engine.ray_pool import LOOPBACK, QUIET

    process = subprocess.Popen(
        [sys.executable, "-c", CLUSTER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, **QUIET, **LOOPBACK},
    )
    assert process.stdout is not None
    address = until(process, "ADDRESS").split()[1]
    yield address, process
    process.communicate("\n", timeout=60)


def until(process: subprocess.Popen[str], word: str) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(word):
            return line
    raise AssertionError(f"ended without {word}")


def run(out: Path, n: int, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "synthgen.cli.main", "run", "--simulator", "fake", "--tasks", "fake"]
    command += ["--formats", "tiny", "--cameras", "none", "--embodiments", "franka", "--workers", "2", "--n", str(n)]
    return subprocess.Popen(
        [*command, "--shard-size", "2", "--out", str(out), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "SYNTHGEN_FAKE": "seconds=0.4,success=1"},
    )


def complete(out: Path, n: int) -> None:
    slots = [s.slot for r in RunStore.open(out).records() for s in r.slots]
    assert slots == list(range(n))


def test_the_loss_of_a_node_costs_its_worker_only(cluster: tuple[str, Any], tmp_path: Path) -> None:
    address, process = cluster
    driver = run(tmp_path / "run", 60, "--address", address)
    wait_for(lambda: list(tmp_path.glob("run/commits/*.json")))
    process.stdin.write("\n")
    process.stdin.flush()
    until(process, "KILLED")
    _, said = driver.communicate(timeout=200)
    assert driver.returncode == 0, said
    assert "worker_lost" in {json.loads(line)["event"] for line in said.splitlines() if line.startswith("{")}
    complete(tmp_path / "run", 60)


def test_the_loss_of_the_local_cluster_ends_the_run_and_every_simulator(tmp_path: Path) -> None:
    driver = run(tmp_path / "run", 60)
    wait_for(lambda: list(tmp_path.glob("run/commits/*.json")))
    (raylet,) = [p for p in psutil.Process(driver.pid).children() if "raylet" in p.name()]
    raylet.send_signal(signal.SIGKILL)
    wait_for(lambda: not simulators(), GONE)
    _, said = driver.communicate(timeout=120)
    assert driver.returncode == 3, said
    assert "the Ray cluster is gone" in said and "resume with: synthgen run" in said
    assert not status(RunStore.open(tmp_path / "run")).complete
