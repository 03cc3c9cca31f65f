"""Gprims as geoms: sizes, poses, purposes, collision approximations, instances."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pxr import Gf, Sdf, Usd, UsdGeom, UsdPhysics, UsdShade, Vt
from scipy.spatial import ConvexHull
from usd_stages import BOX_FACES, BOX_POINTS, Author

from synthgen.core.pose import quat_rotate
from synthgen.core.scene import Geom, SceneSpec
from synthgen.usd import hulls, load_scene, mesh

WEDGE = np.array([(0, 0, 0), (0.1, 0, 0), (0.1, 0.08, 0), (0, 0.08, 0), (0, 0, 0.06), (0, 0.08, 0.06)])
WEDGE_FACES = [(0, 3, 2, 1), (0, 1, 4), (3, 5, 2), (1, 2, 5, 4), (0, 4, 5, 3)]


@pytest.fixture(params=[("Z", 1.0), ("Y", 0.01)], ids=["Z m", "Y cm"])
def author(request, tmp_path: Path) -> Author:
    return Author(tmp_path / "stage.usda", *request.param)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SYNTHGEN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def geoms(scene: SceneSpec, path: str = "/World/b") -> dict[str, Geom]:
    return {g.path.rsplit("/", 1)[1]: g for g in scene.bodies[path].geoms}


def codes(scene: SceneSpec) -> set[str]:
    return {w.code for w in scene.warnings}


def volume(geom: Geom) -> float:
    return sum(mesh.integrals(h.vertices, h.triangles)[0] for h in geom.hulls)


def lshape(author: Author, path: str, **options) -> Usd.Prim:
    """An L of 0.2 x 0.1 x 0.2 m with arms 0.05 m thick: volume 0.00175 m3, of a hull of 0.002875."""
    outline = [(0, 0), (0.2, 0), (0.2, 0.05), (0.05, 0.05), (0.05, 0.2), (0, 0.2)]
    points = [(x, y, z) for y in (0.0, 0.1) for x, z in outline]
    front = [(0, 1, 2), (0, 2, 3), (0, 3, 4), (0, 4, 5)]  # triangles, so that no face is concave
    faces = front + [tuple(i + 6 for i in reversed(t)) for t in front]
    faces += [(i, i + 6, (i + 1) % 6 + 6, (i + 1) % 6) for i in range(6)]
    return author.mesh(path, points, faces, **options)


def test_sizes_of_primitives(author: Author) -> None:
    author.body("/World/b", mass=1.0, turn=((0, 0, 1), 30))
    author.box("/World/b/box", (0.1, 0.2, 0.3), at=(0.1, 0, 0), turn=((1, 0, 0), 90))
    author.sphere("/World/b/ball", 0.05)
    author.sphere("/World/b/egg", 0.05, scale=(1.0, 2.0, 3.0))
    author.round(UsdGeom.Cylinder, "/World/b/tin", 0.03, 0.2)
    author.round(UsdGeom.Cylinder, "/World/b/lying", 0.03, 0.2, axis="X")
    author.round(UsdGeom.Capsule, "/World/b/pill", 0.03, 0.2, axis="Y", scale=(2.0, 2.0, 2.0))
    scene = load_scene(author.save())
    found = geoms(scene)
    np.testing.assert_allclose(found["box"].size, [0.05, 0.1, 0.15], rtol=1e-6)
    np.testing.assert_allclose(quat_rotate(found["box"].pose.orientation, [0, 0, 1]), [0, -1, 0], atol=1e-6)
    assert found["ball"].kind == "sphere" and found["ball"].size == pytest.approx((0.05,))
    assert found["egg"].kind == "ellipsoid"
    np.testing.assert_allclose(found["egg"].size, [0.05, 0.1, 0.15], rtol=1e-6)
    assert found["tin"].kind == "cylinder" and found["tin"].size == pytest.approx((0.03, 0.1))
    along = quat_rotate(found["lying"].pose.orientation, [0, 0, 1])
    np.testing.assert_allclose(np.abs(along), [1, 0, 0], atol=1e-6)
    assert found["pill"].kind == "capsule" and found["pill"].size == pytest.approx((0.06, 0.2))
    np.testing.assert_allclose(np.abs(quat_rotate(found["pill"].pose.orientation, [0, 0, 1])), [0, 1, 0], atol=1e-6)
    assert not scene.warnings


def test_sizes_agree_with_usds_parser(author: Author) -> None:
    """Scaled shapes as UsdPhysics itself resolves them."""
    author.body("/World/b", mass=1.0, scale=(2.0, 2.0, 2.0))
    author.box("/World/b/box", (0.1, 0.2, 0.3))
    author.round(UsdGeom.Cylinder, "/World/b/tin", 0.03, 0.2, scale=(1.5, 1.5, 3.0))
    author.save()
    kinds = UsdPhysics.ObjectType
    parsed = UsdPhysics.LoadUsdPhysicsFromRange(author.stage, ["/"])
    box, tin = parsed[kinds.CubeShape][1][0], parsed[kinds.CylinderShape][1][0]
    found = geoms(load_scene(author.path))
    assert sorted(found["box"].size) == pytest.approx(sorted(np.array(box.halfExtents) * author.unit))
    expected = (tin.radius * author.unit, tin.halfHeight * author.unit)
    assert found["tin"].size == pytest.approx(expected)


def test_static_poses_and_planes(author: Author) -> None:
    author.box("/World/shelf", (1.0, 0.3, 0.02), at=(0.5, 0.2, 1.0))
    plane = UsdGeom.Plane.Define(author.stage, "/World/floor")
    plane.CreateAxisAttr(author.up)
    plane.CreateWidthAttr(author.length(4.0))
    plane.CreateLengthAttr(author.length(2.0))
    author.collide(plane.GetPrim())
    scene = load_scene(author.save())
    shelf, floor = scene.static_geoms
    np.testing.assert_allclose(shelf.pose.position, [0.5, 0.2, 1.0], atol=1e-6)
    np.testing.assert_allclose(shelf.size, [0.5, 0.15, 0.01], rtol=1e-6)
    assert floor.kind == "plane" and floor.size == pytest.approx((2.0, 1.0))
    np.testing.assert_allclose(quat_rotate(floor.pose.orientation, [0, 0, 1]), [0, 0, 1], atol=1e-6)


def test_purpose_visibility_and_enabled(author: Author) -> None:
    author.body("/World/b", mass=1.0)
    guide = author.box("/World/b/guide", (0.1, 0.1, 0.1))
    UsdGeom.Imageable(guide).CreatePurposeAttr("guide")
    author.box("/World/b/drawn", (0.1, 0.1, 0.1), collide=False)
    hidden = author.box("/World/b/hidden", (0.1, 0.1, 0.1), collide=False)
    UsdGeom.Imageable(hidden).MakeInvisible()
    ghost = author.box("/World/b/ghost", (0.1, 0.1, 0.1))
    UsdGeom.Imageable(ghost).MakeInvisible()
    proxy = author.box("/World/b/proxy", (0.1, 0.1, 0.1), collide=False)
    UsdGeom.Imageable(proxy).CreatePurposeAttr("proxy")
    found = geoms(load_scene(author.save()))
    assert set(found) == {"guide", "drawn", "ghost"}
    assert (found["guide"].collides, found["guide"].visible) == (True, False)
    assert (found["drawn"].collides, found["drawn"].visible) == (False, True)
    assert (found["ghost"].collides, found["ghost"].visible) == (True, False)


def test_disabled_and_kinematic_bodies(author: Author) -> None:
    off = author.body("/World/off", mass=1.0)
    UsdPhysics.RigidBodyAPI(off).CreateRigidBodyEnabledAttr(False)
    author.box("/World/off/g", (0.1, 0.1, 0.1))
    by_hand = author.body("/World/hand", mass=1.0)
    UsdPhysics.RigidBodyAPI(by_hand).CreateKinematicEnabledAttr(True)
    author.box("/World/hand/g", (0.1, 0.1, 0.1))
    scene = load_scene(author.save())
    assert list(scene.bodies) == ["/World/hand"] and scene.bodies["/World/hand"].kinematic
    assert [g.path for g in scene.static_geoms] == ["/World/off/g"]


def test_wedge_mesh_and_its_hull(author: Author) -> None:
    author.body("/World/b", density=1000, at=(0.3, 0.4, 0.5))
    author.mesh("/World/b/wedge", WEDGE, WEDGE_FACES, approximation="convexHull")
    scene = load_scene(author.save())
    wedge = geoms(scene)["wedge"]
    assert wedge.mesh is not None and len(wedge.hulls) == 1
    prism = 0.1 * 0.06 / 2 * 0.08
    assert volume(wedge) == pytest.approx(prism, rel=1e-5)
    np.testing.assert_allclose(wedge.pose.apply(wedge.mesh.vertices).min(0), [0, 0, 0], atol=1e-7)
    np.testing.assert_allclose(wedge.pose.apply(wedge.mesh.vertices).max(0), [0.1, 0.08, 0.06], atol=1e-7)
    found = scene.bodies["/World/b"]
    assert found.mass == pytest.approx(1000 * prism, rel=1e-5)
    np.testing.assert_allclose(found.center_of_mass, [0.1 / 3, 0.04, 0.02], atol=1e-7)
    # A right-angled triangular prism about its centre: depth 0.08 along y, legs a = 0.1 along x, c = 0.06 along z.
    m, a, c, d = found.mass, 0.1, 0.06, 0.08
    xx, yy, zz = (m * (c * c / 18 + d * d / 12), m * (a * a + c * c) / 18, m * (a * a / 18 + d * d / 12))
    xz = m * a * c / 36  # minus the product of inertia, which is -m a c / 36
    expected = np.array([[xx, 0, xz], [0, yy, 0], [xz, 0, zz]])
    np.testing.assert_allclose(np.sort(found.inertia), np.linalg.eigvalsh(expected), rtol=1e-5)


def test_hull_triangles_face_outwards() -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(size=(200, 3))
    found = hulls.hull(points)
    assert found is not None
    assert mesh.integrals(found.vertices, found.triangles)[0] == pytest.approx(ConvexHull(points).volume, rel=1e-9)


def test_equal_meshes_share_a_key_and_scale_is_applied(author: Author) -> None:
    author.body("/World/b", mass=1.0)
    author.mesh("/World/b/one", BOX_POINTS, BOX_FACES, approximation="convexHull")
    author.mesh("/World/b/two", BOX_POINTS, BOX_FACES, approximation="convexHull", at=(3, 0, 0))
    author.mesh("/World/b/half", BOX_POINTS, BOX_FACES, approximation="convexHull", scale=(0.5, 0.5, 0.5))
    found = geoms(load_scene(author.save()))
    assert found["one"].mesh.key == found["two"].mesh.key != found["half"].mesh.key
    assert volume(found["half"]) == pytest.approx(1 / 8, rel=1e-6)


def test_mirrored_and_left_handed_meshes_face_outwards(author: Author) -> None:
    author.body("/World/b", mass=1.0)
    author.mesh("/World/b/mirror", WEDGE, WEDGE_FACES, scale=(-1.0, 1.0, 1.0), approximation="convexHull")
    left = author.mesh("/World/b/left", WEDGE, [f[::-1] for f in WEDGE_FACES], approximation="convexHull")
    UsdGeom.Mesh(left).CreateOrientationAttr("leftHanded")
    found = geoms(load_scene(author.save()))
    for geom in found.values():
        assert mesh.integrals(geom.mesh.vertices, geom.mesh.triangles)[0] == pytest.approx(0.00024, rel=1e-5)
    assert found["mirror"].pose.apply(found["mirror"].mesh.vertices)[:, 0].min() == pytest.approx(-0.1, abs=1e-6)


def test_sheared_mesh_is_exact_sheared_cube_is_noted(author: Author) -> None:
    author.body("/World/b", mass=1.0, scale=(2.0, 1.0, 1.0))
    author.mesh("/World/b/m", BOX_POINTS, BOX_FACES, approximation="convexHull", turn=((0, 0, 1), 45))
    author.box("/World/b/c", (0.1, 0.1, 0.1), turn=((0, 0, 1), 45))
    scene = load_scene(author.save())
    found = geoms(scene)["m"]
    s = np.sqrt(0.5)
    turn = np.array([[s, -s, 0], [s, s, 0], [0, 0, 1]])
    expected = BOX_POINTS @ turn.T * [2, 1, 1]
    got = found.pose.apply(found.mesh.vertices)
    assert {tuple(np.round(p, 5) + 0.0) for p in got} == {tuple(np.round(p, 5) + 0.0) for p in expected}
    assert [(w.code, w.path) for w in scene.warnings] == [("shear-approximated", "/World/b/c")]


def test_bounding_shapes_collide_and_the_mesh_is_drawn(author: Author) -> None:
    author.body("/World/b", density=1000)
    author.mesh("/World/b/cube", WEDGE, WEDGE_FACES, approximation="boundingCube")
    author.mesh("/World/b/ball", WEDGE, WEDGE_FACES, approximation="boundingSphere")
    scene = load_scene(author.save())
    found = geoms(scene)
    box, ball = found["cube.collider"], found["ball.collider"]
    np.testing.assert_allclose(box.size, [0.05, 0.04, 0.03], rtol=1e-6)
    np.testing.assert_allclose(box.pose.position, [0.05, 0.04, 0.03], atol=1e-7)
    assert ball.kind == "sphere" and ball.size == pytest.approx((np.linalg.norm([0.05, 0.04, 0.03]),))
    assert (found["cube"].visible, found["cube"].collides, box.visible) == (True, False, False)
    expected = 1000 * (0.1 * 0.08 * 0.06 + 4 / 3 * np.pi * ball.size[0] ** 3)
    assert scene.bodies["/World/b"].mass == pytest.approx(expected, rel=1e-5)


def test_concave_on_a_moving_body_becomes_its_hull_and_says_so(author: Author) -> None:
    author.body("/World/b", density=1000)
    lshape(author, "/World/b/l")
    scene = load_scene(author.save())
    assert volume(geoms(scene)["l"]) == pytest.approx(0.1 * (0.2 * 0.2 - 0.15 * 0.15 / 2), rel=1e-4)
    assert codes(scene) == {"collider-hull"}


def test_convex_mesh_without_approximation_needs_no_warning(author: Author) -> None:
    author.body("/World/b", density=1000)
    author.mesh("/World/b/m", WEDGE, WEDGE_FACES)
    scene = load_scene(author.save())
    assert len(geoms(scene)["m"].hulls) == 1 and not scene.warnings


def test_decomposition_keeps_the_hollow_and_is_cached(
    author: Author, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    author.body("/World/b", density=1000)
    lshape(author, "/World/b/l", approximation="convexDecomposition")
    first = geoms(load_scene(author.save()))["l"]
    assert len(first.hulls) >= 2
    assert volume(first) == pytest.approx(0.1 * (0.2 * 0.05 + 0.15 * 0.05), rel=0.05)
    inside = first.pose.inverse().apply(np.array([0.15, 0.05, 0.15]))
    assert not any(_holds(h, inside) for h in first.hulls)
    files = list(own_cache.rglob("*.npz"))
    assert len(files) == 1
    monkeypatch.setattr(hulls, "_coacd", None)  # would fail if it were called again
    again = geoms(load_scene(author.path))["l"]
    assert [h.key for h in again.hulls] == [h.key for h in first.hulls]


def test_a_damaged_cache_file_is_made_again(author: Author, own_cache: Path) -> None:
    author.body("/World/b", density=1000)
    lshape(author, "/World/b/l", approximation="convexDecomposition")
    first = geoms(load_scene(author.save()))["l"]
    (file,) = own_cache.rglob("*.npz")
    file.write_bytes(file.read_bytes()[:40])
    assert [h.key for h in geoms(load_scene(author.path))["l"].hulls] == [h.key for h in first.hulls]


def _holds(hull, point: np.ndarray) -> bool:
    found = ConvexHull(hull.vertices)
    return bool((found.equations[:, :3] @ point + found.equations[:, 3] < 0).all())


def test_static_concave_mesh_is_decomposed_with_a_note(author: Author) -> None:
    lshape(author, "/World/shelf")
    scene = load_scene(author.save())
    assert len(scene.static_geoms[0].hulls) >= 2 and codes(scene) == {"collider-decomposed"}


def test_flat_collider_gets_a_thickness_behind_its_face(author: Author) -> None:
    author.mesh("/World/sheet", [(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0)], [(0, 1, 2, 3)])
    scene = load_scene(author.save())
    (sheet,) = scene.static_geoms
    points = sheet.pose.apply(sheet.hulls[0].vertices)
    assert points[:, 2].max() == pytest.approx(0.0, abs=1e-7)
    assert points[:, 2].min() == pytest.approx(-hulls.FLAT, rel=1e-4)
    assert codes(scene) == {"collider-flat"}


def test_cones_and_elliptic_cylinders_become_meshes(author: Author) -> None:
    author.body("/World/b", density=1000)
    author.round(UsdGeom.Cone, "/World/b/cone", 0.1, 0.3)
    author.round(UsdGeom.Cylinder, "/World/b/oval", 0.1, 0.3, scale=(1.0, 0.5, 1.0))
    scene = load_scene(author.save())
    found = geoms(scene)
    assert codes(scene) == {"cone-approximated", "elliptic-approximated"}
    assert volume(found["cone"]) == pytest.approx(np.pi * 0.01 * 0.3 / 3, rel=0.01)
    assert volume(found["oval"]) == pytest.approx(np.pi * 0.1 * 0.05 * 0.3, rel=0.01)
    tip = found["cone"].pose.apply(found["cone"].mesh.vertices)
    assert tip[np.argmax(tip[:, 2])] == pytest.approx([0, 0, 0.15], abs=1e-6)
    assert mesh.integrals(found["cone"].mesh.vertices, found["cone"].mesh.triangles)[0] > 0


def test_instanced_references_share_meshes_and_keep_their_poses(author: Author, tmp_path: Path) -> None:
    prop = Author(tmp_path / "mug.usda", author.up, author.unit)
    root = UsdGeom.Xform.Define(prop.stage, "/Mug").GetPrim()
    prop.stage.RemovePrim("/World")
    prop.stage.SetDefaultPrim(root)
    UsdPhysics.RigidBodyAPI.Apply(root)
    prop.weigh(root, mass=0.25)
    looks = prop.preview("/Mug/Looks/Clay", (0.4, 0.3, 0.2))
    prop.bind(prop.mesh("/Mug/wall", WEDGE, WEDGE_FACES, approximation="convexHull"), looks)
    prop.save()
    for i in range(2):
        mug = author.xform(f"/World/mug{i}", at=(0.1 * i, 0, 1)).GetPrim()
        mug.GetReferences().AddReference("./mug.usda")
        mug.SetInstanceable(True)
    scene = load_scene(author.save())
    assert author.stage.GetPrimAtPath("/World/mug0").IsInstance()
    assert list(scene.bodies) == ["/World/mug0", "/World/mug1"]
    first, second = (scene.bodies[p].geoms[0] for p in scene.bodies)
    assert (first.path, second.path) == ("/World/mug0/wall", "/World/mug1/wall")
    assert first.mesh.key == second.mesh.key
    assert scene.bodies["/World/mug1"].mass == pytest.approx(0.25)
    np.testing.assert_allclose(scene.bodies["/World/mug1"].pose.position, [0.1, 0, 1], atol=1e-6)
    assert first.material in scene.materials
    assert scene.materials[first.material].color == pytest.approx((0.4, 0.3, 0.2))
    assert "Prototype" not in str(first.material)


def test_texture_coordinates_face_varying_and_vertex(author: Author, tmp_path: Path) -> None:
    (tmp_path / "t.png").write_bytes(b"not read here")
    square = [(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0)]
    for name, interpolation, values in (
        ("varying", "faceVarying", [(0, 0), (1, 0), (1, 1), (0, 1)]),
        ("vertex", "vertex", [(0, 0), (0.5, 0), (0.5, 0.5), (0, 0.5)]),
    ):
        prim = author.mesh(f"/World/{name}", square, [(0, 1, 2, 3)], collide=False)
        UsdGeom.PrimvarsAPI(prim).CreatePrimvar("st", Sdf.ValueTypeNames.TexCoord2fArray, interpolation).Set(
            Vt.Vec2fArray([Gf.Vec2f(*v) for v in values])
        )
        author.bind(prim, textured(author, f"/World/Looks/{name}", "./t.png"))
    plain = author.mesh("/World/plain", square, [(0, 1, 2, 3)], collide=False)
    author.bind(plain, textured(author, "/World/Looks/plain", "./t.png"))
    scene = load_scene(author.save())
    found = {g.path.rsplit("/", 1)[1]: g.mesh for g in scene.static_geoms}
    for name, scale in (("varying", 1.0), ("vertex", 0.5)):
        part = found[name]
        corners = part.texcoords[part.texcoord_triangles].reshape(-1, 2)
        points = part.vertices[part.triangles].reshape(-1, 3)
        np.testing.assert_allclose(corners, scale * points[:, :2], atol=1e-6)
    assert found["plain"].texcoords is None
    assert [(w.code, w.path) for w in scene.warnings] == [("texture-without-coordinates", "/World/plain")]


def textured(author: Author, path: str, file: str) -> UsdShade.Material:
    material = author.preview(path)
    image = UsdShade.Shader.Define(author.stage, f"{path}/Image")
    image.CreateIdAttr("UsdUVTexture")
    image.CreateInput("file", Sdf.ValueTypeNames.Asset).Set(file)
    surface = UsdShade.Shader(author.stage.GetPrimAtPath(f"{path}/Surface"))
    surface.GetInput("diffuseColor").ConnectToSource(image.ConnectableAPI(), "rgb")
    return material


def test_faces_of_several_materials_are_several_geoms(author: Author) -> None:
    author.body("/World/b", mass=1.0)
    prim = author.mesh("/World/b/m", BOX_POINTS, BOX_FACES, approximation="convexHull")
    author.bind(prim, author.preview("/World/Looks/red"))
    subset = UsdGeom.Subset.CreateGeomSubset(
        UsdGeom.Imageable(prim), "top", UsdGeom.Tokens.face, Vt.IntArray([0]), "materialBind"
    )
    author.bind(subset.GetPrim(), author.preview("/World/Looks/blue", (0, 0, 1)))
    found = geoms(load_scene(author.save()))
    assert set(found) == {"top", "m", "m.collider"}
    assert found["top"].material == "/World/Looks/blue" and len(found["top"].mesh.triangles) == 2
    assert found["m"].material == "/World/Looks/red" and len(found["m"].mesh.triangles) == 10
    assert not found["m"].collides and found["m.collider"].collides


@pytest.mark.parametrize(
    ("points", "counts", "indices"),
    [
        ([], [], []),
        (BOX_POINTS, [3], [0, 1, 99]),
        (BOX_POINTS, [3, 3], [0, 1, 2]),
        (BOX_POINTS * np.nan, [3], [0, 1, 2]),
    ],
)
def test_broken_meshes_are_left_out_with_an_error(author: Author, points, counts, indices) -> None:
    made = UsdGeom.Mesh.Define(author.stage, "/World/broken")
    made.CreatePointsAttr([Gf.Vec3f(*p) for p in np.asarray(points, float)])
    made.CreateFaceVertexCountsAttr(counts)
    made.CreateFaceVertexIndicesAttr(indices)
    author.collide(made.GetPrim())
    scene = load_scene(author.save())
    assert codes(scene) == {"mesh-invalid"} and not scene.static_geoms


def test_what_cannot_be_kept_is_named(author: Author) -> None:
    author.body("/World/b", mass=1.0)
    author.box("/World/b/g", (0.1, 0.1, 0.1))
    author.box("/World/flat", (0.1, 0.1, 0.0))
    UsdGeom.BasisCurves.Define(author.stage, "/World/curve")
    UsdGeom.PointInstancer.Define(author.stage, "/World/many")
    UsdPhysics.CollisionAPI.Apply(author.xform("/World/group").GetPrim())
    cage = author.mesh("/World/cage", BOX_POINTS, BOX_FACES)
    UsdGeom.Mesh(cage).CreateSubdivisionSchemeAttr("catmullClark")
    author.mesh("/World/dart", [(0, 0, 0), (1, 1, 0), (2, 0, 0), (1, 3, 0)], [(0, 1, 2, 3)], collide=False)
    plane = UsdGeom.Plane.Define(author.stage, "/World/b/plane")
    author.collide(plane.GetPrim())
    one, two = (UsdPhysics.CollisionGroup.Define(author.stage, f"/World/group{i}") for i in (1, 2))
    one.CreateFilteredGroupsRel().SetTargets([two.GetPath()])
    pairs = UsdPhysics.FilteredPairsAPI.Apply(author.stage.GetPrimAtPath("/World/b"))
    pairs.CreateFilteredPairsRel().SetTargets(["/World/cage"])
    pill = author.round(UsdGeom.Capsule, "/World/pill", 0.1, 0.1, scale=(1.0, 1.0, 2.0))
    assert pill
    nested = author.body("/World/b/inner", mass=1.0)
    UsdPhysics.RigidBodyAPI(nested).CreateVelocityAttr(Gf.Vec3f(1, 0, 0))
    author.box("/World/b/inner/g", (0.1, 0.1, 0.1))
    scene = load_scene(author.save())
    assert {(w.code, w.path) for w in scene.warnings} == {
        ("degenerate-scale", "/World/flat"),
        ("gprim-skipped", "/World/curve"),
        ("instancer-skipped", "/World/many"),
        ("collider-not-gprim", "/World/group"),
        ("subdivision-ignored", "/World/cage"),
        ("concave-face", "/World/dart"),
        ("plane-on-body", "/World/b/plane"),
        ("collision-group-ignored", "/World/group1"),
        ("filtered-pairs-ignored", "/World/b"),
        ("capsule-stretched", "/World/pill"),
        ("nested-body", "/World/b/inner"),
        ("velocity-ignored", "/World/b/inner"),
    }


def test_a_scaled_reference_of_other_units(tmp_path: Path) -> None:
    """A prop in centimetres below a scale of 0.01 in a stage in metres."""
    prop = Author(tmp_path / "prop.usda", "Z", 0.01)
    prim = prop.body("/World/b", mass=0.3)
    prop.box("/World/b/g", (0.1, 0.2, 0.3))
    assert prim
    prop.save()
    author = Author(tmp_path / "stage.usda", "Z", 1.0)
    holder = author.xform("/World/prop", at=(1, 0, 0), scale=(0.01, 0.01, 0.01)).GetPrim()
    holder.GetReferences().AddReference("./prop.usda")
    found = load_scene(author.save()).bodies["/World/prop/b"]
    np.testing.assert_allclose(found.geoms[0].size, [0.05, 0.1, 0.15], rtol=1e-6)
    np.testing.assert_allclose(found.inertia, 0.3 / 12 * np.array([0.13, 0.1, 0.05]), rtol=1e-5)
