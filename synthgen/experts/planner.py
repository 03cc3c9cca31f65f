"""The planner of one robot in one scene: kinematics, reachability, collision-free paths, timing.

It works on the robot's MuJoCo planning model whichever engine simulates. It owns no randomness: what draws is given
the episode's "expert" stream.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import mujoco
import numpy as np

from synthgen.core.embodiment import Embodiment
from synthgen.core.errors import UsageError
from synthgen.core.pose import Array, Pose, matrix_from_quat, quat_from_matrix
from synthgen.core.world import World
from synthgen.experts.arm import Arm, joint_id
from synthgen.experts.collision import Collisions, Held
from synthgen.experts.ik import ArmIK, Solution
from synthgen.experts.rrt import rrt_connect, shortcut
from synthgen.experts.timing import Curve, time_curve, time_straight

# Along a path the hand moves at most this far between two checks, metres.
RESOLUTION = 0.045
# Distance kept from everything in free motion, metres.
CLEARANCE = 0.006


class Planner:
    """Plans for one embodiment in one scene.

    Args:
        model: planning model (robot with all colliders, scene): robot joints and sites named as in the embodiment,
            scene bodies by prim path. The planner takes it over: it rewrites collision masks and body poses.
        embodiment: the robot.
    """

    def __init__(self, model: mujoco.MjModel, embodiment: Embodiment) -> None:
        self.model = model
        self.data = mujoco.MjData(model)
        self.embodiment = embodiment
        self._qpos = np.array([model.jnt_qposadr[joint_id(model, embodiment, j)] for j in embodiment.driven])
        self._followers = [
            (
                int(model.jnt_qposadr[joint_id(model, embodiment, f.joint)]),
                int(model.jnt_qposadr[joint_id(model, embodiment, f.leader)]),
                f.ratio,
                f.offset,
            )
            for f in embodiment.followers
        ]
        self.home = np.array([embodiment.home[j] for j in embodiment.driven])
        self.set_driven(self.home)
        mujoco.mj_kinematics(model, self.data)
        self.arms = {e.name: Arm.of(model, self.data, embodiment, e) for e in embodiment.end_effectors}
        self.collisions = Collisions(model, self.data, self.arms.values())
        self._body_ids = {path: self.model.body(path).id for path in self.collisions.geoms_of}
        self._ik = {name: ArmIK(model, self.data, arm) for name, arm in self.arms.items()}

    # -- the state of the world ----------------------------------------------------------------------------------

    def set_driven(self, driven: Array) -> None:
        """Set the driven joints (Jd,), rad (m), and their followers."""
        self._driven = np.array(driven, float)
        self.data.qpos[self._qpos] = self._driven
        self._set_followers()

    def _set_followers(self) -> None:
        qpos = self.data.qpos
        for joint, leader, ratio, offset in self._followers:
            qpos[joint] = ratio * qpos[leader] + offset

    @property
    def driven(self) -> Array:
        """(Jd,) the driven joints as last set; an arm's own joints may since have been moved by its queries."""
        return self._driven.copy()

    def set_world(self, world: World) -> None:
        """Take over a world: commanded joint targets, poses of active objects and receptacles; let go of what is held.

        Bodies that are not active in the world's sample do not collide.
        """
        collisions = self.collisions
        collisions.hold(None)
        self.set_driven(world.targets)
        here: set[str] = set()
        for o in world.objects.values():
            here.add(o.prop.body)
            self.put(o.prop.body, o.pose)
        for r in world.receptacles.values():
            if r.receptacle.body is not None and r.receptacle.body not in here:
                here.add(r.receptacle.body)
                self.put(r.receptacle.body, r.frame @ r.receptacle.pose.inverse())
        for path in collisions.geoms_of:
            if path in here:
                collisions.enable(path, on=True)
            elif path in world.sample.bodies:
                collisions.enable(path, on=world.sample.bodies[path].active)

    def put(self, body: str, pose: Pose) -> None:
        """Put a scene body at a world pose."""
        self.collisions.put(self._body_ids[body], pose.position, pose.orientation)

    def arm(self, name: str) -> Arm:
        """The arm of that end effector.

        Raises:
            UsageError: there is none.
        """
        if name not in self.arms:
            raise UsageError(f"embodiment {self.embodiment.name!r} has no end effector {name!r}")
        return self.arms[name]

    # -- kinematics ----------------------------------------------------------------------------------------------

    def fk(self, site: str, driven: Array | None = None) -> Pose:
        """World pose of a site of the model at driven joints (Jd,); None = as last set."""
        self.set_driven(self._driven if driven is None else driven)
        mujoco.mj_kinematics(self.model, self.data)
        i = self.model.site(site).id
        rotation = self.data.site_xmat[i].reshape(3, 3)
        return Pose(position=self.data.site_xpos[i].copy(), orientation=quat_from_matrix(rotation))

    def grasp_frame(self, arm: Arm, q: Array) -> tuple[Array, Array]:
        """World position (3,) and rotation (3, 3) of an arm's grasp frame at arm configuration ``q`` (n,)."""
        self.data.qpos[arm.qpos] = q
        mujoco.mj_kinematics(self.model, self.data)
        return self.data.site_xpos[arm.site].copy(), self.data.site_xmat[arm.site].reshape(3, 3).copy()

    def solve(self, arm: Arm, seed: Array, point: Array, rotation: Array, **options: object) -> Solution:
        """Inverse kinematics; see ``ArmIK.solve``. The other joints are as last set."""
        return self._ik[arm.name].solve(seed, point, rotation, **options)  # pyright: ignore[reportArgumentType]

    def ik(
        self,
        end_effector: str,
        pose: Pose,
        *,
        seed: Array | None = None,
        free_yaw: bool = False,
        position_tolerance: float = 1e-3,
        rotation_tolerance: float = 1e-2,
    ) -> Array | None:
        """Arm configuration (n,) that brings the grasp frame to a world pose, or None when out of reach.

        Tries from ``seed`` (None: the arm's current joints), then from the rest posture.
        """
        arm = self.arm(end_effector)
        rotation = matrix_from_quat(pose.orientation)
        rest = np.clip(np.array(arm.effector.rest, float), arm.lower, arm.upper)
        for start in (self._driven[arm.columns] if seed is None else seed, rest):
            found = self.solve(arm, start, pose.position, rotation, free_yaw=free_yaw, posture=0.05, iterations=80)
            if found.within(position_tolerance, rotation_tolerance):
                return found.q
        return None

    # -- collisions ----------------------------------------------------------------------------------------------

    def set_hand(self, arm: Arm, values: Array) -> None:
        """Set the hand's joints (h,) for the following questions."""
        self._driven[arm.hand_columns] = values
        self.data.qpos[self._qpos[arm.hand_columns]] = values
        self._set_followers()

    def hold(self, arm: Arm, body: str, q: Array) -> None:
        """Carry a scene body with the hand from now on, as it now lies relative to the grasp frame at ``q`` (n,)."""
        position, rotation = self.grasp_frame(arm, q)
        i = self.model.body(body).id
        self.collisions.hold(
            Held(
                body=i,
                geoms=self.collisions.geoms_of[body],
                site=arm.site,
                rotation=rotation.T @ self.data.xmat[i].reshape(3, 3),
                offset=rotation.T @ (self.data.xpos[i] - position),
            )
        )

    def ignore(self, body: str, *, on: bool = True) -> None:
        """Leave a scene body out of collisions (``on=False``: take it in again)."""
        self.collisions.enable(body, on=not on)

    def collides(
        self, arm: Arm, q: Array, *, clearance: float = CLEARANCE, held_clearance: float | None = None
    ) -> bool:
        """Whether, with this arm at ``q`` (n,), anything is nearer than ``clearance`` metres that may not be."""
        self.data.qpos[arm.qpos] = q
        return self.collisions.collides(clearance=clearance, held_clearance=held_clearance)

    def path_free(
        self,
        arm: Arm,
        path: Array,
        *,
        clearance: float = CLEARANCE,
        held_clearance: float | None = None,
        resolution: float = RESOLUTION,
    ) -> bool:
        """Whether the straight pieces between the rows of ``path`` (K, n) are free; the first row is not checked.

        Checked at steps in which the hand moves at most ``resolution`` metres, middles first.
        """
        for a, b in itertools.pairwise(path):
            pieces = max(1, int(np.ceil(float(np.abs(b - a) @ arm.reach) / resolution)))
            for k in halving_order(pieces):
                if self.collides(arm, a + (b - a) * (k / pieces), clearance=clearance, held_clearance=held_clearance):
                    return False
        return True

    # -- paths ---------------------------------------------------------------------------------------------------

    def curve(
        self,
        arm: Arm,
        knots: Sequence[Array],
        *,
        clearance: float = CLEARANCE,
        held_clearance: float | None = None,
        through: tuple[str, int] | None = None,
    ) -> Curve | None:
        """The spline through arm configurations if it is free of collisions, else None.

        Args:
            knots: (n,) each, the start first.
            clearance, held_clearance: metres, see ``collides``.
            through: a scene body that may be touched from the knot of that index on (the hand closes in on it).
        """
        curve = Curve(np.array(knots), arm.velocity)
        behind = 0 if through is None else len(knots) - 1 - through[1]
        at = float(curve.at[max(0, len(curve.at) - 1 - behind)])
        if not self.curve_free(arm, curve, 0.0, at, clearance=clearance, held_clearance=held_clearance):
            return None
        if through is not None:
            self.ignore(through[0])
            clear = self.curve_free(arm, curve, at, 1.0, clearance=clearance, held_clearance=held_clearance)
            self.ignore(through[0], on=False)
            if not clear:
                return None
        return curve

    def detour(
        self,
        arm: Arm,
        knots: Sequence[Array],
        *,
        rng: np.random.Generator,
        leg: int = 0,
        clearance: float = CLEARANCE,
        held_clearance: float | None = None,
        through: tuple[str, int] | None = None,
    ) -> Curve | None:
        """Like ``curve``, but one leg (the free motion) is led around what is in the way, by RRT-Connect.

        The other legs are short straight moves of the hand and must be free as they are.

        Args:
            rng: the episode's "expert" stream.
            leg: index of the knot at which the leg begins.
        """

        def free(a: Array, b: Array) -> bool:
            return self.path_free(arm, np.stack([a, b]), clearance=clearance, held_clearance=held_clearance)

        start, goal = knots[leg], knots[leg + 1]
        if self.collides(arm, goal, clearance=clearance, held_clearance=held_clearance):
            return None
        way = rrt_connect(start, goal, free=free, lower=arm.lower, upper=arm.upper, scale=arm.reach, rng=rng)
        if way is None:
            return None
        way = shortcut(way, free=free, rng=rng)
        for between in (0, 1, 3, 7):
            # A spline swings out at corners; more knots on the free straight pieces hold it to them.
            dense = densify(way, between)
            more = len(dense) - 2
            found = self.curve(
                arm,
                [*knots[:leg], *dense, *knots[leg + 2 :]],
                clearance=clearance,
                held_clearance=held_clearance,
                through=None if through is None else (through[0], through[1] + more),
            )
            if found is not None:
                return found
        return None

    def curve_free(
        self,
        arm: Arm,
        curve: Curve,
        begin: float = 0.0,
        end: float = 1.0,
        *,
        clearance: float = CLEARANCE,
        held_clearance: float | None = None,
    ) -> bool:
        """Whether a curve is free between two parameters, at the resolution of ``path_free``."""
        if not curve.moves or end <= begin:
            return True
        length = float((np.abs(np.diff(curve.knots, axis=0)) @ arm.reach).sum()) * (end - begin)
        pieces = max(2, int(np.ceil(length / RESOLUTION)))
        points = curve(begin + (end - begin) * np.arange(1, pieces + 1) / pieces)
        if (points < arm.lower - 0.01).any() or (points > arm.upper + 0.01).any():
            return False
        return not any(
            self.collides(arm, points[k - 1], clearance=clearance, held_clearance=held_clearance)
            for k in halving_order(pieces)
        )

    # -- timing --------------------------------------------------------------------------------------------------

    def timed(self, arm: Arm, curve: Curve, *, fps: int, pace: float = 1.0) -> Array:
        """Arm targets (T, n) along a curve, from rest to rest, at ``pace`` (0 to 1) of the joint limits."""
        return time_curve(curve, velocity=arm.velocity * pace, acceleration=arm.acceleration * pace**2, fps=fps)

    def timed_hand(self, arm: Arm, start: Array, end: Array, *, fps: int, pace: float = 1.0) -> Array:
        """Hand targets (T, h) from ``start`` to ``end`` at ``pace`` of the joint limits."""
        return time_straight(
            start, end, velocity=arm.hand_velocity * pace, acceleration=arm.hand_acceleration * pace**2, fps=fps
        )


def halving_order(n: int) -> list[int]:
    """The numbers 1..n, those divisible by high powers of two first: a blocked path is found out early."""
    return sorted(range(1, n + 1), key=lambda i: -(i & -i))


def densify(path: Array, between: int) -> Array:
    """A path (K, n) with ``between`` further points on each of its straight pieces."""
    if between == 0:
        return path
    steps = np.arange(between + 1)[:, None] / (between + 1)
    pieces = [a + (b - a) * steps for a, b in itertools.pairwise(path)]
    return np.concatenate([*pieces, path[-1:]])
