"""The per-frame columns of a data set: names, sizes and meaning, and their values for an episode."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synthgen.core.episode import Episode
from synthgen.core.exporter import DatasetSpec
from synthgen.core.pose import matrix_from_quat, quat_inv, quat_mul, quat_rotate

POSE = ("x", "y", "z", "qw", "qx", "qy", "qz")
POSE_9D = ("x", "y", "z", "r00", "r01", "r02", "r10", "r11", "r12")
PINHOLE = ("fx", "fy", "cx", "cy")

CONVENTIONS: Mapping[str, str] = {
    "units": "metres, radians, seconds, kilograms",
    "quaternion": "unit, (w, x, y, z), own frame -> reference frame",
    "rotation_6d": "the first two rows of the rotation matrix, row-major (r00 r01 r02 r10 r11 r12)",
    "observation.state": "measured joint positions before the action, groups in the embodiment's order",
    "observation.velocity": "measured joint velocities, same order",
    "action": "absolute joint position targets to be reached at the next frame, same order",
    "observation.eef_pose": "measured pose of the end effector's grasp frame in the robot's base frame",
    "target.eef_pose": "the same frame at the joint targets of the action (forward kinematics), robot's base frame",
    "target.eef_delta_9d": "inverse(observation.eef_pose) * target.eef_pose, both of the same frame of the episode",
    "object_pose": "pose of the body in the world frame; seven zeros = the object is not in this episode",
    "camera_pose": "camera -> world, OpenCV axes (x right, y down, z forward)",
    "camera_intrinsics": "pinhole without skew or distortion, pixels from the picture's upper left corner",
    "subtask_index": "index of the expert's skill at the frame",
    "next.reward": "1 on the last frame, else 0",
    "timestamp": "frame_index / fps, seconds from the episode's start",
}


@dataclass(frozen=True, kw_only=True)
class Feature:
    """One numeric column: its width (1 = a scalar), element type and the names of its values."""

    name: str
    dtype: str
    width: int
    names: tuple[str, ...] | None = None


def frame_features(dataset: DatasetSpec) -> tuple[Feature, ...]:
    """The columns every episode of the data set has, in order; without images and without global numbering."""
    joints = tuple(j for g in dataset.groups for j in g.joints)

    def floats(name: str, names: tuple[str, ...]) -> Feature:
        return Feature(name=name, dtype="float32", width=len(names), names=names)

    out = [floats(n, joints) for n in ("observation.state", "action", "observation.velocity")]
    for eef in dataset.end_effectors:
        out += [floats(f"{side}.eef_pose.{eef}", POSE) for side in ("observation", "target")]
        out += [floats(f"{side}.eef_9d.{eef}", POSE_9D) for side in ("observation", "target")]
        out.append(floats(f"target.eef_delta_9d.{eef}", POSE_9D))
    out += [floats(f"object_pose.{o}", POSE) for o in dataset.objects]
    out += [floats(f"camera_pose.{c.name}", POSE) for c in dataset.cameras]
    out += [floats(f"camera_intrinsics.{c.name}", PINHOLE) for c in dataset.cameras]
    out.append(Feature(name="subtask_index", dtype="int64", width=1))
    out.append(Feature(name="next.reward", dtype="float32", width=1))
    out += [Feature(name=n, dtype="bool", width=1) for n in ("next.done", "next.success")]
    out.append(Feature(name="timestamp", dtype="float32", width=1))
    out.append(Feature(name="frame_index", dtype="int64", width=1))
    return tuple(out)


def frame_columns(episode: Episode, dataset: DatasetSpec) -> dict[str, NDArray]:
    """Values of ``frame_features``: (T, width), or (T,) where it is 1; ``subtask_index`` is the episode's own."""
    frames = len(episode)
    out: dict[str, NDArray] = {
        "observation.state": episode.state,
        "action": episode.action,
        "observation.velocity": episode.velocity,
    }
    for eef in dataset.end_effectors:
        state, target = episode.eef_pose[eef], episode.eef_target[eef]
        out[f"observation.eef_pose.{eef}"] = state
        out[f"target.eef_pose.{eef}"] = target
        out[f"observation.eef_9d.{eef}"] = pose_9d(state)
        out[f"target.eef_9d.{eef}"] = pose_9d(target)
        out[f"target.eef_delta_9d.{eef}"] = pose_9d(relative_pose(state, target))
    poses = {**episode.object_pose, **episode.receptacle_pose}
    absent = np.zeros((frames, 7), np.float32)
    for name in dataset.objects:
        out[f"object_pose.{name}"] = poses.get(name, absent)
    for camera in dataset.cameras:
        out[f"camera_pose.{camera.name}"] = pose_from_matrix(episode.cameras[camera.name].extrinsics)
    for camera in dataset.cameras:
        k = episode.cameras[camera.name].intrinsics
        row = np.array([k[0, 0], k[1, 1], k[0, 2], k[1, 2]], np.float32)
        out[f"camera_intrinsics.{camera.name}"] = np.tile(row, (frames, 1))
    out["subtask_index"] = episode.subtask.astype(np.int64)
    out["next.reward"] = episode.reward
    out["next.done"] = episode.done
    out["next.success"] = episode.reward > 0
    index = np.arange(frames)
    out["timestamp"] = (index / episode.fps).astype(np.float32)
    out["frame_index"] = index
    return out


def pose_9d(pose: NDArray) -> NDArray[np.float32]:
    """Poses (..., 7) -> position and the first two rows of the rotation matrix, (..., 9)."""
    pose = np.asarray(pose, float)
    rows = matrix_from_quat(pose[..., 3:])[..., :2, :]
    return np.concatenate([pose[..., :3], rows.reshape(*pose.shape[:-1], 6)], -1).astype(np.float32)


def relative_pose(base: NDArray, target: NDArray) -> NDArray[np.float64]:
    """inverse(base) * target for poses (..., 7) given in one frame."""
    base, target = np.asarray(base, float), np.asarray(target, float)
    inverse = quat_inv(base[..., 3:])
    position = quat_rotate(inverse, target[..., :3] - base[..., :3])
    return np.concatenate([position, quat_mul(inverse, target[..., 3:])], -1)


def pose_from_matrix(matrices: NDArray) -> NDArray[np.float32]:
    """Transforms (T, 4, 4) -> (T, 7), the quaternion's sign continuous in time, w >= 0 first."""
    m = np.asarray(matrices, float)
    xx, yy, zz = (m[:, i, i] for i in range(3))
    # Shepperd's method for all at once: of four ways to the quaternion take the one that divides by the largest number.
    size = 1 + np.stack([xx + yy + zz, xx - yy - zz, yy - xx - zz, zz - xx - yy], 1)
    a, b, c = m[:, 2, 1] - m[:, 1, 2], m[:, 0, 2] - m[:, 2, 0], m[:, 1, 0] - m[:, 0, 1]
    d, e, f = m[:, 0, 1] + m[:, 1, 0], m[:, 0, 2] + m[:, 2, 0], m[:, 1, 2] + m[:, 2, 1]
    rows = np.array([[size[:, 0], a, b, c], [a, size[:, 1], d, e], [b, d, size[:, 2], f], [c, e, f, size[:, 3]]])
    quat = rows[size.argmax(1), :, np.arange(len(m))]
    quat /= np.linalg.norm(quat, axis=1, keepdims=True)
    quat[0] *= -1 if quat[0, 0] < 0 else 1
    turns = np.where((quat[1:] * quat[:-1]).sum(1) < 0, -1, 1)
    quat[1:] *= np.cumprod(turns)[:, None]
    return np.concatenate([m[:, :3, 3], quat], 1).astype(np.float32)
