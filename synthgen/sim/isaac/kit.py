# pyright: reportMissingImports=false, reportAttributeAccessIssue=false
"""The page that needs Isaac Sim's Kit. It has never been executed: Kit cannot boot where we develop.

Everything else that ``--simulator isaacsim`` does is the code that runs kit-less. What is said here is checked against
the sources of the pinned isaaclab and isaacsim wheels by ``tests/isaac/test_kit_page.py``.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from synthgen.core.pose import Pose
from synthgen.core.sample import SceneSample
from synthgen.core.scene import Light, SceneSpec
from synthgen.sim.isaac.engines import PHYSX
from synthgen.sim.isaac.links import prim_name

LIGHTS = "/World/SynthgenLights"
GLOBAL_LIGHTS = ("distant", "dome")  # one per simulation; the others stand in every environment
ENVIRONMENT = {"ACCEPT_EULA": "Y", "OMNI_KIT_ACCEPT_EULA": "YES", "PRIVACY_CONSENT": "N", "LIVESTREAM": "0"}


def physics_cfg() -> Any:
    """PhysX in Kit, with the solver settings of the kit-less one."""
    from isaaclab_physx.physics import PhysxCfg

    return PhysxCfg(enable_enhanced_determinism=True, **PHYSX)


def renderer_cfg() -> Any:
    """RTX, with label numbers instead of colours."""
    from isaaclab_physx.renderers import IsaacRtxRendererCfg

    return IsaacRtxRendererCfg(colorize_semantic_segmentation=False)


def launch_args(*, portable_root: Path | None = None) -> dict[str, Any]:
    """For ``launch_simulation``: headless, one GPU for CUDA and graphics, a folder of its own, our stdout left alone.

    Two Kit processes may not share a portable root: its key-value store takes a lock.
    """
    root = portable_root or Path(os.environ.get("SYNTHGEN_KIT_ROOT") or tempfile.mkdtemp(prefix="synthgen-kit-"))
    return {
        "headless": True,
        "livestream": 0,
        "enable_cameras": True,
        "multi_gpu": False,
        "kit_args": " ".join(
            (
                f"--portable-root {root}",
                "--/app/python/interceptSysStdOutput=false",
                "--/app/python/interceptSysExit=false",
            )
        ),
    }


def add_lights(config: Any, scene: SceneSpec) -> None:
    """The lights that shine on all environments alike, once for the simulation."""
    import isaaclab.sim as sim_utils
    from isaaclab.assets import AssetBaseCfg

    from synthgen.sim.isaac.lab import xyzw

    for i, light in enumerate(x for x in scene.lights if x.kind in GLOBAL_LIGHTS):
        kind = sim_utils.DomeLightCfg if light.kind == "dome" else sim_utils.DistantLightCfg
        spawn = kind(color=light.color, intensity=light.intensity, exposure=light.exposure)
        position, turn = (tuple(float(v) for v in x) for x in (light.pose.position, xyzw(light.pose.orientation)))
        state = AssetBaseCfg.InitialStateCfg(pos=position, rot=turn)
        setattr(config, f"light{i}", AssetBaseCfg(prim_path=_global_path(light), spawn=spawn, init_state=state))


def _global_path(light: Light) -> str:
    return f"{LIGHTS}_{prim_name(light.path.lstrip('/'))}"


def apply_lights(stage: Any, scene: SceneSpec, sample: SceneSample, *, prefix: str, num_envs: int) -> None:
    """Write a sample's light colours, intensities and poses as USD attributes.

    ``prefix``: path of the user's default prim, which became ``Scene`` under every environment.
    """
    for light in scene.lights:
        drawn = sample.lights.get(light.path)
        if drawn is None:
            continue
        if light.kind in GLOBAL_LIGHTS:
            _write_light(stage, _global_path(light), drawn.color, drawn.intensity, drawn.pose)
            continue
        below = light.path.removeprefix(prefix)
        for env in range(num_envs):
            # The pose stays: it is relative to whatever carries the light in the user's stage.
            _write_light(stage, f"/World/envs/env_{env}/Scene{below}", drawn.color, drawn.intensity, None)


def _write_light(stage: Any, path: str, color: tuple[float, float, float], intensity: float, pose: Pose | None) -> None:
    from pxr import Gf, UsdGeom, UsdLux

    prim = stage.GetPrimAtPath(path)
    if not prim:
        return
    light = UsdLux.LightAPI(prim)
    light.CreateColorAttr().Set(Gf.Vec3f(*color))
    light.CreateIntensityAttr().Set(float(intensity))
    light.CreateEnableColorTemperatureAttr().Set(False)
    if pose is not None:
        ops = {op.GetOpName(): op for op in UsdGeom.Xformable(prim).GetOrderedXformOps()}
        if "xformOp:orient" in ops:
            value = Gf.Quatd if ops["xformOp:orient"].GetPrecision() == UsdGeom.XformOp.PrecisionDouble else Gf.Quatf
            ops["xformOp:orient"].Set(value(*(float(v) for v in pose.orientation)))
