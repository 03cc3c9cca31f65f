"""Bad machines: one clear error each, exit 2. Needs no Isaac Lab."""

from __future__ import annotations

from dataclasses import replace

import pytest

from synthgen.core.errors import MachineError
from synthgen.core.project import builtin_root
from synthgen.sim.isaac import gates
from synthgen.sim.isaac.capabilities import COLUMNS, capabilities, table
from synthgen.sim.isaac.engines import ENGINES

KITLESS, KIT = ENGINES["ovphysx"], ENGINES["isaacsim"]


def test_another_python_is_refused():
    with pytest.raises(MachineError, match=r"needs Python 3\.12; this is 3\.11") as caught:
        gates.check_python(KITLESS, (3, 11))
    assert "make isaac" in caught.value.remedy and caught.value.exit_code == 2
    gates.check_python(KITLESS, (3, 12))


def test_no_isaac_lab_is_said(monkeypatch):
    monkeypatch.setattr(gates, "find_spec", lambda name: None)
    monkeypatch.setattr(gates, "PYTHON", __import__("sys").version_info[:2])
    with pytest.raises(MachineError, match=r"Isaac Lab 3\.0, which is not installed"):
        gates.check(KITLESS)


def test_no_isaac_sim_is_said(monkeypatch):
    monkeypatch.setattr(gates, "find_spec", lambda name: None if name == "isaacsim" else object())
    monkeypatch.setattr(gates, "PYTHON", __import__("sys").version_info[:2])
    gates.check(KITLESS)
    with pytest.raises(MachineError, match=r"Isaac Sim 6\.2, which is not installed") as caught:
        gates.check(KIT)
    assert "ovphysx" in caught.value.remedy


@pytest.mark.parametrize("answer", ["Y", "yes", "1"])
def test_an_accepted_licence_passes(answer):
    gates.check_eula({"ACCEPT_EULA": answer, "OMNI_KIT_ACCEPT_EULA": answer})


@pytest.mark.parametrize("found", [{}, {"ACCEPT_EULA": "Y"}, {"ACCEPT_EULA": "N", "OMNI_KIT_ACCEPT_EULA": "YES"}])
def test_a_licence_not_accepted_is_said(found):
    with pytest.raises(MachineError, match="licence is not accepted") as caught:
        gates.check_eula(found)
    assert "OMNI_KIT_ACCEPT_EULA=YES" in caught.value.remedy


@pytest.mark.parametrize(
    "name", ["NVIDIA H100 80GB HBM3", "NVIDIA A100-SXM4-40GB", "Tesla V100-PCIE-16GB", "NVIDIA H200"]
)
def test_gpus_without_rt_cores_are_refused(name):
    with pytest.raises(MachineError, match="has no RT cores") as caught:
        gates.check_gpu(name)
    assert "L40" in caught.value.remedy and "newton" in caught.value.remedy


@pytest.mark.parametrize("name", ["NVIDIA L40S", "NVIDIA GeForce RTX 4090", "NVIDIA A10G", "NVIDIA RTX A6000"])
def test_gpus_with_rt_cores_pass(name):
    gates.check_gpu(name)


def test_no_gpu_is_said():
    with pytest.raises(MachineError, match="needs an NVIDIA GPU"):
        gates.check_gpu(None)


def test_ovrtx_is_gated_and_newton_warp_is_not(monkeypatch):
    """Its package, then a GPU, then RT cores; the remedy is to leave the option out, not to leave Kit."""
    monkeypatch.setattr(gates, "PYTHON", __import__("sys").version_info[:2])
    engine = replace(KITLESS, renderer="ovrtx")
    monkeypatch.setattr(gates, "find_spec", lambda name: None if name == "ovrtx" else object())
    monkeypatch.setattr(gates, "visible_gpu", lambda: None)
    gates.check(KITLESS)
    with pytest.raises(MachineError, match="needs the package ovrtx") as caught:
        gates.check(engine)
    assert "isaaclab[ovrtx]==3.0.0" in caught.value.remedy and caught.value.exit_code == 2
    monkeypatch.setattr(gates, "find_spec", lambda name: object())
    for gpu, message in ((None, "nvidia-smi shows none"), ("NVIDIA H100 80GB HBM3", "has no RT cores")):
        monkeypatch.setattr(gates, "visible_gpu", lambda gpu=gpu: gpu)
        with pytest.raises(MachineError, match=message) as caught:
            gates.check(engine)
        assert "--renderer ovrtx" in caught.value.message and "leave --renderer out" in caught.value.remedy
    monkeypatch.setattr(gates, "visible_gpu", lambda: "NVIDIA L40S")
    gates.check(engine)


def test_the_table_of_engines_is_complete():
    assert set(COLUMNS) - {"mujoco"} == set(ENGINES)
    rows = capabilities()
    assert len(table().splitlines()) == len(rows) + 2
    for row in rows:
        if "partly" in (row.mujoco, row.ovphysx, row.newton, row.isaacsim):
            assert row.note, f"{row.name}: say what 'partly' means"
        assert row.isaacsim != "yes", "nothing was ever executed on Isaac Sim"


def test_the_documentation_shows_the_table_of_the_code():
    text = (builtin_root() / "docs" / "isaac.md").read_text()
    shown = text.split("<!-- table -->")[1].split("<!-- /table -->")[0].strip()
    assert shown == table(), "copy the output of 'synthgen doctor --simulators' into docs/isaac.md"
