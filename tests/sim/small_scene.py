"""Scenes written out by hand, so that what MuJoCo makes of them can be compared with the numbers here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from synthgen.core.pose import Pose, quat_from_axis_angle, quat_from_matrix
from synthgen.core.sample import BodySample, SceneSample
from synthgen.core.scene import (
    Body,
    Camera,
    Drive,
    Geom,
    Joint,
    Light,
    Material,
    Mesh,
    Mount,
    ObjectProp,
    SceneSpec,
    Surface,
)

TABLE = 0.8  # metres


def look_at(eye: tuple[float, float, float], target: tuple[float, float, float]) -> Pose:
    z = np.subtract(eye, target) / np.linalg.norm(np.subtract(eye, target))
    x = np.cross([0.0, 0.0, 1.0], z)
    x = x / np.linalg.norm(x)
    return Pose.of(eye, quat_from_matrix(np.stack([x, np.cross(z, x), z], axis=1)))


def box(
    path: str,
    position: tuple[float, float, float],
    half: tuple[float, float, float],
    *,
    mass: float = 0.1,
    kinematic: bool = False,
    material: str | None = None,
    friction: float | None = None,
) -> Body:
    x, y, z = half
    return Body(
        path=path,
        pose=Pose.of(position),
        mass=mass,
        center_of_mass=np.array([0.0, 0.0, 0.004]),
        inertia=mass / 3 * np.array([y * y + z * z, x * x + z * z, x * x + y * y]),
        inertia_frame=quat_from_axis_angle([0.0, 0.0, 1.0], 0.3),
        kinematic=kinematic,
        geoms=(
            Geom(
                path=f"{path}/shape",
                kind="box",
                size=half,
                pose=Pose.of(),
                collides=True,
                visible=True,
                material=material,
                color=(0.1, 0.1, 0.6),
                surface=Surface(static_friction=friction),
            ),
        ),
    )


def tetrahedron() -> Mesh:
    vertices = 0.03 * np.array([[1.0, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
    return Mesh(
        key="/World/tetra/mesh", vertices=vertices, triangles=np.array([[0, 1, 2], [0, 3, 1], [0, 2, 3], [1, 3, 2]])
    )


def scene() -> SceneSpec:
    """A table with a cube, a block with a material, and a thing of two convex pieces."""
    mesh = tetrahedron()
    other = replace(mesh, key="/World/tetra/second", vertices=mesh.vertices + np.array([0.05, 0.0, 0.0]))
    tetra = Body(
        path="/World/tetra",
        pose=Pose.of((0.6, -0.3, TABLE + 0.05)),
        mass=0.2,
        center_of_mass=np.array([0.02, 0.0, 0.0]),
        inertia=np.array([1e-4, 1.2e-4, 1.4e-4]),
        inertia_frame=np.array([1.0, 0.0, 0.0, 0.0]),
        geoms=(
            Geom(
                path="/World/tetra/mesh",
                kind="mesh",
                mesh=mesh,
                hulls=(mesh, other),
                pose=Pose.of(),
                collides=True,
                visible=True,
            ),
        ),
    )
    bodies = (
        box("/World/cube", (0.45, 0.1, TABLE + 0.025), (0.025, 0.025, 0.025)),
        box("/World/block", (0.4, -0.1, TABLE + 0.04), (0.02, 0.03, 0.04), material="/World/paint", friction=0.5),
        tetra,
    )
    return SceneSpec(
        source=Path("by_hand.usda"),
        digest="",
        gravity=np.array([0.0, 0.0, -9.81]),
        bodies={b.path: b for b in bodies},
        static_geoms=(
            Geom(
                path="/World/table",
                kind="box",
                size=(0.5, 0.8, 0.02),
                pose=Pose.of((0.5, 0.0, TABLE - 0.02)),
                collides=True,
                visible=True,
            ),
        ),
        materials={"/World/paint": Material(path="/World/paint", color=(0.02, 0.5, 0.1))},
        lights=(
            Light(path="/World/sun", kind="distant", pose=look_at((1, -1, 3), (0.3, 0, TABLE)), intensity=1000.0),
            Light(path="/World/sky", kind="dome", pose=Pose.of(), intensity=300.0),
        ),
        cameras=(
            Camera(name="agentview", path="/World/eye", pose=look_at((1.2, -0.4, 1.5), (0.4, 0, TABLE)), fovy=0.8),
        ),
        objects={
            "cube": ObjectProp(
                name="cube",
                body="/World/cube",
                shape="box",
                extents=np.full(3, 0.05),
                center=np.zeros(3),
                noun="cube",
            )
        },
        mounts=(Mount(name="mount", path="/World/mount", pose=Pose.of((0.0, 0.0, TABLE))),),
    )


def sample(spec: SceneSpec, **bodies: BodySample) -> SceneSample:
    """Every body as authored, but those given by name."""
    authored = {p: BodySample(active=True, pose=b.pose) for p, b in spec.bodies.items()}
    return SceneSample(slots={}, bodies=authored | {f"/World/{name}": b for name, b in bodies.items()})


def furniture(*, max_force: float | None = None) -> SceneSpec:
    """A turned cabinet fixed to the world, with a drawer that a drive pulls out and a door on the drawer."""
    turned = quat_from_axis_angle([0.0, 0.0, 1.0], 0.5)
    cabinet = replace(box("/World/cabinet", (0.7, 0.4, 0.95), (0.1, 0.1, 0.1)), pose=Pose.of((0.7, 0.4, 0.95), turned))
    drawer = box("/World/drawer", (0.0, 0.0, 0.0), (0.02, 0.08, 0.02), mass=0.5)
    door = box("/World/door", (0.0, 0.0, 0.0), (0.01, 0.05, 0.05), mass=0.3)
    tilted = quat_from_axis_angle([0.0, 1.0, 0.0], 0.2)
    joints = (
        Joint(
            path="/World/anchor",
            kind="fixed",
            parent=None,
            child="/World/cabinet",
            frame_in_parent=cabinet.pose,
            frame_in_child=Pose.of(),
            axis=np.array([1.0, 0.0, 0.0]),
        ),
        Joint(
            path="/World/slide",
            kind="prismatic",
            parent="/World/cabinet",
            child="/World/drawer",
            frame_in_parent=Pose.of((-0.12, 0.0, 0.0), tilted),
            frame_in_child=Pose.of((0.01, 0.02, 0.0), tilted),
            axis=np.array([-1.0, 0.0, 0.0]),
            lower=0.0,
            upper=0.25,
            initial=0.03,
            drive=Drive(stiffness=200.0, damping=40.0, target=0.12, max_force=max_force),
        ),
        Joint(
            path="/World/hinge",
            kind="revolute",
            parent="/World/drawer",
            child="/World/door",
            frame_in_parent=Pose.of((-0.04, 0.06, 0.0)),
            frame_in_child=Pose.of((0.0, 0.05, 0.0), tilted),
            axis=np.array([0.0, 0.0, 1.0]),
            lower=-0.4,
            upper=1.2,
            initial=0.2,
            drive=Drive(stiffness=2.0, damping=0.5, target=0.7),
        ),
    )
    table = scene()
    bodies = {b.path: b for b in (cabinet, drawer, door)}
    return replace(table, bodies=bodies, joints=joints, objects={})
