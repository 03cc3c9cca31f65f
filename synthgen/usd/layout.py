"""Which things are in an episode, and where they stand."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from synthgen.core.errors import EpisodeFailure
from synthgen.core.pose import Pose, matrix_from_quat, quat_from_axis_angle
from synthgen.core.scene import ObjectProp, ObjectSlot, Receptacle, SceneSpec, SpawnRegion
from synthgen.usd import bounds
from synthgen.usd.footprint import Footprint, gap

TRIES = 100
"""Poses tried for one thing before the whole layout is drawn anew."""
RESTARTS = 30
"""Layouts tried before the episode is given up."""
FLUSH = 2e-3
"""Metres by which something must stand out of a surface to be in the way there."""
FIT = 5e-3
"""Metres of room a target must have all round inside a receptacle."""
_ORDER = {"receptacle": 0, "target": 1, "distractor": 2}

Thing = ObjectProp | Receptacle
Draws = dict[str, float | str]


@dataclass(frozen=True, kw_only=True, eq=False)
class Layout:
    """Slot name -> what fills it; world poses of what was placed, by body path; paths of the absent bodies."""

    slots: Mapping[str, str]
    poses: Mapping[str, Pose]
    absent: frozenset[str]


@dataclass(frozen=True, kw_only=True, eq=False)
class Outline:
    """Room a body takes in its own frame: footprint in x-y, and from where to where it reaches along z, metres."""

    footprint: Footprint
    low: float
    high: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Standing:
    """Room that a body takes: its footprint in the world's x-y plane, and from where to where it reaches in z."""

    footprint: Footprint
    low: float
    high: float

    def clear_of(self, other: Standing, clearance: float) -> bool:
        """Whether the two are at least ``clearance`` metres apart, or one is above the other."""
        if self.high <= other.low + FLUSH or other.high <= self.low + FLUSH:
            return True
        a, b = self.footprint, other.footprint
        apart = math.hypot(a.center[0] - b.center[0], a.center[1] - b.center[1]) - a.radius() - b.radius()
        return apart >= clearance or gap(a, b) >= clearance


class _Stuck(Exception):  # noqa: N818 - not an error: this layout is given up, another one is drawn
    pass


def draw(scene: SceneSpec, rng: np.random.Generator, draws: Draws) -> Layout:
    """Fill the slots and place what fills them; what was drawn is added to ``draws``.

    Raises:
        EpisodeFailure: "placement", saying what could not be placed.
    """
    filled: list[ObjectSlot] = []
    for slot in sorted(scene.slots, key=lambda s: _ORDER[s.role]):
        if slot.probability < 1.0:
            draws[f"{slot.name}.chance"] = float(rng.random())
        if slot.probability >= 1.0 or float(draws[f"{slot.name}.chance"]) < slot.probability:
            filled.append(slot)
    why = ""
    for _ in range(RESTARTS):
        trial: Draws = {}
        try:
            slots = _choose(scene, filled, rng, trial)
            poses = _place(scene, filled, slots, rng, trial)
        except _Stuck as stuck:
            why = str(stuck)
            continue
        draws.update(trial)
        present = {body_of(scene, name) for name in slots.values()}
        return Layout(slots=slots, poses=poses, absent=frozenset(candidates(scene) - present))
    raise EpisodeFailure("placement", f"{why} ({RESTARTS} layouts tried)")


def thing(scene: SceneSpec, name: str) -> Thing:
    """The object or receptacle of a name."""
    return scene.objects[name] if name in scene.objects else scene.receptacles[name]


def body_of(scene: SceneSpec, name: str) -> str | None:
    """Body path of an object or receptacle; None for a static receptacle."""
    return thing(scene, name).body


@lru_cache(maxsize=8)
def candidates(scene: SceneSpec) -> frozenset[str]:
    """Paths of the bodies that slots place: candidates that move freely (on no joint)."""
    jointed = {p for j in scene.joints for p in (j.parent, j.child)}
    named = {body_of(scene, n) for s in scene.slots for n in s.candidates}
    return frozenset(p for p in named if p is not None and p not in jointed)


def ambiguous(a: Thing, b: Thing) -> bool:
    """Whether ``a``'s noun and words also describe ``b``."""
    return a.noun == b.noun and a.attributes.items() <= b.attributes.items()


def fits(prop: ObjectProp, receptacle: Receptacle) -> bool:
    """Whether an object's bounding circle lies inside a receptacle's inner floor with some room."""
    return float(flat_radius(prop)) + FIT <= min(receptacle.half_extents)


def flat_radius(prop: ObjectProp) -> float:
    """Radius of an object's bounding circle seen from above, metres."""
    if prop.shape in ("cylinder", "sphere"):
        return float(prop.extents[:2].max()) / 2
    return float(np.hypot(*prop.extents[:2])) / 2


def outline(scene: SceneSpec, found: Thing) -> Outline:
    """The room a thing takes in its body's frame.

    An object's footprint is its bounding circle; a receptacle's the rectangle (or disc) around its colliders.
    """
    if isinstance(found, ObjectProp):
        radius, half = flat_radius(found), float(found.extents[2]) / 2
        disc = Footprint(center=found.center[:2], half=np.array([radius, radius]), disc=True)
        return Outline(footprint=disc, low=float(found.center[2]) - half, high=float(found.center[2]) + half)
    box = bounds.box(scene.bodies[found.body].geoms) if found.body is not None else None
    if box is None:  # nothing to collide with: its inner floor is all there is
        half = np.array([*found.half_extents, 0.0])
        box = (found.pose.position - half, found.pose.position + half)
    low, high = box
    half = (high - low)[:2] / 2
    disc = found.round and bool(abs(half[0] - half[1]) < 0.02 * half.max())
    half = np.full(2, half.max()) if disc else half
    footprint = Footprint(center=(low + high)[:2] / 2, half=half, disc=disc)
    return Outline(footprint=footprint, low=float(low[2]), high=float(high[2]))


@lru_cache(maxsize=8)
def obstacles(scene: SceneSpec) -> tuple[Standing, ...]:
    """What always stands where it was authored: static colliders, and bodies that no slot places."""
    fixed = [b for p, b in scene.bodies.items() if p not in candidates(scene)]
    geoms = [*scene.static_geoms, *(replace(g, pose=b.pose @ g.pose) for b in fixed for g in b.geoms)]
    found: list[Standing] = []
    for geom in geoms:
        box = bounds.box([geom])
        if box is not None:
            low, high = box
            footprint = Footprint(center=(low + high)[:2] / 2, half=(high - low)[:2] / 2)
            found.append(Standing(footprint=footprint, low=float(low[2]), high=float(high[2])))
    return tuple(found)


def _choose(scene: SceneSpec, slots: list[ObjectSlot], rng: np.random.Generator, draws: Draws) -> dict[str, str]:
    """Slot name -> name of what fills it, all different and told apart by their words."""
    named = {**scene.objects, **scene.receptacles}
    present = [(x, "distractor") for x in named.values() if x.body not in candidates(scene)]
    chosen: dict[str, str] = {}
    for slot in slots:
        left = [n for n in slot.candidates if n not in chosen.values()]
        options = [n for n in left if _goes_with(thing(scene, n), slot.role, present)]
        if not options:
            others = ", ".join(sorted(chosen.values())) or "nothing"
            raise _Stuck(f"slot {slot.name!r}: none of its candidates goes with {others}")
        name = options[int(rng.integers(len(options)))]
        draws[f"{slot.name}.thing"] = name
        chosen[slot.name] = name
        new = thing(scene, name)
        present = [(x, role) for x, role in present if x is not new] + [(new, slot.role)]
    return chosen


def _goes_with(new: Thing, role: str, present: list[tuple[Thing, str]]) -> bool:
    """Whether words tell it from everything present, and a target fits into every receptacle that was drawn."""
    for other, other_role in present:
        if other is new:
            continue
        if ambiguous(new, other) and (role != "distractor" or ambiguous(other, new)):
            return False
        if ambiguous(other, new) and other_role != "distractor":
            return False
        if (role, other_role) == ("target", "receptacle") and not _fits(new, other):
            return False
    return True


def _fits(new: Thing, other: Thing) -> bool:
    return not (isinstance(new, ObjectProp) and isinstance(other, Receptacle)) or fits(new, other)


def _place(
    scene: SceneSpec, slots: list[ObjectSlot], chosen: Mapping[str, str], rng: np.random.Generator, draws: Draws
) -> dict[str, Pose]:
    """World poses, by body path, of what fills the slots and can be moved."""
    taken = list(obstacles(scene))
    poses: dict[str, Pose] = {}
    for slot in slots:
        name = chosen[slot.name]
        body = body_of(scene, name)
        if body is None or body not in candidates(scene):
            continue
        if not slot.regions:
            raise _Stuck(f"slot {slot.name!r} has no region for {name!r}")
        region = scene.regions[slot.regions[int(rng.integers(len(slot.regions)))]]
        found = _put(outline(scene, thing(scene, name)), region, taken, rng)
        if found is None:
            raise _Stuck(f"slot {slot.name!r}: no room for {name!r} in region {region.name!r} after {TRIES} tries")
        draws[f"{slot.name}.region"] = region.name
        draws.update({f"{slot.name}.{k}": v for k, v in zip(("x", "y", "yaw"), found.drawn, strict=True)})
        taken.append(found.standing)
        poses[body] = found.pose
    return poses


@dataclass(frozen=True, kw_only=True, eq=False)
class _Put:
    """A placed thing: the room it takes, its body's world pose, and the drawn x, y (m) and yaw (rad) in the region."""

    standing: Standing
    pose: Pose
    drawn: tuple[float, float, float]


def _put(own: Outline, region: SpawnRegion, taken: list[Standing], rng: np.random.Generator) -> _Put | None:
    """Draw where a thing stands in a region until it touches nothing; None after ``TRIES`` tries."""
    shape, half = own.footprint, np.array(region.half_extents)
    height = float(region.pose.position[2])
    origin, axes = region.pose.position[:2], matrix_from_quat(region.pose.orientation)[:2, :2]
    # A crowded table takes dozens of tries: each works in the plane, and only the one that fits becomes a pose.
    for _ in range(TRIES):
        yaw = float(rng.uniform(region.yaw.low, region.yaw.high))
        room = half - Footprint(center=origin, half=shape.half, yaw=yaw, disc=shape.disc).reach()
        if room.min() < 0:
            continue  # it may fit at another yaw
        at = rng.uniform(-room, room)
        ahead = axes @ (math.cos(yaw), math.sin(yaw))
        here = Footprint(
            center=origin + axes @ at, half=shape.half, yaw=math.atan2(ahead[1], ahead[0]), disc=shape.disc
        )
        standing = Standing(footprint=here, low=height, high=height + own.high - own.low)
        if all(standing.clear_of(other, region.clearance) for other in taken):
            drawn = (float(at[0]), float(at[1]), yaw)
            return _Put(standing=standing, pose=_stand(own, region, drawn), drawn=drawn)
    return None


def _stand(own: Outline, region: SpawnRegion, drawn: tuple[float, float, float]) -> Pose:
    """World pose of a thing on a region's surface, its footprint's centre at (x, y) of the region's frame."""
    x, y, yaw = drawn
    turn = quat_from_axis_angle([0.0, 0.0, 1.0], yaw)
    frame = region.pose @ Pose.of((x, y, 0.0), turn)
    return frame @ Pose.of((-own.footprint.center[0], -own.footprint.center[1], -own.low))
