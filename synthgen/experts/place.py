"""The skill ``Place``: carry over the receptacle, lower as deep as its walls let the hand, open, draw back, go home."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass

import numpy as np

from synthgen.core.errors import EpisodeFailure
from synthgen.core.pose import Array
from synthgen.core.trajectory import Segment
from synthgen.core.world import World
from synthgen.experts.arm import Arm
from synthgen.experts.grasps import Grasp, solid_of
from synthgen.experts.motion import Motion
from synthgen.experts.skills import Place
from synthgen.experts.timing import Curve

# Between the held object and the rim when it comes over it, and the floor when it is let go, metres.
OVER_RIM, OVER_FLOOR = 0.03, 0.006
# What a hand that cannot open is worth in metres to fall.
HALF_OPEN = 0.15
# Steps in which the object is lowered, metres.
STEP = 0.02
# Distance kept from walls while something is carried over and into a receptacle, metres.
TIGHT = 0.002
# An object is not let fall from higher than this above the floor, metres.
HIGHEST_DROP = 0.14
# Turns of the hand about z that are tried when the first does not get deep, radians.
TURNS = (0.8, -0.8, 1.6, -1.6)
# Places beside the middle that are tried, as a part of the free room there.
AROUND = 0.6
# Ways to put it down for which another path is searched.
DETOURS = 4
NEAR = (0.012, 0.15)
# Drawing back need not be exact, and begins in contact: metres, radians; metres.
BACK, LOOSE = (0.02, 0.4), -0.004


@dataclass(frozen=True, kw_only=True, eq=False)
class PlacePlan:
    """One way to put it down.

    Attributes:
        knots: configurations (n,) over the rim and down.
        short: metres left between object and floor at the end.
        opening: (h,) hand targets that let go there without pressing against the walls.
        part: how far that is from closed (0) to open (1).
    """

    knots: tuple[Array, ...]
    short: float
    opening: Array
    part: float

    @property
    def good(self) -> bool:
        """Nothing better need be looked for."""
        return self.short < STEP and self.part == 1.0

    @property
    def cost(self) -> float:
        """Dislike: metres to fall, and a hand that opens only partly may take along what it let go."""
        return self.short + HALF_OPEN * (1.0 - self.part)


def place(motion: Motion, skill: Place) -> Generator[Segment, World, None]:
    """Place what is held.

    Raises:
        EpisodeFailure: dropped, unreachable or no_path.
    """
    grip = motion.grip
    if grip is None or grip.object != skill.object:
        raise EpisodeFailure("dropped", f"{skill.object} is not in a hand")
    arm = grip.arm
    plan, curve = _plan_transfer(motion, skill)
    motion.look((yield motion.segment(arm, "move", "transfer", arm_rows=motion.arm_rows(arm, curve, pace=0.9))))
    if (arm.name, skill.object) not in motion.world.touching:
        raise EpisodeFailure("dropped", f"{skill.object} on the way to {skill.into}")
    hand_rows = motion.hand_rows(arm, plan.opening, settle=0.1)
    motion.look((yield motion.segment(arm, "release", "open", hand_rows=hand_rows)))
    motion.grip = None
    way = _way_home(motion, arm, grip.grasp, lowered=plan.knots, released=skill.object)
    if way is None:
        raise EpisodeFailure("no_path", f"away from {skill.into}")
    rows = motion.arm_rows(arm, way)
    opened = motion.hand_rows(arm, motion.home[arm.hand_columns])
    # The hand opens fully only where it has left the receptacle.
    late = max(0, min(len(rows) // 2, len(rows) - len(opened)))
    opened = np.concatenate([np.repeat(motion.hand_targets(arm)[None], late, axis=0), opened])
    motion.look((yield motion.segment(arm, "retreat", "home", arm_rows=rows, hand_rows=opened)))


def _plan_transfer(motion: Motion, skill: Place) -> tuple[PlacePlan, Curve]:
    grip, planner = motion.grip, motion.planner
    assert grip is not None
    arm, now = grip.arm, motion.arm_targets(grip.arm)
    state = motion.world.objects[skill.object]
    planner.set_driven(motion.world.joints[: len(motion.targets)])
    position, rotation = planner.grasp_frame(arm, motion.world.joints[arm.columns])
    tool = rotation.T @ (state.center - position)
    planner.hold(arm, state.prop.body, motion.world.joints[arm.columns])
    planner.set_driven(motion.targets)
    plans = place_plans(
        motion,
        arm,
        grip.grasp,
        rotation=rotation,
        tool=tool,
        seed=now if grip.over is None else grip.over,
        name=skill.object,
        into=skill.into,
        posture=0.03 if grip.over is None else 0.0,
    )
    found: list[PlacePlan] = []
    for plan in plans:
        if plan.good:
            curve = planner.curve(arm, [now, *plan.knots], clearance=TIGHT, held_clearance=0.0)
            if curve is not None:
                planner.collisions.hold(None)
                return plan, curve
        found.append(plan)
    found.sort(key=lambda p: p.cost)
    ways = (
        lambda knots: planner.curve(arm, knots, clearance=TIGHT, held_clearance=0.0),
        lambda knots: planner.detour(arm, knots, rng=motion.rng, clearance=TIGHT, held_clearance=0.0),
    )
    for way in ways:
        for plan in found[:DETOURS]:
            curve = way([now, *plan.knots])
            if curve is not None:
                planner.collisions.hold(None)
                return plan, curve
    planner.collisions.hold(None)
    raise EpisodeFailure("no_path" if found else "unreachable", f"{skill.object} to {skill.into}")


def place_plans(
    motion: Motion,
    arm: Arm,
    grasp: Grasp,
    *,
    rotation: Array,
    tool: Array,
    seed: Array,
    name: str,
    into: str,
    posture: float = 0.03,
) -> Iterator[PlacePlan]:
    """Ways to bring the held object's centre over the receptacle and down, one per turn of the hand that works.

    Args:
        motion: the episode; its planner holds the object, or ignores it.
        arm, grasp: which holds it, and how.
        rotation: (3, 3) grasp frame -> world in which the object is held as it shall be put down, up to the yaw.
        tool: (3,) the object's centre in the grasp frame, metres.
        seed: (n,) configuration to start from; ``posture``: pull to the rest posture while solving.
        name, into: the object and the receptacle.
    """
    planner = motion.planner
    receptacle = motion.world.receptacles[into]
    solid = solid_of(motion.world.objects[name])
    rise = receptacle.receptacle.height + OVER_RIM
    for spot, turn in _spots(motion, name, into):
        floor = spot + np.array([0.0, 0.0, solid.half_height + OVER_FLOOR])
        c, s = np.cos(turn), np.sin(turn)
        wanted = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]]) @ rotation
        # Turned hands are asked for exactly; the others take whatever yaw comes easily.
        free = turn == 0.0
        over = floor + np.array([0.0, 0.0, rise])
        above = planner.solve(arm, seed, over, wanted, tool=tool, free_yaw=free, posture=posture, iterations=50)
        if not above.within(*NEAR) or planner.collides(arm, above.q, clearance=TIGHT):
            continue
        _, wanted = planner.grasp_frame(arm, above.q)

        def lowered(
            start: Array, height: float, floor: Array = floor, wanted: Array = wanted, free: bool = free
        ) -> Array | None:
            at = floor + np.array([0.0, 0.0, height])
            down = planner.solve(arm, start, at, wanted, tool=tool, free_yaw=free, iterations=15)
            if not down.within(*NEAR) or planner.collides(arm, down.q, clearance=TIGHT, held_clearance=0.0):
                return None
            return down.q

        way = _lower(lowered, above.q, rise)
        plan = min(_releases(motion, arm, grasp, way), key=lambda p: p.cost)
        if plan.short <= HIGHEST_DROP:
            yield plan


def _releases(motion: Motion, arm: Arm, grasp: Grasp, way: list[tuple[Array, float]]) -> Iterator[PlacePlan]:
    """Where to let go on the way down, (configuration, metres left) each: at its end, or before the walls are in the
    way of the opening hand."""
    planner = motion.planner
    closed = planner.driven[arm.hand_columns]
    wide = grasp.open - closed
    for k in range(len(way), 0, -1):
        q, short = way[k - 1]
        part = 1.0
        for part in (1.0, 0.75, 0.5):
            planner.set_hand(arm, closed + part * wide)
            if not planner.collides(arm, q, clearance=0.0, held_clearance=-1.0):
                break
        planner.set_hand(arm, closed)
        knots = tuple(q for q, _ in way[:k])
        yield PlacePlan(knots=knots, short=short, opening=closed + part * wide, part=part)
        if part == 1.0:
            return


def _spots(motion: Motion, name: str, into: str) -> Iterator[tuple[Array, float]]:
    """Where on the receptacle's floor (3,), world, metres, and turned by how much: the middle first, then around it."""
    state = motion.world.receptacles[into]
    prop = motion.world.objects[name].prop
    foot = float(np.hypot(prop.extents[0], prop.extents[1])) / 2
    yield state.frame.position, 0.0
    aside = [AROUND * max(0.0, h - foot) for h in state.receptacle.half_extents]
    for x, y in ((0.0, -1.0), (0.0, 1.0), (1.0, 0.0), (-1.0, 0.0)):
        yield state.frame.apply(np.array([x * aside[0], y * aside[1], 0.0])), 0.0
    for turn in TURNS:
        yield state.frame.position, turn


def _lower(lowered: Callable[[Array, float], Array | None], above: Array, rise: float) -> list[tuple[Array, float]]:
    """Down to the floor at once if that works, else step by step as deep as it goes: (configuration, metres left).

    ``lowered(start, height)``: the configuration ``height`` metres above the end, or None when it is not possible.
    """
    half = lowered(above, rise / 2)
    low = None if half is None else lowered(half, 0.0)
    if half is not None and low is not None:
        return [(above, rise), (half, rise / 2), (low, 0.0)]
    way = [(above, rise)]
    steps = max(1, int(np.ceil(rise / STEP)))
    for k in range(1, steps + 1):
        height = rise * (1 - k / steps)
        down = lowered(way[-1][0], height)
        if down is None:
            break
        way.append((down, height))
    return way


def place_over(
    motion: Motion, arm: Arm, grasp: Grasp, *, at: Array, lifted: Array, name: str, into: str
) -> Array | None:
    """Where (n,) the arm would be over a receptacle with an object taken with a grasp at ``at``; None: not possible."""
    planner, state = motion.planner, motion.world.objects[name]
    position, rotation = planner.grasp_frame(arm, at)
    tool = rotation.T @ (state.center - position)
    planner.set_hand(arm, grasp.close)
    planner.hold(arm, state.prop.body, at)
    found = next(place_plans(motion, arm, grasp, rotation=rotation, tool=tool, seed=lifted, name=name, into=into), None)
    planner.collisions.hold(None)
    planner.put(state.prop.body, state.pose)
    return None if found is None else found.knots[0]


def _way_home(motion: Motion, arm: Arm, grasp: Grasp, *, lowered: tuple[Array, ...], released: str) -> Curve | None:
    """From the opened hand to the home pose: straight off the object, then home, around things if need be."""
    planner, home, now = motion.planner, motion.home[arm.columns], motion.arm_targets(arm)
    ways = [[now, *back, home] for back in _ways_back(motion, arm, grasp, lowered)]
    # Best without touching the released object again; a thumb may drag it along.
    for dragging in (False, True):
        planner.ignore(motion.world.objects[released].prop.body, on=dragging)
        for knots in ways:
            curve = planner.curve(arm, knots, clearance=LOOSE)
            if curve is not None:
                return curve
    for knots in ways:
        curve = planner.detour(arm, knots, rng=motion.rng, leg=len(knots) - 2, clearance=LOOSE)
        if curve is not None:
            return curve
    return None


def _ways_back(motion: Motion, arm: Arm, grasp: Grasp, lowered: tuple[Array, ...]) -> list[list[Array]]:
    """Ways (configurations (n,) each) that bring the open hand off the object: as it came, or straight up."""
    planner, q = motion.planner, motion.arm_targets(arm)
    position, rotation = planner.grasp_frame(arm, q)
    off, up = rotation @ grasp.back_off, np.array([0.0, 0.0, 1.0])
    moves = [[0.5 * off, off]]
    if grasp.encloses:
        moves = [[0.5 * off + 0.03 * up, off + 0.09 * up], [0.6 * off, 0.6 * off + 0.1 * up], [0.2 * off + 0.12 * up]]
    out = []
    for steps in moves:
        way, seed = [], q
        for step in steps:
            found = planner.solve(arm, seed, position + step, rotation, free_yaw=grasp.free_yaw, iterations=20)
            if not found.within(*BACK):
                break
            seed = found.q
            way.append(seed)
        else:
            out.append(way)
    return [*out, list(lowered[-2::-1])]
