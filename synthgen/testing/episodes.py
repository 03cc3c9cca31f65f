"""Small episodes with real encoded video, made without a simulator; every value is a function of slot and frame."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthgen.core.embodiment import JointGroup
from synthgen.core.episode import CameraTrack, Episode
from synthgen.core.exporter import CameraSpec, DatasetSpec
from synthgen.core.simulator import SimState
from synthgen.core.spec import EpisodeSpec
from synthgen.media.video import encode_video

FPS = 20
SIZE = 64


def dataset_spec(**changes: Any) -> DatasetSpec:
    """The description of the data set these episodes make; keyword arguments replace fields."""
    values: dict[str, Any] = {
        "name": "toy",
        "embodiment": "toy",
        "robot_type": "toy_arm",
        "gr00t_tag": "new_embodiment",
        "fps": FPS,
        "groups": (
            JointGroup(name="arm", joints=("j1", "j2", "j3", "j4", "j5")),
            JointGroup(name="hand", joints=("finger_left", "finger_right")),
        ),
        "end_effectors": ("right",),
        "cameras": (
            CameraSpec(name="agentview", width=SIZE, height=SIZE),
            CameraSpec(name="wrist", width=SIZE, height=SIZE),
        ),
        "tasks": ("pick_place", "stack"),
        "scene": "toy.usda",
        "command": "synthgen run --tasks pick_place --n 8",
        "licence": "Apache-2.0",
        "objects": ("can", "box", "bowl"),
    }
    return DatasetSpec(**{**values, **changes})


def pictures(slot: int, camera: int, frames: int) -> NDArray[np.uint8]:
    """(T, SIZE, SIZE, 3): a gradient with a square that moves; slot, camera and frame can be told from it."""
    y, x = np.mgrid[0:SIZE, 0:SIZE]
    out = np.empty((frames, SIZE, SIZE, 3), np.uint8)
    for t in range(frames):
        out[t, ..., 0] = (x * 2 + 17 * slot) % 200
        out[t, ..., 1] = y * 3
        out[t, ..., 2] = 60 + 90 * camera
        at = (5 + 2 * t + 7 * slot) % (SIZE - 16)
        out[t, at : at + 16, 24:40] = (240, 40 + 8 * (t % 20), 30)
    return out


def made_episode(slot: int, dataset: DatasetSpec, frames: int | None = None) -> Episode:
    """The episode of a slot, with everything an episode can have; lengths, objects and subtasks vary with the slot."""
    spec = EpisodeSpec(task=dataset.tasks[slot % 2], embodiment="toy", slot=slot, attempt=slot % 2, entropy=2**70 + 5)
    rng = spec.rng("expert")
    frames = frames or 18 + 3 * (slot % 4)
    t = np.arange(frames) / FPS
    width = sum(len(g.joints) for g in dataset.groups)
    phase, rate = rng.uniform(0, 6, width), rng.uniform(0.2, 1.0, width)
    action = np.sin(rate * t[:, None] + phase).astype(np.float32)
    state = np.sin(rate * (t[:, None] - 1 / FPS) + phase).astype(np.float32)
    objects = {"can": _path(rng, t), "bowl": _path(rng, t)} if slot % 3 else {"can": _path(rng, t)}
    subtasks = ("reach", "grasp", "place") if slot % 2 else ("reach", "lift")
    sim = SimState(
        joint_position=rng.normal(size=(frames, width)),
        joint_velocity=rng.normal(size=(frames, width)),
        body_pose=rng.normal(size=(frames, 2, 7)),
        body_velocity=rng.normal(size=(frames, 2, 6)),
        scene_joint_position=np.zeros((frames, 0)),
        scene_joint_velocity=np.zeros((frames, 0)),
    )
    camera = np.tile(np.eye(4), (frames, 1, 1))
    camera[:, :3, 3] = np.stack([np.cos(t), np.sin(t), 1 + 0 * t], 1)
    done = np.zeros(frames, bool)
    done[-1] = True
    return Episode(
        spec=spec,
        fps=FPS,
        state=state,
        action=action,
        velocity=(state * 2).astype(np.float32),
        eef_pose={"right": _path(rng, t)},
        eef_target={"right": _path(rng, t)},
        object_pose=objects,
        receptacle_pose={"tray": _path(rng, t)},
        base_pose=np.array([0.1, 0, 0, 1, 0, 0, 0]),
        subtask=(np.arange(frames) * len(subtasks) // frames).astype(np.int64),
        subtasks=subtasks,
        instruction=f"put the can number {slot % 3} into the bowl",
        paraphrases=("place the can in the bowl", "the can goes into the bowl"),
        reward=done.astype(np.float32),
        done=done,
        videos={c.name: encode_video(pictures(slot, i, frames), FPS) for i, c in enumerate(dataset.cameras)},
        cameras={
            c.name: CameraTrack(intrinsics=np.diag([50.0, 50.0, 1.0]), extrinsics=camera) for c in dataset.cameras
        },
        draws={"target.x": float(rng.uniform()), "look": "oak"},
        sample={"slots": {"target": "can"}, "bodies": {"/World/can": {"pose": [0.0, 1.0]}}},
        sim_states=sim,
        state_bodies=("/World/can", "/World/bowl"),
        replay_error=np.zeros(width),
        fingerprint={"simulator": "mujoco", "version": "3.12"},
        scene={"file": "toy.usda", "digest": "0123456789abcdef"},
    )


def _path(rng: np.random.Generator, t: NDArray[np.float64]) -> NDArray[np.float32]:
    """A smooth pose over time, (T, 7) float32 with unit quaternions."""
    angle = rng.uniform(0, 1) + 0.3 * t
    zero = 0 * t
    position = rng.uniform(-0.3, 0.3, 3) + 0.1 * np.sin(t)[:, None]
    quat = np.stack([np.cos(angle / 2), zero, np.sin(angle / 2), zero], 1)
    return np.concatenate([position, quat], 1).astype(np.float32)
