"""A short round of ``make torture``: the long one injects ten thousand faults."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_a_hundred_faults_lose_and_double_nothing() -> None:
    script = Path(__file__).parent.parent / "torture.py"
    end = subprocess.run(
        [sys.executable, script, "--faults", "100", "--seed", "7"], capture_output=True, text=True, check=False
    )
    report = json.loads(end.stdout.splitlines()[-1])
    assert end.returncode == 0, report["wrong"]
    assert report["faults"] >= 100 and report["runs"] >= 2
