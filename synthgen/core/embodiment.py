"""A robot as a data set sees it. Pure description; ``build`` is the only thing that touches an engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from synthgen.core.errors import UsageError
from synthgen.core.pose import Array, Pose
from synthgen.core.scene import Camera


@dataclass(frozen=True, kw_only=True)
class JointGroup:
    """Consecutive values of the data set's state and action vectors.

    Attributes:
        name: exactly the name Isaac-GR00T's modality file uses ("left_arm").
        joints: data set joint names, in data set order. Either simulated joints or names in
            ``Embodiment.constants``.
    """

    name: str
    joints: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Follower:
    """A simulated joint that moves with another: q = ratio * q_leader + offset (a linkage)."""

    joint: str
    leader: str
    ratio: float
    offset: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Gains:
    """Position control of one joint: kp N m/rad (N/m), kv N m s/rad (N s/m), force limit N m (N) or None."""

    kp: float
    kv: float
    max_force: float | None = None


@dataclass(frozen=True, kw_only=True)
class JointLimits:
    """Motion limits used when timing trajectories: rad/s and rad/s2 (m/s, m/s2)."""

    velocity: float
    acceleration: float


@dataclass(frozen=True, kw_only=True)
class HandGrasp:
    """One measured way of a hand to hold one shape and girth by friction alone.

    The grasp frame is the end effector's ``site``: x along the stretched fingers, y out of the palm, and z completing
    the right-handed frame: to the thumb side on a right hand, to the little finger's on a left one (for a parallel
    jaw: z along the approach, y along the opening). Held by the grasp, the frame's orientation in the world is
    Rz(yaw) Ry(pitch) Rx(-roll) with a free yaw. The mirror image of a right hand's grasp has roll pi - roll and the
    z of ``center`` and ``approach`` negated; so a left hand's table needs no special case in that formula.

    Attributes:
        shape: which object shapes it is for.
        girth: metres: the radius of a cylinder, half the grasped width of a box.
        pitch: radians, the fingers' direction turned down from horizontal.
        roll: radians, about the finger direction, turning the palm down.
        center: (3,) metres, where the object's centre lies in the grasp frame when held.
        approach: (3,) metres, back-off before the grasp, in the grasp frame.
        open, close: targets of ``EndEffector.hand_joints``, rad (m).
    """

    shape: Literal["cylinder", "box", "sphere"]
    girth: float
    pitch: float
    roll: float
    center: tuple[float, float, float]
    approach: tuple[float, float, float]
    open: tuple[float, ...]
    close: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class EndEffector:
    """A hand or gripper and the arm that carries it.

    Attributes:
        name: "right", "left" or "arm".
        kind: parallel jaw, or a hand with several fingers.
        site: MuJoCo site of the grasp frame in the built model.
        arm_joints: driven joints that inverse kinematics may move (may include the waist), base first.
        hand_joints: driven joints of the hand, in data set order.
        hand_bodies: bodies of the hand in the built model, for contact questions.
        rest: preferred arm configuration (null-space posture), one value per arm joint, rad.
        weights: relative willingness of each arm joint to move, in inverse kinematics.
        open, close: default targets of the hand joints.
        grasps: measured grasps of a multi-finger hand; empty for a parallel jaw.
        max_width: widest object it takes between its fingers, metres.
        finger_depth: metres from the site to the tips along the approach (parallel jaw).
    """

    name: str
    kind: Literal["parallel_jaw", "multi_finger"]
    site: str
    arm_joints: tuple[str, ...]
    hand_joints: tuple[str, ...]
    hand_bodies: tuple[str, ...]
    rest: tuple[float, ...]
    weights: tuple[float, ...]
    open: tuple[float, ...]
    close: tuple[float, ...]
    grasps: tuple[HandGrasp, ...] = ()
    max_width: float = 0.08
    finger_depth: float = 0.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Embodiment:
    """A robot with its hands, joint groups and cameras.

    Attributes:
        name: what the command line calls it ("gr1").
        title: for people ("Fourier GR-1 with Fourier hands").
        gr00t_tag: Isaac-GR00T's embodiment tag, or "new_embodiment".
        groups: the layout of state and action in the data set.
        constants: data set joints that the model does not have, with the value written for them.
        followers: simulated joints that are not in the data set because a linkage moves them.
        end_effectors: its hands.
        home: targets of every driven joint at the start of an episode; collision-free.
        cameras: cameras mounted on the robot (``parent`` is a body of the built model).
        gains: position gains by simulated joint.
        limits: motion limits by driven joint.
        base: the robot's base frame in the mount's frame (see ``Mount``).
        contact_bodies: bodies of the built model whose colliders take part in the physics (hands and forearms). The
            other colliders (torso, upper arms) are for planning; a simulator switches them off in its own copy.
        timestep: physics step that its hands need, seconds.
        build: ``build(asset_root_of) -> mujoco.MjSpec``: the fixed-base robot at the origin of its base frame, with
            hands, sites, position actuators named like their joints (one per simulated joint, followers
            included), robot-only collision settings, and neither floor nor lights. ``asset_root_of(pack name)``
            returns a folder.
        packs: names of the asset packs ``build`` needs.
        licence: licence of the robot's assets, for the data set card.
    """

    name: str
    title: str
    gr00t_tag: str
    groups: tuple[JointGroup, ...]
    constants: Mapping[str, float] = field(default_factory=dict[str, float])
    followers: tuple[Follower, ...] = ()
    end_effectors: tuple[EndEffector, ...]
    home: Mapping[str, float]
    cameras: tuple[Camera, ...] = ()
    gains: Mapping[str, Gains]
    limits: Mapping[str, JointLimits]
    base: Pose
    contact_bodies: tuple[str, ...] = ()
    timestep: float = 0.002
    build: Callable[[Callable[[str], Any]], Any]
    packs: tuple[str, ...]
    licence: str

    @property
    def dataset_joints(self) -> tuple[str, ...]:
        """Names of the D values of a state or action vector, in order."""
        return tuple(j for g in self.groups for j in g.joints)

    @property
    def driven(self) -> tuple[str, ...]:
        """The Jd joints a joint target addresses: the data set's joints without the constants."""
        return tuple(j for j in self.dataset_joints if j not in self.constants)

    @property
    def joints(self) -> tuple[str, ...]:
        """The J simulated joints: the driven ones, then the followers."""
        return self.driven + tuple(f.joint for f in self.followers)

    def group_slices(self) -> dict[str, tuple[int, int]]:
        """Group name -> (start, end) in the data set's vectors, end exclusive."""
        out: dict[str, tuple[int, int]] = {}
        at = 0
        for g in self.groups:
            out[g.name] = (at, at + len(g.joints))
            at += len(g.joints)
        return out

    def home_targets(self) -> Array:
        """(Jd,) driven joint targets of the home pose."""
        return np.array([self.home.get(j, 0.0) for j in self.driven])

    def expand(self, driven: Array) -> Array:
        """Joint targets (..., Jd) -> targets of all simulated joints (..., J), followers by their ratio."""
        index = {j: i for i, j in enumerate(self.driven)}
        extra = [driven[..., index[f.leader]] * f.ratio + f.offset for f in self.followers]
        return np.concatenate([driven, np.stack(extra, -1)], -1) if extra else np.asarray(driven, float)

    def to_dataset(self, driven: Array) -> Array:
        """Driven values (..., Jd) -> data set vector (..., D) with the constants filled in."""
        out = np.empty((*np.shape(driven)[:-1], len(self.dataset_joints)))
        at = 0
        for i, j in enumerate(self.dataset_joints):
            if j in self.constants:
                out[..., i] = self.constants[j]
            else:
                out[..., i] = driven[..., at]
                at += 1
        return out

    def from_dataset(self, vector: Array) -> Array:
        """Data set vector (..., D) -> driven values (..., Jd)."""
        keep = [i for i, j in enumerate(self.dataset_joints) if j not in self.constants]
        return np.asarray(vector, float)[..., keep]

    def end_effector(self, name: str) -> EndEffector:
        """The end effector of that name.

        Raises:
            UsageError: there is none.
        """
        for e in self.end_effectors:
            if e.name == name:
                return e
        raise UsageError(f"embodiment {self.name!r} has no end effector {name!r}")
