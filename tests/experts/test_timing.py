"""Timing: whatever the curve, the rows keep the limits, start and end where they should, and never idle."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from synthgen.experts.timing import Curve, minimum_jerk, time_curve


@st.composite
def problems(draw):
    n = draw(st.integers(1, 8))
    k = draw(st.integers(2, 7))
    angle = st.floats(-3, 3, width=32)
    limit = st.floats(0.2, 5.0)
    knots = draw(arrays(float, (k, n), elements=angle))
    velocity = draw(arrays(float, (n,), elements=limit))
    acceleration = draw(arrays(float, (n,), elements=st.floats(0.5, 20.0)))
    return knots, velocity, acceleration, draw(st.sampled_from([10, 15, 20, 50]))


@settings(max_examples=200, deadline=None)
@given(problems())
def test_velocity_and_acceleration_limits_hold(problem):
    knots, velocity, acceleration, fps = problem
    rows = time_curve(Curve(knots, velocity), velocity=velocity, acceleration=acceleration, fps=fps)
    whole = np.concatenate([knots[:1], knots[:1], rows, rows[-1:]])  # at rest before and after
    step = np.diff(whole, axis=0)
    assert (np.abs(step).max(axis=0) * fps <= velocity * (1 + 1e-6) + 1e-9).all()
    assert (np.abs(np.diff(step, axis=0)).max(axis=0) * fps**2 <= acceleration * (1 + 1e-6) + 1e-9).all()


@settings(max_examples=100, deadline=None)
@given(problems())
def test_rows_end_at_the_goal_and_never_idle(problem):
    knots, velocity, acceleration, fps = problem
    # Onwards only: a path that turns back may rightly pass the same place in two neighbouring rows.
    knots = np.cumsum(np.abs(knots), axis=0)
    curve = Curve(knots, velocity)
    rows = time_curve(curve, velocity=velocity, acceleration=acceleration, fps=fps)
    np.testing.assert_allclose(rows[-1], curve.knots[-1], atol=1e-9)
    if curve.moves:
        assert (np.abs(np.diff(np.concatenate([knots[:1], rows]), axis=0)).max(axis=1) > 0).all()


def test_it_is_about_as_quick_as_the_limits_allow():
    goal = np.array([[0.0, 0.0], [1.2, -0.4]])
    velocity, acceleration = np.array([2.0, 2.0]), np.array([6.0, 6.0])
    rows = time_curve(Curve(goal, velocity), velocity=velocity, acceleration=acceleration, fps=50)
    # The minimum-jerk profile peaks at 1.875 d/T and 5.7735 d/T2.
    seconds = max(1.875 * 1.2 / 2.0, np.sqrt(5.7735 * 1.2 / 6.0))
    assert seconds <= len(rows) / 50 <= seconds * 1.05 + 0.02


def test_the_curve_goes_through_its_knots_and_two_make_a_straight_line():
    rng = np.random.default_rng(3)
    knots = rng.normal(size=(6, 4))
    curve = Curve(knots, np.ones(4))
    np.testing.assert_allclose(curve(curve.at), knots, atol=1e-9)
    line = Curve(knots[:2], np.ones(4))
    np.testing.assert_allclose(line(np.array([0.25])), [knots[0] + 0.25 * (knots[1] - knots[0])], atol=1e-12)


def test_the_curve_has_no_kinks():
    knots = np.random.default_rng(4).normal(size=(5, 3))
    curve = Curve(knots, np.ones(3))
    h = 1e-5
    for at in curve.at[1:-1]:
        left, mid, right = curve(np.array([at - h, at, at + h]))
        # First and second derivative agree from both sides.
        before, after = curve(np.array([at - 2 * h, at + 2 * h]))
        np.testing.assert_allclose((mid - left) / h, (right - mid) / h, atol=1e-2)
        np.testing.assert_allclose(
            (mid - 2 * left + before) / h**2, (after - 2 * right + mid) / h**2, rtol=0.05, atol=1
        )


def test_repeated_knots_are_dropped():
    q = np.array([0.3, 0.1])
    still = Curve(np.stack([q, q, q]), np.ones(2))
    assert not still.moves
    rows = time_curve(still, velocity=np.ones(2), acceleration=np.ones(2), fps=20)
    np.testing.assert_array_equal(rows, [q])


def test_minimum_jerk_starts_and_ends_at_rest():
    u = np.linspace(0, 1, 1001)
    s = minimum_jerk(u)
    assert s[0] == 0 and s[-1] == pytest.approx(1)
    speed = np.gradient(s, u)
    assert abs(speed[0]) < 1e-3 and abs(speed[-1]) < 1e-3 and (np.diff(s) >= 0).all()
