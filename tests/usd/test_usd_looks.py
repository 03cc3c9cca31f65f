"""Materials, textures, contact properties, lights and cameras."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pxr import Gf, Sdf, UsdGeom, UsdLux, UsdShade, UsdUtils
from usd_stages import Author

from synthgen.core.pose import quat_rotate
from synthgen.usd import blackbody, load_scene


@pytest.fixture(params=[("Z", 1.0), ("Y", 0.01)], ids=["Z m", "Y cm"])
def author(request, tmp_path: Path) -> Author:
    return Author(tmp_path / "stage.usda", *request.param)


def texture(tmp_path: Path, name: str = "t.png") -> Path:
    Image.new("RGB", (4, 4), (200, 10, 10)).save(tmp_path / name)
    return tmp_path / name


def image_node(author: Author, path: str, file: str) -> UsdShade.Shader:
    node = UsdShade.Shader.Define(author.stage, path)
    node.CreateIdAttr("UsdUVTexture")
    node.CreateInput("file", Sdf.ValueTypeNames.Asset).Set(file)
    return node


def test_preview_surface_constants(author: Author) -> None:
    looks = {"roughness": 0.3, "metallic": 0.9, "opacity": 0.5, "emissiveColor": (0.1, 0.4, 0.2)}
    material = author.preview("/World/Looks/m", (0.1, 0.2, 0.3), **looks)
    author.bind(author.box("/World/a", (0.1, 0.1, 0.1)), material)
    found = load_scene(author.save())
    (m,) = found.materials.values()
    assert found.static_geoms[0].material == "/World/Looks/m"
    assert m.color == pytest.approx((0.1, 0.2, 0.3))
    assert (m.roughness, m.metallic, m.opacity, m.emission) == pytest.approx((0.3, 0.9, 0.5, 0.4))


def test_constant_through_the_materials_interface(author: Author) -> None:
    material = author.preview("/World/Looks/m")
    knob = material.CreateInput("paint", Sdf.ValueTypeNames.Color3f)
    knob.Set(Gf.Vec3f(0.7, 0.6, 0.5))
    UsdShade.Shader(author.stage.GetPrimAtPath("/World/Looks/m/Surface")).GetInput("diffuseColor").ConnectToSource(knob)
    author.bind(author.box("/World/a", (0.1, 0.1, 0.1)), material)
    assert load_scene(author.save()).materials["/World/Looks/m"].color == pytest.approx((0.7, 0.6, 0.5))


def test_texture_scale_and_transform(author: Author, tmp_path: Path) -> None:
    file = texture(tmp_path)
    prim = author.mesh("/World/a", [(0, 0, 0), (1, 0, 0), (1, 1, 0)], [(0, 1, 2)], collide=False)
    coordinates = [(0.0, 0.0), (1.0, 0.0), (1.0, 1.0)]
    UsdGeom.PrimvarsAPI(prim).CreatePrimvar("map1", Sdf.ValueTypeNames.TexCoord2fArray, "vertex").Set(coordinates)
    material = author.preview("/World/Looks/m")
    image = image_node(author, "/World/Looks/m/Image", "./t.png")
    image.CreateInput("scale", Sdf.ValueTypeNames.Float4).Set(Gf.Vec4f(0.5, 0.6, 0.7, 1))
    reader = UsdShade.Shader.Define(author.stage, "/World/Looks/m/Reader")
    reader.CreateIdAttr("UsdPrimvarReader_float2")
    reader.CreateInput("varname", Sdf.ValueTypeNames.String).Set("map1")
    move = UsdShade.Shader.Define(author.stage, "/World/Looks/m/Move")
    move.CreateIdAttr("UsdTransform2d")
    move.CreateInput("in", Sdf.ValueTypeNames.Float2).ConnectToSource(reader.ConnectableAPI(), "result")
    move.CreateInput("scale", Sdf.ValueTypeNames.Float2).Set(Gf.Vec2f(2, 4))
    move.CreateInput("rotation", Sdf.ValueTypeNames.Float).Set(90.0)
    move.CreateInput("translation", Sdf.ValueTypeNames.Float2).Set(Gf.Vec2f(0.5, 0.25))
    image.CreateInput("st", Sdf.ValueTypeNames.Float2).ConnectToSource(move.ConnectableAPI(), "result")
    surface = UsdShade.Shader(author.stage.GetPrimAtPath("/World/Looks/m/Surface"))
    surface.GetInput("diffuseColor").ConnectToSource(image.ConnectableAPI(), "rgb")
    author.bind(prim, material)
    scene = load_scene(author.save())
    m = scene.materials["/World/Looks/m"]
    assert m.texture == file and m.color == pytest.approx((0.5, 0.6, 0.7))
    part = scene.static_geoms[0].mesh
    by_point = {tuple(np.round(part.vertices[v], 5)): uv for v, uv in _corners(part)}
    # scale, then turn by 90 degrees counter-clockwise, then translate: (u, v) -> (-4 v + 0.5, 2 u + 0.25)
    np.testing.assert_allclose(by_point[(0.0, 0.0, 0.0)], [0.5, 0.25], atol=1e-6)
    np.testing.assert_allclose(by_point[(1.0, 0.0, 0.0)], [0.5, 2.25], atol=1e-6)
    np.testing.assert_allclose(by_point[(1.0, 1.0, 0.0)], [-3.5, 2.25], atol=1e-6)


def _corners(part):
    for triangle, uvs in zip(part.triangles, part.texcoord_triangles, strict=True):
        for v, t in zip(triangle, uvs, strict=True):
            yield v, part.texcoords[t]


def test_missing_texture_and_foreign_materials_are_named(author: Author) -> None:
    material = author.preview("/World/Looks/m")
    image = image_node(author, "/World/Looks/m/Image", "./not_there.png")
    surface = UsdShade.Shader(author.stage.GetPrimAtPath("/World/Looks/m/Surface"))
    surface.GetInput("diffuseColor").ConnectToSource(image.ConnectableAPI(), "rgb")
    rough = image_node(author, "/World/Looks/m/Rough", "./not_there.png")
    surface.CreateInput("roughness", Sdf.ValueTypeNames.Float).ConnectToSource(rough.ConnectableAPI(), "r")
    author.bind(author.box("/World/a", (0.1, 0.1, 0.1)), material)
    foreign = UsdShade.Material.Define(author.stage, "/World/Looks/foreign")
    box = author.box("/World/b", (0.1, 0.1, 0.1))
    UsdGeom.Gprim(box).CreateDisplayColorAttr([Gf.Vec3f(0.2, 0.4, 0.6)])
    UsdGeom.Gprim(box).CreateDisplayOpacityAttr([0.5])
    author.bind(box, foreign)
    scene = load_scene(author.save())
    assert {(w.code, w.path) for w in scene.warnings} == {
        ("missing-texture", "/World/Looks/m/Image"),
        ("texture-channel-ignored", "/World/Looks/m"),
        ("material-unsupported", "/World/Looks/foreign"),
    }
    shown = scene.static_geoms[1]
    assert shown.material is None
    assert (*shown.color, shown.opacity) == pytest.approx((0.2, 0.4, 0.6, 0.5))


def test_isaacs_omni_pbr(author: Author, tmp_path: Path) -> None:
    texture(tmp_path)
    material = UsdShade.Material.Define(author.stage, "/World/Looks/m")
    shader = UsdShade.Shader.Define(author.stage, "/World/Looks/m/Shader")
    shader.CreateImplementationSourceAttr(UsdShade.Tokens.sourceAsset)
    shader.SetSourceAsset("OmniPBR.mdl", "mdl")
    shader.SetSourceAssetSubIdentifier("OmniPBR", "mdl")
    shader.CreateInput("diffuse_color_constant", Sdf.ValueTypeNames.Color3f).Set(Gf.Vec3f(0.3, 0.2, 0.1))
    shader.CreateInput("reflection_roughness_constant", Sdf.ValueTypeNames.Float).Set(0.8)
    material.CreateSurfaceOutput("mdl").ConnectToSource(shader.ConnectableAPI(), "out")
    author.bind(author.box("/World/a", (0.1, 0.1, 0.1)), material)
    scene = load_scene(author.save())
    found = scene.materials["/World/Looks/m"]
    assert found.color == pytest.approx((0.3, 0.2, 0.1)) and found.roughness == pytest.approx(0.8)
    assert not scene.warnings


def test_physics_purpose_wins_and_unauthored_stays_none(author: Author) -> None:
    grip = author.physics_material("/World/grip", static=1.3, dynamic=1.2, restitution=0.1)
    slick = author.physics_material("/World/slick", dynamic=0.05)
    box = author.box("/World/a", (0.1, 0.1, 0.1))
    author.bind(box, slick)
    author.bind(box, grip, "physics")
    author.bind(author.box("/World/b", (0.1, 0.1, 0.1)), slick)
    author.box("/World/c", (0.1, 0.1, 0.1))
    group = author.xform("/World/group").GetPrim()
    author.bind(group, grip, "physics")
    author.box("/World/group/d", (0.1, 0.1, 0.1))
    a, b, c, d = (g.surface for g in load_scene(author.save()).static_geoms)
    assert (a.static_friction, a.dynamic_friction, a.restitution) == pytest.approx((1.3, 1.2, 0.1))
    assert (b.static_friction, b.dynamic_friction, b.restitution) == (None, pytest.approx(0.05), None)
    assert (c.static_friction, c.dynamic_friction, c.restitution) == (None, None, None)
    assert d.static_friction == pytest.approx(1.3)


def test_lights(author: Author) -> None:
    sun = UsdLux.DistantLight.Define(author.stage, "/World/sun")
    author.place(sun, turn=((1, 0, 0), 30))
    sun.CreateIntensityAttr(2000.0)
    sun.CreateExposureAttr(1.5)
    sun.CreateColorAttr(Gf.Vec3f(1, 0.5, 0.5))
    sun.CreateEnableColorTemperatureAttr(True)
    sun.CreateColorTemperatureAttr(3000.0)
    bulb = UsdLux.SphereLight.Define(author.stage, "/World/bulb")
    author.place(bulb, at=(1, 2, 3))
    spot = UsdLux.SphereLight.Define(author.stage, "/World/spot")
    UsdLux.ShapingAPI.Apply(spot.GetPrim()).CreateShapingConeAngleAttr(40.0)
    UsdLux.RectLight.Define(author.stage, "/World/panel")
    UsdLux.DiskLight.Define(author.stage, "/World/disk")
    dome = UsdLux.DomeLight.Define(author.stage, "/World/sky")
    dome.CreateTextureFileAttr("./sky.hdr")
    UsdLux.CylinderLight.Define(author.stage, "/World/tube")
    off = UsdLux.SphereLight.Define(author.stage, "/World/off")
    UsdGeom.Imageable(off).MakeInvisible()
    scene = load_scene(author.save())
    found = {x.path.rsplit("/", 1)[1]: x for x in scene.lights}
    kinds = {"sun": "distant", "bulb": "point", "spot": "spot", "panel": "rect", "disk": "rect", "sky": "dome"}
    assert {n: x.kind for n, x in found.items()} == kinds
    assert (found["sun"].intensity, found["sun"].exposure) == (2000.0, 1.5)
    warm = np.array(UsdLux.BlackbodyTemperatureAsRgb(3000.0)) * [1, 0.5, 0.5]
    np.testing.assert_allclose(found["sun"].color, warm, rtol=0.01)
    np.testing.assert_allclose(found["bulb"].pose.position, [1, 2, 3], atol=1e-6)
    # Lights shine along the local -z of their prim, also in a Y-up stage.
    down = quat_rotate(found["sun"].pose.orientation, [0, 0, -1])
    tilt = math.radians(30)
    expected = [0, math.sin(tilt), -math.cos(tilt)] if author.up == "Z" else [0, math.cos(tilt), math.sin(tilt)]
    np.testing.assert_allclose(down, expected, atol=1e-6)
    assert {(w.code, w.path) for w in scene.warnings} == {
        ("light-texture-ignored", "/World/sky"),
        ("light-unsupported", "/World/tube"),
    }


@pytest.mark.parametrize("kelvin", [1500, 1700, 2000, 2222, 2700, 4000, 5500, 6500, 8000, 10000])
def test_blackbody_is_usds(kelvin: float) -> None:
    close = 0.05 if kelvin < 2000 else 0.01
    np.testing.assert_allclose(blackbody.rgb(kelvin), UsdLux.BlackbodyTemperatureAsRgb(kelvin), rtol=close, atol=0.005)


def test_cameras(author: Author) -> None:
    eye, look = np.array([1.6, -1.2, 1.2]), np.array([0.3, 0.0, 0.4])
    camera = UsdGeom.Camera.Define(author.stage, "/World/cam")
    matrix = Gf.Matrix4d().SetLookAt(author.vector(tuple(eye)), author.vector(tuple(look)), author.vector((0, 0, 1)))
    camera.AddTransformOp().Set(matrix.GetInverse())
    camera.CreateFocalLengthAttr(24.0)
    camera.CreateVerticalApertureAttr(18.0)
    author.apply(camera.GetPrim(), "SynthgenCameraAPI", name="agentview")
    author.body("/World/b", mass=1.0, at=(0.5, 0, 0), turn=((0, 0, 1), 90))
    author.box("/World/b/g", (0.1, 0.1, 0.1))
    mounted = UsdGeom.Camera.Define(author.stage, "/World/b/eye")
    author.place(mounted, at=(0.1, 0, 0))
    mounted.CreateProjectionAttr("orthographic")
    mounted.CreateHorizontalApertureOffsetAttr(1.0)
    scene = load_scene(author.save())
    one, two = scene.cameras
    assert (one.name, one.parent) == ("agentview", None)
    assert one.fovy == pytest.approx(2 * math.atan(18 / 2 / 24))
    np.testing.assert_allclose(one.pose.position, eye, atol=1e-5)
    forward = (look - eye) / np.linalg.norm(look - eye)
    np.testing.assert_allclose(quat_rotate(one.pose.orientation, [0, 0, -1]), forward, atol=1e-5)
    assert quat_rotate(one.pose.orientation, [0, 1, 0])[2] > 0
    assert (two.name, two.parent) == ("eye", "/World/b")
    np.testing.assert_allclose(scene.bodies["/World/b"].pose.apply(two.pose.position), [0.5, 0.1, 0], atol=1e-6)
    assert {w.code for w in scene.warnings} == {"camera-unnamed", "camera-orthographic", "camera-offset"}


def test_gravity(author: Author) -> None:
    from pxr import UsdPhysics

    scene = UsdPhysics.Scene.Define(author.stage, "/World/Physics")
    np.testing.assert_allclose(load_scene(author.save()).gravity, [0, 0, -9.81])
    scene.CreateGravityMagnitudeAttr(author.length(1.62))
    scene.CreateGravityDirectionAttr(Gf.Vec3f(author.vector((0, 1, -1))))
    s = math.sqrt(0.5) * 1.62
    np.testing.assert_allclose(load_scene(author.save()).gravity, [0, s, -s], rtol=1e-6)


def test_packages_give_their_textures_out(author: Author, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A .usdz holds its texture inside; engines want a file."""
    monkeypatch.setenv("SYNTHGEN_CACHE", str(tmp_path / "cache"))
    file = texture(tmp_path)
    prim = author.mesh("/World/a", [(0, 0, 0), (1, 0, 0), (1, 1, 0)], [(0, 1, 2)], collide=False)
    UsdGeom.PrimvarsAPI(prim).CreatePrimvar("st", Sdf.ValueTypeNames.TexCoord2fArray, "vertex").Set([(0, 0)] * 3)
    material = author.preview("/World/Looks/m")
    image = image_node(author, "/World/Looks/m/Image", "./t.png")
    surface = UsdShade.Shader(author.stage.GetPrimAtPath("/World/Looks/m/Surface"))
    surface.GetInput("diffuseColor").ConnectToSource(image.ConnectableAPI(), "rgb")
    author.bind(prim, material)
    package = tmp_path / "stage.usdz"
    assert UsdUtils.CreateNewUsdzPackage(str(author.save()), str(package))
    with zipfile.ZipFile(package) as archive:
        assert any(name.endswith(".png") for name in archive.namelist())
    scene = load_scene(package)
    (m,) = scene.materials.values()
    assert m.texture is not None and m.texture.read_bytes() == file.read_bytes()
    assert scene.digest == load_scene(package).digest
