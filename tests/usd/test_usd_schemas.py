"""The synthgen: schemas: registered with USD, read with or without that, and documented."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pxr import Sdf, Usd, UsdGeom
from usd_stages import Author

from synthgen.usd import load_scene, schemas
from synthgen.usd.problems import CODES

DOCS = (Path(__file__).parents[2] / "docs" / "scenes.md").read_text()
NAMES = [
    schemas.OBJECT,
    schemas.SPAWN_REGION,
    schemas.RECEPTACLE,
    schemas.SLOT,
    schemas.MOUNT,
    schemas.CAMERA,
    schemas.RANDOMIZE,
]


def test_usd_knows_the_schemas_and_their_defaults() -> None:
    schemas.register()
    stage = Usd.Stage.CreateInMemory()
    prim = stage.DefinePrim("/a", "Xform")
    for name in NAMES:
        assert prim.ApplyAPI(name)
        assert prim.HasAPI(name)
        for declared in schemas.declared()[name].values():
            if declared.type != "rel":
                assert prim.GetAttribute(declared.name).Get() == declared.default


def test_plug_info_and_schema_agree() -> None:
    text = (schemas.SCHEMA_DIR / "plugInfo.json").read_text()
    types = json.loads(text)["Plugins"][0]["Info"]["Types"]
    assert {t["schemaIdentifier"] for t in types.values()} == set(schemas.declared()) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_property_is_documented_with_its_type_default_and_unit(name: str) -> None:
    section = DOCS.split(f"### {name}\n", 1)[1].split("\n#", 1)[0]
    rows = dict(re.findall(r"^\| `([^`]+)` \| (.+) \|$", section, re.MULTILINE))
    assert set(rows) == set(schemas.declared()[name])
    for prop in schemas.declared()[name].values():
        kind, default, meaning = rows[prop.name].split(" | ", 2)
        assert kind.startswith(prop.type) and all(t in kind for t in prop.allowed)
        assert default == ("" if prop.default is None else str(prop.default) or '""')
        assert meaning == prop.doc
        if prop.type in ("float", "float2", "point3f") and "word" not in prop.name:
            said = re.search(r"Length|Degrees|Unitless|Kelvin|\[0, 1\]|from 0 to 1", prop.doc)
            assert said, f"{prop.name} does not say its unit"


def test_every_problem_is_documented() -> None:
    rows = dict(re.findall(r"^\| `([a-z-]+)` \| ((?:error|warning) \| .+) \|$", DOCS, re.MULTILINE))
    assert rows == {code: f"{c.severity} | {c.meaning}" for code, c in CODES.items()}


def test_every_code_is_used() -> None:
    folder = Path(schemas.__file__).parent
    source = "".join(f.read_text() for f in folder.glob("*.py") if f.name != "problems.py")
    assert [c for c in CODES if f'"{c}"' not in source] == []


def test_a_stage_reads_the_same_when_the_registry_was_built_first(tmp_path: Path) -> None:
    """In Isaac Sim the schema registry exists before synthgen is imported."""
    author = Author(tmp_path / "stage.usda")
    camera = UsdGeom.Camera.Define(author.stage, "/World/c")
    author.apply(camera.GetPrim(), "SynthgenCameraAPI", name="agentview")
    region = author.xform("/World/r").GetPrim()
    author.apply(region, "SynthgenSpawnRegionAPI", size=(0.4, 0.2))
    author.save()
    code = """
import sys
from pxr import Usd
Usd.SchemaRegistry()
Usd.Stage.CreateInMemory().DefinePrim("/a", "Xform")
from synthgen.usd import load_scene
scene = load_scene(sys.argv[1])
print(scene.cameras[0].name, scene.regions["r"].half_extents, scene.regions["r"].clearance)
"""
    said = subprocess.run([sys.executable, "-c", code, str(author.path)], capture_output=True, text=True, check=True)
    scene = load_scene(author.path)
    assert scene.cameras[0].name == "agentview"
    assert said.stdout.strip() == f"agentview {scene.regions['r'].half_extents} {scene.regions['r'].clearance}"


def test_words_of_any_kind(tmp_path: Path) -> None:
    author = Author(tmp_path / "stage.usda")
    prim = author.body("/World/a", mass=1.0)
    author.box("/World/a/g", (0.1, 0.1, 0.1))
    author.apply(prim, "SynthgenObjectAPI", noun="cube", word__size="small", word__brand="Acme", word__color=" ")
    prop = load_scene(author.save()).objects["a"]
    assert dict(prop.attributes) == {"brand": "Acme", "size": "small"}


def test_nothing_is_inferred_from_names(tmp_path: Path) -> None:
    author = Author(tmp_path / "stage.usda")
    for name in ("target", "SpawnRegion", "Mount", "receptacle"):
        author.body(f"/World/{name}", mass=1.0)
        author.box(f"/World/{name}/g", (0.1, 0.1, 0.1))
    author.stage.DefinePrim("/World/Slots/target", "Scope")
    scene = load_scene(author.save())
    assert not (scene.objects or scene.regions or scene.mounts or scene.receptacles or scene.slots)


def test_schema_layer_has_no_absolute_paths() -> None:
    layer = Sdf.Layer.FindOrOpen(str(schemas.SCHEMA_DIR / "generatedSchema.usda"))
    assert not layer.GetExternalReferences() and not layer.subLayerPaths
