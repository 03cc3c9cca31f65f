"""Where a hand may take hold of an object, from the object's geometry. No kinematics here."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from synthgen.core.embodiment import EndEffector, HandGrasp
from synthgen.core.pose import Array, matrix_from_quat
from synthgen.core.world import ObjectState

# A parallel jaw leaves this much free on both sides together, metres.
JAW_SLACK = 0.003
# The tips reach at most this far below an object's top, metres: more would bring the palm down on it.
JAW_DEPTH = 0.026
# Between finger tips and the surface the object stands on, metres.
TIP_CLEARANCE = 0.004
JAW_BACK_OFF = 0.09
# A parallel jaw opens by this much more than an object is wide, metres.
JAW_ROOM = 0.022
# How far beyond the measured girths a hand's grasp table is trusted, metres.
GIRTH_SLACK = 0.008
# A multi-finger hand comes down by this much on the last stretch, metres, so that the palm does not scrape.
HAND_DROP = 0.01
# Coming from above instead of sideways: this much of the sideways back-off, and this much above the object's top.
ABOVE_BACK_OFF, ABOVE_RISE = 0.25, 0.03
# A hand that would scrape the table takes hold higher, by at most this part of the object's half height.
HIGHER = 0.6
# A hand is not turned further than this from its easy direction to meet a face, radians.
HAND_TURN = 1.5
# How far a palm may be turned from a box's face, radians.
YAW_SLACK = 0.8


@dataclass(frozen=True, kw_only=True, eq=False)
class Grasp:
    """One way to hold an object where it now is.

    Attributes:
        rotation: (3, 3) grasp frame -> world.
        point: (3,) where the tool point has to be, world frame, metres.
        tool: (3,) the tool point in the grasp frame, metres.
        free_yaw: any turn about the world's z axis through the point is as good.
        yaw_step: with ``free_yaw``, only turns within ``yaw_slack`` of a multiple of this from ``rotation`` hold
            (the faces of a box); 0 = all hold.
        back_off: (3,) from the grasp to where the approach begins, in the grasp frame, metres.
        rise: metres, further up (world z) at the beginning of the approach.
        open, close: (h,) hand joint targets.
        encloses: the open hand already surrounds the object, so that contact with it says nothing.
        cost: dislike; candidates are tried in its order.
    """

    rotation: Array
    point: Array
    tool: Array
    free_yaw: bool
    back_off: Array
    rise: float
    open: Array
    close: Array
    encloses: bool
    cost: float
    yaw_step: float = 0.0
    yaw_slack: float = 0.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Solid:
    """An object's size where it lies: centre (3,), rotation (3, 3), and half its height in the world, metres."""

    center: Array
    rotation: Array
    half_height: float
    upright: bool

    @property
    def top(self) -> float:
        """World z of its highest point."""
        return float(self.center[2]) + self.half_height

    @property
    def bottom(self) -> float:
        """World z of its lowest point."""
        return float(self.center[2]) - self.half_height


def solid_of(state: ObjectState) -> Solid:
    """Measure an object at its present pose."""
    rotation = matrix_from_quat(state.pose.orientation)
    e, up = state.prop.extents, rotation[2]
    if state.prop.shape == "cylinder":
        half = abs(up[2]) * e[2] / 2 + np.sqrt(max(0.0, 1 - up[2] ** 2)) * max(e[0], e[1]) / 2
    elif state.prop.shape == "sphere":
        half = float(max(e)) / 2
    else:
        half = float(np.abs(up) @ e) / 2
    return Solid(center=state.center, rotation=rotation, half_height=float(half), upright=bool(abs(up[2]) > 0.95))


def candidates(effector: EndEffector, state: ObjectState, *, surface: float, forward: float) -> list[Grasp]:
    """Every grasp worth trying, best liked first; empty when the hand cannot hold such an object.

    Args:
        effector: the hand.
        state: the object.
        surface: z of what the object stands on, metres.
        forward: yaw, radians, in which the hand comes easily: of the grasp frame's x axis at rest.
    """
    if effector.kind == "parallel_jaw":
        found = [*jaw_grasps(effector, state, surface=surface)]
    else:
        found = [*hand_grasps(effector, state)]
    out = []
    for g in found:
        if g.free_yaw and not g.yaw_step:
            out.append(g)
            continue
        off = abs(_wrapped(float(np.arctan2(g.rotation[1, 0], g.rotation[0, 0])) - forward))
        if effector.kind == "parallel_jaw" or off < HAND_TURN:
            out.append(replace(g, cost=g.cost + 0.3 * off))
    return sorted(out, key=lambda g: g.cost)


def _wrapped(angle: float) -> float:
    return (angle + np.pi) % (2 * np.pi) - np.pi


def opening_axes(state: ObjectState) -> list[tuple[Array, float]]:
    """Horizontal directions across which two parallel faces lie, with the width between them, metres.

    An upright cylinder and a sphere have them all: an empty list.
    """
    rotation, e = matrix_from_quat(state.pose.orientation), state.prop.extents
    if state.prop.shape == "sphere":
        return []
    if state.prop.shape == "cylinder":
        axis = rotation[:, 2]
        if abs(axis[2]) > 0.9:
            return []
        across = np.array([-axis[1], axis[0], 0.0])
        return [(across / np.linalg.norm(across), float(max(e[0], e[1])))]
    out = []
    for i in range(3):
        axis = rotation[:, i]
        if abs(axis[2]) < 0.3:
            flat = np.array([axis[0], axis[1], 0.0])
            out.append((flat / np.linalg.norm(flat), float(e[i])))
    return out


def jaw_grasps(effector: EndEffector, state: ObjectState, *, surface: float) -> Iterator[Grasp]:
    """Antipodal grasps of a parallel jaw from above, upright or tilted about the opening axis."""
    solid = solid_of(state)
    depth = min(solid.half_height, JAW_DEPTH)
    z = max(solid.top - depth, surface + effector.finger_depth + TIP_CLEARANCE)
    if z > solid.top - 0.004:
        return
    point = np.array([solid.center[0], solid.center[1], z])
    faces = opening_axes(state)
    round_ = not faces
    if round_:
        faces = [(np.array([0.0, 1.0, 0.0]), float(max(state.prop.extents[0], state.prop.extents[1])))]
    for axis, width in faces:
        if width > effector.max_width - JAW_SLACK:
            continue
        for sign in (1.0,) if round_ else (1.0, -1.0):
            for tilt in (0.0, 0.3, -0.3):
                yield Grasp(
                    rotation=_jaw_rotation(sign * axis, tilt),
                    point=point,
                    tool=np.zeros(3),
                    free_yaw=round_,
                    back_off=np.array([0.0, 0.0, -JAW_BACK_OFF]),
                    rise=0.0,
                    open=jaw_at(effector, width + JAW_ROOM),
                    close=np.array(effector.close),
                    encloses=False,
                    cost=abs(tilt) + 2.0 * width,
                )


def jaw_at(effector: EndEffector, width: float) -> Array:
    """Joint targets (h,) at which a parallel jaw is open by ``width`` metres, within what it can do."""
    part = min(1.0, max(0.0, width / effector.max_width))
    closed = np.array(effector.close)
    return closed + part * (np.array(effector.open) - closed)


def _jaw_rotation(axis: Array, tilt: float) -> Array:
    """Grasp frame with y along a horizontal ``axis`` and z pointing down, turned by ``tilt`` rad about y."""
    c, s = np.cos(tilt), np.sin(tilt)
    x, y = -axis[1], axis[0]  # axis x down
    return np.array([[c * x, axis[0], s * x], [c * y, axis[1], s * y], [s, axis[2], -c]])


def hand_grasps(effector: EndEffector, state: ObjectState) -> Iterator[Grasp]:
    """Grasps of a hand with fingers, from its table of measured ones; standing objects only.

    A round object leaves the yaw free. A box is taken with the palm along a face, as its table was measured; when
    the arm cannot turn so, at most ``YAW_SLACK`` off.
    """
    solid = solid_of(state)
    if not solid.upright and state.prop.shape != "sphere":
        return
    shape = "box" if state.prop.shape == "other" else state.prop.shape
    e = state.prop.extents
    if shape != "box":
        grasp = interpolate(effector.grasps, shape, float(max(e[0], e[1])) / 2)
        if grasp is not None:
            for pitch, up, way in _variants(solid):
                yield _hand_grasp(grasp, solid, yaw=0.0, pitch=pitch, up=up, way=way, free=True, cost=0.0)
        return
    # An arm of few joints seldom gets all of a pose: let it choose the yaw, within what holds.
    few = len(effector.arm_joints) <= 6
    for face, width in opening_axes(state):
        grasp = interpolate(effector.grasps, "box", width / 2)
        if grasp is None:
            continue
        yaw = float(np.arctan2(face[1], face[0])) - np.pi / 2
        for pitch, up, way in _variants(solid):
            for half in (0.0, np.pi):
                exact = _hand_grasp(
                    grasp, solid, yaw=yaw + half, pitch=pitch, up=up, way=way, free=False, cost=width + 0.5 * few
                )
                loose = replace(exact, free_yaw=True, yaw_step=np.pi, yaw_slack=YAW_SLACK, cost=exact.cost + 0.5)
                yield replace(loose, cost=loose.cost - few)
                yield exact


def _variants(solid: Solid) -> Iterator[tuple[float, float, int]]:
    """(more pitch, higher up, way of approach) to try; the ways: 0 sideways, 1 from above."""
    for way in (0, 1):
        for pitch in (0.0, 0.2, 0.35):
            for up in (0.0, 0.009, 0.018, 0.027):
                if up <= HIGHER * solid.half_height:
                    yield pitch, up, way


def _hand_grasp(
    grasp: HandGrasp, solid: Solid, *, yaw: float, pitch: float, up: float, way: int, free: bool, cost: float
) -> Grasp:
    back = -np.array(grasp.approach)
    return Grasp(
        rotation=hand_rotation(yaw, grasp.pitch + pitch, grasp.roll),
        point=solid.center + np.array([0.0, 0.0, up]),
        tool=np.array(grasp.center),
        free_yaw=free,
        back_off=back if way == 0 else ABOVE_BACK_OFF * back,
        rise=HAND_DROP if way == 0 else 2 * solid.half_height + ABOVE_RISE,
        open=np.array(grasp.open),
        close=np.array(grasp.close),
        encloses=True,
        cost=cost + pitch + 10 * up + 0.6 * way,
    )


def hand_rotation(yaw: float, pitch: float, roll: float) -> Array:
    """Rz(yaw) Ry(pitch) Rx(-roll): the grasp frame of ``HandGrasp`` in the world, (3, 3)."""
    cy, sy, cp, sp, cr, sr = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch), np.cos(roll), np.sin(roll)
    z = np.array([[cy, -sy, 0.0], [sy, cy, 0.0], [0.0, 0.0, 1.0]])
    y = np.array([[cp, 0.0, sp], [0.0, 1.0, 0.0], [-sp, 0.0, cp]])
    x = np.array([[1.0, 0.0, 0.0], [0.0, cr, sr], [0.0, -sr, cr]])
    return z @ y @ x


def interpolate(table: tuple[HandGrasp, ...], shape: str, girth: float) -> HandGrasp | None:
    """A grasp for a girth (metres) between two measured ones of the same shape; None when it is too far from all.

    Numbers are interpolated linearly over the girth and kept constant beyond the ends, for ``GIRTH_SLACK``.
    """
    known = sorted((g for g in table if g.shape == shape), key=lambda g: g.girth)
    if not known:
        return interpolate(table, "cylinder", girth) if shape == "sphere" else None
    if not known[0].girth - GIRTH_SLACK <= girth <= known[-1].girth + GIRTH_SLACK:
        return None
    for a, b in itertools.pairwise(known):
        if a.girth <= girth <= b.girth:
            t = (girth - a.girth) / (b.girth - a.girth) if b.girth > a.girth else 0.0
            return _mix(a, b, t)
    return known[0] if girth < known[0].girth else known[-1]


def _mix(a: HandGrasp, b: HandGrasp, t: float) -> HandGrasp:
    def between(x: tuple[float, ...], y: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(p + (q - p) * t for p, q in zip(x, y, strict=True))

    pitch, roll, girth = between((a.pitch, a.roll, a.girth), (b.pitch, b.roll, b.girth))
    return HandGrasp(
        shape=a.shape,
        girth=girth,
        pitch=pitch,
        roll=roll,
        center=between(a.center, b.center),  # pyright: ignore[reportArgumentType]
        approach=between(a.approach, b.approach),  # pyright: ignore[reportArgumentType]
        open=between(a.open, b.open),
        close=between(a.close, b.close),
    )
