"""Grasp geometry: what a jaw or a hand proposes fits the object, the hand and the table."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthgen.core.pose import Pose, quat_from_axis_angle, quat_mul
from synthgen.core.scene import ObjectProp
from synthgen.core.world import ObjectState
from synthgen.embodiments.registry import load
from synthgen.experts.grasps import (
    GIRTH_SLACK,
    TIP_CLEARANCE,
    candidates,
    hand_rotation,
    interpolate,
    opening_axes,
    solid_of,
)

TABLE = 0.9
JAW = load("franka").end_effectors[0]
HANDS = [e for robot in ("gr1", "g1") for e in load(robot).end_effectors]
size = st.floats(0.02, 0.14)


def state(shape: str, extents, *, yaw: float = 0.0, lying: bool = False) -> ObjectState:
    extents = np.array(extents, float)
    up = quat_from_axis_angle([1, 0, 0], np.pi / 2) if lying else np.array([1.0, 0, 0, 0])
    height = extents[1] if lying else extents[2]
    pose = Pose.of((0.3, -0.1, TABLE + height / 2), quat_mul(quat_from_axis_angle([0, 0, 1], yaw), up))
    prop = ObjectProp(name="thing", body="/thing", shape=shape, extents=extents, center=np.zeros(3), noun="thing")
    return ObjectState(prop=prop, pose=pose, linear_velocity=np.zeros(3), angular_velocity=np.zeros(3))


def proper(rotation) -> None:
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-9)
    assert np.linalg.det(rotation) == pytest.approx(1.0)


@settings(max_examples=150, deadline=None)
@given(st.tuples(size, size, size), st.floats(-3.1, 3.1), st.booleans())
def test_jaws_close_across_a_width_they_can_take(extents, yaw, lying):
    thing = state("box", extents, yaw=yaw, lying=lying)
    solid = solid_of(thing)
    body = solid.rotation.T
    found = candidates(JAW, thing, surface=TABLE, forward=0.0)
    for grasp in found:
        proper(grasp.rotation)
        across = body @ grasp.rotation[:, 1]
        # The opening is along one of the box's axes, and the box is narrower there than the jaw is wide.
        axis = int(np.argmax(np.abs(across)))
        assert abs(across[axis]) == pytest.approx(1.0, abs=1e-6)
        assert thing.prop.extents[axis] <= JAW.max_width
        assert grasp.rotation[2, 2] < -0.9  # from above
        # The fingers' middle is inside the box, the tips above the table.
        local = body @ (grasp.point - solid.center)
        assert (np.abs(local) <= thing.prop.extents / 2 + 1e-9).all()
        assert grasp.point[2] - JAW.finger_depth >= TABLE + TIP_CLEARANCE - 1e-9
    flat = [w for _, w in opening_axes(thing)]
    if min(flat) < JAW.max_width - 0.01 and solid.half_height > 0.015:
        assert found


@settings(max_examples=60, deadline=None)
@given(st.floats(0.01, 0.06), st.floats(0.04, 0.2))
def test_standing_cylinders_leave_the_yaw_free(radius, height):
    thing = state("cylinder", (2 * radius, 2 * radius, height))
    found = candidates(JAW, thing, surface=TABLE, forward=0.0)
    assert bool(found) == (2 * radius <= JAW.max_width - 0.003)
    assert all(g.free_yaw and g.point[2] <= solid_of(thing).top for g in found)


def test_lying_cylinders_are_taken_across_their_axis():
    thing = state("cylinder", (0.05, 0.05, 0.15), yaw=0.4, lying=True)
    axis = solid_of(thing).rotation[:, 2]
    found = candidates(JAW, thing, surface=TABLE, forward=0.0)
    assert found
    for grasp in found:
        assert not grasp.free_yaw
        assert grasp.rotation[:, 1] @ axis == pytest.approx(0.0, abs=1e-9)


def test_what_is_too_wide_has_no_grasp():
    assert candidates(JAW, state("box", (0.1, 0.1, 0.1)), surface=TABLE, forward=0.0) == []
    for hand in HANDS:
        assert candidates(hand, state("cylinder", (0.16, 0.16, 0.1)), surface=TABLE, forward=0.0) == []


def test_the_upright_grasp_is_liked_best():
    found = candidates(JAW, state("cylinder", (0.05, 0.05, 0.1)), surface=TABLE, forward=0.0)
    assert found[0].rotation[2, 2] == pytest.approx(-1.0)
    assert [g.cost for g in found] == sorted(g.cost for g in found)


@pytest.mark.parametrize("hand", HANDS, ids=lambda h: h.site)
def test_hands_hold_as_measured_at_the_measured_girths(hand):
    for measured in hand.grasps:
        again = interpolate(hand.grasps, measured.shape, measured.girth)
        np.testing.assert_allclose(again.center, measured.center)
        np.testing.assert_allclose(again.close, measured.close)
        w = 2 * measured.girth
        thing = state(measured.shape, (w, w, 0.1))
        best = candidates(hand, thing, surface=TABLE, forward=0.0)[0]
        proper(best.rotation)
        np.testing.assert_allclose(best.tool, measured.center)
        np.testing.assert_allclose(best.back_off, -np.array(measured.approach))
        assert best.encloses


@pytest.mark.parametrize("hand", HANDS, ids=lambda h: h.site)
def test_between_two_girths_the_hand_closes_between(hand):
    thin, thick = sorted((g for g in hand.grasps if g.shape == "cylinder"), key=lambda g: g.girth)
    half = interpolate(hand.grasps, "cylinder", (thin.girth + thick.girth) / 2)
    np.testing.assert_allclose(half.close, (np.array(thin.close) + thick.close) / 2)
    assert interpolate(hand.grasps, "cylinder", thick.girth + GIRTH_SLACK + 1e-3) is None
    assert interpolate(hand.grasps, "cylinder", thin.girth - GIRTH_SLACK - 1e-3) is None
    assert interpolate(hand.grasps, "cylinder", thick.girth + GIRTH_SLACK / 2) == thick


def test_a_box_is_taken_with_the_palm_along_a_face():
    hand = HANDS[0]
    thing = state("box", (0.05, 0.05, 0.1), yaw=0.3)
    exact = [g for g in candidates(hand, thing, surface=TABLE, forward=0.3) if not g.free_yaw]
    assert exact
    for grasp in exact:
        palm = grasp.rotation[:, 1].copy()
        palm[2] = 0.0
        local = solid_of(thing).rotation.T @ palm / np.linalg.norm(palm)
        assert np.abs(local).max() == pytest.approx(1.0, abs=0.02)


def test_a_left_hand_mirrors_the_right_one():
    right, left = load("gr1").end_effectors
    mirror = np.diag([1.0, -1.0, 1.0])
    for a, b in zip(right.grasps, left.grasps, strict=True):
        ra = hand_rotation(0.2, a.pitch, a.roll)
        rb = hand_rotation(-0.2, b.pitch, b.roll)
        # Mirroring the world turns right-handed frames left-handed: z changes sides.
        np.testing.assert_allclose(rb, mirror @ ra @ np.diag([1.0, 1.0, -1.0]), atol=1e-9)
        np.testing.assert_allclose(rb @ b.center, mirror @ ra @ a.center, atol=1e-9)
        np.testing.assert_allclose(rb @ b.approach, mirror @ ra @ a.approach, atol=1e-9)
