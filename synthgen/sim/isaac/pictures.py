# pyright: reportMissingImports=false, reportAttributeAccessIssue=false
"""The render pass: recorded states written into the environments, cameras set, pictures read, the simulation restored.

Environments are the batch: E recorded states are drawn at a time. The same code drives Newton-Warp without Kit and RTX
in Isaac Sim.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import mujoco
import numpy as np

from synthgen.core.errors import SimulatorError, UsageError
from synthgen.core.pose import Array, Pose, matrix_from_quat
from synthgen.core.sample import SceneSample
from synthgen.core.scene import Camera
from synthgen.core.simulator import CameraImages, RenderRequest, SimState
from synthgen.embodiments.build import look_at
from synthgen.sim.isaac.lab import Views, xyzw
from synthgen.sim.isaac.states import StateIO

if TYPE_CHECKING:
    from synthgen.sim.isaac.simulator import IsaacSimulator

RGB, DEPTH, SEGMENTATION = "rgb", "distance_to_image_plane", "semantic_segmentation"
TYPES = {"rgb": RGB, "depth": DEPTH, "segmentation": SEGMENTATION}
NOTHING, STATIC, ROBOT, FIRST_BODY = 0, 1, 2, 3  # values of a segmentation, see CameraImages
_LIFT = np.diag([1.0, -1.0, -1.0])  # from USD's camera axes (look along -z, y up) to OpenCV's
WARM_UPS = {False: 1, True: 8}  # renders thrown away after a start


def views_for(request: RenderRequest) -> Views:
    """What the cameras must deliver. Segmentation always comes along: it costs little, and the checks look at it.

    Raises:
        UsageError: an unknown mode.
    """
    unknown = [m for m in request.modes if m not in TYPES]
    if unknown:
        raise UsageError(f"unknown picture mode {unknown[0]!r}", remedy=f"known: {', '.join(TYPES)}")
    types = {TYPES[m] for m in request.modes} | {RGB, SEGMENTATION}
    return Views(width=request.width, height=request.height, types=tuple(sorted(types)))


USUAL = views_for(RenderRequest(cameras=()))  # what a run asks for when nothing else is said


def satisfies(have: Views, want: Views) -> bool:
    """Whether cameras made for ``have`` can deliver ``want``."""
    return (have.width, have.height) == (want.width, want.height) and set(want.types) <= set(have.types)


def render(
    sim: IsaacSimulator, io: StateIO, request: RenderRequest, states: SimState, samples: Mapping[int, SceneSample]
) -> dict[str, CameraImages]:
    """Draw N recorded states; see ``Simulator.render``.

    Raises:
        UsageError: unknown camera. SimulatorError: pictures that are black, frozen or without the robot.
    """
    cameras = {c.name: c for c in (*sim.scene.cameras, *sim.embodiment.cameras)}
    for name in request.cameras:
        if name not in cameras:
            raise UsageError(f"unknown camera {name!r}", remedy=f"known: {', '.join(sorted(cameras))}")
    total = len(states.joint_position)
    found: dict[str, list[dict[str, Array]]] = {name: [] for name in request.cameras}
    lifts: dict[str, list[Array]] = {name: [] for name in request.cameras}
    before, targets = io.read(), sim._targets.copy()
    try:
        for rows, sample in _batches(total, sim.num_envs, samples):
            chunk = _rows(states, rows)
            count = len(rows)
            padded = _rows(chunk, np.minimum(np.arange(sim.num_envs), count - 1))
            absent = np.tile(
                io.absent_of(sample) if sample else np.zeros(len(io.layout.bodies), bool), (sim.num_envs, 1)
            )
            io.write(padded, range(sim.num_envs), absent=absent)
            if sample is not None:
                apply_looks(sim, sample)
            sim.handles.sim.forward()
            if request.cameras and not sim._warm:
                self_test(sim, io, request.cameras[0], padded, absent)
            for name in request.cameras:
                poses = camera_poses(sim, cameras[name], padded, sample)
                found[name].append(_shoot(sim, name, poses, count))
                lifts[name].append(_extrinsics(poses[:count]))
    finally:
        io.write(before, range(sim.num_envs))
        io.command(sim.embodiment.expand(targets))
    return {name: _images(sim, cameras[name], request, found[name], lifts[name]) for name in request.cameras}


def _batches(
    total: int, size: int, samples: Mapping[int, SceneSample]
) -> Iterator[tuple[np.ndarray, SceneSample | None]]:
    """Rows of one sample, at most ``size`` at a time: lights and materials of all environments are one set."""
    starts = sorted({0, *(r for r in samples if 0 <= r < total)})
    for start, stop in zip(starts, [*starts[1:], total], strict=True):
        for first in range(start, stop, size):
            yield np.arange(first, min(first + size, stop)), samples.get(start)


def _rows(states: SimState, rows: np.ndarray) -> SimState:
    return SimState(**{f: getattr(states, f)[rows] for f in SimState.FIELDS})


def apply_looks(sim: IsaacSimulator, sample: SceneSample) -> None:
    """Colours (and with Kit: textures and lights) of a sample, in all environments."""
    import torch

    colors = {path: body.color for path, body in sample.bodies.items() if body.color is not None}
    colors |= dict(sample.material_colors)
    chosen = [(sim.handles.materials[p], c) for p, c in colors.items() if p in sim.handles.materials]
    if chosen:
        materials = [m for m, _ in chosen]
        values = torch.tensor([c for _, c in chosen], dtype=torch.float32, device=sim.device)
        values = values[:, None, :].expand(len(chosen), sim.num_envs, 3).contiguous()
        type(materials[0]).write_channels(materials, {"color": values})
    if sim.handles.wardrobe is not None:
        sim.handles.wardrobe(sample)
    if sim.engine.kit:
        from synthgen.sim.isaac import kit

        kit.apply_lights(sim.handles.sim.stage, sim.scene, sample, prefix=sim._ready.prefix, num_envs=sim.num_envs)


def camera_poses(sim: IsaacSimulator, camera: Camera, states: SimState, sample: SceneSample | None) -> list[Pose]:
    """World poses (environment's frame) of a camera for each row; robot cameras by the planning model's kinematics."""
    pose = sample.cameras.get(camera.name, camera.pose) if sample is not None else camera.pose
    rows = len(states.joint_position)
    if camera.parent is None:
        return [pose] * rows
    if camera.parent in sim.scene.bodies:
        row = list(sim.scene.bodies).index(camera.parent)
        return [Pose.from_vector(states.body_pose[i, row]) @ pose for i in range(rows)]
    data = mujoco.MjData(sim.model)
    address = [sim.model.joint(j).qposadr[0] for j in sim.embodiment.joints]
    body = sim.model.body(camera.parent).id
    found: list[Pose] = []
    for i in range(rows):
        data.qpos[address] = states.joint_position[i]
        mujoco.mj_kinematics(sim.model, data)
        found.append(sim.base @ Pose.of(data.xpos[body], data.xquat[body]) @ pose)
    return found


def _shoot(sim: IsaacSimulator, name: str, poses: list[Pose], count: int) -> dict[str, Array]:
    import torch

    camera = sim.handles.cameras[name]
    position = np.array([p.position for p in poses]) + sim.handles.origins
    turn = xyzw(np.array([p.orientation for p in poses]))
    camera.set_world_poses(
        torch.as_tensor(position, dtype=torch.float32, device=sim.device),
        torch.as_tensor(turn, dtype=torch.float32, device=sim.device),
        convention="opengl",
    )
    for _ in range(1 + (WARM_UPS[sim.engine.ray_traced] if name not in sim._warm else 0)):
        if sim.engine.kit:
            sim.handles.sim.render()
        camera.update(0.0, force_recompute=True)
    sim._warm.add(name)
    out = {kind: _numpy(image)[:count].copy() for kind, image in camera.data.output.items() if kind in TYPES.values()}
    out[SEGMENTATION] = _segments(sim, out[SEGMENTATION][..., 0], camera.data.info[SEGMENTATION]["idToLabels"])
    _check(name, out)
    return out


def _segments(sim: IsaacSimulator, ids: Any, labels: Mapping[Any, Mapping[str, str]]) -> Any:
    """Isaac Lab's label numbers -> what a pixel shows."""
    bodies = {path: FIRST_BODY + i for i, path in enumerate(sim.scene.bodies)}
    table = {int(k): str(v.get("class", "")) for k, v in labels.items()}
    found = np.full(ids.shape, STATIC, np.int32)
    for number, label in table.items():
        if label == "BACKGROUND":
            found[ids == number] = NOTHING
        elif label == "robot":
            found[ids == number] = ROBOT
        elif label in bodies:
            found[ids == number] = bodies[label]
    return found


def self_test(sim: IsaacSimulator, io: StateIO, name: str, states: SimState, absent: Array) -> None:
    """Point a camera at the robot, move the robot, and see that the pictures show it and change.

    Done once after every start: a renderer in trouble delivers black, stale or empty pictures without an error.

    Raises:
        SimulatorError: the robot is not seen, or the pictures are frozen.
    """
    eye = sim.base.apply(_EYE)
    poses = [look_at(eye, sim.base.apply(_CHEST))] * sim.num_envs
    before = _shoot(sim, name, poses, 1)
    reach = np.array([j.upper - j.lower for j in sim.links.joints if np.isfinite(j.upper)]).max()
    moved = states.joint_position + np.where(states.joint_position > 0, -0.1, 0.1) * min(1.0, float(reach))
    io.write(replace(states, joint_position=moved), range(sim.num_envs), absent=absent)
    sim.handles.sim.forward()
    after = _shoot(sim, name, poses, 1)
    io.write(states, range(sim.num_envs), absent=absent)
    sim.handles.sim.forward()
    for shot in (before, after):
        if (shot[SEGMENTATION] == ROBOT).sum() < shot[SEGMENTATION].size * 1e-3:
            raise SimulatorError(f"{sim.engine.name}: a camera that looks at the robot does not see it")
    if np.array_equal(before[SEGMENTATION], after[SEGMENTATION]):
        raise SimulatorError(f"{sim.engine.name}: the robot moved and the picture did not: the renderer is frozen")


_EYE = np.array([1.4, 0.7, 0.9])  # metres, in the robot's base frame
_CHEST = np.array([0.0, 0.0, 0.35])


def _check(name: str, out: Mapping[str, Array]) -> None:
    """Refuse pictures that a renderer in trouble makes.

    Raises:
        SimulatorError: black, or of one colour.
    """
    for image in out[RGB]:
        if image.max() < 8 or image.std() < 1.0:
            raise SimulatorError(f"camera {name!r}: the picture is black or empty")


def _extrinsics(poses: list[Pose]) -> Array:
    out = np.tile(np.eye(4), (len(poses), 1, 1))
    for i, pose in enumerate(poses):
        out[i, :3, :3] = matrix_from_quat(pose.orientation) @ _LIFT
        out[i, :3, 3] = pose.position
    return out


def _images(
    sim: IsaacSimulator, camera: Camera, request: RenderRequest, shots: list[dict[str, Array]], lifts: list[Array]
) -> CameraImages:
    def stacked(kind: str) -> Array:
        return np.concatenate([s[kind] for s in shots])

    focal = request.height / 2.0 / np.tan(camera.fovy / 2.0)
    intrinsics = np.array([[focal, 0.0, request.width / 2.0], [0.0, focal, request.height / 2.0], [0.0, 0.0, 1.0]])
    depth = stacked(DEPTH)[..., 0].astype(np.float32) if "depth" in request.modes else None
    return CameraImages(
        rgb=stacked(RGB)[..., :3].astype(np.uint8) if "rgb" in request.modes else None,
        depth=depth,
        segmentation=stacked(SEGMENTATION).astype(np.int32) if "segmentation" in request.modes else None,
        intrinsics=intrinsics,
        extrinsics=np.concatenate(lifts),
    )


def _numpy(image: Any) -> Array:
    return (image.torch if hasattr(image, "torch") else image).detach().cpu().numpy()
