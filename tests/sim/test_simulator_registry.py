"""Simulators by name."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from synthgen.core.errors import MachineError, UsageError
from synthgen.sim import registry


def test_the_built_in_simulator_is_made_unloaded() -> None:
    assert "mujoco" in registry.simulators()
    assert registry.make("mujoco").num_envs == 0


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(UsageError, match="mujoco"):
        registry.make("mujocco")


def test_choices_that_a_simulator_does_not_have_are_refused() -> None:
    with pytest.raises(UsageError, match="--simulator mujoco does not go with --isaac-assets") as caught:
        registry.check_choices("mujoco", {"assets": "nvidia"})
    assert "--simulator ovphysx or isaacsim" in caught.value.remedy and caught.value.exit_code == 2
    assert registry.check_choices("ovphysx", {"assets": "nvidia"}) == {"assets": "nvidia"}
    assert registry.check_choices("ovphysx", {"assets": "ours"}) == {}, "the usual is not recorded"
    with pytest.raises(UsageError, match="--simulator isaacsim does not go with --renderer ovrtx") as caught:
        registry.check_choices("isaacsim", {"renderer": "ovrtx"})
    assert "--simulator ovphysx or newton" in caught.value.remedy
    assert registry.check_choices("isaacsim", {"renderer": "rtx"}) == {}
    assert registry.check_choices("newton", {"renderer": "ovrtx"}) == {"renderer": "ovrtx"}
    assert registry.options_of({"renderer": "ovrtx"}) == ["--renderer ovrtx"]
    assert registry.options_of({"assets": "nvidia"}) == ["--isaac-assets"]


def plug_in(folder: Path, name: str, target: str, code: str) -> None:
    """An installed package with one entry point."""
    (folder / "lab_sim.py").write_text(code)
    info = folder / "lab_sim-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: lab-sim\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[synthgen.simulators]\n{name} = {target}\n")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "lab_sim", raising=False)
    return tmp_path


def test_an_installed_package_adds_a_simulator_and_gets_the_options(site: Path) -> None:
    plug_in(site, "lab", "lab_sim:make", "def make(options):\n    return ('lab', options.device)\n")
    assert registry.make("lab", registry.SimulatorOptions(device="cuda:1")) == ("lab", "cuda:1")


def test_listing_imports_nothing(site: Path) -> None:
    plug_in(site, "lab", "lab_sim:make", "raise RuntimeError('imported')\n")
    assert "lab" in registry.simulators()


def test_a_missing_engine_is_said(site: Path) -> None:
    plug_in(site, "lab", "lab_sim:make", "import an_engine_that_is_not_installed\n")
    with pytest.raises(MachineError, match="an_engine_that_is_not_installed"):
        registry.make("lab")


def test_a_factory_that_does_not_exist_is_said(site: Path) -> None:
    plug_in(site, "lab", "lab_sim:missing", "")
    with pytest.raises(UsageError, match="missing"):
        registry.make("lab")


def test_a_taken_name_is_refused(site: Path) -> None:
    plug_in(site, "mujoco", "lab_sim:make", "")
    with pytest.raises(UsageError, match="taken"):
        registry.simulators()
