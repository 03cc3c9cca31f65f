"""What an expert and a success condition may know of the world at one moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from synthgen.core.pose import Array, Pose, quat_rotate
from synthgen.core.sample import SceneSample
from synthgen.core.scene import ObjectProp, Receptacle, SceneSpec


@dataclass(frozen=True, kw_only=True, eq=False)
class ObjectState:
    """One active object. ``pose`` of its body in the world; velocities in the world frame, m/s and rad/s."""

    prop: ObjectProp
    pose: Pose
    linear_velocity: Array
    angular_velocity: Array

    @property
    def center(self) -> Array:
        """(3,) centre of its collision box, world frame, metres."""
        return self.pose.apply(self.prop.center)

    def at_rest(self, *, linear: float = 0.03, angular: float = 0.5) -> bool:
        """Slower than ``linear`` m/s and ``angular`` rad/s."""
        return bool(np.linalg.norm(self.linear_velocity) < linear and np.linalg.norm(self.angular_velocity) < angular)


@dataclass(frozen=True, kw_only=True, eq=False)
class ReceptacleState:
    """One active receptacle. ``frame``: its inner floor's frame in the world."""

    receptacle: Receptacle
    frame: Pose

    def contains(self, point: Array, *, margin: float = 0.0, headroom: float = 0.10) -> bool:
        """Whether a world point (3,) is over the inner floor and below its rim plus ``headroom`` metres.

        ``margin`` metres are taken off the floor's edges.
        """
        x, y, z = self.frame.inverse().apply(point)
        hx, hy = (h - margin for h in self.receptacle.half_extents)
        inside = (x / hx) ** 2 + (y / hy) ** 2 <= 1.0 if self.receptacle.round else abs(x) <= hx and abs(y) <= hy
        return bool(inside and -0.01 <= z <= self.receptacle.height + headroom)


@dataclass(frozen=True, kw_only=True, eq=False)
class World:
    """A snapshot, world frame.

    Attributes:
        scene, sample: what the episode was drawn from.
        time: seconds since the episode began.
        objects: active objects by name; receptacles likewise.
        joints: (J,) positions of the embodiment's simulated joints; driven joints first.
        targets: (Jd,) the last commanded joint targets.
        touching: (end effector name, object name) for every hand in contact with an object.
        surface_height: z of the work surface, metres.
    """

    scene: SceneSpec
    sample: SceneSample
    time: float
    objects: Mapping[str, ObjectState]
    receptacles: Mapping[str, ReceptacleState]
    joints: Array
    targets: Array
    touching: frozenset[tuple[str, str]] = field(default_factory=frozenset[tuple[str, str]])
    surface_height: float

    def filled(self, slot: str) -> str:
        """Name of the object or receptacle that fills a slot of the scene.

        Raises:
            KeyError: the slot is not filled in this sample.
        """
        return self.sample.slots[slot]

    def is_touched(self, name: str) -> bool:
        """Whether any hand is in contact with the object."""
        return any(n == name for _, n in self.touching)

    def on_surface(self, name: str, *, drop: float = 0.05) -> bool:
        """Whether the object's centre is not more than ``drop`` metres below the work surface."""
        return bool(self.objects[name].center[2] > self.surface_height - drop)

    def upright(self, name: str, *, cosine: float = 0.9) -> bool:
        """Whether the object's own z axis still points up."""
        return bool(quat_rotate(self.objects[name].pose.orientation, [0.0, 0.0, 1.0])[2] > cosine)
