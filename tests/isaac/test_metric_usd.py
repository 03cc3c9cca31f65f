"""Stages in other units, Y up, with a root elsewhere: their converted copy says the same. Needs no Isaac Lab."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pxr import Gf, Usd, UsdGeom, UsdPhysics, UsdShade

from synthgen.core.errors import SceneError
from synthgen.core.pose import Pose, matrix_from_quat
from synthgen.core.scene import Body, SceneSpec
from synthgen.sim.isaac import metric_usd, scene_usd
from synthgen.usd.load import load_scene

HERE = Path(__file__).parent
KITCHEN, YARD = HERE / "kitchen.usda", HERE / "yard.usda"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SYNTHGEN_CACHE", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture(scope="module")
def yard(tmp_path_factory):
    """The yard, made ready in a cache of its own: (scene, ready, stage)."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SYNTHGEN_CACHE", str(tmp_path_factory.mktemp("cache")))
        scene = load_scene(YARD)
        ready = scene_usd.prepare(scene)
    return scene, ready, Usd.Stage.Open(str(ready.file))


def converted(source: Path, folder: Path) -> Path:
    target = folder / "metric.usdc"
    metric_usd.write_metric(source, target)
    return target


def tensor(body: Body) -> np.ndarray:
    """Inertia about the centre of mass in the world's axes."""
    turn = matrix_from_quat((body.pose @ Pose.of((0.0, 0.0, 0.0), body.inertia_frame)).orientation)
    return turn @ np.diag(body.inertia) @ turn.T


def corners(body_pose: Pose, geom) -> np.ndarray:
    """Extreme world coordinates of a shape's parts."""
    if geom.kind == "mesh":
        points = np.concatenate([(body_pose @ geom.pose).apply(hull.vertices) for hull in geom.hulls])
        return np.array([points.min(0), points.max(0)])
    return np.array(
        [(body_pose @ geom.pose).position, np.sort(geom.size)[:3] if len(geom.size) == 3 else [*geom.size, 0, 0][:3]]
    )


def same_physics(a: SceneSpec, b: SceneSpec, prefix: str) -> None:
    """Frames of bodies may differ by a turn; what weighs, collides and moves where may not."""
    assert [prefix + p for p in a.bodies] == list(b.bodies)
    for (path, mine), other in zip(a.bodies.items(), b.bodies.values(), strict=True):
        np.testing.assert_allclose(mine.pose.position, other.pose.position, atol=1e-6, err_msg=path)
        assert mine.mass == pytest.approx(other.mass, rel=1e-5)
        centers = [x.pose.apply(x.center_of_mass) for x in (mine, other)]
        # How a concave mesh is cut into pieces depends on its size and on how it stands.
        near = 1e-6 if all(len(g.hulls) < 2 for g in mine.geoms) else 5e-4
        np.testing.assert_allclose(*centers, atol=near, err_msg=path)
        np.testing.assert_allclose(tensor(mine), tensor(other), atol=max(1e-4, 20 * near) * mine.inertia.max())
        for g, h in zip(mine.geoms, other.geoms, strict=True):
            np.testing.assert_allclose(corners(mine.pose, g), corners(other.pose, h), atol=2e-5, err_msg=g.path)
            assert g.surface == h.surface
    for g, h in zip(a.static_geoms, b.static_geoms, strict=True):
        np.testing.assert_allclose(corners(Pose.of(), g), corners(Pose.of(), h), atol=1e-6, err_msg=g.path)
    for j, k in zip(a.joints, b.joints, strict=True):
        assert j.kind == k.kind and (j.drive is None) == (k.drive is None)
        if j.drive is not None:
            assert vars(j.drive) == pytest.approx(vars(k.drive))
        assert (j.lower, j.upper) == pytest.approx((k.lower, k.upper))
        places = [_axis(a, j), _axis(b, k)]
        np.testing.assert_allclose(*places, atol=1e-6, err_msg=j.path)


def _axis(scene: SceneSpec, joint) -> np.ndarray:
    frame = (scene.bodies[joint.parent].pose if joint.parent else Pose.of()) @ joint.frame_in_parent
    along = matrix_from_quat(frame.orientation) @ joint.axis if joint.kind != "fixed" else np.zeros(3)
    return np.array([frame.position, along])


def test_the_copy_of_a_yard_says_what_the_yard_says(yard, tmp_path):
    copy = load_scene(converted(YARD, tmp_path))
    same_physics(yard[0], copy, metric_usd.ROOT)
    stage = Usd.Stage.Open(str(copy.source))
    assert UsdGeom.GetStageMetersPerUnit(stage) == UsdPhysics.GetStageKilogramsPerUnit(stage) == 1.0
    assert UsdGeom.GetStageUpAxis(stage) == "Z"
    assert np.allclose(UsdGeom.XformCache().GetLocalToWorldTransform(stage.GetDefaultPrim()), np.eye(4))


def test_every_number_of_a_stage_is_converted(tmp_path):
    """The kitchen read as if it were in odd units: the importer converts one way, the copy another."""
    text = KITCHEN.read_text().replace("metersPerUnit = 1\n", "metersPerUnit = 0.5\n", 1)
    text = text.replace("kilogramsPerUnit = 1\n", "kilogramsPerUnit = 2\n", 1)
    text = text.replace("float drive:linear:physics:stiffness = 0", "float drive:linear:physics:stiffness = 7", 1)
    text = text.replace(
        "            double size = 1\n            rel", "            rel", 1
    )  # the table's size unauthored
    path = tmp_path / "odd.usda"
    path.write_text(text)
    odd, copy = load_scene(path), load_scene(converted(path, tmp_path))
    assert odd.bodies["/World/things/block"].mass == pytest.approx(0.2)
    same_physics(odd, copy, metric_usd.ROOT)


def test_a_metric_stage_is_spawned_as_it_is(cache):
    stage = Usd.Stage.Open(str(KITCHEN))
    assert metric_usd.is_metric(stage)
    ready = scene_usd.prepare(load_scene(KITCHEN))
    assert ready.prefix == "/World" and not ready.turns and str(KITCHEN) in ready.file.read_text()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("metersPerUnit = 1\n", "metersPerUnit = 0.01\n"),
        ("kilogramsPerUnit = 1\n", "kilogramsPerUnit = 0.001\n"),
        ('upAxis = "Z"', 'upAxis = "Y"'),
        (
            'def Xform "World"\n{',
            'def Xform "World"\n{\ndouble3 xformOp:translate = (1, 0, 0)\n'
            'uniform token[] xformOpOrder = ["xformOp:translate"]',
        ),
        ("def PhysicsScene", 'def "loose"\n{\nrel away = </Looks>\n}\ndef PhysicsScene'),
    ],
)
def test_what_isaac_lab_would_get_wrong_is_noticed(tmp_path, old, new):
    path = tmp_path / "edited.usda"
    path.write_text(KITCHEN.read_text().replace(old, new, 1))
    assert not metric_usd.is_metric(Usd.Stage.Open(str(path)))


def test_bindings_to_materials_beside_the_root_survive(yard):
    _, ready, stage = yard
    shape = stage.GetPrimAtPath("/Scene" + ready.below("/World/things/block") + "/shape")
    material, _ = UsdShade.MaterialBindingAPI(shape).ComputeBoundMaterial()
    assert str(material.GetPath()) == "/Scene/Looks/red"
    physics, _ = UsdShade.MaterialBindingAPI(shape).ComputeBoundMaterial("physics")
    assert UsdPhysics.MaterialAPI(physics).GetStaticFrictionAttr().Get() == pytest.approx(0.9)


def test_convex_pieces_lie_where_the_collider_is(yard):
    """Beside the prim's axes, although the body's frame in the scene stands upright."""
    scene, ready, stage = yard
    body = scene.bodies["/World/things/bracket"]
    wanted = np.concatenate([(body.pose @ g.pose).apply(h.vertices) for g in body.geoms for h in g.hulls])
    found = []
    for prim in stage.GetPrimAtPath("/Scene" + ready.below(body.path)).GetChildren():
        if "_hull" in prim.GetName():
            matrix = UsdGeom.XformCache().GetLocalToWorldTransform(prim)
            found += [matrix.Transform(Gf.Vec3d(*map(float, p))) for p in UsdGeom.Mesh(prim).GetPointsAttr().Get()]
    np.testing.assert_allclose(np.min(found, 0), wanted.min(0), atol=1e-5)
    np.testing.assert_allclose(np.max(found, 0), wanted.max(0), atol=1e-5)


def test_a_prim_that_leaves_its_environment_is_refused(cache, tmp_path):
    path = tmp_path / "reset.usda"
    text = KITCHEN.read_text()
    path.write_text(
        text.replace(
            'def Xform "table"\n    {',
            'def Xform "table"\n    {\nuniform token[] xformOpOrder = ["!resetXformStack!"]',
            1,
        )
    )
    with pytest.raises(SceneError, match=r"/World/table resets the transforms above it"):
        scene_usd.prepare(load_scene(path))


def test_instances_are_taken_apart(tmp_path):
    part = tmp_path / "part.usda"
    part.write_text('#usda 1.0\n(\ndefaultPrim = "P"\n)\ndef Xform "P"\n{\ndef Cube "c"\n{\n}\n}\n')
    path = tmp_path / "twice.usda"
    one = 'def Xform "{}" (\ninstanceable = true\nprepend references = @./part.usda@\n)\n{{\n}}\n'
    head = '#usda 1.0\n(\ndefaultPrim = "W"\nmetersPerUnit = 0.01\n)\ndef Xform "W"\n{\n'
    path.write_text(head + one.format("a") + one.format("b") + "}\n")
    stage = Usd.Stage.Open(str(converted(path, tmp_path)))
    for name in "ab":
        cube = UsdGeom.Cube(stage.GetPrimAtPath(f"/Stage/W/{name}/c"))
        assert cube.GetSizeAttr().Get() == pytest.approx(0.02), "an unauthored size is two stage units"
