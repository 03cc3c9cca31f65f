"""`synthgen run --address` on a Ray cluster of two nodes, on this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from synthgen.engine.ray_pool import LOOPBACK, QUIET

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("ray")]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The address of a cluster of two nodes with one CPU each."""
    os.environ.update(QUIET | LOOPBACK)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from ray.cluster_utils import Cluster

        node = {"num_cpus": 1, "object_store_memory": 80 << 20, "include_dashboard": False}
        cluster = Cluster(initialize_head=True, head_node_args=node)
        cluster.add_node(**{k: v for k, v in node.items() if k != "include_dashboard"})
        cluster.wait_for_nodes()
        yield cluster.address
        cluster.shutdown()


def test_a_run_uses_both_nodes_of_the_cluster_it_is_given(address: str, tmp_path: Path) -> None:
    # Each node has room for one worker, so two that worked are two nodes.
    command = [sys.executable, "-m", "synthgen.cli.main", "run", "--simulator", "fake", "--tasks", "fake"]
    command += ["--formats", "tiny", "--cameras", "none", "--embodiments", "franka", "--n", "24", "--shard-size", "1"]
    command += ["--workers", "2", "--address", address, "--out", str(tmp_path / "run"), "--json"]
    environment = {**os.environ, "SYNTHGEN_FAKE": "seconds=0.5,success=1.0"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    end = json.loads(done.stdout.splitlines()[-1])
    assert end["complete"] and sum(c["committed"] for c in end["cells"]) == 24
    records = [json.loads(p.read_text()) for p in sorted((tmp_path / "run" / "commits").glob("*.json"))]
    assert {r["worker"] for r in records} == {"w0000", "w0001"}
