"""Driven joints, data set vectors and followers map onto each other without loss."""

import numpy as np
import pytest

from synthgen.core.embodiment import Embodiment, EndEffector, Follower, JointGroup
from synthgen.core.errors import UsageError
from synthgen.core.pose import Pose

HAND = EndEffector(
    name="right",
    kind="parallel_jaw",
    site="grasp",
    arm_joints=("a", "b"),
    hand_joints=("f",),
    hand_bodies=(),
    rest=(0.0, 0.0),
    weights=(1.0, 1.0),
    open=(0.04,),
    close=(0.0,),
)
ROBOT = Embodiment(
    name="toy",
    title="toy",
    gr00t_tag="new_embodiment",
    groups=(JointGroup(name="arm", joints=("a", "missing", "b")), JointGroup(name="hand", joints=("f",))),
    constants={"missing": 0.5},
    followers=(Follower(joint="f2", leader="f", ratio=-1.0, offset=0.1),),
    end_effectors=(HAND,),
    home={"a": 0.1},
    gains={},
    limits={},
    base=Pose(),
    build=lambda root: None,
    packs=(),
    licence="",
)


def test_names_and_slices() -> None:
    assert ROBOT.dataset_joints == ("a", "missing", "b", "f")
    assert ROBOT.driven == ("a", "b", "f")
    assert ROBOT.joints == ("a", "b", "f", "f2")
    assert ROBOT.group_slices() == {"arm": (0, 3), "hand": (3, 4)}


def test_vectors_round_trip_with_leading_axes() -> None:
    driven = np.arange(12.0).reshape(2, 2, 3)
    vector = ROBOT.to_dataset(driven)
    assert vector.shape == (2, 2, 4)
    assert (vector[..., 1] == 0.5).all()
    np.testing.assert_array_equal(ROBOT.from_dataset(vector), driven)


def test_followers_follow() -> None:
    np.testing.assert_allclose(ROBOT.expand(np.array([1.0, 2.0, 0.03])), [1.0, 2.0, 0.03, 0.07])


def test_home_fills_up_with_zero_and_unknown_hands_are_refused() -> None:
    np.testing.assert_array_equal(ROBOT.home_targets(), [0.1, 0.0, 0.0])
    with pytest.raises(UsageError, match="no end effector 'left'"):
        ROBOT.end_effector("left")
