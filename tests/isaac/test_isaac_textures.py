"""Textures and lights of a sample, up to the calls that need Kit. Needs USD, neither Isaac Lab nor Kit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from pxr import Sdf, Usd, UsdGeom, UsdLux, UsdShade

from synthgen.core.pose import Pose, quat_from_axis_angle
from synthgen.core.sample import LightSample, SceneSample
from synthgen.sim.isaac import kit, scene_usd, textures
from synthgen.usd.load import load_scene

STAGE = """#usda 1.0
(
    defaultPrim = "World"
    metersPerUnit = 1
    upAxis = "Z"
)
def Xform "World"
{
    def Xform "Table" (
        instanceable = true
        prepend references = @./prop.usda@
    )
    {
        rel material:binding = </World/Paint>
    }
    def Mesh "Sheet"
    {
        rel material:binding = </World/Paint>
        int[] faceVertexCounts = [3]
        int[] faceVertexIndices = [0, 1, 2]
        point3f[] points = [(0, 0, 0), (1, 0, 0), (1, 1, 0)]
        texCoord2f[] primvars:st = [(0, 0), (1, 0), (1, 1)] (
            interpolation = "vertex"
        )
    }
    def Cube "Other"
    {
        rel material:binding = </World/Plain>
    }
    def Material "Paint" (
        prepend apiSchemas = ["SynthgenRandomizeAPI", "PhysicsMaterialAPI"]
    )
    {
        float physics:dynamicFriction = 0.7
        uniform asset[] synthgen:randomize:textures = [@./a.png@, @./b.png@]
        token outputs:surface.connect = </World/Paint/Surface.outputs:surface>
        def Shader "Surface"
        {
            uniform token info:id = "UsdPreviewSurface"
            color3f inputs:diffuseColor = (0.2, 0.4, 0.6)
            token outputs:surface
        }
    }
    def Material "Plain"
    {
        token outputs:surface.connect = </World/Plain/Surface.outputs:surface>
        def Shader "Surface"
        {
            uniform token info:id = "UsdPreviewSurface"
            token outputs:surface
        }
    }
    def DomeLight "Sky" (
        prepend apiSchemas = ["SynthgenRandomizeAPI"]
    )
    {
        asset inputs:texture:file = @./a.png@
        uniform asset[] synthgen:randomize:textures = [@./b.png@]
    }
    def Xform "Stand"
    {
        double3 xformOp:translate = (1, 2, 0)
        float xformOp:rotateZ = 90
        uniform token[] xformOpOrder = ["xformOp:translate", "xformOp:rotateZ"]
        def SphereLight "Lamp"
        {
            double3 xformOp:translate = (0.5, 0, 1.5)
            float3 xformOp:scale = (2, 2, 2)
            uniform token[] xformOpOrder = ["xformOp:translate", "xformOp:scale"]
        }
    }
}
"""
PROP = """#usda 1.0
(
    defaultPrim = "Prop"
)
def Xform "Prop"
{
    def Cube "Top" (
        prepend apiSchemas = ["PhysicsCollisionAPI"]
    )
    {
    }
}
"""


@pytest.fixture
def stage_file(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("SYNTHGEN_CACHE", str(tmp_path / "cache"))
    for name in "ab":
        (tmp_path / f"{name}.png").write_bytes(b"an image")
    (tmp_path / "prop.usda").write_text(PROP)
    file = tmp_path / "scene.usda"
    file.write_text(STAGE)
    return file


def test_who_wears_a_drawn_texture(stage_file):
    scene = load_scene(stage_file)
    assert textures.drawn(scene) == ("/World/Paint",)
    groups = {g.projected: g.prims for g in textures.wearers(scene)}
    assert groups == {True: ("/World/Table/Top",), False: ("/World/Sheet",)}


def test_the_prepared_layer_lets_materials_be_bound_without_changing_friction(stage_file):
    """The instance is taken apart, and a prim that feels like its visual material goes on doing so."""
    scene = load_scene(stage_file)
    ready = scene_usd.prepare(scene)
    stage = Usd.Stage.Open(str(ready.file))
    top = stage.GetPrimAtPath("/Scene/Table/Top")
    assert top and not top.IsInstanceProxy()
    other = UsdShade.Material.Define(stage, "/Scene/Other_material")
    UsdShade.MaterialBindingAPI.Apply(top).Bind(other, bindingStrength=UsdShade.Tokens.strongerThanDescendants)
    grip, _ = UsdShade.MaterialBindingAPI(top).ComputeBoundMaterial("physics")
    assert grip.GetPath() == "/Scene/Paint"
    assert UsdShade.MaterialBindingAPI(top).ComputeBoundMaterial()[0].GetPath() == other.GetPath()


def environments(ready, count: int) -> Usd.Stage:
    """A stage as Isaac Lab's cloner leaves it."""
    stage = Usd.Stage.CreateInMemory()
    for env in range(count):
        above = UsdGeom.Xform.Define(stage, f"/World/envs/env_{env}")
        above.AddTranslateOp().Set((16.0 * env, 0.0, 0.0))
        stage.DefinePrim(f"/World/envs/env_{env}/Scene").GetReferences().AddReference(str(ready.file))
    return stage


class Author:
    """Takes the two calls as Isaac Lab makes them, and writes what they are documented to write."""

    def __init__(self, stage: Usd.Stage) -> None:
        self.stage, self.made, self.projected = stage, 0, []
        self.functional = SimpleNamespace(
            create_batch=SimpleNamespace(material=self.material), modify=SimpleNamespace(attribute=self.attribute)
        )

    def material(self, *, mdl, bind_prims, count, project_uvw):
        assert mdl == "OmniPBR.mdl" and len(bind_prims) == count and all(bind_prims)
        found = []
        for prim in bind_prims:
            made = UsdShade.Material.Define(self.stage, f"/Replicator/Looks/m{self.made}")
            UsdShade.Shader.Define(self.stage, f"{made.GetPath()}/Shader")
            UsdShade.MaterialBindingAPI.Apply(prim).Bind(made)
            self.made += 1
            found.append(made.GetPrim())
        self.projected.append(project_uvw)
        return found

    def attribute(self, prims, name, values):
        kind = Sdf.ValueTypeNames.Asset if name.endswith("texture") else Sdf.ValueTypeNames.Color3f
        assert len(prims) == len(values)
        for prim, value in zip(prims, values, strict=True):
            shader = UsdShade.Shader(prim.GetChild("Shader"))
            shader.CreateInput(name, kind).Set(str(value) if kind == Sdf.ValueTypeNames.Asset else tuple(value))


def shown(stage: Usd.Stage, path: str):
    """(texture, tint) of what a prim wears."""
    material, _ = UsdShade.MaterialBindingAPI(stage.GetPrimAtPath(path)).ComputeBoundMaterial()
    shader = UsdShade.Shader(material.GetPrim().GetChild("Shader"))
    return shader.GetInput("diffuse_texture").Get().path, tuple(shader.GetInput("diffuse_tint").Get())


def test_a_samples_textures_reach_every_environment_and_leave_when_not_drawn(stage_file):
    scene = load_scene(stage_file)
    ready = scene_usd.prepare(scene)
    stage = environments(ready, 3)
    rep = Author(stage)
    made = kit.make_materials(rep, "OmniPBR.mdl", stage, scene, prefix=ready.prefix, num_envs=3)
    assert sorted(rep.projected) == [False, True] and rep.made == 6
    plain = SceneSample(slots={}, bodies={})
    drawn = replace(
        plain, material_textures={"/World/Paint": "./b.png"}, material_colors={"/World/Paint": (1.0, 0.5, 0.25)}
    )
    for sample, expected in ((drawn, ("b.png", (1.0, 0.5, 0.25))), (plain, ("", (0.2, 0.4, 0.6)))):
        kit.apply_textures(rep, made, scene, sample)
        for env in range(3):
            for path in ("Table/Top", "Sheet"):
                file, tint = shown(stage, f"/World/envs/env_{env}/Scene/{path}")
                assert file == (str(stage_file.with_name(expected[0])) if expected[0] else "")
                assert tint == pytest.approx(expected[1])


def test_a_scene_without_drawn_textures_needs_no_replicator(stage_file):
    scene = replace(load_scene(stage_file), looks=())
    assert kit.wardrobe(Usd.Stage.CreateInMemory(), scene, prefix="/World", num_envs=1) is None


def test_lights_are_written_moved_and_textured(stage_file):
    scene = load_scene(stage_file)
    ready = scene_usd.prepare(scene)
    stage = environments(ready, 2)
    lamp, sky = (next(x for x in scene.lights if x.kind == k) for k in ("point", "dome"))
    dome = UsdLux.DomeLight.Define(stage, kit._global_path(sky))
    assert sky.texture == stage_file.with_name("a.png")
    turned = Pose.of(orientation=quat_from_axis_angle([0.0, 0.0, 1.0], 0.7))
    for shift in ((0.1, -0.2, 0.3), (-0.4, 0.0, 0.1)):  # twice: from where it was authored, not from where it is
        place = Pose.of(lamp.pose.position + shift, quat_from_axis_angle([0.0, 1.0, 0.0], 0.5))
        drawn = {
            lamp.path: LightSample(pose=place, color=(1.0, 0.5, 0.2), intensity=7.0),
            sky.path: LightSample(pose=turned, color=(0.5, 0.5, 1.0), intensity=3.0, texture="./b.png"),
        }
        kit.apply_lights(stage, scene, SceneSample(slots={}, bodies={}, lights=drawn), prefix="/World", num_envs=2)
        for env in range(2):
            prim = stage.GetPrimAtPath(f"/World/envs/env_{env}/Scene/Stand/Lamp")
            world = UsdGeom.XformCache().GetLocalToWorldTransform(prim)
            np.testing.assert_allclose(
                world.ExtractTranslation(), place.position + np.array([16.0 * env, 0, 0]), atol=1e-6
            )
            down = np.array(world)[:3, :3].T @ [0.0, 0.0, -1.0]
            assert np.linalg.norm(down) == pytest.approx(2.0)  # the authored scale is kept
            expected = place.apply([0.0, 0.0, -1.0]) - place.position
            start = lamp.pose.apply([0.0, 0.0, -1.0]) - lamp.pose.position
            assert not np.allclose(expected, start)
            np.testing.assert_allclose(down / 2.0, expected, atol=1e-6)
            assert UsdLux.LightAPI(prim).GetIntensityAttr().Get() == 7.0
    assert dome.GetTextureFileAttr().Get().path == str(stage_file.with_name("b.png"))
    quat = dome.GetPrim().GetAttribute("xformOp:orient").Get()
    assert (quat.GetReal(), *quat.GetImaginary()) == pytest.approx(tuple(turned.orientation))
    bare = {sky.path: LightSample(pose=turned, color=(1.0, 1.0, 1.0), intensity=1.0)}
    kit.apply_lights(stage, scene, SceneSample(slots={}, bodies={}, lights=bare), prefix="/World", num_envs=2)
    assert dome.GetTextureFileAttr().Get().path == str(sky.texture)


def test_lights_and_textures_of_a_stage_in_centimetres_with_y_up(stage_file):
    """Such a stage is spawned as a converted copy, with its prims elsewhere."""
    text = stage_file.read_text().replace("metersPerUnit = 1", "metersPerUnit = 0.01").replace('"Z"', '"Y"')
    stage_file.write_text(text)
    scene = load_scene(stage_file)
    ready = scene_usd.prepare(scene)
    stage = environments(ready, 2)
    lamp = next(x for x in scene.lights if x.kind == "point")
    place = Pose.of(np.add(lamp.pose.position, [0.1, -0.2, 0.3]), lamp.pose.orientation)
    drawn = {lamp.path: LightSample(pose=place, color=(1.0, 1.0, 1.0), intensity=2.0)}
    sample = SceneSample(slots={}, bodies={}, lights=drawn)
    kit.apply_lights(stage, scene, sample, prefix=ready.prefix, num_envs=2)
    rep = Author(stage)
    made = kit.make_materials(rep, "OmniPBR.mdl", stage, scene, prefix=ready.prefix, num_envs=2)
    kit.apply_textures(rep, made, scene, replace(sample, material_textures={"/World/Paint": "./a.png"}))
    for env in range(2):
        below = f"/World/envs/env_{env}/Scene"
        lit = stage.GetPrimAtPath(f"{below}{lamp.path.removeprefix(ready.prefix)}")
        world = UsdGeom.XformCache().GetLocalToWorldTransform(lit)
        np.testing.assert_allclose(world.ExtractTranslation(), place.position + np.array([16.0 * env, 0, 0]), atol=1e-6)
        worn = shown(stage, f"{below}{'/World/Sheet'.removeprefix(ready.prefix)}")
        assert worn[0] == str(stage_file.with_name("a.png"))
