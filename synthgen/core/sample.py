"""One draw of a scene's randomization, written out as explicit values that any engine can apply."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from synthgen.core.pose import Pose

Rgb = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True, eq=False)
class BodySample:
    """Explicit values for one movable body of the scene (object or receptacle).

    Attributes:
        active: False = not in this episode; the simulator parks it out of sight, without contacts.
        pose: in the world.
        mass: kg, or None for as authored (the inertia scales along).
        friction_scale: factor on the friction of its colliders.
        color: linear RGB for its visible geoms, or None for as authored.
    """

    active: bool
    pose: Pose
    mass: float | None = None
    friction_scale: float = 1.0
    color: Rgb | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class LightSample:
    """Explicit values for one light; ``color`` linear RGB, ``intensity`` in the stage's units.

    ``texture``: what a dome light shines through, a name for ``SceneSpec.texture``; None: as authored.
    """

    pose: Pose
    color: Rgb
    intensity: float
    texture: str | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class SceneSample:
    """One draw of a SceneSpec.

    Attributes:
        slots: slot name -> name of the ObjectProp or Receptacle that fills it; unfilled slots are absent.
        bodies: by body path, every body that an object, a receptacle or a slot refers to.
        lights: by light path; cameras: world-camera poses (in their parent's frame) by camera name.
        material_colors: linear RGB by material path.
        material_textures: base colour textures by material path, names for ``SceneSpec.texture``.
        draws: every random number drawn, by a readable name ("target.x"), in the order drawn.
    """

    slots: Mapping[str, str]
    bodies: Mapping[str, BodySample]
    lights: Mapping[str, LightSample] = field(default_factory=dict[str, LightSample])
    cameras: Mapping[str, Pose] = field(default_factory=dict[str, Pose])
    material_colors: Mapping[str, Rgb] = field(default_factory=dict[str, Rgb])
    material_textures: Mapping[str, str] = field(default_factory=dict[str, str])
    draws: Mapping[str, float | str] = field(default_factory=dict[str, float | str])
