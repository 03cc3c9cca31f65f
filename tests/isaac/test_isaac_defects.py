"""Upstream defects: each is still there (else its remedy can go), and our remedy helps. Runs in .venv-isaac."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version

import pytest

pytest.importorskip("isaaclab", reason="runs in .venv-isaac: make test-isaac")

from synthgen.sim.isaac.defects import DEFECTS

PIN = """
import sys
if "mend" in sys.argv:
    from synthgen.sim.isaac.defects import mend_all
    mend_all()
import warp as wp
wp.init()
if wp.is_cuda_available():
    sys.exit("a CUDA driver is here")
wp.zeros(16, dtype=wp.float32, device="cpu", pinned=True)
print("pinned")
"""


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda d: d.name)
def test_the_version_is_the_one_with_the_defect(defect):
    assert version(defect.package) == defect.version, (
        f"{defect.package} {version(defect.package)}: look whether {defect.name!r} is gone, then remove or re-date it"
    )
    assert defect.present()


def _pin(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", PIN, *arguments], capture_output=True, text=True, check=False)


def test_warp_still_cannot_pin_host_memory_without_cuda():
    done = _pin()
    if "a CUDA driver is here" in done.stderr:
        pytest.skip("a machine with CUDA")
    assert done.returncode != 0, "the defect is gone: remove pinned-memory-without-cuda"


def test_our_remedy_gives_plain_host_memory():
    done = _pin("mend")
    if "a CUDA driver is here" in done.stderr:
        pytest.skip("a machine with CUDA")
    assert done.returncode == 0 and "pinned" in done.stdout, done.stderr[-2000:]


def test_ovphysx_still_asks_for_pinned_memory():
    import isaaclab_ov

    root = next(iter(isaaclab_ov.__path__))
    found = subprocess.run(
        ["grep", "-rlE", "pinned=True", root, "--include=*.py"], capture_output=True, text=True, check=False
    )
    assert found.stdout, "nothing asks for pinned memory any more: remove pinned-memory-without-cuda"


REPLICATE = """
import sys
from synthgen.sim.isaac.defects import mend_all
mend_all()
import isaaclab.sim as sim_utils
from isaaclab.app import launch_simulation
from isaaclab.assets import RigidObjectCfg
from isaaclab.scene import InteractiveScene, InteractiveSceneCfg
from isaaclab.sim import SimulationCfg, SimulationContext
from isaaclab_ov.physics import OvPhysxCfg
physics = OvPhysxCfg()
with launch_simulation(physics, {"device": "cpu"}):
    sim = SimulationContext(SimulationCfg(device="cpu", physics=physics))
    config = InteractiveSceneCfg(num_envs=3, env_spacing=2.0, replicate_physics=False)
    spawn = sim_utils.CuboidCfg(size=(0.1,) * 3, rigid_props=sim_utils.UsdPhysicsRigidBodyCfg(),
        mass_props=sim_utils.MassCfg(mass=1.0), collision_props=sim_utils.UsdPhysicsCollisionCfg())
    config.cube = RigidObjectCfg(prim_path="{ENV_REGEX_NS}/Cube", spawn=spawn)
    scene = InteractiveScene(config)
    sim.reset()
    print("instances", scene["cube"].num_instances, flush=True)
    SimulationContext.clear_instance()
"""


@pytest.mark.slow
def test_without_replication_environments_are_still_lost():
    done = subprocess.run([sys.executable, "-c", REPLICATE], capture_output=True, text=True, timeout=280, check=False)
    assert "instances 3" not in done.stdout, "the defect is gone: remove replicate-physics-off-without-kit"
    assert "instances 1" in done.stdout or done.returncode != 0, done.stderr[-2000:]
