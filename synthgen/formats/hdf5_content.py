"""What a demonstration holds in the HDF5 profiles: simulator states, MimicGen's data, what else a policy may want."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthgen.core.episode import Episode
from synthgen.core.exporter import DatasetSpec
from synthgen.core.pose import Pose, matrix_from_quat, quat_inv, quat_mul
from synthgen.core.simulator import SimState
from synthgen.formats.features import CONVENTIONS, frame_columns
from synthgen.formats.hdf5 import Tree

# What the profiles say themselves, and with other quaternions.
_OWN = ("quaternion", "observation.eef_pose", "target.eef_pose", "object_pose", "camera_pose", "camera_intrinsics")
NOTES: Mapping[str, str] = {
    **{k: v for k, v in CONVENTIONS.items() if k not in _OWN},
    "quaternion": "unit, (x, y, z, w), own frame -> reference frame",
    "synthgen/observation.eef_9d, target.eef_9d": "x y z and rotation_6d, in the robot's base frame",
    "synthgen/camera": "intrinsics (T, 3, 3) pixels; extrinsics (T, 4, 4) camera -> world, OpenCV axes",
    "datagen_info": "transforms (T, 4, 4) in the world frame",
}


def more(episode: Episode, dataset: DatasetSpec) -> Tree:
    """The group ``synthgen``: columns of the other formats that the profile has no place for, and the cameras.

    No quaternions: they would be in another order than the profile's own.
    """
    columns = frame_columns(episode, dataset)
    names = [f"{kind}.{e}" for e in dataset.end_effectors for kind in _NINE] + ["subtask_index", "next.success"]
    frames = len(episode)
    cameras = {
        c.name: {
            "intrinsics": np.tile(episode.cameras[c.name].intrinsics, (frames, 1, 1)),
            "extrinsics": episode.cameras[c.name].extrinsics,
        }
        for c in dataset.cameras
    }
    return {n: columns[n] for n in names} | {"camera": cameras}


_NINE = ("observation.eef_9d", "target.eef_9d", "target.eef_delta_9d")


def words(episode: Episode) -> dict[str, Any]:
    """Attributes of a demonstration: what it is called, and where it comes from."""
    return {
        "task": episode.spec.task,
        "seed": episode.spec.seed(),
        "success": bool(episode.reward[-1] > 0),
        "subtasks": json.dumps(episode.subtasks),
        "draws": json.dumps(dict(episode.draws)),
    }


def xyzw(pose: NDArray) -> NDArray[np.float32]:
    """Poses (T, 7) x y z w-x-y-z -> x y z x-y-z-w."""
    return np.asarray(pose, np.float32)[:, [0, 1, 2, 4, 5, 6, 3]]


def in_world(episode: Episode, pose: NDArray) -> NDArray[np.float64]:
    """Poses (T, 7) in the robot's base frame -> world."""
    base = Pose.from_vector(episode.base_pose)
    return np.concatenate([base.apply(pose[:, :3]), quat_mul(base.orientation, np.asarray(pose[:, 3:], float))], -1)


def transforms(pose: NDArray) -> NDArray[np.float32]:
    """Poses (T, 7) -> (T, 4, 4)."""
    out = np.tile(np.eye(4), (len(pose), 1, 1))
    out[:, :3, :3], out[:, :3, 3] = matrix_from_quat(pose[:, 3:]), pose[:, :3]
    return out.astype(np.float32)


def datagen_info(episode: Episode) -> Tree:
    """What MimicGen and Isaac Lab Mimic start from; poses (T, 4, 4) in the world."""
    objects = {**episode.object_pose, **episode.receptacle_pose}
    return {
        "eef_pose": {e: transforms(in_world(episode, p)) for e, p in episode.eef_pose.items()},
        "target_eef_pose": {e: transforms(in_world(episode, p)) for e, p in episode.eef_target.items()},
        "object_pose": {n: transforms(p) for n, p in objects.items()},
        "subtask_term_signals": term_signals(episode),
    }


def term_signals(episode: Episode) -> dict[str, NDArray[np.bool_]]:
    """By subtask (a repeated one with its number of times): (T,) True from its end on."""
    starts = np.flatnonzero(np.diff(episode.subtask, prepend=-1))
    ends = [*starts[1:], len(episode) - 1]
    out: dict[str, NDArray[np.bool_]] = {}
    for start, end in zip(starts, ends, strict=True):
        name = episode.subtasks[episode.subtask[start]]
        times = sum(k == name or k.startswith(f"{name}_") for k in out)
        out[name if not times else f"{name}_{times + 1}"] = np.arange(len(episode)) >= end
    return out


def flat_state(episode: Episode) -> NDArray[np.float64]:
    """(T, S): every field of the simulator's state side by side; the joint state where none was kept."""
    if episode.sim_states is None:
        return np.concatenate([episode.state, episode.velocity], 1).astype(float)
    fields = [getattr(episode.sim_states, f) for f in SimState.FIELDS]
    return np.concatenate([f.reshape(len(episode), -1) for f in fields], 1)


def scene_state(episode: Episode) -> dict[str, dict[str, dict[str, NDArray]]]:
    """Isaac Lab's scene state over time: the robot as an articulation, objects as rigid objects."""
    frames = len(episode)
    robot = {
        "root_pose": np.tile(xyzw(episode.base_pose[None]), (frames, 1)),
        "root_velocity": np.zeros((frames, 6), np.float32),
        "joint_position": episode.state,
        "joint_velocity": episode.velocity,
    }
    objects = {
        name: {"root_pose": xyzw(pose), "root_velocity": velocity_of(episode, pose)}
        for name, pose in episode.object_pose.items()
    }
    return {"articulation": {"robot": robot}, "rigid_object": objects}


def velocity_of(episode: Episode, pose: NDArray[np.float32]) -> NDArray[np.float32]:
    """(T, 6) linear and angular velocity, world: the simulator's where it kept that body, else by differences."""
    if episode.sim_states is not None:
        for i in range(episode.sim_states.body_pose.shape[1]):
            if np.array_equal(episode.sim_states.body_pose[:, i].astype(np.float32), pose):
                return episode.sim_states.body_velocity[:, i].astype(np.float32)
    if len(pose) < 2:
        return np.zeros((len(pose), 6), np.float32)
    p = np.asarray(pose, float)
    turn = quat_mul(p[1:, 3:], quat_inv(p[:-1, 3:]))
    turn *= np.where(turn[:, :1] < 0, -1, 1)
    sine = np.linalg.norm(turn[:, 1:], axis=1, keepdims=True)
    angle = 2 * np.arctan2(sine, turn[:, :1])
    angular = np.divide(turn[:, 1:] * angle, sine, out=np.zeros_like(turn[:, 1:]), where=sine > 1e-12)
    step = np.concatenate([p[1:, :3] - p[:-1, :3], angular], 1) * episode.fps
    return np.concatenate([step, step[-1:]]).astype(np.float32)
