"""Idle frames are dropped at the ends only, and never a frame in which something happens."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from synthgen.core.simulator import SimState
from synthgen.episode.trim import idle_frames, idle_trim


def states(joints: np.ndarray, bodies: np.ndarray) -> SimState:
    """SimState of T + 1 rows from joints (T + 1, J) and body positions (T + 1, B, 3)."""
    pose = np.zeros((*bodies.shape[:2], 7))
    pose[..., :3], pose[..., 3] = bodies, 1.0
    return SimState(
        joint_position=joints,
        joint_velocity=np.zeros_like(joints),
        body_pose=pose,
        body_velocity=np.zeros((*bodies.shape[:2], 6)),
        scene_joint_position=np.zeros((len(joints), 0)),
        scene_joint_velocity=np.zeros((len(joints), 0)),
    )


@given(st.lists(st.booleans(), min_size=1, max_size=40), st.integers(0, 3))
def test_only_ends_are_dropped(idle: list[bool], keep: int) -> None:
    start, stop = idle_trim(np.array(idle), keep=keep)
    busy = [i for i, x in enumerate(idle) if not x]
    assert 0 <= start < stop <= len(idle)
    if busy:
        assert start == busy[0]
        assert stop == min(busy[-1] + 1 + keep, len(idle))


@given(st.integers(0, 5), st.integers(0, 8), st.integers(1, 6), st.integers(0, 5))
def test_motion_is_kept_whole(lead: int, move: int, pause: int, tail: int) -> None:
    """Rest, move, pause, move, rest: the pause stays, the rests go."""
    move += 1
    steps = [0.0] * lead + [0.1] * move + [0.0] * pause + [0.1] * move + [0.0] * tail
    action = np.cumsum(steps)[:, None].astype(np.float32)
    joints = np.concatenate([[[0.0]], action.astype(float)])
    idle = idle_frames(action, np.zeros(1), states(joints, np.zeros((len(joints), 1, 3))))
    assert idle.tolist() == [s == 0.0 for s in steps]
    assert idle_trim(idle, keep=0) == (lead, lead + 2 * move + pause)


def test_a_frame_in_which_only_an_object_moves_is_not_idle() -> None:
    bodies = np.zeros((5, 2, 3))
    bodies[3:, 1, 2] = 0.01
    still = np.zeros((5, 3))
    idle = idle_frames(still[:4].astype(np.float32), np.zeros(3), states(still, bodies))
    assert idle.tolist() == [True, True, False, True]
    # A body that takes no part in the episode does not count.
    idle = idle_frames(still[:4].astype(np.float32), np.zeros(3), states(still, bodies), bodies=[0])
    assert idle.all()


def test_following_error_is_motion() -> None:
    """The target has arrived, the joint has not: not idle."""
    action = np.full((4, 1), 1.0, np.float32)
    joints = np.array([[0.9], [0.97], [0.995], [1.0], [1.0]])
    idle = idle_frames(action, np.ones(1), states(joints, np.zeros((5, 0, 3))))
    assert idle.tolist() == [False, False, False, True]


def test_one_frame_stays_of_an_idle_episode() -> None:
    assert idle_trim(np.ones(7, bool)) == (0, 1)
