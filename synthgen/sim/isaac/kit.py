# pyright: reportMissingImports=false, reportAttributeAccessIssue=false
"""The page that needs Isaac Sim's Kit. It has never been executed: Kit cannot boot where we develop.

Everything else that ``--simulator isaacsim`` does is the code that runs kit-less. What is said here is checked against
the sources of the pinned isaaclab and isaacsim wheels by ``tests/isaac/test_kit_page.py``.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from synthgen.core.errors import MachineError, SimulatorError
from synthgen.core.pose import Pose
from synthgen.core.sample import LightSample, SceneSample
from synthgen.core.scene import Light, SceneSpec
from synthgen.sim.isaac import textures
from synthgen.sim.isaac.engines import PHYSX
from synthgen.sim.isaac.links import prim_name

LIGHTS = "/World/SynthgenLights"
GLOBAL_LIGHTS = ("distant", "dome")  # one per simulation; the others stand in every environment
USUAL_ENVIRONMENT = {"PRIVACY_CONSENT": "N", "LIVESTREAM": "0"}  # the licence is for the user to accept: gates.py
_KEPT: list[Any] = []  # what must live as long as this process


def physics_cfg() -> Any:
    """PhysX in Kit, with the solver settings of the kit-less one."""
    from isaaclab_physx.physics import PhysxCfg

    return PhysxCfg(enable_enhanced_determinism=True, **PHYSX)


def renderer_cfg() -> Any:
    """RTX, with label numbers instead of colours."""
    from isaaclab_physx.renderers import IsaacRtxRendererCfg

    return IsaacRtxRendererCfg(colorize_semantic_segmentation=False)


def launch(config: Any, arguments: dict[str, Any]) -> None:
    """Start Kit for this process, or go on in the one that runs. It is never closed.

    Closing ends the process, or hangs in it; a simulator process is ended from outside once its work is committed.

    Raises:
        SimulatorError: not on the main thread, where alone Kit can install its signal handlers.
    """
    if threading.current_thread() is not threading.main_thread():
        raise SimulatorError("Kit can only be started on the main thread of a process")
    import isaaclab.sim as sim_utils
    from isaaclab.app import launch_simulation

    prepare_process()
    running = launch_simulation(config, arguments)
    running.__enter__()
    _KEPT.append(running)  # a generator that is forgotten would close Kit
    sim_utils.create_new_stage()


def prepare_process() -> None:
    """What Kit should find: no live stream, no arguments that are not its own (it is given all it can see)."""
    for name, value in USUAL_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    del sys.argv[1:]


def launch_args(*, portable_root: Path | None = None) -> dict[str, Any]:
    """For ``launch_simulation``: headless, one GPU for CUDA and graphics, a folder of its own, our stdout left alone.

    With ``multi_gpu`` off, Isaac Lab's launcher lets graphics run on the GPU of ``device``.

    Raises:
        MachineError: the folder's path has a space, at which Isaac Lab would split it.
    """
    root = portable_root or own_root()
    if any(c.isspace() for c in str(root)):
        raise MachineError(
            f"Kit's folder {root} has a space in its path", remedy="set SYNTHGEN_KIT_ROOT to a path without one"
        )
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


def own_root() -> Path:
    """A folder for Kit's caches, logs and settings that no other running process has.

    Two Kit processes may not share one: its key-value store takes a lock. The first folder that is free below
    ``SYNTHGEN_KIT_ROOT`` (or a folder of this user's in the temporary one) is taken until this process ends, so that
    the next process finds the shaders that this one compiled.

    Raises:
        MachineError: the folder cannot be written.
    """
    usual = Path(tempfile.gettempdir(), f"synthgen-kit-{os.getuid()}")
    return _own_root(Path(os.environ.get("SYNTHGEN_KIT_ROOT") or usual))


@cache
def _own_root(base: Path) -> Path:
    try:
        base.mkdir(mode=0o700, parents=True, exist_ok=True)
        if base.stat().st_uid != os.getuid():
            raise PermissionError(13, "it belongs to somebody else")
        for number in itertools.count():
            lock = os.open(base / f"{number}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(lock)
                continue
            _KEPT.append(lock)
            root = base / str(number)
            root.mkdir(exist_ok=True)
            return root
    except OSError as error:
        raise MachineError(
            f"Kit's folder {base} cannot be used: {error.strerror}",
            remedy="set SYNTHGEN_KIT_ROOT to a folder of yours that you can write to",
        ) from error
    raise AssertionError("unreachable")


def add_lights(config: Any, scene: SceneSpec) -> None:
    """The lights that shine on all environments alike, once for the simulation."""
    import isaaclab.sim as sim_utils
    from isaaclab.assets import AssetBaseCfg

    from synthgen.sim.isaac.lab import xyzw

    for i, light in enumerate(x for x in scene.lights if x.kind in GLOBAL_LIGHTS):
        look = {"color": light.color, "intensity": light.intensity, "exposure": light.exposure}
        if light.kind == "dome":
            spawn = sim_utils.DomeLightCfg(texture_file=None if light.texture is None else str(light.texture), **look)
        else:
            spawn = sim_utils.DistantLightCfg(**look)
        position, turn = (tuple(float(v) for v in x) for x in (light.pose.position, xyzw(light.pose.orientation)))
        state = AssetBaseCfg.InitialStateCfg(pos=position, rot=turn)
        setattr(config, f"light{i}", AssetBaseCfg(prim_path=_global_path(light), spawn=spawn, init_state=state))


def _global_path(light: Light) -> str:
    return f"{LIGHTS}_{prim_name(light.path.lstrip('/'))}"


def replicator() -> Any:
    """omni.replicator, which Kit loads on demand."""
    import isaaclab.sim as sim_utils

    sim_utils.enable_extension("omni.replicator.core")
    import omni.replicator.core as rep

    return rep


def omni_pbr() -> str:
    """Where Kit keeps its MDL material; by its short name alone it may not be found."""
    import carb.tokens

    return carb.tokens.get_tokens_interface().resolve("${kit}/mdl/core/Base/OmniPBR.mdl")


def wardrobe(stage: Any, scene: SceneSpec, *, prefix: str, num_envs: int) -> Callable[[SceneSample], None] | None:
    """What shows a sample's drawn textures, or None for a scene that draws none. Call it before physics starts."""
    if not textures.drawn(scene):
        return None
    rep = replicator()
    made = make_materials(rep, omni_pbr(), stage, scene, prefix=prefix, num_envs=num_envs)
    return partial(apply_textures, rep, made, scene)


def make_materials(
    rep: Any, mdl: str, stage: Any, scene: SceneSpec, *, prefix: str, num_envs: int
) -> list[tuple[str, Sequence[Any]]]:
    """An OmniPBR material for everything whose texture is drawn, in every environment: (material, prims made).

    ``rep``: ``replicator()``; ``mdl``: ``omni_pbr()``.
    """
    made: list[tuple[str, Sequence[Any]]] = []
    for group in textures.wearers(scene):
        paths = [_in_env(env, p, prefix) for env in range(num_envs) for p in group.prims]
        prims = [stage.GetPrimAtPath(p) for p in paths]
        batch = rep.functional.create_batch.material(
            mdl=mdl, bind_prims=prims, count=len(prims), project_uvw=group.projected
        )
        made.append((group.material, batch))
    return made


def apply_textures(rep: Any, made: list[tuple[str, Sequence[Any]]], scene: SceneSpec, sample: SceneSample) -> None:
    """Let the materials of ``make_materials`` show what a sample drew, or what is authored where it drew nothing."""
    for material, batch in made:
        file, color = textures.worn(scene, sample, material)
        colors = np.tile(np.asarray(color, float), (len(batch), 1))
        rep.functional.modify.attribute(batch, "diffuse_texture", np.array([str(file or "")] * len(batch)))
        # OmniPBR multiplies a texture with one of these and shows the other where there is none.
        rep.functional.modify.attribute(batch, "diffuse_tint", colors)
        rep.functional.modify.attribute(batch, "diffuse_color_constant", colors)


def _in_env(env: int, path: str, prefix: str) -> str:
    return f"/World/envs/env_{env}/Scene{path.removeprefix(prefix)}"


def apply_lights(stage: Any, scene: SceneSpec, sample: SceneSample, *, prefix: str, num_envs: int) -> None:
    """Write a sample's light colours, intensities, poses and dome textures as USD attributes.

    Colour temperatures come as colours: every engine shows the same one. ``prefix``: path of the user's default prim,
    which became ``Scene`` under every environment. A light that a movable body carries stays where it is on that body.
    """
    from pxr import UsdGeom, UsdLux

    for light in scene.lights:
        drawn = sample.lights.get(light.path)
        if drawn is None:
            continue
        if light.kind in GLOBAL_LIGHTS:
            prim = stage.GetPrimAtPath(_global_path(light))
            _write_light(prim, drawn)
            _turn(UsdGeom.Xformable(prim), drawn.pose)
            if light.kind == "dome":
                file = light.texture if drawn.texture is None else scene.texture(light.path, drawn.texture)
                UsdLux.DomeLight(prim).CreateTextureFileAttr().Set(str(file or ""))
            continue
        carried = any(light.path.startswith(f"{body}/") for body in scene.bodies)
        for env in range(num_envs):
            prim = stage.GetPrimAtPath(_in_env(env, light.path, prefix))
            _write_light(prim, drawn)
            if not carried:
                _move(UsdGeom.Xformable(prim), drawn.pose @ light.pose.inverse(), root=f"/World/envs/env_{env}")


def _write_light(prim: Any, drawn: LightSample) -> None:
    from pxr import Gf, UsdLux

    api = UsdLux.LightAPI(prim)
    api.CreateColorAttr().Set(Gf.Vec3f(*drawn.color))
    api.CreateIntensityAttr().Set(float(drawn.intensity))
    api.CreateEnableColorTemperatureAttr().Set(False)


def _turn(light: Any, pose: Pose) -> None:
    """Give a light that shines everywhere its direction."""
    from pxr import Gf, UsdGeom

    ops = {op.GetOpName(): op for op in light.GetOrderedXformOps()}
    op = ops.get("xformOp:orient") or light.AddOrientOp()
    value = Gf.Quatd if op.GetPrecision() == UsdGeom.XformOp.PrecisionDouble else Gf.Quatf
    op.Set(value(*(float(v) for v in pose.orientation)))


def _move(light: Any, change: Pose, *, root: str) -> None:
    """Move a light by ``change``, in the frame of the environment at ``root``, from where it was authored."""
    from pxr import Gf, UsdGeom

    prim, key = light.GetPrim(), "synthgenAuthored"
    if prim.GetCustomDataByKey(key) is None:
        prim.SetCustomDataByKey(key, light.GetLocalTransformation())
    cache = UsdGeom.XformCache()
    scene = cache.GetLocalToWorldTransform(prim.GetStage().GetPrimAtPath(root))
    above = cache.GetParentToWorldTransform(prim) * scene.GetInverse()
    moved = Gf.Matrix4d(change.matrix().T.tolist())  # USD multiplies rows
    light.MakeMatrixXform().Set(prim.GetCustomDataByKey(key) * above * moved * above.GetInverse())
