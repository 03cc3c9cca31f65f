"""A recorded, checked, rendered demonstration: what every exporter works from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthgen.core.pose import Array
from synthgen.core.simulator import SimState
from synthgen.core.spec import EpisodeSpec


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageStats:
    """Histogram of the source pixels of sampled frames: counts (3, 256) int64 per RGB channel; mergeable by adding."""

    counts: NDArray[np.int64]
    frames: int


@dataclass(frozen=True, kw_only=True, eq=False)
class EncodedVideo:
    """One camera's pictures of one episode, encoded once.

    Attributes:
        data: a complete mp4 file: no B-frames, first frame a keyframe, frame k shown at exactly k/fps s.
        frames, width, height, fps: as they say.
        codec: "h264"; pix_fmt: "yuv420p"; options: encoder settings (gop, crf, preset).
        stats: histogram of the source pixels, taken before encoding.
    """

    data: bytes
    frames: int
    width: int
    height: int
    fps: int
    codec: str
    pix_fmt: str
    options: Mapping[str, str]
    stats: ImageStats


@dataclass(frozen=True, kw_only=True, eq=False)
class CameraTrack:
    """Calibration of one camera: intrinsics (3, 3) pixels; extrinsics (T, 4, 4) camera -> world, OpenCV axes."""

    intrinsics: Array
    extrinsics: Array


@dataclass(frozen=True, kw_only=True, eq=False)
class Episode:
    """T frames at ``fps``. Frame t holds the state before action t; action t is reached at frame t + 1.

    Attributes:
        spec: which attempt at which slot this is.
        fps: frames per second.
        state: (T, D) float32, measured positions of the data set's joints, rad (m), groups in embodiment order.
        action: (T, D) float32, absolute joint position targets, same order.
        velocity: (T, D) float32, measured joint velocities, rad/s (m/s).
        eef_pose: by end effector name, (T, 7) float32 x y z (m) + w x y z of the grasp frame in the robot's base frame.
        eef_target: likewise, forward kinematics of ``action``.
        object_pose: by object name, (T, 7) float32, body pose in the world frame.
        receptacle_pose: by receptacle name, (T, 7) float32, inner floor frame in the world frame.
        base_pose: (7,) robot base in the world frame.
        subtask: (T,) int64 index into ``subtasks``.
        subtasks: their names.
        instruction: the sentence this episode is labelled with; paraphrases: others that mean the same.
        reward: (T,) float32, 1 on the last frame; done: (T,) bool, True on the last frame.
        videos: by camera name.
        cameras: calibration by camera name.
        draws: every random draw by name.
        sample: the scene sample as JSON-able mapping, enough to render the episode again.
        sim_states: (T, ...) the recorded simulator states, to render or restart from.
        state_bodies, state_scene_joints: names of the axes of ``sim_states``.
        replay_error: (Jd,) largest absolute joint difference between rollout and replay, or None when not replayed.
        fingerprint: simulator, versions, platform: what the numbers depend on.
        scene: file name and digest of the stage.
    """

    spec: EpisodeSpec
    fps: int
    state: NDArray[np.float32]
    action: NDArray[np.float32]
    velocity: NDArray[np.float32]
    eef_pose: Mapping[str, NDArray[np.float32]]
    eef_target: Mapping[str, NDArray[np.float32]]
    object_pose: Mapping[str, NDArray[np.float32]]
    receptacle_pose: Mapping[str, NDArray[np.float32]]
    base_pose: Array
    subtask: NDArray[np.int64]
    subtasks: tuple[str, ...]
    instruction: str
    paraphrases: tuple[str, ...]
    reward: NDArray[np.float32]
    done: NDArray[np.bool_]
    videos: Mapping[str, EncodedVideo] = field(default_factory=dict[str, EncodedVideo])
    cameras: Mapping[str, CameraTrack] = field(default_factory=dict[str, CameraTrack])
    draws: Mapping[str, float | str] = field(default_factory=dict[str, float | str])
    sample: Mapping[str, Any] = field(default_factory=dict[str, Any])
    sim_states: SimState | None = None
    state_bodies: tuple[str, ...] = ()
    state_scene_joints: tuple[str, ...] = ()
    replay_error: Array | None = None
    fingerprint: Mapping[str, Any] = field(default_factory=dict[str, Any])
    scene: Mapping[str, str] = field(default_factory=dict[str, str])

    def __len__(self) -> int:
        return len(self.state)
