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
from engine_helpers import GONE, simulators, spawn, wait_for

from synthgen.store.run import RunStore
from synthgen.store.status import status

pytestmark = [pytest.mark.xdist_group("ray"), pytest.mark.slow, pytest.mark.timeout(400)]
CLUSTER = """
import os, signal, sys, warnings
warnings.simplefilter("ignore")
from ray.cluster_utils import Cluster
small = {"object_store_memory": 80 << 20, "include_dashboard": False}
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **small})
nodes = [cluster.add_node(num_cpus=1, **small) for _ in range(2)]
gcs = cluster.head_node.all_processes["gcs_server"][0].process.pid
print("ADDRESS", cluster.address, flush=True)
for line in sys.stdin:
    if "a node" in line:
        nodes[1].kill_raylet()
    else:
        os.kill(gcs, signal.SIGKILL)
        cluster.head_node.kill_raylet()
    print("LOST", flush=True)
cluster.shutdown()
"""


@pytest.fixture
def cluster() -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A head without CPUs and two nodes with one each; "lose a node" or "lose the head" on stdin does so (kill -9)."""
    from synthgen.engine.ray_pool import LOOPBACK, QUIET

    process = spawn(
        [sys.executable, "-c", CLUSTER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **QUIET, **LOOPBACK},
    )
    assert process.stdout is not None
    address = until(process, "ADDRESS").split()[1]
    yield address, process
    process.communicate(timeout=120)


def until(process: subprocess.Popen[str], word: str) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(word):
            return line
    raise AssertionError(f"ended without {word}")


def lose(process: Any, what: str) -> None:
    process.stdin.write(f"lose {what}\n")
    process.stdin.flush()
    until(process, "LOST")


def run(out: Path, n: int, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "synthgen.cli.main", "run", "--simulator", "fake", "--tasks", "fake"]
    command += ["--formats", "tiny", "--cameras", "none", "--embodiments", "franka", "--workers", "2", "--n", str(n)]
    return spawn(
        [*command, "--shard-size", "2", "--out", str(out), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "SYNTHGEN_FAKE": "seconds=0.4,success=1"},
    )


def complete(out: Path, n: int) -> None:
    slots = [s.slot for r in RunStore.open(out).records() for s in r.slots]
    assert slots == list(range(n))


def test_the_loss_of_a_node_costs_its_worker_only(cluster: tuple[str, Any], tmp_path: Path) -> None:
    address, process = cluster
    driver = run(tmp_path / "run", 60, "--address", address)
    wait_for(lambda: list(tmp_path.glob("run/commits/*.json")))
    lose(process, "a node")
    _, said = driver.communicate(timeout=200)
    assert driver.returncode == 0, said
    assert "worker_lost" in {json.loads(line)["event"] for line in said.splitlines() if line.startswith("{")}
    complete(tmp_path / "run", 60)


@pytest.mark.parametrize("driver_too", [False, True])
def test_the_loss_of_the_head_ends_every_simulator_and_the_run_resumes(
    cluster: tuple[str, Any], tmp_path: Path, driver_too: bool
) -> None:
    address, process = cluster
    driver = run(tmp_path / "run", 60, "--address", address)
    wait_for(lambda: list(tmp_path.glob("run/commits/*.json")) and len(simulators()) == 2)
    lose(process, "the head")
    if driver_too:
        driver.kill()
    wait_for(lambda: not simulators(), GONE)
    _, said = driver.communicate(timeout=120)
    if not driver_too:
        assert driver.returncode == 3, said
        assert "Ray cluster is gone" in said and "resume" in said
    assert not status(RunStore.open(tmp_path / "run")).complete
    again = run(tmp_path / "run", 60)
    _, said = again.communicate(timeout=200)
    assert again.returncode == 0, said
    complete(tmp_path / "run", 60)


@pytest.mark.parametrize("what", ["raylet", "gcs_server"])
def test_the_loss_of_the_local_cluster_ends_the_run_and_every_simulator(tmp_path: Path, what: str) -> None:
    driver = run(tmp_path / "run", 60)
    wait_for(lambda: list(tmp_path.glob("run/commits/*.json")))
    (lost,) = [p for p in psutil.Process(driver.pid).children() if what in p.name()]
    lost.send_signal(signal.SIGKILL)
    wait_for(lambda: not simulators(), GONE)
    _, said = driver.communicate(timeout=120)
    assert driver.returncode == 3, said
    assert "Ray cluster is gone" in said and "resume" in said
    assert not status(RunStore.open(tmp_path / "run")).complete
