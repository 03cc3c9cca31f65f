"""Who installs Isaac Lab, and which one."""

from __future__ import annotations

import re
import tomllib

from synthgen.core.project import builtin_root

ROOT = builtin_root()
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


def pinned(lock: str) -> dict[str, str]:
    return dict(re.findall(r"^([A-Za-z0-9_.-]+)==(\S+)", (ROOT / "requirements" / lock).read_text(), re.M))


def test_the_lock_pins_the_isaac_lab_of_both_extras():
    extras = {name: EXTRAS[name] for name in ("isaac", "isaacsim")}
    wanted = {name: re.fullmatch(r"isaaclab\[(\w+)\]==([\d.]+); .*", *lines) for name, lines in extras.items()}
    assert {name: m and m[1] for name, m in wanted.items()} == {"isaac": "ovphysx", "isaacsim": "isaacsim"}
    found = pinned("isaac.lock")
    assert {m[2] for m in wanted.values() if m} == {found["isaaclab"]}
    assert found.keys() >= {"ovphysx", "newton", "ovstage"}


def test_who_simulates_with_mujoco_installs_none_of_it():
    for lock in ("main.lock", "dev.lock"):
        assert not pinned(lock).keys() & {"isaaclab", "isaacsim", "ovphysx", "newton", "torch", "warp-lang"}
