"""The skill ``Pick``: choose arm and grasp, approach, look again, close, lift, look whether it is held."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from synthgen.core.errors import EpisodeFailure
from synthgen.core.pose import Array
from synthgen.core.trajectory import Segment
from synthgen.core.world import World
from synthgen.experts.arm import Arm
from synthgen.experts.grasps import Grasp, candidates
from synthgen.experts.motion import Grip, Motion
from synthgen.experts.place import place_over
from synthgen.experts.skills import Pick
from synthgen.experts.timing import Curve

# A parallel jaw is told to close by this much more than until it touches, metres: the pressure it holds with.
SQUEEZE = 0.024
# How far the object is lifted before its hold is judged, metres.
LIFT = 0.08
# An object that has moved by more than this since the approach was planned is approached anew, metres.
MOVED = 0.025
# Grasps without a free straight way for which another way is searched.
DETOURS = 3
# Errors of inverse kinematics that a grasp forgives: position (m), rotation (rad); at the approach's begin more.
JAW_TOLERANCE, JAW_NEAR = (0.002, 0.03), (0.01, 0.08)
HAND_TOLERANCE, HAND_NEAR = (0.004, 0.12), (0.02, 0.3)


@dataclass(frozen=True, kw_only=True, eq=False)
class Reachable:
    """A grasp that the arm reaches.

    Attributes:
        knots, lift: configurations (n,) from now to the grasp, and up again.
        over: (n,) configuration over the receptacle, where one is meant.
        terms: of the way there, for ``Planner.curve``.
    """

    arm: Arm
    grasp: Grasp
    knots: tuple[Array, ...]
    lift: tuple[Array, ...]
    over: Array | None
    terms: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, eq=False)
class PickPlan:
    """A reachable grasp with a free way to it, and where the object's centre was when it was planned."""

    found: Reachable
    reach: Curve
    center: Array


def pick(motion: Motion, skill: Pick, into: str | None) -> Generator[Segment, World, None]:
    """Pick an object up; ``into`` names the receptacle it is meant for, so that a suitable arm is chosen.

    Raises:
        EpisodeFailure: unreachable, no_path, or missed_grasp after one retry.
    """
    for attempt in range(2):
        before = motion.world.objects[skill.object].center
        plan = plan_pick(motion, skill.object, into)
        arm, grasp = plan.found.arm, plan.found.grasp
        yield from _do(
            motion,
            motion.segment(
                arm,
                "reach",
                "reach",
                arm_rows=motion.arm_rows(arm, plan.reach),
                hand_rows=motion.hand_rows(arm, grasp.open),
            ),
        )
        moved = float(np.linalg.norm(motion.world.objects[skill.object].center - plan.center))
        if moved < MOVED:
            yield from _do(motion, motion.segment(arm, "grasp", "close", hand_rows=_closing(motion, arm, grasp)))
            lift = Curve(np.array([motion.arm_targets(arm), *plan.found.lift]), arm.velocity)
            yield from _do(motion, motion.segment(arm, "lift", "lift", arm_rows=motion.arm_rows(arm, lift, pace=0.9)))
            if holds(motion, arm, skill.object, float(before[2]) + 0.5 * LIFT):
                motion.grip = Grip(arm=arm, object=skill.object, grasp=grasp, over=plan.found.over)
                return
        if attempt == 0:
            yield from _let_go(motion, plan, moved=moved >= MOVED)
    raise EpisodeFailure("missed_grasp", f"{skill.object} with the {arm.name} hand")


def _do(motion: Motion, segment: Segment) -> Generator[Segment, World, None]:
    motion.look((yield segment))


def _closing(motion: Motion, arm: Arm, grasp: Grasp) -> Array:
    """Hand targets that close, then let the fingers reach what they hold."""
    return motion.hand_rows(arm, grasp.close, settle=0.1 if arm.effector.kind == "parallel_jaw" else 0.2)


def _let_go(motion: Motion, plan: PickPlan, *, moved: bool) -> Generator[Segment, World, None]:
    """After a miss: open, and draw back the way the hand came, to try again from there."""
    arm, grasp = plan.found.arm, plan.found.grasp
    if not moved:
        yield from _do(motion, motion.segment(arm, "grasp", "open", hand_rows=motion.hand_rows(arm, grasp.open)))
    back = Curve(np.array([motion.arm_targets(arm), plan.reach.knots[0]]), arm.velocity)
    yield from _do(motion, motion.segment(arm, "reach", "draw back", arm_rows=motion.arm_rows(arm, back)))


def holds(motion: Motion, arm: Arm, name: str, height: float) -> bool:
    """Whether an object is above ``height`` (world z, metres) and touched by the hand."""
    world = motion.world
    return bool(world.objects[name].center[2] > height) and (arm.name, name) in world.touching


def plan_pick(motion: Motion, name: str, into: str | None) -> PickPlan:
    """The first grasp in order of liking that can be reached, lifted and brought to the receptacle without collision.

    Raises:
        EpisodeFailure: unreachable, or no_path when only the way was missing.
    """
    reasons: Counter[str] = Counter()
    blocked: list[Reachable] = []
    state = motion.world.objects[name]
    for arm in arms_by_liking(motion, name, into):
        seeds = seeds_of(motion, arm)
        _, easy = motion.planner.grasp_frame(arm, seeds[0])
        forward = float(np.arctan2(easy[1, 0], easy[0, 0]))
        for grasp in candidates(arm.effector, state, surface=motion.world.surface_height, forward=forward):
            for seed in seeds:
                found = _reachable(motion, arm, grasp, seed=seed, name=name, into=into)
                if isinstance(found, str):
                    reasons[found] += 1
                    continue
                curve = motion.planner.curve(arm, found.knots, **found.terms)
                if curve is not None:
                    return PickPlan(found=found, reach=curve, center=state.center)
                blocked.append(found)
                break
        motion.planner.set_driven(motion.targets)
    for found in blocked[:DETOURS]:
        motion.planner.set_hand(found.arm, found.grasp.open)
        curve = motion.planner.detour(found.arm, found.knots, rng=motion.rng, **found.terms)
        motion.planner.set_driven(motion.targets)
        if curve is not None:
            return PickPlan(found=found, reach=curve, center=state.center)
    detail = ", ".join(f"{why} {n}x" for why, n in sorted(reasons.items())) or "too big for the hand"
    raise EpisodeFailure("no_path" if blocked else "unreachable", f"{name}: {detail}")


def arms_by_liking(motion: Motion, name: str, into: str | None) -> list[Arm]:
    """The arms, the one that suits best first: nearest to the object and, half as much, to the receptacle."""
    planner = motion.planner
    if len(planner.arms) == 1:
        return list(planner.arms.values())
    planner.set_driven(planner.home)
    goals = [(motion.world.objects[name].center, 1.0)]
    if into is not None:
        goals.append((motion.world.receptacles[into].frame.position, 0.5))

    def far(arm: Arm) -> float:
        at, _ = planner.grasp_frame(arm, planner.home[arm.columns])
        return sum(weight * float(np.linalg.norm((goal - at)[:2])) for goal, weight in goals)

    cost = {arm.name: far(arm) for arm in planner.arms.values()}
    planner.set_driven(motion.targets)
    return sorted(planner.arms.values(), key=lambda arm: cost[arm.name])


def seeds_of(motion: Motion, arm: Arm) -> list[Array]:
    """Configurations from which inverse kinematics starts."""
    rest = np.clip(np.array(arm.effector.rest, float), arm.lower, arm.upper)
    if arm.effector.kind == "parallel_jaw":
        return [rest]
    turned = []
    for a in (-0.4, 0.4):
        q = rest.copy()
        q[0] += a
        turned.append(np.clip(q, arm.lower, arm.upper))
    return [rest, *turned]


def _reachable(motion: Motion, arm: Arm, grasp: Grasp, *, seed: Array, name: str, into: str | None) -> Reachable | str:
    """Solve one grasp from one seed, or say which step fails."""
    planner, body = motion.planner, motion.world.objects[name].prop.body
    exact, near = (JAW_TOLERANCE, JAW_NEAR) if not grasp.encloses else (HAND_TOLERANCE, HAND_NEAR)
    kind = {"tool": grasp.tool, "free_yaw": grasp.free_yaw}
    at = planner.solve(arm, seed, grasp.point, grasp.rotation, posture=0.05, **kind)
    if not at.within(*exact):
        return "grasp"
    _, rotation = planner.grasp_frame(arm, at.q)
    if grasp.yaw_step and _misalignment(rotation, grasp) > grasp.yaw_slack:
        return "turn"
    planner.set_hand(arm, grasp.open)
    planner.ignore(body, on=grasp.encloses)
    hit = planner.collides(arm, at.q, clearance=0.001)
    planner.ignore(body, on=False)
    if hit:
        return "room at the grasp"
    if not grasp.encloses:
        closed = _closed_on(motion, arm, grasp, at.q)
        if closed is None:
            return "nothing to hold"
        grasp = replace(grasp, close=closed)
    begin = grasp.point + rotation @ grasp.back_off + np.array([0.0, 0.0, grasp.rise])
    middle = planner.solve(arm, at.q, (begin + grasp.point) / 2, rotation, iterations=15, **kind)
    start = planner.solve(arm, middle.q, begin, rotation, iterations=20, **kind)
    if not start.within(*near):
        return "approach"
    if planner.collides(arm, start.q):
        return "room before the grasp"
    up = np.array([0.0, 0.0, LIFT])
    half = planner.solve(arm, at.q, grasp.point + up / 2, rotation, iterations=15, **kind)
    lifted = planner.solve(arm, half.q, grasp.point + up, rotation, iterations=20, **kind)
    if not lifted.within(*near):
        return "lift"
    over = None
    if into is not None:
        over = place_over(motion, arm, grasp, at=at.q, lifted=lifted.q, name=name, into=into)
        if over is None:
            return "place"
    planner.set_hand(arm, grasp.open)
    return Reachable(
        arm=arm,
        grasp=grasp,
        knots=(motion.arm_targets(arm), start.q, middle.q, at.q),
        lift=(half.q, lifted.q),
        over=over,
        terms={"clearance": 0.001, "through": (body, 1) if grasp.encloses else None},
    )


def _closed_on(motion: Motion, arm: Arm, grasp: Grasp, q: Array) -> Array | None:
    """Jaw targets (h,) a little narrower than what lies between the fingers at ``q``; None when nothing does.

    What is there may be slimmer than the object's box (a bottle's neck), so the planning model is asked.
    """
    planner = motion.planner
    free, touching = 1.0, 0.0  # parts of the way from closed to open
    for k in range(7):
        part = 0.0 if k == 0 else (free + touching) / 2
        planner.set_hand(arm, grasp.close + part * (grasp.open - grasp.close))
        if planner.collides(arm, q, clearance=0.0):
            touching = part
        elif k == 0:
            return None
        else:
            free = part
    squeeze = SQUEEZE / max(arm.effector.max_width, 1e-6)
    full = np.array(arm.effector.open) - np.array(arm.effector.close)
    wanted = grasp.close + touching * (grasp.open - grasp.close) - squeeze * full
    return np.clip(wanted, np.minimum(grasp.close, grasp.open), np.maximum(grasp.close, grasp.open))


def _misalignment(rotation: Array, grasp: Grasp) -> float:
    """How far, radians, the hand is turned about z from the nearest good direction of a box."""
    m = rotation @ grasp.rotation.T
    turn = float(np.arctan2(m[1, 0] - m[0, 1], m[0, 0] + m[1, 1]))
    return abs((turn + grasp.yaw_step / 2) % grasp.yaw_step - grasp.yaw_step / 2)
