"""What synthgen scene check says about good and bad stages."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from pxr import Gf, Sdf, UsdGeom, UsdPhysics, UsdShade
from usd_stages import Author, minimal

from synthgen.cli.scene import scene as command
from synthgen.core.errors import SceneError
from synthgen.core.task import Needs
from synthgen.usd import Problem, check_scene, ensure_usable, examine, load_scene, require

SCENES = Path(__file__).parents[2] / "scenes"


@pytest.fixture
def author(tmp_path: Path) -> Author:
    made = Author(tmp_path / "stage.usda")
    minimal(made)
    return made


def problems(author: Author) -> list[Problem]:
    return check_scene(author.save())


def only(author: Author) -> Problem:
    (found,) = problems(author)
    return found


def prim(author: Author, path: str):
    return author.stage.GetPrimAtPath(path)


@pytest.mark.parametrize("up", ["Z", "Y"])
@pytest.mark.parametrize("unit", [1.0, 0.01])
def test_the_minimal_stage_has_no_problem(tmp_path: Path, up: str, unit: float) -> None:
    author = Author(tmp_path / "stage.usda", up, unit)
    minimal(author)
    assert problems(author) == []


@pytest.mark.parametrize("name", ["tabletop", "tiny"])
def test_built_in_scenes_have_no_problem(name: str) -> None:
    assert check_scene(SCENES / f"{name}.usda") == []


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("missing.usda", None, "no such file"),
        ("empty.usda", "", "cannot be read"),
        ("text.usda", "hello", "not a valid usda layer"),
        ("cut.usda", '#usda 1.0\ndef Xform "World" {\n', "cut.usda"),
        ("binary.usdc", "PXR-USDC" + "\0" * 40, "cannot be read"),
        ("archive.usdz", "PK\3\4nonsense", "cannot be read"),
        ("picture.png", "x", "not a USD file"),
    ],
)
def test_unreadable_files_give_one_clear_error(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str, content: str | None, says: str
) -> None:
    file = tmp_path / name
    if content is not None:
        file.write_text(content)
    (problem,) = check_scene(file)
    assert (problem.severity, problem.code) == ("error", "unreadable")
    assert says in problem.message and str(file) in problem.message and problem.remedy
    with pytest.raises(SceneError):
        load_scene(file)
    assert capfd.readouterr().err == ""  # USD's own chatter is not shown


def test_a_folder_is_not_a_scene(tmp_path: Path) -> None:
    folder = tmp_path / "scene.usda"
    folder.mkdir()
    (problem,) = check_scene(folder)
    assert problem.code == "unreadable"


def test_missing_references(author: Author, capfd: pytest.CaptureFixture[str]) -> None:
    author.xform("/World/lost").GetPrim().GetReferences().AddReference("./gone.usda")
    author.xform("/World/empty").GetPrim().GetReferences().AddInternalReference("/Nowhere")
    author.save()
    capfd.readouterr()  # what USD said while the test authored
    found = check_scene(author.path)
    assert {(p.code, p.path) for p in found} == {
        ("missing-reference", "/World/lost"),
        ("missing-reference", "/World/empty"),
    }
    assert "gone.usda" in "".join(p.message for p in found)
    with pytest.raises(SceneError, match=r"and 1 more"):
        load_scene(author.path)
    assert capfd.readouterr().err == ""


def test_missing_texture(author: Author) -> None:
    material = author.preview("/World/Looks/m")
    image = UsdShade.Shader.Define(author.stage, "/World/Looks/m/Image")
    image.CreateIdAttr("UsdUVTexture")
    image.CreateInput("file", Sdf.ValueTypeNames.Asset).Set("./gone.png")
    surface = UsdShade.Shader(prim(author, "/World/Looks/m/Surface"))
    surface.GetInput("diffuseColor").ConnectToSource(image.ConnectableAPI(), "rgb")
    author.bind(prim(author, "/World/Table"), material)
    found = only(author)
    assert (found.code, found.severity, found.path) == ("missing-texture", "error", "/World/Looks/m/Image")
    assert "gone.png" in found.message


@pytest.mark.parametrize(
    ("gone", "codes"),
    [
        (["/World/Mount"], {"no-mount"}),
        (["/World/Sun"], {"no-light"}),
        (["/World/Cam"], {"no-camera"}),
        (["/World/bin", "/World/container"], {"no-receptacle"}),
        (["/World/cube", "/World/target"], {"no-object"}),
        (["/World/target", "/World/container"], {"no-slot"}),
        (["/World/region", "/World/middle"], {"no-spawn-region", "slot-invalid"}),
    ],
)
def test_what_is_absent(author: Author, gone: list[str], codes: set[str]) -> None:
    for path in gone:
        author.stage.RemovePrim(path)
    found = problems(author)
    assert {p.code for p in found} == codes
    assert all(p.remedy for p in found)


def test_an_empty_stage(tmp_path: Path) -> None:
    file = tmp_path / "empty.usda"
    file.write_text("#usda 1.0\n")
    assert {p.code for p in check_scene(file)} == {
        "no-default-prim",
        "no-mount",
        "no-object",
        "no-receptacle",
        "no-spawn-region",
        "no-slot",
        "no-camera",
        "no-light",
    }


def test_region_too_small_for_a_candidate(author: Author) -> None:
    prim(author, "/World/region").GetAttribute("synthgen:spawnRegion:size").Set(Gf.Vec2f(0.06, 0.3))
    found = only(author)
    assert (found.code, found.path) == ("region-too-small", "/World/region")
    assert "cube" in found.message and "60 x 300 mm" in found.message


def test_slot_names_a_thing_without_the_schema(author: Author) -> None:
    candidates = prim(author, "/World/target").GetRelationship("synthgen:slot:candidates")
    candidates.AddTarget("/World/Table")
    candidates.AddTarget("/World/gone")
    found = problems(author)
    assert [p.code for p in found] == ["slot-invalid"] * 2
    assert "/World/Table, which has no usable SynthgenObjectAPI" in found[0].message
    assert "/World/gone, which does not exist" in found[1].message


def test_object_without_collider_or_body(author: Author) -> None:
    bare = author.body("/World/bare", mass=1.0)
    author.box("/World/bare/g", (0.1, 0.1, 0.1), collide=False)
    author.apply(bare, "SynthgenObjectAPI", noun="ghost")
    author.apply(author.xform("/World/loose").GetPrim(), "SynthgenObjectAPI", noun="loose")
    assert {(p.code, p.path) for p in problems(author)} == {
        ("object-without-collider", "/World/bare"),
        ("object-not-body", "/World/loose"),
    }


def test_receptacle_smaller_than_any_object(author: Author) -> None:
    prim(author, "/World/bin").GetAttribute("synthgen:receptacle:size").Set(Gf.Vec2f(0.05, 0.2))
    found = only(author)
    assert (found.code, found.path) == ("receptacle-too-small", "/World/bin")


def test_cameras_unnamed_and_duplicate(author: Author) -> None:
    UsdGeom.Camera.Define(author.stage, "/World/other")
    twin = UsdGeom.Camera.Define(author.stage, "/World/twin")
    author.apply(twin.GetPrim(), "SynthgenCameraAPI", name="agentview")
    assert {(p.severity, p.code, p.path) for p in problems(author)} == {
        ("warning", "camera-unnamed", "/World/other"),
        ("error", "camera-duplicate", "/World/twin"),
    }


def test_two_things_of_one_name(author: Author) -> None:
    author.body("/World/more/cube", mass=1.0)
    author.box("/World/more/cube/g", (0.1, 0.1, 0.1))
    author.apply(prim(author, "/World/more/cube"), "SynthgenObjectAPI", noun="cube")
    found = only(author)
    assert found.code == "unreadable" and "'cube'" in found.message


@pytest.mark.parametrize(
    ("path", "attribute", "value"),
    [
        ("/World/cube", "synthgen:object:noun", ""),
        ("/World/cube", "synthgen:object:massScale", Gf.Vec2f(2, 1)),
        ("/World/cube", "synthgen:object:massScale", Gf.Vec2f(0, 1)),
        ("/World/cube", "synthgen:object:shape", "banana"),
        ("/World/cube", "synthgen:object:colorJitter", 3.0),
        ("/World/bin", "synthgen:receptacle:height", -1.0),
        ("/World/target", "synthgen:slot:probability", float("nan")),
        ("/World/region", "synthgen:spawnRegion:clearance", -0.1),
    ],
)
def test_values_out_of_range_name_the_property(author: Author, path: str, attribute: str, value) -> None:
    kinds = Sdf.ValueTypeNames
    kind = kinds.Float2 if isinstance(value, Gf.Vec2f) else kinds.Float if isinstance(value, float) else kinds.String
    if attribute.endswith("shape"):
        kind = kinds.Token
    prim(author, path).CreateAttribute(attribute, kind).Set(value)
    found = only(author)
    assert (found.severity, found.code, found.path) == ("error", "value-invalid", f"{path}.{attribute}")


def test_tilted_mount_region_and_receptacle(author: Author) -> None:
    for path in ("/World/Mount", "/World/region", "/World/bin"):
        UsdGeom.Xformable(prim(author, path)).AddRotateXOp().Set(20.0)
    codes = {p.code for p in problems(author)}
    assert {"mount-tilted", "region-tilted", "receptacle-tilted"} <= codes


def test_several_mounts_scenes_and_useless_randomization(author: Author) -> None:
    author.apply(author.xform("/World/Mount2", at=(0, 0, 0.5)).GetPrim(), "SynthgenMountAPI")
    UsdPhysics.Scene.Define(author.stage, "/World/p1")
    UsdPhysics.Scene.Define(author.stage, "/World/p2")
    author.apply(prim(author, "/World/Table"), "SynthgenRandomizeAPI", colorJitter=0.1)
    assert {p.code for p in problems(author)} == {"several-mounts", "several-physics-scenes", "randomize-nothing"}


def test_a_lying_object_and_its_up_axis(author: Author) -> None:
    can = author.body("/World/can", mass=0.3, at=(0.3, 0, 0.533), turn=((1, 0, 0), 90))
    author.round(UsdGeom.Cylinder, "/World/can/g", 0.033, 0.1, axis="Z")
    author.apply(can, "SynthgenObjectAPI", noun="can")
    assert [p.code for p in problems(author)] == ["object-lies"]
    can.CreateAttribute("synthgen:object:upAxis", Sdf.ValueTypeNames.Token).Set("Y")
    UsdGeom.Xformable(can).GetOrderedXformOps()[1].Set(Gf.Quatd(Gf.Rotation(Gf.Vec3d(1, 0, 0), 90).GetQuat()))
    scene = load_scene(author.save())
    assert not scene.warnings
    assert scene.objects["can"].extents == pytest.approx([0.066, 0.1, 0.066], rel=1e-5)  # z up: it does lie


def test_colors_flattened_and_indistinct_candidates(author: Author) -> None:
    two = author.body("/World/two", mass=1.0)
    author.box("/World/two/a", (0.05, 0.05, 0.05))
    lid = author.box("/World/two/b", (0.05, 0.05, 0.01), at=(0, 0, 0.03), collide=False)
    UsdGeom.Gprim(lid).CreateDisplayColorAttr([Gf.Vec3f(1, 0, 0)])
    author.apply(two, "SynthgenObjectAPI", noun="cube", colorJitter=0.1)
    prim(author, "/World/target").GetRelationship("synthgen:slot:candidates").AddTarget("/World/two")
    assert {p.code for p in problems(author)} == {"object-color-flattened", "slot-indistinct"}


def test_require(author: Author) -> None:
    scene = load_scene(author.save())
    require(scene, Needs(slots=("target", "container")))
    with pytest.raises(SceneError, match="needs a slot 'tool'; the scene has target, container"):
        require(scene, Needs(slots=("tool",)))
    prim(author, "/World/target").GetRelationship("synthgen:slot:regions").ClearTargets(True)
    with pytest.raises(SceneError, match="'target' has no regions"):
        require(load_scene(author.save()), Needs(slots=("target",)))
    prim(author, "/World/target").GetRelationship("synthgen:slot:candidates").ClearTargets(True)
    with pytest.raises(SceneError, match="'target' has no candidates"):
        require(load_scene(author.save()), Needs(slots=("target",)))
    prim(author, "/World/container").CreateAttribute("synthgen:slot:probability", Sdf.ValueTypeNames.Float).Set(0.5)
    with pytest.raises(SceneError, match=r"probability 0\.5"):
        require(load_scene(author.save()), Needs(slots=("container",)))
    author.stage.RemovePrim("/World/Mount")
    with pytest.raises(SceneError, match="no mount"):
        require(load_scene(author.save()), Needs())


def test_ensure_usable(author: Author) -> None:
    ensure_usable(load_scene(author.save()))
    prim(author, "/World/region").GetAttribute("synthgen:spawnRegion:size").Set(Gf.Vec2f(0.06, 0.3))
    with pytest.raises(SceneError, match="/World/region: cube of slot 'target' does not fit") as refused:
        ensure_usable(load_scene(author.save()))
    assert refused.value.remedy
    author.stage.RemovePrim("/World/Mount")
    with pytest.raises(SceneError, match="and 1 more"):
        ensure_usable(load_scene(author.save()))


def test_errors_come_first(author: Author) -> None:
    author.stage.RemovePrim("/World/Mount")
    author.stage.RemovePrim("/World/Sun")
    found = examine(author.save())
    assert [p.severity for p in found.problems] == ["error", "warning"]
    assert not found.usable and found.scene is not None


def test_the_command_prints_tables_and_exits_0(author: Author) -> None:
    author.save()
    done = CliRunner().invoke(command, ["check", str(author.path)])
    assert done.exit_code == 0, done.output
    for word in ("bodies", "/World/cube", "receptacles", "mounts", "cameras", "agentview", "0 errors, 0 warnings"):
        assert word in done.output


def test_the_command_names_problem_and_remedy_and_exits_2(author: Author) -> None:
    author.stage.RemovePrim("/World/Mount")
    done = CliRunner().invoke(command, ["check", str(author.save())])
    assert done.exit_code == 2
    assert "error no-mount: a robot has nowhere to stand" in done.output and "remedy: apply" in done.output


def test_property_names_are_printed_as_they_are(author: Author) -> None:
    """ ":camera:" is also how rich spells a picture of a camera."""
    UsdGeom.Camera.Define(author.stage, "/World/other")
    assert "synthgen:camera:name" in CliRunner().invoke(command, ["check", str(author.save())]).output


def test_the_command_as_json(author: Author, tmp_path: Path) -> None:
    done = CliRunner().invoke(command, ["check", str(author.save()), "--json"])
    state = json.loads(done.output)
    assert state["usable"] and state["problems"] == [] and done.exit_code == 0
    assert state["scene"]["bodies"][0]["path"] == "/World/cube"
    (tmp_path / "bad.usda").write_text("nonsense")
    done = CliRunner().invoke(command, ["check", str(tmp_path / "bad.usda"), "--json"])
    state = json.loads(done.output)
    assert done.exit_code == 2 and not state["usable"] and state["problems"][0]["code"] == "unreadable"


def test_the_command_takes_a_built_in_name() -> None:
    done = CliRunner().invoke(command, ["check", "tiny", "--json"])
    assert done.exit_code == 0 and json.loads(done.output)["file"].endswith("tiny.usda")
