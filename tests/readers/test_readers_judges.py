"""Outside judges of LeRobot data sets."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

BIN = Path(sys.executable).parent


@pytest.mark.parametrize("name", ["lerobot", "gr00t"])
def test_lerobot_doctor(sets, name):
    done = subprocess.run(
        [BIN / "lerobot-doctor", "check", sets[name], "--ci"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:]
    report = json.loads(done.stdout[done.stdout.index("{") : done.stdout.rindex("}") + 1])
    assert report["summary"]["FAIL"] == 0


def test_lerobot_lint(sets, episodes, tmp_path):
    """Clean but for one thing: it calls a joint dead whose deviation is below 1 % of the largest, whatever the units.

    Our gripper is a slide of a few centimetres, in metres, beside joints in radians.
    """
    command = [
        BIN / "lelint",
        "check",
        sets["lerobot"].resolve(),
        "--units",
        "radians",
        "--json",
        tmp_path / "out.json",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    report = json.loads((tmp_path / "out.json").read_text())
    errors = [f for f in report["findings"] if f["severity"] == "error"]
    assert all(f["check"] == "DEAD_JOINT" and f["joint"] == "7" for f in errors), done.stdout[-3000:]
    assert all(np.ptp(e.state[:, 7]) > 0.005 for e in episodes)
