"""MuJoCo itself through the whole engine: the data do not depend on who made them, nor on what died meanwhile."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from engine_helpers import GONE, kill, simulators, spawn, spooled, wait_for

pytestmark = [pytest.mark.xdist_group("ray"), pytest.mark.slow, pytest.mark.timeout(400)]
COMMAND = [sys.executable, "-m", "synthgen.cli.main", "run", "--tasks", "pick_place", "--scene", "tiny", "--n", "4"]
COMMAND += ["--embodiments", "franka", "--cameras", "none", "--shard-size", "2"]


def start(out: Path, workers: int) -> subprocess.Popen[str]:
    return spawn(
        [*COMMAND, "--out", str(out), "--workers", str(workers)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=dict(os.environ),
    )


def columns(run: Path) -> dict[str, Any]:
    import pyarrow.parquet as pq

    files = sorted((run / "lerobot" / "franka" / "data").rglob("*.parquet"))
    assert files
    found: dict[str, Any] = {}
    for file in files:
        for name, column in zip((table := pq.read_table(file)).column_names, table.columns, strict=True):
            found.setdefault(name, []).extend(column.to_pylist())
    return found


def test_one_process_and_two_workers_with_kills_make_the_same_columns(tmp_path: Path) -> None:
    alone = start(tmp_path / "alone", 0)
    assert alone.wait(200) == 0, alone.communicate()
    alone.communicate()
    shaken = start(tmp_path / "shaken", 2)
    wait_for(lambda: spooled(tmp_path / "shaken") or list(tmp_path.glob("shaken/commits/*")), 120)
    for child in simulators()[:1]:
        kill(child)
    shaken.kill()
    shaken.communicate()
    wait_for(lambda: not simulators(), GONE)
    again = start(tmp_path / "shaken", 1)
    _, err = again.communicate(timeout=200)
    assert again.returncode == 0, err
    one, other = columns(tmp_path / "alone"), columns(tmp_path / "shaken")
    assert one.keys() == other.keys() and {"observation.state", "action"} <= one.keys()
    for name in one:
        assert json.dumps(one[name]) == json.dumps(other[name]), name
