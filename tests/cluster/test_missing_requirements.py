"""cluster/container/missing.py: what a Python lacks of a lock file."""

from __future__ import annotations

import importlib.util
import re
from types import ModuleType

import pytest
from deployment import CLUSTER, ROOT

LOCK = """# a comment
numpy==2.4.0 \\
    --hash=sha256:aa \\
    --hash=sha256:bb
Py_YAML==6.0.3 ; sys_platform == 'linux' \\
    --hash=sha256:cc
ray[default]==2.60.0 \\
    --hash=sha256:dd
"""


@pytest.fixture(scope="module")
def missing() -> ModuleType:
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("missing", CLUSTER / "container" / "missing.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_is_installed_is_left_out_with_its_hashes(missing: ModuleType) -> None:
    assert missing.missing(LOCK, {"numpy", "py-yaml"}) == ["ray[default]==2.60.0 \\\n    --hash=sha256:dd"]


def test_nothing_installed_is_the_whole_lock(missing: ModuleType) -> None:
    text = (ROOT / "requirements" / "cluster.lock").read_text()
    assert "\n".join(missing.missing(text, set())) == text.strip()
    assert len(missing.entries(text)) == len(re.findall(r"^[a-z0-9].*==", text, re.M)) > 90


def test_cluster_lock_agrees_with_main_lock() -> None:
    pins = [
        dict(re.findall(r"^([a-z0-9-]+)==(\S+)", (ROOT / "requirements" / f"{name}.lock").read_text(), re.M))
        for name in ("main", "cluster")
    ]
    assert pins[0].items() <= pins[1].items()
    assert {"boto3", "prometheus-client", "aiohttp"} <= pins[1].keys()
