"""The page that needs Kit, checked against the sources of the pinned wheels: an API change breaks this, not a cluster.

Everything up to the call that starts Kit is executed.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import sys
import zipfile
from dataclasses import fields, is_dataclass, replace
from pathlib import Path

import pytest

pytest.importorskip("isaaclab", reason="runs in .venv-isaac: make test-isaac")

from synthgen.core.scene import LookRange
from synthgen.embodiments import registry
from synthgen.embodiments.assets import AssetStore
from synthgen.sim.isaac import engines, kit, lab, pictures, robot_usd, scene_usd
from synthgen.sim.isaac.links import links_of
from synthgen.usd.load import load_scene
from synthgen.usd.sample import sample_scene

PAGE = Path(kit.__file__)
KITCHEN = Path(__file__).parent / "kitchen.usda"
OURS = [PAGE, *(PAGE.with_name(f"{n}.py") for n in ("engines", "lab", "states", "pictures", "friction"))]
quiet = pytest.mark.filterwarnings("ignore")


@pytest.fixture(autouse=True)
def kit_root(tmp_path, monkeypatch):
    """No folder for Kit outside the test's own."""
    monkeypatch.setenv("SYNTHGEN_KIT_ROOT", str(tmp_path / "kit"))


def imports(path: Path):
    """(module, name) of every import of Isaac Lab and its relatives in a file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and re.match(r"isaac|newton|warp|omni|carb", node.module):
            for alias in node.names:
                yield node.module, alias.name
        if isinstance(node, ast.Import):
            for alias in node.names:
                if re.match(r"isaac|newton|omni|carb", alias.name):
                    yield alias.name, ""


def _named(module, name):
    """What ``from module import name`` gives, or None."""
    found = importlib.import_module(module)
    if not name or hasattr(found, name):
        return getattr(found, name) if name else found
    try:
        return importlib.import_module(f"{module}.{name}")
    except ImportError:
        return None


def test_there_are_imports_to_check():
    assert ("isaaclab_physx.physics", "PhysxCfg") in set(imports(PAGE))


def of_kit(module: str) -> bool:
    """Modules that come with Kit's extensions, which are not on PyPI: only their use in Isaac Lab can be looked at."""
    return module.startswith(("omni", "carb"))


@quiet
@pytest.mark.parametrize("path", OURS, ids=lambda p: p.stem)
def test_every_imported_name_exists(path):
    for module, name in imports(path):
        if of_kit(module):
            assert (module, name) in set(imports(_labs_events())), f"Isaac Lab itself does not import {module}"
            continue
        assert _named(module, name) is not None, f"{path.name}: {module} has no {name}"


@quiet
@pytest.mark.parametrize("path", OURS, ids=lambda p: p.stem)
def test_every_keyword_is_accepted(path):
    tree = ast.parse(path.read_text())
    known = {n: _named(m, n) for m, n in imports(path) if n and not of_kit(m)}
    modules = {"sim_utils": importlib.import_module("isaaclab.sim")}
    checked = 0
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        target = _target(node.func, known, modules)
        if target is None or not inspect.isclass(target):
            continue
        accepted = (
            {f.name for f in fields(target)} if is_dataclass(target) else set(inspect.signature(target).parameters)
        )
        for keyword in node.keywords:
            if keyword.arg is not None:
                checked += 1
                assert keyword.arg in accepted, f"{path.name}:{node.lineno}: {target.__name__} takes no {keyword.arg}"
    if path in (PAGE, PAGE.with_name("lab.py")):
        assert checked > 0


def _target(func, known, modules):
    if isinstance(func, ast.Name):
        return known.get(func.id)
    if isinstance(func, ast.Attribute):
        if isinstance(func.value, ast.Name) and func.value.id in modules:
            return getattr(modules[func.value.id], func.attr)
        inner = _target(func.value, known, modules)
        return getattr(inner, func.attr, None) if inner is not None else None
    return None


def _labs_events() -> Path:
    """Isaac Lab's own randomization by omni.replicator, the model for ours."""
    return Path(importlib.util.find_spec("isaaclab_physx").submodule_search_locations[0], "envs", "mdp", "events.py")


def replicator_calls(path: Path) -> list[tuple[str, int, frozenset[str], str | None]]:
    """(dotted name after ``rep.``, positional arguments, keywords, attribute written) of every Replicator call."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call) or not (name := ast.unparse(node.func)).startswith("rep.functional."):
            continue
        second = node.args[1] if len(node.args) > 1 else None
        written = second.value if isinstance(second, ast.Constant) else None
        found.append((name, len(node.args), frozenset(str(k.arg) for k in node.keywords), written))
    return found


def test_replicator_is_called_as_isaac_lab_calls_it():
    """omni.replicator.core cannot be had here: same functions, same positional arguments, no other keywords."""
    from isaaclab.assets.visual_material.visual_material import _PBR_CHANNELS

    ours, labs = replicator_calls(PAGE), replicator_calls(_labs_events())
    assert {name for name, *_ in ours} == {"rep.functional.create_batch.material", "rep.functional.modify.attribute"}
    for name, count, keywords, _ in ours:
        likewise = [k for n, c, k, _ in labs if n == name and c == count]
        assert any(keywords <= k for k in likewise), f"Isaac Lab does not call {name} like this"
    inputs = {attribute for attribute, _ in _PBR_CHANNELS.values()} | {"diffuse_tint"}
    inputs |= {written for *_, written in labs if written}
    assert {w for *_, w in ours if w} == {"diffuse_texture", "diffuse_tint", "diffuse_color_constant"} <= inputs
    source = inspect.getsource(importlib.import_module("isaaclab.assets.visual_material.visual_material"))
    assert '"diffuse_tint"' in source, "Isaac Lab no longer tints OmniPBR's texture by that input"


def test_kits_material_and_extension_are_asked_for_as_isaac_lab_does():
    labs = _labs_events().read_text()
    for text in ("${kit}/mdl/core/Base/OmniPBR.mdl", "omni.replicator.core"):
        assert f'"{text}"' in labs and f'"{text}"' in PAGE.read_text()


@quiet
def test_the_physics_settings_are_known_to_both_physx():
    from isaaclab_ov.physics import OvPhysxCfg
    from isaaclab_physx.physics import PhysxCfg

    for cfg in (OvPhysxCfg, PhysxCfg):
        assert set(engines.PHYSX) <= {f.name for f in fields(cfg)}


def test_the_launchers_arguments_are_read_by_the_launcher_or_the_app():
    launcher = importlib.util.find_spec("isaaclab_physx").submodule_search_locations[0]
    source = Path(launcher, "app", "kit_launcher.py").read_text()
    read = set(re.findall(r'launcher_args\.get\("(\w+)"', source))
    forwarded = set(re.findall(r'"(\w+)"', re.search(r"_SIM_APP_CONFIG_KEYS = frozenset\((.*?)\)\n", source, re.S)[1]))
    for name in kit.launch_args(portable_root=Path("/kit")):
        assert name in read | forwarded, f"nobody reads {name}"
    assert forwarded <= _app_settings(), "the app takes what the launcher forwards"


def _app_settings() -> set[str]:
    """Keys of ``SimulationApp.DEFAULT_LAUNCHER_CONFIG`` in the pinned wheel."""
    wheels = sorted(Path(sys.prefix, "isaacsim").glob("isaacsim_core-*.whl"))
    assert wheels, "run 'make isaac': it downloads the wheel that this test reads"
    with zipfile.ZipFile(wheels[-1]) as wheel:
        name = next(n for n in wheel.namelist() if n.endswith("isaacsim/simulation_app/simulation_app.py"))
        tree = ast.parse(wheel.read(name))
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "DEFAULT_LAUNCHER_CONFIG":
            return {ast.literal_eval(k) for k in node.value.keys}
    raise AssertionError("DEFAULT_LAUNCHER_CONFIG is gone")


def configured(engine, scene):
    """What is launched: configuration and launcher's arguments."""
    franka = registry.load("franka")
    model = robot_usd.robot_model(franka, AssetStore().root)
    return lab.configuration(
        engine,
        scene=scene,
        ready=scene_usd.prepare(scene),
        embodiment=franka,
        robot_file=robot_usd.robot_file(franka, model),
        links=links_of(model, name="franka"),
        base=scene.mounts[0].pose @ franka.base,
        num_envs=3,
        dt=0.005,
        device="cuda:0",
        views=pictures.USUAL,
    )


@quiet
@pytest.mark.parametrize("physics", ["ovphysx", "newton"])
def test_ovrtx_is_launched_without_kit(physics):
    """As far as Isaac Lab validates it without a GPU."""
    from isaaclab.app.sim_launcher import validate_launch
    from isaaclab_ov.renderers import OVRTXRendererCfg

    engine = replace(engines.ENGINES[physics], renderer="ovrtx")
    config, arguments = configured(engine, load_scene(KITCHEN))
    scan, sources = validate_launch(config, arguments)
    assert scan.has_ovrtx and not sources and not scan.needs_kit
    assert OVRTXRendererCfg.launcher_type in scan.launcher_types
    cameras = [v for k, v in vars(config.scene).items() if k.startswith("camera")]
    assert cameras and all(isinstance(c.renderer_cfg, OVRTXRendererCfg) for c in cameras)
    delivered = {kind.value for kind in OVRTXRendererCfg().supported_output_types()}
    assert set(pictures.TYPES.values()) <= delivered
    assert len([k for k in vars(config.scene) if k.startswith("light")]) == 2, "it has no light of its own"


@quiet
def test_ovrtx_and_kit_may_not_share_a_process():
    """Why --simulator isaacsim refuses it."""
    from isaaclab.app.sim_launcher import validate_launch

    config, arguments = configured(replace(engines.ENGINES["isaacsim"], renderer="ovrtx"), load_scene(KITCHEN))
    with pytest.raises(ValueError, match="OVRTX runtime"):
        validate_launch(config, arguments)


@quiet
@pytest.mark.parametrize("draws", [False, True])
def test_only_scenes_that_draw_textures_give_up_replicated_physics(draws):
    """Isaac Lab's Replicator terms refuse replicated physics, and Newton and OvPhysX break without it."""
    scene = load_scene(KITCHEN)
    if draws:
        looks = (LookRange(path=next(iter(scene.materials)), textures={"./a.png": Path("/a.png")}),)
        scene = replace(scene, looks=looks)
    source = _labs_events().read_text()
    assert source.count("if env.cfg.scene.replicate_physics:") == 2, "look again what Isaac Lab asks for"
    kinds = {"isaacsim": not draws, "ovphysx": True, "newton": True}
    assert {n: configured(engines.ENGINES[n], scene)[0].scene.replicate_physics for n in kinds} == kinds


@quiet
def test_the_whole_configuration_is_one_that_isaac_lab_would_launch_with_kit():
    from isaaclab.app.sim_launcher import validate_launch

    config, arguments = configured(engines.ENGINES["isaacsim"], load_scene(KITCHEN))
    scan, sources = validate_launch(config, arguments)
    assert sources and scan.has_kit_physics and scan.has_kit_camera
    assert not scan.has_ovphysx_physics and not scan.has_ovrtx
    assert config.scene.num_envs == 3
    assert "isaaclab_physx.app:KitLauncher" in scan.launcher_types
    lights = [v for k, v in vars(config.scene).items() if k.startswith("light")]
    assert len(lights) == 2, "sun and sky, once"


def test_the_lights_of_a_sample_are_written(tmp_path):
    """On a plain stage: this part of the page needs USD only."""
    from pxr import Usd, UsdGeom, UsdLux

    from synthgen.core.spec import EpisodeSpec

    scene = load_scene(KITCHEN)
    spec = EpisodeSpec(task="t", embodiment="franka", slot=0, attempt=0, entropy=0)
    sample = sample_scene(scene, spec)
    stage = Usd.Stage.CreateInMemory()
    for light in scene.lights:
        kind = UsdLux.DomeLight if light.kind == "dome" else UsdLux.DistantLight
        UsdGeom.Xformable(kind.Define(stage, kit._global_path(light))).AddOrientOp()
    kit.apply_lights(stage, scene, sample, prefix="/World", num_envs=2)
    for light in scene.lights:
        api = UsdLux.LightAPI(stage.GetPrimAtPath(kit._global_path(light)))
        assert api.GetIntensityAttr().Get() == pytest.approx(sample.lights[light.path].intensity)
        assert tuple(api.GetColorAttr().Get()) == pytest.approx(sample.lights[light.path].color)
