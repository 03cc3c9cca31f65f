"""What a run keeps of itself while it goes on, and watching it from outside."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Synthgen = Callable[..., Any]
FAKE = ("--simulator", "fake", "--tasks", "fake", "--formats", "tiny", "--cameras", "none", "--workers", 0)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYNTHGEN_FAKE", "success=0.7")


def test_the_journal_of_two_commands_ends_with_all_done(synthgen: Synthgen, tmp_path: Path) -> None:
    run = tmp_path / "run"
    for n in (3, 6):
        assert synthgen("run", *FAKE, "--n", n, "--out", run, "--shard-size", 2).code == 0
    lines = [json.loads(line) for line in (run / "logs" / "driver.jsonl").read_text().splitlines()]
    plans = [json.loads(synthgen("status", run, "--json").out)["plan"]]
    assert lines[-1]["event"] == "progress" and (lines[-1]["done"], lines[-1]["requested"]) == (6, 6)
    assert lines[-1]["run"] == plans[0][:16] != lines[0]["run"]
    assert all({"time", "run", "event"} <= line.keys() for line in lines)


def test_watching_ends_with_the_run(synthgen: Synthgen, tmp_path: Path) -> None:
    run = tmp_path / "run"
    command = [sys.executable, "-m", "synthgen.cli.main", "status", str(run), "--watch", "--json", "--every", "0.2"]
    assert synthgen("run", *FAKE, "--n", 2, "--embodiments", "franka", "--out", run, "--shard-size", 1).code == 0
    hidden = next((run / "commits").glob("*.json"))
    hidden.rename(run / "hidden")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watch:
        assert watch.stdout is not None
        assert json.loads(watch.stdout.readline())["committed"] == 1
        (run / "hidden").rename(hidden)
        states = [json.loads(line) for line in watch.stdout]
        assert watch.wait(60) == 0
    assert states[-1]["complete"] and states[-1]["committed"] == 2
    assert not any(state["complete"] for state in states[:-1])
