"""What the schemas say becomes, in metres and radians, whatever the stage's units."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from pxr import Gf, Sdf, UsdGeom, UsdLux
from usd_stages import BOX_FACES, BOX_POINTS, Author

from synthgen.usd import load_scene, mesh


@pytest.fixture(params=[("Z", 1.0), ("Y", 0.01)], ids=["Z m", "Y cm"])
def author(request, tmp_path: Path) -> Author:
    return Author(tmp_path / "stage.usda", *request.param)


def prop(author: Author, path: str = "/World/b", **values):
    author.apply(author.stage.GetPrimAtPath(path), "SynthgenObjectAPI", noun="thing", **values)
    return load_scene(author.save()).objects[path.rsplit("/", 1)[1]]


def test_extents_and_center_are_of_the_colliders(author: Author) -> None:
    author.body("/World/b", mass=1.0, at=(1, 2, 3), turn=((0, 0, 1), 30), scale=(2, 2, 2))
    author.box("/World/b/solid", (0.1, 0.05, 0.02), at=(0, 0, 0.03))
    author.box("/World/b/drawn", (0.5, 0.5, 0.5), collide=False)
    found = prop(author, massScale=(0.5, 2.0), frictionScale=(0.9, 1.1), colorJitter=0.1)
    np.testing.assert_allclose(found.extents, [0.2, 0.1, 0.04], rtol=1e-5)
    np.testing.assert_allclose(found.center, [0, 0, 0.06], atol=1e-6)
    assert (found.body, found.noun, found.shape) == ("/World/b", "thing", "box")
    assert (found.mass_scale.low, found.mass_scale.high) == (0.5, 2.0)
    assert (found.friction_scale.low, found.color_jitter) == (pytest.approx(0.9), pytest.approx(0.1))


def can(author: Author) -> None:
    author.round(UsdGeom.Cylinder, "/World/b/g", 0.03, 0.1)


def bottle(author: Author) -> None:
    author.round(UsdGeom.Cylinder, "/World/b/g", 0.03, 0.1)
    author.round(UsdGeom.Capsule, "/World/b/neck", 0.01, 0.04, at=(0, 0, 0.06))


def lying(author: Author) -> None:
    author.round(UsdGeom.Cylinder, "/World/b/g", 0.03, 0.1, axis="X")


def ball(author: Author) -> None:
    author.sphere("/World/b/g", 0.03)


def turned_box(author: Author) -> None:
    author.box("/World/b/g", (0.1, 0.05, 0.02), turn=((0, 0, 1), 45))


def box_on_its_side(author: Author) -> None:
    author.box("/World/b/g", (0.1, 0.05, 0.02), turn=((1, 0, 0), 90))


def box_mesh(author: Author) -> None:
    author.mesh("/World/b/g", BOX_POINTS * 0.1, BOX_FACES)


def can_mesh(author: Author) -> None:
    vertices, triangles = mesh.lathe([(0.03, 0.0), (0.03, 0.1)])
    author.mesh("/World/b/g", vertices, [tuple(t) for t in triangles])


def cone_mesh(author: Author) -> None:
    vertices, triangles = mesh.lathe([(0.03, 0.0), (0.0, 0.1)])
    author.mesh("/World/b/g", vertices, [tuple(t) for t in triangles])


def two_boxes(author: Author) -> None:
    author.box("/World/b/g", (0.1, 0.05, 0.02))
    author.box("/World/b/h", (0.02, 0.05, 0.1))


@pytest.mark.parametrize(
    ("build", "shape"),
    [
        (can, "cylinder"),
        (bottle, "cylinder"),
        (lying, "other"),
        (ball, "sphere"),
        (turned_box, "other"),
        (box_on_its_side, "box"),
        (box_mesh, "box"),
        (can_mesh, "cylinder"),
        (cone_mesh, "other"),
        (two_boxes, "other"),
    ],
)
def test_shape(author: Author, build, shape: str) -> None:
    author.body("/World/b", mass=1.0)
    build(author)
    assert prop(author).shape == shape


def test_shape_can_be_said(author: Author) -> None:
    author.body("/World/b", mass=1.0)
    two_boxes(author)
    assert prop(author, shape="box").shape == "box"


def test_regions_receptacles_and_mounts(author: Author) -> None:
    k = author.length(1.0)
    region = author.xform("/World/r", at=(0.3, -0.2, 0.8), turn=((0, 0, 1), 90), scale=(2, 1, 1)).GetPrim()
    author.apply(region, "SynthgenSpawnRegionAPI", size=(0.1 * k, 0.4 * k), yaw=(-90.0, 45.0), clearance=0.02 * k)
    author.body("/World/bin", mass=0.5, at=(0.5, 0.1, 0.8), turn=((0, 0, 1), 90), scale=(1, 1, 2))
    author.box("/World/bin/floor", (0.3, 0.2, 0.01))
    values = {"noun": "bin", "size": (0.28 * k, 0.18 * k), "height": 0.05 * k, "round": True, "preposition": "onto"}
    center = tuple(Gf.Vec3f(author.vector((0.01, 0.02, 0.005))))
    author.apply(author.stage.GetPrimAtPath("/World/bin"), "SynthgenReceptacleAPI", center=center, **values)
    shelf = author.xform("/World/shelf", at=(0, 0, 1.2)).GetPrim()
    author.apply(shelf, "SynthgenReceptacleAPI", noun="shelf", size=(0.5 * k, 0.3 * k))
    mount = author.xform("/World/m", at=(0, 0, 0.8), turn=((0, 0, 1), -90)).GetPrim()
    author.apply(mount, "SynthgenMountAPI")
    scene = load_scene(author.save())
    found = scene.regions["r"]
    np.testing.assert_allclose(found.pose.position, [0.3, -0.2, 0.8], atol=1e-6)
    assert found.pose.yaw() == pytest.approx(math.pi / 2, abs=1e-6)
    assert found.half_extents == pytest.approx((0.1, 0.2))
    assert (found.yaw.low, found.yaw.high) == (pytest.approx(-math.pi / 2), pytest.approx(math.pi / 4))
    assert found.clearance == pytest.approx(0.02 * 1.5)  # the mean of the two scales
    tub = scene.receptacles["bin"]
    assert (tub.body, tub.round, tub.preposition, tub.noun) == ("/World/bin", True, "onto", "bin")
    assert tub.half_extents == pytest.approx((0.14, 0.09)) and tub.height == pytest.approx(0.1)
    world = scene.bodies["/World/bin"].pose @ tub.pose
    np.testing.assert_allclose(world.position, [0.5 - 0.02, 0.1 + 0.01, 0.8 + 0.01], atol=1e-6)
    static = scene.receptacles["shelf"]
    assert static.body is None
    np.testing.assert_allclose(static.pose.position, [0, 0, 1.2], atol=1e-6)
    assert scene.mounts[0].pose.yaw() == pytest.approx(-math.pi / 2, abs=1e-6)


def test_randomization(author: Author) -> None:
    lamp = UsdLux.SphereLight.Define(author.stage, "/World/lamp")
    values = {"intensityScale": (0.5, 1.5), "temperature": (3000.0, 6000.0), "directionJitter": 10.0}
    author.apply(lamp.GetPrim(), "SynthgenRandomizeAPI", positionJitter=author.length(0.1), **values)
    camera = UsdGeom.Camera.Define(author.stage, "/World/cam")
    author.apply(camera.GetPrim(), "SynthgenRandomizeAPI", positionJitter=author.length(0.02), colorJitter=0.5)
    material = author.preview("/World/paint")
    author.apply(material.GetPrim(), "SynthgenRandomizeAPI", colorJitter=0.2, directionJitter=5.0)
    light, view, paint = load_scene(author.save()).looks
    assert (light.intensity_scale.low, light.intensity_scale.high) == (0.5, 1.5)
    assert light.temperature is not None and light.temperature.high == 6000.0
    assert light.direction_jitter == pytest.approx(math.radians(10))
    assert light.position_jitter == pytest.approx(0.1)
    assert (view.position_jitter, view.color_jitter, view.temperature) == (pytest.approx(0.02), 0.0, None)
    assert (paint.color_jitter, paint.direction_jitter) == (pytest.approx(0.2), 0.0)


def test_textures_to_draw(author: Author) -> None:
    """Of materials and domes; a material that draws its texture keeps the mesh's coordinates; the digest sees them."""
    images = [author.path.parent / f"{n}.png" for n in "ab"]
    for image in images:
        image.write_bytes(b"not read here")
    names = Sdf.AssetPathArray([Sdf.AssetPath(f"./{x.name}") for x in images])
    prim = author.mesh("/World/m", [(0, 0, 0), (1, 0, 0), (1, 1, 0)], [(0, 1, 2)], collide=False)
    coordinates = [(0.0, 0.0), (1.0, 0.0), (1.0, 1.0)]
    UsdGeom.PrimvarsAPI(prim).CreatePrimvar("st", Sdf.ValueTypeNames.TexCoord2fArray, "vertex").Set(coordinates)
    material = author.preview("/World/paint")
    author.bind(prim, material)
    author.apply(material.GetPrim(), "SynthgenRandomizeAPI")
    textures = material.GetPrim().CreateAttribute("synthgen:randomize:textures", Sdf.ValueTypeNames.AssetArray)
    textures.Set(names)
    dome = UsdLux.DomeLight.Define(author.stage, "/World/sky")
    author.apply(dome.GetPrim(), "SynthgenRandomizeAPI", yaw=(-90.0, 90.0), colorJitter=0.1)
    dome.GetPrim().CreateAttribute("synthgen:randomize:textures", Sdf.ValueTypeNames.AssetArray).Set(names[:1])
    scene = load_scene(author.save())
    paint, sky = scene.looks
    assert paint.textures == {"./a.png": images[0], "./b.png": images[1]} and sky.textures == {"./a.png": images[0]}
    assert (sky.yaw.low, sky.yaw.high) == (pytest.approx(-math.pi / 2), pytest.approx(math.pi / 2))
    assert sky.color_jitter == pytest.approx(0.1)
    assert scene.static_geoms[0].mesh.texcoords is not None
    images[1].write_bytes(b"another")
    assert load_scene(author.path).digest != scene.digest
    images[1].unlink()
    again = load_scene(author.path)
    assert [(w.code, w.path) for w in again.warnings] == [("missing-texture", "/World/paint")]
    assert "./b.png" in again.warnings[0].message


def test_textures_on_a_light_that_is_no_dome_are_said_to_do_nothing(author: Author) -> None:
    lamp = UsdLux.SphereLight.Define(author.stage, "/World/lamp").GetPrim()
    author.apply(lamp, "SynthgenRandomizeAPI")
    names = Sdf.AssetPathArray([Sdf.AssetPath("./a.png")])
    lamp.CreateAttribute("synthgen:randomize:textures", Sdf.ValueTypeNames.AssetArray).Set(names)
    scene = load_scene(author.save())
    assert [w.code for w in scene.warnings] == ["randomize-nothing"] and not scene.looks[0].textures


def test_a_drawer_is_a_receptacle_that_stays_on_its_joint(tmp_path: Path) -> None:
    """It is never parked or placed; it counts as present in every episode."""
    from pxr import UsdPhysics
    from usd_stages import minimal

    from synthgen.core.spec import EpisodeSpec
    from synthgen.usd import check_scene, sample_scene

    author = Author(tmp_path / "stage.usda")
    minimal(author)
    author.body("/World/drawer", mass=1.0, at=(0.6, 0.0, 0.55))
    author.box("/World/drawer/floor", (0.2, 0.2, 0.01))
    author.joint(UsdPhysics.PrismaticJoint, "/World/slide", None, "/World/drawer", (0.6, 0, 0.55), (0, 0, 0), axis="X")
    author.apply(author.stage.GetPrimAtPath("/World/drawer"), "SynthgenReceptacleAPI", noun="drawer", size=(0.18, 0.18))
    slot = author.stage.GetPrimAtPath("/World/container")
    slot.GetRelationship("synthgen:slot:candidates").SetTargets(["/World/drawer"])
    slot.GetRelationship("synthgen:slot:regions").ClearTargets(True)
    assert check_scene(author.save()) == []
    scene = load_scene(author.path)
    for i in range(5):
        sample = sample_scene(scene, EpisodeSpec(task="t", embodiment="e", slot=i, attempt=0, entropy=3))
        assert sample.slots["container"] == "drawer"
        drawer = sample.bodies["/World/drawer"]
        assert drawer.active
        np.testing.assert_allclose(drawer.pose.vector(), scene.bodies["/World/drawer"].pose.vector())
        assert "container.x" not in sample.draws
