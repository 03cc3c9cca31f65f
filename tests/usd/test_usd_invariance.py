"""One scene written in other units and another up-axis is the same SceneSpec."""

from __future__ import annotations

import math
import tempfile
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from pxr import Gf, UsdGeom, UsdLux, UsdPhysics
from usd_stages import BOX_FACES, BOX_POINTS, Author, minimal

from synthgen.core.pose import Pose, matrix_from_quat
from synthgen.core.scene import Body, Geom, Mesh, SceneSpec
from synthgen.usd import load_scene

UNITS = [("Z", 0.01, 1.0), ("Y", 1.0, 1.0), ("Y", 0.01, 0.001), ("Z", 2.54, 0.45)]
NAMED_BY_PATH = ("key", "digest", "source", "path", "body")

lengths = st.floats(0.02, 0.5)
positions = st.tuples(*[st.floats(-2, 2)] * 3)
turns = st.tuples(
    st.sampled_from([(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0), (1.0, 2.0, -1.0)]), st.floats(-179, 179)
)
kinds = st.sampled_from(["box", "sphere", "tin", "pill", "mesh"])
parts = st.tuples(kinds, st.tuples(lengths, lengths, lengths), positions, turns)
weights = st.sampled_from(["mass", "density", "collider", "nothing"])
things = st.tuples(st.lists(parts, min_size=1, max_size=3), positions, turns, weights, st.sampled_from([1.0, 2.0]))


def author_things(author: Author, described: list) -> None:
    """Bodies with parts, the last two joined by a hinge with a drive; and the minimal scene around them."""
    minimal(author)
    for i, (shapes, at, turn, weight, scale) in enumerate(described):
        path = f"/World/thing{i}"
        prim = author.body(path, at=at, turn=turn, scale=(scale,) * 3)
        if weight in ("mass", "density"):
            author.weigh(prim, **{weight: 3.5})
        for k, (kind, size, place, angle) in enumerate(shapes):
            made = part(author, f"{path}/part{k}", kind, size, place, angle)
            if weight == "collider":
                author.weigh(made, mass=0.4)
    if len(described) > 1:
        last = len(described) - 1
        hinge = author.joint(
            UsdPhysics.RevoluteJoint,
            "/World/hinge",
            f"/World/thing{last - 1}",
            f"/World/thing{last}",
            (0.1, 0.2, 0.3),
            (0.3, 0.2, 0.1),
            axis="X",
            LowerLimit=-40.0,
            UpperLimit=200.0,
        )
        drive = UsdPhysics.DriveAPI.Apply(hinge.GetPrim(), "angular")
        drive.CreateStiffnessAttr(3.0 / author.kilogram / author.unit**2)
        drive.CreateMaxForceAttr(7.0 / author.kilogram / author.unit**2)
    panel = UsdLux.RectLight.Define(author.stage, "/World/panel")
    author.place(panel, at=(1, 2, 3))
    author.apply(panel.GetPrim(), "SynthgenRandomizeAPI", positionJitter=author.length(0.2))


def part(author: Author, path: str, kind: str, size, at, turn):
    where = {"at": at, "turn": turn}
    if kind == "box":
        return author.box(path, size, **where)
    if kind == "sphere":
        return author.sphere(path, size[0], **where)
    if kind == "tin":
        return author.round(UsdGeom.Cylinder, path, size[0], size[1], axis="X", **where)
    if kind == "pill":
        return author.round(UsdGeom.Capsule, path, size[0], size[1], axis="Z", **where)
    return author.mesh(path, BOX_POINTS * size, BOX_FACES, approximation="convexHull", **where)


def same(a: Any, b: Any, at: str = "scene") -> None:
    """Fail where two specs differ by more than rounding. Lights and cameras keep their prims' own axes."""
    assert type(a) is type(b), at
    if isinstance(a, Pose):
        if ".lights" not in at and ".cameras" not in at:
            np.testing.assert_allclose(a.matrix(), b.matrix(), atol=3e-5, err_msg=at)
        else:
            np.testing.assert_allclose(a.position, b.position, atol=3e-5, err_msg=at)
    elif isinstance(a, Body):
        np.testing.assert_allclose(tensor(a), tensor(b), rtol=2e-3, atol=1e-4 * a.inertia.max(), err_msg=at)
        for name in ("path", "pose", "mass", "center_of_mass", "kinematic", "geoms"):
            same(getattr(a, name), getattr(b, name), f"{at}.{name}")
    elif isinstance(a, Geom) and a.kind in ("cylinder", "capsule"):
        np.testing.assert_allclose(a.size, b.size, rtol=1e-4, err_msg=at)
        np.testing.assert_allclose(a.pose.position, b.pose.position, atol=3e-5, err_msg=at)
        axes = [matrix_from_quat(g.pose.orientation)[:, 2] for g in (a, b)]
        assert abs(abs(axes[0] @ axes[1]) - 1) < 1e-5, at  # which end is up, and the turn about it, mean nothing
    elif isinstance(a, Mesh):
        low = [m.vertices.min(0) for m in (a, b)]
        high = [m.vertices.max(0) for m in (a, b)]
        np.testing.assert_allclose(low[0], low[1], atol=1e-5, err_msg=at)
        np.testing.assert_allclose(high[0], high[1], atol=1e-5, err_msg=at)
        assert len(a.triangles) == len(b.triangles), at
    elif is_dataclass(a):
        for f in fields(a):
            if f.name not in NAMED_BY_PATH:
                same(getattr(a, f.name), getattr(b, f.name), f"{at}.{f.name}")
    elif isinstance(a, dict):
        assert list(a) == list(b), at
        for key in a:
            same(a[key], b[key], f"{at}[{key}]")
    elif isinstance(a, tuple):
        assert len(a) == len(b), at
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            same(x, y, f"{at}[{i}]")
    elif isinstance(a, np.ndarray):
        if not at.endswith(".axis"):
            np.testing.assert_allclose(a, b, rtol=2e-4, atol=3e-5, err_msg=at)
    elif isinstance(a, float):
        assert math.isclose(a, b, rel_tol=5e-4, abs_tol=3e-5), (at, a, b)
    else:
        assert a == b, at


def tensor(body: Body) -> np.ndarray:
    turn = matrix_from_quat(body.inertia_frame)
    return turn @ np.diag(body.inertia) @ turn.T


def written(described: list, up: str, unit: float, kilogram: float) -> SceneSpec:
    with tempfile.TemporaryDirectory() as folder:
        author = Author(Path(folder) / "stage.usda", up, unit, kilogram)
        author_things(author, described)
        return load_scene(author.save())


def joints_as_motion(scene: SceneSpec) -> list:
    """Joints by what they do: where the hinge is in the world and which way it turns."""
    found = []
    for joint in scene.joints:
        parent = scene.bodies[joint.parent].pose if joint.parent else Pose.of()
        frame = parent @ joint.frame_in_parent
        along = matrix_from_quat(frame.orientation) @ joint.axis
        found.append((joint.path, joint.parent, joint.child, frame.position, along))
    return found


# Shrinking would write thousands of stages; the message names the field that differs.
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow], phases=PHASES)
@given(described=st.lists(things, min_size=1, max_size=3), other=st.sampled_from(UNITS))
def test_units_and_up_axis_change_nothing(described, other) -> None:
    one, two = written(described, "Z", 1.0, 1.0), written(described, *other)
    for a, b in zip(joints_as_motion(one), joints_as_motion(two), strict=True):
        assert a[:3] == b[:3]
        np.testing.assert_allclose(a[3], b[3], atol=3e-5)
        np.testing.assert_allclose(a[4], b[4], atol=1e-5)
    for joint, twin in zip(one.joints, two.joints, strict=True):
        for name in ("kind", "lower", "upper", "drive"):
            same(getattr(joint, name), getattr(twin, name), name)
    for name in (f.name for f in fields(SceneSpec)):
        if name not in (*NAMED_BY_PATH, "joints", "warnings"):
            same(getattr(one, name), getattr(two, name), f"scene.{name}")
    assert {(w.code, w.path) for w in one.warnings} == {(w.code, w.path) for w in two.warnings}


@settings(max_examples=200, deadline=None)
@given(matrix=st.lists(st.floats(-3, 3), min_size=9, max_size=9))
@example(matrix=[0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 6.6e-84, 0.0])
@example(matrix=[0.0, 0.0, 0.0, 1.0, 0.0, 1.2e-7, 0.0, 1.0, 0.0])
def test_any_transform_is_split_exactly(matrix: list[float]) -> None:
    """rotation @ rest is the matrix, with a proper rotation, for shears and mirror images too."""
    from synthgen.usd.space import split

    linear = np.array(matrix).reshape(3, 3)
    rotation, rest = split(linear)
    np.testing.assert_allclose(rotation @ rest, linear, atol=1e-5)  # columns 1e-6 off square count as square
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-5)
    assert np.linalg.det(rotation) > 0


def test_digest_follows_content_not_place(tmp_path: Path) -> None:
    """The digest changes with a referenced file's bytes, and not with the folder."""
    digests = []
    for folder in ("one", "two", "three"):
        (tmp_path / folder).mkdir()
        prop = Author(tmp_path / folder / "prop.usda")
        prop.box("/World/g", (0.1, 0.1, 0.1 if folder != "three" else 0.2))
        prop.save()
        author = Author(tmp_path / folder / "stage.usda")
        author.xform("/World/p").GetPrim().GetReferences().AddReference("./prop.usda")
        digests.append(load_scene(author.save()).digest)
    assert digests[0] == digests[1] != digests[2]


def test_digest_includes_textures(tmp_path: Path) -> None:
    from pxr import Sdf, UsdShade

    author = Author(tmp_path / "stage.usda")
    material = author.preview("/World/m")
    image = UsdShade.Shader.Define(author.stage, "/World/m/i")
    image.CreateIdAttr("UsdUVTexture")
    image.CreateInput("file", Sdf.ValueTypeNames.Asset).Set("./t.png")
    surface = UsdShade.Shader(author.stage.GetPrimAtPath("/World/m/Surface"))
    surface.GetInput("diffuseColor").ConnectToSource(image.ConnectableAPI(), "rgb")
    author.bind(author.box("/World/g", (0.1, 0.1, 0.1)), material)
    author.save()
    digests = []
    for content in (b"one", b"two"):
        (tmp_path / "t.png").write_bytes(content)
        digests.append(load_scene(author.path).digest)
    assert digests[0] != digests[1]


def test_a_stage_turned_and_scaled_by_hand(tmp_path: Path) -> None:
    """Y-up centimetres referenced into Z-up metres below a turn and a scale, as users do."""
    inner = Author(tmp_path / "inner.usda", "Y", 0.01)
    minimal(inner)
    inner.save()
    outer = Author(tmp_path / "outer.usda", "Z", 1.0)
    holder = UsdGeom.Xform.Define(outer.stage, "/World/in")
    holder.AddRotateXOp().Set(90.0)
    holder.AddScaleOp().Set(Gf.Vec3f(0.01))
    holder.GetPrim().GetReferences().AddReference("./inner.usda")
    found, direct = load_scene(outer.save()), load_scene(inner.path)
    for path, body in direct.bodies.items():
        twin = found.bodies[path.replace("/World", "/World/in")]
        np.testing.assert_allclose(twin.pose.position, body.pose.position, atol=1e-6)
        assert math.isclose(twin.mass, body.mass)
    assert [w.code for w in found.warnings] == ["object-lies"]  # the cube's own Z is not up here: it has to say Y
    cube = outer.stage.GetPrimAtPath("/World/in/cube")
    outer.apply(cube, "SynthgenObjectAPI", upAxis="Y")
    found = load_scene(outer.save())
    assert not found.warnings
    for kind in ("regions", "receptacles", "objects"):
        same(getattr(direct, kind), getattr(found, kind), kind)
    same(direct.mounts[0].pose, found.mounts[0].pose)
    table, turned = direct.static_geoms[0], found.static_geoms[0]
    np.testing.assert_allclose(sorted(table.size), sorted(turned.size), rtol=1e-5)
