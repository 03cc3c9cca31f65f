"""Dropping idle frames at the ends of an episode: policies trained on them learn to stand still."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from synthgen.core.pose import Array
from synthgen.core.simulator import SimState

# Below these nothing a camera or a policy could see happens within one frame.
TARGET_STEP = 1e-6  # rad (m) per frame
JOINT_STEP = 1e-3  # rad (m) per frame
BODY_STEP = 2e-4  # metres per frame
TURN_STEP = 2e-3  # change of a quaternion's elements per frame


def idle_frames(
    action: NDArray[np.float32],
    first_target: NDArray[np.floating],
    states: SimState,
    *,
    bodies: Sequence[int] | None = None,
) -> NDArray[np.bool_]:
    """Which frames nothing happens in.

    Args:
        action: (T, D) targets.
        first_target: (D,) where the commands stood before the first action.
        states: T + 1 states, row t before action t.
        bodies: indices of the bodies that matter; None = all.

    Returns:
        (T,) True where action t repeats the target before it and no joint and no body moves from t to t + 1.
    """
    before = np.concatenate([np.asarray(first_target, np.float32)[None], action[:-1]])
    moved = _step(action - before) > TARGET_STEP
    moved |= _step(np.diff(states.joint_position, axis=0)) > JOINT_STEP
    moved |= _step(np.diff(states.scene_joint_position, axis=0)) > JOINT_STEP
    poses = states.body_pose if bodies is None else states.body_pose[:, bodies]
    steps = np.diff(poses, axis=0)
    moved |= _step(steps[..., :3]) > BODY_STEP
    moved |= _step(steps[..., 3:]) > TURN_STEP
    return ~moved


def idle_trim(idle: NDArray[np.bool_], *, keep: int = 1) -> tuple[int, int]:
    """The frames to keep, [start, stop), when leading and trailing idle ones are dropped.

    ``keep`` trailing idle frames stay, so that the last state shows the goal reached. At least one frame stays.
    """
    busy = np.flatnonzero(~idle)
    if busy.size == 0:
        return 0, min(1, len(idle))
    return int(busy[0]), int(min(busy[-1] + 1 + keep, len(idle)))


def _step(values: NDArray[np.floating]) -> Array:
    """(T, ...) -> (T,) largest absolute value of each row; 0 for empty rows."""
    return np.abs(values).reshape(len(values), -1).max(axis=1, initial=0.0)
