"""The real readers, on data of a real run. They live in .venv-readers: run them with ``.ci/readers.sh test``.

In the development environment, which has none of them, these files are not collected.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
VENV = REPOSITORY / ".venv-readers"
FORMATS = "lerobot,lerobot-language,gr00t,zarr,zarr-jpeg,zarr-v2,robomimic,isaaclab"
EPISODES = 6

if importlib.util.find_spec("lerobot") is None:
    collect_ignore_glob = ["test_*.py"]


def synthgen(*arguments: str) -> None:
    """Run synthgen in its own environment."""
    inherited = {k: v for k, v in os.environ.items() if k not in ("LD_LIBRARY_PATH", "VIRTUAL_ENV")}
    inherited["PYTHONPATH"] = str(REPOSITORY)
    command = [str(REPOSITORY / ".venv" / "bin" / "synthgen"), *arguments]
    done = subprocess.run(command, env=inherited, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """A run of MuJoCo with cameras, in every format, in two shards. SYNTHGEN_TEST_RUN names one that exists."""
    if os.environ.get("SYNTHGEN_TEST_RUN"):
        return Path(os.environ["SYNTHGEN_TEST_RUN"])
    out = tmp_path_factory.mktemp("run") / "run"
    synthgen(
        *("run", "--tasks", "pick_place", "--scene", "tiny", "--embodiments", "franka", "--n", str(EPISODES)),
        *("--workers", "0", "--resolution", "128", "--shard-size", "4", "--seed", "11", "--formats", FORMATS),
        *("--out", str(out)),
    )
    return out


@pytest.fixture(scope="session")
def sets(run):
    """Data set folders by format."""
    return {name: run / name / "franka" for name in FORMATS.split(",")}


@pytest.fixture(scope="session")
def exporters():
    from synthgen.core.project import Project

    return Project.of().load("exporters", "exporter")


@pytest.fixture(scope="session")
def episodes(exporters, sets):
    """The episodes as they were recorded."""
    return list(exporters["lerobot"].read(sets["lerobot"]))


@pytest.fixture(scope="session")
def frames(episodes):
    """Decoded pictures by episode and camera, (T, H, W, 3) uint8."""
    from synthgen.media.video import decode

    return [{name: decode(v.data) for name, v in e.videos.items()} for e in episodes]
