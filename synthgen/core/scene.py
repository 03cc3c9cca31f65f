"""A scene as read from its USD stage: engine-neutral, metres, kilograms, radians, Z up, world frame.

``synthgen.usd`` makes it; every simulator builds its own model from it. Nothing here knows USD or an engine.
Names are prim paths unless said otherwise, so that every message can point at the prim.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from synthgen.core.errors import SceneError
from synthgen.core.pose import Array, Pose

ShapeKind = Literal["box", "sphere", "capsule", "cylinder", "ellipsoid", "plane", "mesh"]
JointKind = Literal["fixed", "revolute", "prismatic", "spherical"]
LightKind = Literal["distant", "point", "spot", "dome", "rect"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Mesh:
    """A triangle mesh in metres, scale already applied.

    Attributes:
        key: identity for sharing between instances; equal keys mean equal arrays.
        vertices: (V, 3).
        triangles: (F, 3) indices into vertices, counter-clockwise seen from outside.
        texcoords: (K, 2) or None, OpenGL convention (v up).
        texcoord_triangles: (F, 3) indices into texcoords, or None.
    """

    key: str
    vertices: Array
    triangles: Array
    texcoords: Array | None = None
    texcoord_triangles: Array | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Material:
    """How a surface looks (UsdPreviewSurface).

    Attributes:
        path: prim path of the material.
        color: linear RGB in [0, 1]; multiplied with the texture where there is one.
        texture: image file of the base colour.
    """

    path: str
    color: tuple[float, float, float] = (0.18, 0.18, 0.18)
    opacity: float = 1.0
    roughness: float = 0.5
    metallic: float = 0.0
    emission: float = 0.0
    texture: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Surface:
    """Contact properties (UsdPhysics material). None: not authored, the engine's default applies."""

    static_friction: float | None = None
    dynamic_friction: float | None = None
    restitution: float | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Geom:
    """One gprim of a body.

    Attributes:
        path: prim path (unique; instances get the instance proxy's path).
        kind: shape; its axis of symmetry is the local z.
        size: metres. box: half extents x y z; sphere: radius; capsule and cylinder: radius, half length
            (without the caps); ellipsoid: half axes; plane: half extents x y (0 = infinite); mesh: empty.
        mesh: the visual mesh, or the collision source of a mesh collider.
        hulls: convex pieces used for collision when ``kind`` is mesh and it collides (from the
            authored approximation: one hull, or the pieces of a decomposition).
        pose: in the owning body's frame (world for static geoms).
        collides: takes part in contacts.
        visible: drawn (purpose default or render, and visible).
        material: key into ``SceneSpec.materials`` or None.
        color: display colour (linear RGB) used when there is no material.
        mass: kg authored on the collider itself, or None.
        density: kg/m3 authored on the collider or its physics material, or None.
    """

    path: str
    kind: ShapeKind
    size: tuple[float, ...] = ()
    mesh: Mesh | None = None
    hulls: tuple[Mesh, ...] = ()
    pose: Pose
    collides: bool
    visible: bool
    material: str | None = None
    color: tuple[float, float, float] = (0.5, 0.5, 0.5)
    opacity: float = 1.0
    mass: float | None = None
    density: float | None = None
    surface: Surface = field(default_factory=Surface)


@dataclass(frozen=True, kw_only=True, eq=False)
class Body:
    """A rigid body.

    Attributes:
        path: prim path.
        pose: in the world, as authored.
        mass: kg, worked out from wherever USD says it (body, colliders, density).
        center_of_mass: (3,) in the body frame.
        inertia: (3,) principal moments, kg m2.
        inertia_frame: orientation (w, x, y, z) of the principal axes in the body frame.
        kinematic: moved by hand only, infinite mass.
        geoms: its gprims.
    """

    path: str
    pose: Pose
    mass: float
    center_of_mass: Array
    inertia: Array
    inertia_frame: Array
    kinematic: bool = False
    geoms: tuple[Geom, ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class Drive:
    """A joint drive in SI units: N m/rad and N m s/rad for revolute, N/m and N s/m for prismatic joints."""

    stiffness: float
    damping: float
    target: float = 0.0
    max_force: float | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Joint:
    """A joint between two bodies of the scene (furniture, drawers, doors).

    Attributes:
        path: prim path.
        parent: body path, or None for the world.
        child: body path.
        frame_in_parent, frame_in_child: the joint frame; they coincide at coordinate 0.
        axis: (3,) unit vector in the joint frame.
        lower, upper: rad or metres; None = unlimited.
        initial: coordinate at the authored poses.
    """

    path: str
    kind: JointKind
    parent: str | None
    child: str
    frame_in_parent: Pose
    frame_in_child: Pose
    axis: Array
    lower: float | None = None
    upper: float | None = None
    initial: float = 0.0
    drive: Drive | None = None
    friction: float = 0.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Light:
    """A light. Shines along the local -z; color is linear RGB, intensity as authored (USD units).

    ``texture``: image that a dome light shines through, for engines that can.
    """

    path: str
    kind: LightKind
    pose: Pose
    color: tuple[float, float, float] = (1.0, 1.0, 1.0)
    intensity: float = 1.0
    exposure: float = 0.0
    texture: Path | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Camera:
    """A pinhole camera looking along the local -z, y up.

    Attributes:
        name: the dataset's camera name (``agentview``); unique in a run.
        path: prim path or "" for a robot's camera.
        parent: body it is mounted on, or None for the world. For robot cameras, a body of the robot's model.
        pose: in the parent's frame.
        fovy: vertical field of view, radians.
    """

    name: str
    path: str = ""
    parent: str | None = None
    pose: Pose
    fovy: float


@dataclass(frozen=True, kw_only=True)
class Range:
    """A uniform range of a randomized number; ``low == high`` means fixed."""

    low: float
    high: float


@dataclass(frozen=True, kw_only=True, eq=False)
class ObjectProp:
    """A movable thing a task may use: a rigid body with SynthgenObjectAPI.

    Attributes:
        name: last element of the prim path, unique among objects.
        body: body path.
        shape: what its collision geometry is to a grasp: box, cylinder (axis = body z), sphere or other.
        extents: (3,) metres, full size of the collision geometry's box in the body frame.
        center: (3,) centre of that box in the body frame.
        noun: "can"; attributes: words that may tell it apart, by kind, such as {"color": "red", "size": "small"}.
        upright: the body frame's z axis points up when the object stands as it should.
        mass_scale, friction_scale: randomization ranges (factors); color_jitter: +- per linear RGB channel.
    """

    name: str
    body: str
    shape: Literal["box", "cylinder", "sphere", "other"]
    extents: Array
    center: Array
    noun: str
    attributes: Mapping[str, str] = field(default_factory=dict[str, str])
    mass_scale: Range = Range(low=1.0, high=1.0)
    friction_scale: Range = Range(low=1.0, high=1.0)
    color_jitter: float = 0.0


@dataclass(frozen=True, kw_only=True, eq=False)
class SpawnRegion:
    """A rectangle on a surface where objects may be put (SynthgenSpawnRegionAPI).

    Attributes:
        name: last element of the prim path.
        path: prim path.
        pose: centre of the rectangle, z = surface normal.
        half_extents: (2,) metres along its x and y.
        yaw: range of an object's rotation about the region's z, radians.
        clearance: least gap between objects' bounding circles, metres.
    """

    name: str
    path: str
    pose: Pose
    half_extents: tuple[float, float]
    yaw: Range = Range(low=0.0, high=0.0)
    clearance: float = 0.01


@dataclass(frozen=True, kw_only=True, eq=False)
class Receptacle:
    """Something to put things in or on (SynthgenReceptacleAPI).

    Attributes:
        name: last element of the prim path.
        path: prim path of the body (or static prim) it belongs to.
        body: body path, or None when static.
        pose: the inner volume's frame, in the body's frame (world when static): origin at the centre of its
            floor, z up.
        half_extents: (2,) metres of the inner floor.
        height: metres of the walls above the floor; 0 for a plate or a mat.
        round: the floor is an ellipse rather than a rectangle.
        noun, attributes: as for ObjectProp.
        preposition: "into" or "onto".
    """

    name: str
    path: str
    body: str | None
    pose: Pose
    half_extents: tuple[float, float]
    height: float
    round: bool = False
    noun: str
    attributes: Mapping[str, str] = field(default_factory=dict[str, str])
    preposition: str = "into"


@dataclass(frozen=True, kw_only=True, eq=False)
class ObjectSlot:
    """A role in the scene that a draw fills with one of several things (SynthgenSlotAPI).

    Attributes:
        name: last element of the prim path ("target", "distractor_0", "container").
        role: "target", "distractor" or "receptacle".
        candidates: names of ObjectProps, or of Receptacles when role is "receptacle".
        regions: names of SpawnRegions, one of which is drawn.
        probability: chance that the slot is filled at all.
    """

    name: str
    role: Literal["target", "distractor", "receptacle"]
    candidates: tuple[str, ...]
    regions: tuple[str, ...]
    probability: float = 1.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Mount:
    """Where an embodiment stands (SynthgenMountAPI).

    Attributes:
        name: last element of the prim path.
        path: prim path.
        pose: in the world: origin at the near edge of the work surface and at its height, x pointing over
            the surface away from the robot, z up. An embodiment places its base relative to this.
    """

    name: str
    path: str
    pose: Pose


@dataclass(frozen=True, kw_only=True, eq=False)
class LookRange:
    """Randomization of one light, camera or material (SynthgenRandomizeAPI).

    Attributes:
        path: prim path of the light, camera or material.
        intensity_scale: factor for lights.
        temperature: colour temperature in kelvin for lights, or None.
        direction_jitter: radians, lights and cameras: rotation about a random axis, at most this.
        position_jitter: metres, lights and cameras: +- per axis.
        color_jitter: lights and materials: +- per linear RGB channel.
        yaw: lights: rotation about the world's z, radians.
        textures: image files by the name the stage gives them, one of which is drawn: a material's base colour, or what
            a dome light shines through. Empty: as authored.
    """

    path: str
    intensity_scale: Range = Range(low=1.0, high=1.0)
    temperature: Range | None = None
    direction_jitter: float = 0.0
    position_jitter: float = 0.0
    color_jitter: float = 0.0
    yaw: Range = Range(low=0.0, high=0.0)
    textures: Mapping[str, Path] = field(default_factory=dict[str, Path])


@dataclass(frozen=True, kw_only=True)
class SceneWarning:
    """Something of the stage that the importer could not keep, or a smell it found.

    Attributes:
        code: stable short name, such as ``cone-approximated``.
        path: prim path.
        message: what was lost; remedy: what the author can do.
    """

    code: str
    path: str
    message: str
    remedy: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class SceneSpec:
    """Everything synthgen takes from a stage.

    Attributes:
        source: the stage's root file.
        digest: sha256 over the composed stage (root, references, textures), so a plan can tell a changed scene.
        gravity: (3,) m/s2, world frame.
        bodies: every rigid body by prim path, in stage order.
        joints: joints between them, parents before children.
        static_geoms: colliders and visuals of no body; poses in the world.
    """

    source: Path
    digest: str
    gravity: Array
    bodies: Mapping[str, Body]
    joints: tuple[Joint, ...] = ()
    static_geoms: tuple[Geom, ...] = ()
    materials: Mapping[str, Material] = field(default_factory=dict[str, Material])
    lights: tuple[Light, ...] = ()
    cameras: tuple[Camera, ...] = ()
    objects: Mapping[str, ObjectProp] = field(default_factory=dict[str, ObjectProp])
    regions: Mapping[str, SpawnRegion] = field(default_factory=dict[str, SpawnRegion])
    receptacles: Mapping[str, Receptacle] = field(default_factory=dict[str, Receptacle])
    slots: tuple[ObjectSlot, ...] = ()
    mounts: tuple[Mount, ...] = ()
    looks: tuple[LookRange, ...] = ()
    warnings: tuple[SceneWarning, ...] = ()

    def texture(self, path: str, name: str) -> Path:
        """The image file of a drawn texture: ``path`` of the material or dome light, ``name`` as in the sample.

        Raises:
            SceneError: the prim has no such texture to draw.
        """
        for look in self.looks:
            if look.path == path and name in look.textures:
                return look.textures[name]
        raise SceneError(
            f"{self.source}: {path} has no texture {name!r} to draw, but the sample says so",
            remedy="use the scene the sample was drawn from, or author synthgen:randomize:textures as it was",
        )
