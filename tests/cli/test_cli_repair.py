from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

RUN = (
    "run",
    "--simulator",
    "fake",
    "--tasks",
    "fake",
    "--cameras",
    "none",
    "--workers",
    0,
    "--n",
    6,
    "--shard-size",
    2,
)


def test_a_damaged_shard_is_found_taken_back_and_made_again(
    synthgen: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNTHGEN_FAKE", "success=1")
    run = (*RUN, "--embodiments", "franka", "--formats", "lerobot", "--out", tmp_path / "run")
    assert synthgen(*run).code == 0
    assert synthgen("verify", tmp_path / "run").code == 0
    data = sorted((tmp_path / "run").glob("shards/fake.franka.000001-*/lerobot/**/*.parquet"))[0]
    data.write_bytes(data.read_bytes()[:-100])
    end = synthgen("verify", tmp_path / "run", "--json")
    (problem,) = json.loads(end.out)["problems"]
    assert end.code == 3 and problem["where"] == "shard fake.franka.000001" and "bytes instead of" in problem["what"]
    assert synthgen("verify", tmp_path / "run", "--repair").code == 3
    state = json.loads(synthgen("status", tmp_path / "run", "--json").out)
    assert (state["committed"], state["missing"]) == (4, 2)
    assert synthgen(*run).code == 0
    again = synthgen("verify", tmp_path / "run", "--json")
    assert again.code == 0 and json.loads(again.out)["datasets"][0]["episodes"] == 6
