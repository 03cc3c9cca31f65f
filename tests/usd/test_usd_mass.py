"""Mass, centre and inertia against figures worked out from the authored attributes, and against USD's own rules."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from pxr import Gf, UsdGeom, UsdPhysics
from usd_stages import Author

from synthgen.core.pose import matrix_from_quat
from synthgen.core.scene import Body
from synthgen.usd import load_scene
from synthgen.usd import mass as mass_properties

CONVENTIONS = [("Z", 1.0, 1.0), ("Y", 0.01, 1.0), ("Z", 0.01, 0.001), ("Y", 1.0, 1.0)]


@pytest.fixture(params=CONVENTIONS, ids=lambda c: f"{c[0]}-up, {c[1]} m, {c[2]} kg")
def author(request, tmp_path: Path) -> Author:
    return Author(tmp_path / "stage.usda", *request.param)


def body(author: Author, path: str = "/World/b") -> Body:
    return load_scene(author.save()).bodies[path]


def tensor(found: Body) -> np.ndarray:
    """Inertia (3, 3) in the body frame."""
    turn = matrix_from_quat(found.inertia_frame)
    return turn @ np.diag(found.inertia) @ turn.T


def box_inertia(mass: float, x: float, y: float, z: float) -> np.ndarray:
    return mass / 12 * np.diag([y * y + z * z, x * x + z * z, x * x + y * y])


def test_mass_on_the_body_scales_the_colliders_inertia(author: Author) -> None:
    author.body("/World/b", mass=0.7)
    author.box("/World/b/g", (0.1, 0.2, 0.3), at=(0.05, 0.0, 0.1))
    found = body(author)
    assert found.mass == pytest.approx(0.7, rel=1e-6)
    np.testing.assert_allclose(found.center_of_mass, [0.05, 0.0, 0.1], atol=1e-7)
    np.testing.assert_allclose(tensor(found), box_inertia(0.7, 0.1, 0.2, 0.3), rtol=1e-5, atol=1e-9)


def test_default_density_is_water(author: Author) -> None:
    author.body("/World/b")
    author.sphere("/World/b/g", 0.05)
    found = body(author)
    mass = 1000 * 4 / 3 * math.pi * 0.05**3
    assert found.mass == pytest.approx(mass, rel=1e-6)
    np.testing.assert_allclose(found.inertia, 0.4 * mass * 0.05**2, rtol=1e-5)


def test_density_on_the_body(author: Author) -> None:
    author.body("/World/b", density=500)
    author.round(UsdGeom.Cylinder, "/World/b/g", 0.04, 0.2)
    found = body(author)
    mass = 500 * math.pi * 0.04**2 * 0.2
    assert found.mass == pytest.approx(mass, rel=1e-6)
    across = mass * (3 * 0.04**2 + 0.2**2) / 12
    np.testing.assert_allclose(tensor(found), np.diag([across, across, mass * 0.04**2 / 2]), rtol=1e-5, atol=1e-9)


def test_density_of_a_parent_yields_to_the_colliders_and_the_material_to_both(author: Author) -> None:
    author.body("/World/b")
    heavy = author.physics_material("/World/heavy", density=3000)
    bare = author.box("/World/b/bare", (0.1, 0.1, 0.1), at=(0.2, 0, 0))
    author.bind(bare, heavy, "physics")
    light = author.box("/World/b/light", (0.1, 0.1, 0.1), at=(-0.2, 0, 0))
    author.bind(light, heavy, "physics")
    author.weigh(light, density=200)
    found = body(author)
    assert found.mass == pytest.approx(3.0 + 0.2, rel=1e-6)
    assert found.center_of_mass[0] == pytest.approx((3.0 * 0.2 - 0.2 * 0.2) / 3.2, rel=1e-6)
    author.weigh(author.stage.GetPrimAtPath("/World/b"), density=100)
    assert body(author).mass == pytest.approx(0.1 + 0.2, rel=1e-6)  # the material is weaker than any MassAPI


def test_density_above_the_body_reaches_it(author: Author) -> None:
    group = author.xform("/World/group").GetPrim()
    author.weigh(group, density=250)
    author.body("/World/group/b")
    author.box("/World/group/b/g", (0.1, 0.1, 0.1))
    assert body(author, "/World/group/b").mass == pytest.approx(0.25, rel=1e-6)


def test_masses_on_colliders_add_up(author: Author) -> None:
    author.body("/World/b")
    author.weigh(author.box("/World/b/one", (0.1, 0.1, 0.1), at=(0.1, 0, 0)), mass=0.3)
    author.weigh(author.box("/World/b/two", (0.1, 0.1, 0.1), at=(-0.1, 0, 0)), mass=0.1)
    found = body(author)
    assert found.mass == pytest.approx(0.4, rel=1e-6)
    np.testing.assert_allclose(found.center_of_mass, [0.05, 0, 0], atol=1e-8)
    own = box_inertia(0.4, 0.1, 0.1, 0.1)
    steiner = 0.3 * 0.05**2 + 0.1 * 0.15**2
    np.testing.assert_allclose(tensor(found), own + steiner * np.diag([0, 1, 1]), rtol=1e-5, atol=1e-9)


def test_mass_of_the_body_overrides_masses_below(author: Author) -> None:
    author.body("/World/b", mass=2.0)
    author.weigh(author.box("/World/b/one", (0.1, 0.1, 0.1)), mass=30)
    assert body(author).mass == pytest.approx(2.0, rel=1e-6)


def test_mass_on_a_group_between_body_and_collider(author: Author) -> None:
    author.body("/World/b")
    author.weigh(author.xform("/World/b/group").GetPrim(), mass=0.9)
    author.box("/World/b/group/one", (0.1, 0.1, 0.1), at=(0.1, 0, 0))
    author.box("/World/b/group/two", (0.1, 0.1, 0.2), at=(-0.1, 0, 0))
    author.weigh(author.box("/World/b/three", (0.1, 0.1, 0.1)), mass=0.1)
    found = body(author)
    assert found.mass == pytest.approx(1.0, rel=1e-6)
    assert found.center_of_mass[0] == pytest.approx(0.3 * 0.1 - 0.6 * 0.1, rel=1e-5)


def test_mass_above_one_body_is_its_own_above_two_is_noted(author: Author) -> None:
    author.weigh(author.xform("/World/group").GetPrim(), mass=0.6)
    author.body("/World/group/b")
    author.box("/World/group/b/g", (0.1, 0.1, 0.1))
    assert body(author, "/World/group/b").mass == pytest.approx(0.6, rel=1e-6)
    author.body("/World/group/c")
    author.box("/World/group/c/g", (0.1, 0.1, 0.1))
    scene = load_scene(author.save())
    assert [w.path for w in scene.warnings if w.code == "mass-ambiguous"] == ["/World/group"]
    assert scene.bodies["/World/group/b"].mass == pytest.approx(1.0, rel=1e-6)


def test_authored_inertia_and_center(author: Author) -> None:
    prim = author.body("/World/b", mass=1.5, at=(0.1, 0.2, 0.3), turn=((0, 0, 1), 40))
    author.box("/World/b/g", (0.1, 0.1, 0.1))
    api = UsdPhysics.MassAPI(prim)
    api.CreateDiagonalInertiaAttr(author.inertia((0.01, 0.02, 0.025)))
    api.CreateCenterOfMassAttr(Gf.Vec3f(author.vector((0.01, 0.02, 0.03))))
    found = body(author)
    np.testing.assert_allclose(tensor(found), np.diag([0.01, 0.02, 0.025]), rtol=1e-5, atol=1e-9)
    np.testing.assert_allclose(found.center_of_mass, [0.01, 0.02, 0.03], atol=1e-7)


def test_principal_axes(author: Author) -> None:
    prim = author.body("/World/b", mass=1.5)
    author.box("/World/b/g", (0.1, 0.1, 0.1))
    api = UsdPhysics.MassAPI(prim)
    api.CreateDiagonalInertiaAttr(author.inertia((0.01, 0.02, 0.025)))
    api.CreatePrincipalAxesAttr(Gf.Quatf(author.turn((0, 0, 1), 30).GetQuat()))
    c, s = math.cos(math.radians(30)), math.sin(math.radians(30))
    turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    np.testing.assert_allclose(tensor(body(author)), turn @ np.diag([0.01, 0.02, 0.025]) @ turn.T, rtol=1e-5, atol=1e-9)


def test_a_scaled_body_scales_its_colliders_and_its_center(author: Author) -> None:
    prim = author.body("/World/b", density=1000, scale=(2.0, 1.0, 0.5))
    author.box("/World/b/g", (0.1, 0.1, 0.1), at=(0.1, 0, 0.2))
    found = body(author)
    mass = 1000 * 0.2 * 0.1 * 0.05
    assert found.mass == pytest.approx(mass, rel=1e-6)
    np.testing.assert_allclose(found.center_of_mass, [0.2, 0, 0.1], atol=1e-7)
    np.testing.assert_allclose(tensor(found), box_inertia(mass, 0.2, 0.1, 0.05), rtol=1e-5, atol=1e-9)
    UsdPhysics.MassAPI(prim).CreateCenterOfMassAttr(Gf.Vec3f(author.vector((0.1, 0, 0))))
    np.testing.assert_allclose(body(author).center_of_mass, [0.2, 0, 0], atol=1e-7)


def test_a_rigid_body_that_is_a_gprim(author: Author) -> None:
    prim = author.box("/World/b", (0.2, 0.1, 0.05), at=(1, 2, 3))
    UsdPhysics.RigidBodyAPI.Apply(prim)
    author.weigh(prim, mass=0.5)
    found = body(author)
    assert found.mass == pytest.approx(0.5, rel=1e-6)
    np.testing.assert_allclose(found.pose.position, [1, 2, 3], atol=1e-6)
    np.testing.assert_allclose(found.geoms[0].size, [0.1, 0.05, 0.025], rtol=1e-6)
    np.testing.assert_allclose(tensor(found), box_inertia(0.5, 0.2, 0.1, 0.05), rtol=1e-5, atol=1e-9)


def test_the_mass_of_colliders_that_are_off_does_not_count(author: Author) -> None:
    author.body("/World/b")
    author.box("/World/b/on", (0.1, 0.1, 0.1))
    off = author.box("/World/b/off", (0.1, 0.1, 0.1))
    UsdPhysics.CollisionAPI(off).CreateCollisionEnabledAttr(False)
    author.box("/World/b/drawn", (0.5, 0.5, 0.5), collide=False)
    assert body(author).mass == pytest.approx(1.0, rel=1e-6)


def test_a_body_of_nothing_weighs_a_kilogram_and_says_so(author: Author) -> None:
    author.body("/World/b")
    scene = load_scene(author.save())
    assert scene.bodies["/World/b"].mass == 1.0
    assert (scene.bodies["/World/b"].inertia > 0).all()
    assert "mass-default" in {w.code for w in scene.warnings}


def test_impossible_inertia_is_noted(author: Author) -> None:
    prim = author.body("/World/b", mass=1.0)
    UsdPhysics.MassAPI(prim).CreateDiagonalInertiaAttr(author.inertia((0.1, 0.1, 1.0)))
    author.box("/World/b/g", (0.1, 0.1, 0.1))
    assert "inertia-impossible" in {w.code for w in load_scene(author.save()).warnings}


@pytest.mark.parametrize("said", ["nothing", "mass", "mass and center", "all"])
def test_agrees_with_usds_own_computation(tmp_path: Path, said: str) -> None:
    """UsdPhysicsRigidBodyAPI.ComputeMassProperties, fed with volumes and inertias worked out here."""
    author = Author(tmp_path / "stage.usda")
    prim = author.body("/World/b", density=400, at=(0.1, 0.2, 0.3), turn=((0, 0, 1), 30))
    author.box("/World/b/box", (0.1, 0.2, 0.3), at=(0.05, 0, 0))
    author.weigh(author.sphere("/World/b/ball", 0.05, at=(0, 0, 0.2)), mass=0.3)
    tin = author.round(UsdGeom.Cylinder, "/World/b/tin", 0.02, 0.1, at=(0, 0.2, 0))
    author.bind(tin, author.physics_material("/World/m", density=777), "physics")
    author.weigh(tin, density=50)
    api = UsdPhysics.MassAPI(prim)
    if said != "nothing":
        api.CreateMassAttr(2.0)
    if "center" in said or said == "all":
        api.CreateCenterOfMassAttr(Gf.Vec3f(0.01, 0.02, 0.03))
    if said == "all":
        api.CreateDiagonalInertiaAttr(Gf.Vec3f(0.01, 0.02, 0.025))
        api.CreatePrincipalAxesAttr(Gf.Quatf(math.cos(0.1), math.sin(0.1), 0, 0))
    ball, can = 4 / 3 * math.pi * 0.05**3, math.pi * 0.02**2 * 0.1
    shapes = {
        "box": (0.006, box_inertia(0.006, 0.1, 0.2, 0.3), (0.05, 0, 0)),
        "ball": (ball, 0.4 * ball * 0.05**2 * np.eye(3), (0, 0, 0.2)),
        "tin": (can, can * np.diag([(3 * 0.02**2 + 0.01) / 12] * 2 + [0.02**2 / 2]), (0, 0.2, 0)),
    }

    def information(shape):
        volume, inertia, at = shapes[shape.GetName()]
        told = UsdPhysics.RigidBodyAPI.MassInformation()
        told.volume, told.inertia = volume, Gf.Matrix3f(*[float(v) for v in inertia.ravel()])
        told.centerOfMass, told.localPos, told.localRot = Gf.Vec3f(0), Gf.Vec3f(*at), Gf.Quatf(1)
        return told

    mass, diagonal, center, axes = UsdPhysics.RigidBodyAPI(prim).ComputeMassProperties(information)
    turn = matrix_from_quat([axes.GetReal(), *axes.GetImaginary()])
    found = body(author)
    assert found.mass == pytest.approx(mass, rel=1e-5)
    np.testing.assert_allclose(found.center_of_mass, center, atol=1e-6)
    np.testing.assert_allclose(tensor(found), turn @ np.diag(diagonal) @ turn.T, rtol=1e-4, atol=1e-7)


def test_capsule_properties_against_an_integral() -> None:
    """Disc by disc along the axis."""
    from synthgen.core.pose import Pose
    from synthgen.core.scene import Geom

    radius, half = 0.03, 0.07
    geom = Geom(path="/g", kind="capsule", size=(radius, half), pose=Pose.of(), collides=True, visible=True)
    z = np.linspace(-half - radius, half + radius, 200_001)
    over = np.maximum(np.abs(z) - half, 0.0)
    disc = radius**2 - over**2
    volume = np.trapezoid(np.pi * disc, z)
    along = np.trapezoid(np.pi * disc**2 / 2, z)
    across = np.trapezoid(np.pi * disc**2 / 4 + np.pi * disc * z**2, z)
    found = mass_properties.unit_properties(geom)
    assert found is not None
    assert found.mass == pytest.approx(volume, rel=1e-7)
    np.testing.assert_allclose(found.inertia, np.diag([across, across, along]), rtol=1e-6, atol=1e-15)
