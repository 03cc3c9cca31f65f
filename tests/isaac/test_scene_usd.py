"""The layer that makes a user's stage ready for Isaac Lab. Needs no Isaac Lab."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pxr import Usd, UsdGeom, UsdLux, UsdPhysics, UsdShade

from synthgen.core.errors import SceneError
from synthgen.core.project import builtin_root
from synthgen.sim.isaac import scene_usd
from synthgen.usd.load import load_scene

KITCHEN = Path(__file__).parent / "kitchen.usda"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SYNTHGEN_CACHE", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture
def kitchen(cache):
    scene = load_scene(KITCHEN)
    ready = scene_usd.prepare(scene)
    return scene, ready, Usd.Stage.Open(str(ready.file))


def edited(folder: Path, old: str, new: str, *, count: int = 1) -> Path:
    text = KITCHEN.read_text()
    assert old in text
    path = folder / "edited.usda"
    path.write_text(text.replace(old, new, count))
    return path


def test_every_body_is_found_below_the_scene(kitchen):
    scene, ready, stage = kitchen
    assert stage.GetDefaultPrim().GetPath() == "/Scene"
    for path in scene.bodies:
        assert stage.GetPrimAtPath("/Scene" + ready.below(path)).HasAPI(UsdPhysics.RigidBodyAPI)


def test_the_users_stage_is_left_alone(kitchen):
    scene, ready, _ = kitchen
    assert load_scene(KITCHEN).digest == scene.digest
    assert str(KITCHEN) in Path(ready.file).read_text()


def test_what_exists_once_per_simulation_is_switched_off(kitchen):
    _, _, stage = kitchen
    kinds = (UsdPhysics.Scene, UsdLux.DistantLight, UsdLux.DomeLight)
    assert not [p for p in stage.Traverse() if any(p.IsA(k) for k in kinds)]


@pytest.mark.parametrize("place", ["/World/Physics", "/PhysicsScene"])
def test_nothing_belongs_to_a_physics_scene_that_is_off(cache, place):
    owned = f"rel physics:simulationOwner = <{place}>\n            float physics:mass = 0.1"
    ready = scene_usd.prepare(load_scene(edited(cache, "float physics:mass = 0.1", owned)))
    assert ready.prefix == "/World", "a scene beside the root is no reason for a copy"
    stage = Usd.Stage.Open(str(ready.file))
    assert not UsdPhysics.RigidBodyAPI(stage.GetPrimAtPath("/Scene/things/block")).GetSimulationOwnerRel().GetTargets()


def test_a_drawer_is_a_fixed_articulation_anchored_inside_the_scene(kitchen):
    _, ready, stage = kitchen
    (mechanism,) = ready.mechanisms
    assert mechanism.fixed and mechanism.joints == ("/World/cabinet/slide",)
    assert mechanism.bodies == ("/World/cabinet/frame", "/World/cabinet/drawer")
    holder = stage.GetPrimAtPath("/Scene" + ready.below(mechanism.holder))
    assert holder.HasAPI(UsdPhysics.ArticulationRootAPI) and not holder.HasAPI(UsdPhysics.RigidBodyAPI)
    stand = UsdPhysics.Joint(stage.GetPrimAtPath("/Scene/cabinet/stand"))
    assert stand.GetBody0Rel().GetTargets() == ["/Scene/cabinet"], "a world anchor shifts the drawer on Newton"
    np.testing.assert_allclose(stand.GetLocalPos0Attr().Get(), (0, 0, 0), atol=1e-6)
    slide = stage.GetPrimAtPath("/Scene/cabinet/slide")
    assert slide.HasAPI(UsdPhysics.DriveAPI, "linear")


def test_objects_with_drawn_colours_have_materials_of_their_own(kitchen):
    _, ready, stage = kitchen
    assert set(ready.colored) == {"/World/things/block", "/World/things/can"}
    shape = stage.GetPrimAtPath("/Scene/things/block/shape")
    material, _ = UsdShade.MaterialBindingAPI(shape).ComputeBoundMaterial()
    assert str(material.GetPath()) == "/Scene" + ready.colored["/World/things/block"]
    physics, _ = UsdShade.MaterialBindingAPI(shape).ComputeBoundMaterial("physics")
    assert str(physics.GetPath()) == "/Scene/Looks/grip", "friction stays as authored"


def test_bodies_carry_labels(kitchen):
    scene, ready, stage = kitchen
    for path in scene.bodies:
        prim = stage.GetPrimAtPath("/Scene" + ready.below(path))
        assert list(prim.GetAttribute("semantics:labels:class").Get()) == [path]


def test_the_shelf_is_far_away_and_not_to_be_seen(kitchen):
    _, ready, stage = kitchen
    shelf = UsdGeom.Imageable(stage.GetPrimAtPath("/Scene/SynthgenShelf"))
    assert shelf.ComputeVisibility() == "invisible" and shelf.ComputePurpose() == "guide"
    places = np.array([p.position for p in ready.parking.values()])
    assert places[:, 2].min() >= 20.0
    gaps = np.linalg.norm(places[:, None] - places[None], axis=-1)[~np.eye(len(places), dtype=bool)]
    assert gaps.min() >= 0.5


def test_the_layer_is_written_once(kitchen):
    scene, ready, _ = kitchen
    stamp = ready.file.stat().st_mtime_ns
    assert scene_usd.prepare(scene).file == ready.file and ready.file.stat().st_mtime_ns == stamp


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('    defaultPrim = "World"\n', "", "no defaultPrim"),
        ('upAxis = "Z"', 'upAxis = "Y"', "not along -z"),
        ("gravityDirection = (0, 0, -1)", "gravityDirection = (1, 0, -1)", "not along -z"),
        ('def Scope "things"', 'def Xform "things" (prepend apiSchemas = ["PhysicsRigidBodyAPI"])', "/World/things"),
        (
            "        def PhysicsFixedJoint",
            '        def PhysicsFixedJoint "hold"\n        {\n            rel physics:body1 = </World/things/can>\n'
            "        }\n\n        def PhysicsFixedJoint",
            "slot 'target' may do without /World/things/can",
        ),
        ("def PhysicsPrismaticJoint", "def PhysicsSphericalJoint", "spherical"),
    ],
)
def test_scenes_that_isaac_cannot_take_are_refused_with_a_reason(cache, old, new, says):
    with pytest.raises(SceneError, match=says) as caught:
        scene_usd.prepare(load_scene(edited(cache, old, new)))
    assert caught.value.remedy


@pytest.mark.parametrize("name", ["tabletop", "tiny"])
def test_the_built_in_scenes_are_taken(cache, name):
    scene = load_scene(builtin_root() / "scenes" / f"{name}.usda")
    ready = scene_usd.prepare(scene)
    assert set(ready.free) | {b for m in ready.mechanisms for b in m.bodies} == set(scene.bodies)


def test_a_concave_collider_becomes_convex_pieces(cache):
    text = KITCHEN.read_text()
    ell = """
            def Mesh "ell" (prepend apiSchemas = ["PhysicsCollisionAPI", "PhysicsMeshCollisionAPI", "PhysicsMassAPI"])
            {
                uniform token physics:approximation = "convexDecomposition"
                float physics:density = 300
                uniform token subdivisionScheme = "none"
                point3f[] points = [(0,0,0),(.1,0,0),(.1,.02,0),(.02,.02,0),(.02,.1,0),(0,.1,0),
                                    (0,0,.02),(.1,0,.02),(.1,.02,.02),(.02,.02,.02),(.02,.1,.02),(0,.1,.02)]
                int[] faceVertexCounts = [6, 6, 4, 4, 4, 4, 4, 4]
                int[] faceVertexIndices = [5,4,3,2,1,0, 6,7,8,9,10,11, 0,1,7,6, 1,2,8,7, 2,3,9,8, 3,4,10,9,
                                           4,5,11,10, 5,0,6,11]
            }
"""
    path = cache / "ell.usda"
    text = text.replace("            float physics:mass = 0.5\n", "", 1)  # the tray weighs what its parts do
    path.write_text(text.replace('            def Cube "bottom"', ell + '            def Cube "bottom"', 1))
    scene = load_scene(path)
    pieces = next(g for g in scene.bodies["/World/things/tray"].geoms if g.kind == "mesh").hulls
    assert len(pieces) > 1
    stage = Usd.Stage.Open(str(scene_usd.prepare(scene).file))
    source = UsdPhysics.CollisionAPI(stage.GetPrimAtPath("/Scene/things/tray/ell"))
    assert source.GetCollisionEnabledAttr().Get() is False
    tray = UsdPhysics.MassAPI(stage.GetPrimAtPath("/Scene/things/tray"))
    assert tray.GetMassAttr().Get() == pytest.approx(scene.bodies["/World/things/tray"].mass) != 0.0
    made = [p for p in stage.GetPrimAtPath("/Scene/things/tray").GetChildren() if p.GetName().startswith("ell_hull")]
    assert len(made) == len(pieces)
    for prim in made:
        assert UsdPhysics.MeshCollisionAPI(prim).GetApproximationAttr().Get() == "convexHull"
