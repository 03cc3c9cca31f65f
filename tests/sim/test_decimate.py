"""Reduced visual meshes: shape kept, triangles saved, cache never poisoned."""

from __future__ import annotations

from pathlib import Path

import mujoco
import numpy as np
import pytest
import small_scene
import trimesh

from synthgen.core.pose import quat_from_axis_angle
from synthgen.embodiments import registry
from synthgen.embodiments.assets import AssetStore
from synthgen.sim.mujoco import decimate, reduce
from synthgen.sim.mujoco.model import build_model
from synthgen.sim.mujoco.robot import HIDDEN_GROUP
from synthgen.sim.mujoco.shell import outer_shell


def test_the_shell_of_a_ball_with_a_ball_inside_is_the_outer_ball() -> None:
    outer, inner = trimesh.creation.icosphere(3, 0.1), trimesh.creation.icosphere(3, 0.03)
    both = trimesh.util.concatenate([outer, inner])
    vertices, triangles = outer_shell(np.asarray(both.vertices), np.asarray(both.faces, np.int32))
    shell = trimesh.Trimesh(vertices, triangles, process=False)
    radius = np.linalg.norm(vertices, axis=1)
    assert radius.min() > 0.09 and radius.max() < 0.101
    assert shell.is_watertight
    assert shell.volume == pytest.approx(outer.volume, rel=0.03)  # positive: turned outward


def test_a_cracked_mesh_keeps_its_shape_when_reduced() -> None:
    """Loose triangles that share no vertex: edge collapses alone would tear them apart."""
    ball = trimesh.creation.icosphere(4, 0.1)
    corners = np.asarray(ball.triangles) + np.random.default_rng(0).normal(scale=2e-5, size=ball.triangles.shape)
    vertices = corners.reshape(-1, 3)
    triangles = np.arange(len(vertices), dtype=np.int32).reshape(-1, 3)
    kept, faces = reduce.reduce_all({"ball": (vertices, triangles)}, 300)["ball"]
    assert len(faces) <= 360
    radius = np.linalg.norm(kept, axis=1)
    assert radius.min() > 0.09 and radius.max() < 0.11
    assert reduce.area_of(kept, faces) == pytest.approx(4 * np.pi * 0.01, rel=0.08)


def test_the_budget_is_shared_by_size_and_small_meshes_stay_as_they_are() -> None:
    big, small = trimesh.creation.icosphere(5, 0.5), trimesh.creation.icosphere(5, 0.05)
    cube = trimesh.creation.box((0.1, 0.1, 0.1))
    meshes = {
        n: (np.asarray(m.vertices), np.asarray(m.faces, np.int32)) for n, m in (("b", big), ("s", small), ("c", cube))
    }
    out = reduce.reduce_all(meshes, 2000)
    assert len(out["c"][1]) == 12
    assert len(out["s"][1]) < len(out["b"][1]) < 2000


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A robot's mesh files, with a cache of its own."""
    monkeypatch.setenv("SYNTHGEN_CACHE", str(tmp_path / "cache"))
    files = tmp_path / "robot"
    files.mkdir()
    trimesh.creation.icosphere(5, 0.2).export(files / "arm.stl")
    trimesh.creation.icosphere(4, 0.1).export(files / "hand.stl")
    return files


def reduced(folder: Path, faces: int = 500) -> dict[str, int]:
    """Reduce and compile a robot of two visible meshes; triangles by mesh."""
    robot = mujoco.MjSpec()
    body = robot.worldbody.add_body(name="arm")
    for name in ("arm", "hand"):
        robot.add_mesh(name=name, file=str(folder / f"{name}.stl"))
        red = [0.8, 0.1 * len(name), 0.1, 1.0]
        body.add_geom(type=mujoco.mjtGeom.mjGEOM_MESH, meshname=name, contype=0, conaffinity=0, group=2, rgba=red)
    decimate.decimate_robot(robot, faces=faces, folders=[folder])
    model = robot.compile()
    return dict(zip(("arm", "hand"), (int(n) for n in model.mesh_facenum), strict=True))


def test_reduced_meshes_are_cached_and_a_damaged_file_is_made_again(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = reduced(folder)
    assert first["hand"] < first["arm"] and sum(first.values()) < 600
    meshes = tmp_path / "cache" / "meshes"
    (file,) = meshes.iterdir()
    good = file.read_bytes()

    def fail(*args: object) -> None:
        raise AssertionError("the cache was not used")

    with monkeypatch.context() as patched:
        patched.setattr(decimate, "reduce_all", fail)
        assert reduced(folder) == first
    for damaged in (good[: len(good) // 2], b"", b"not a zip file"):
        file.write_bytes(damaged)
        assert reduced(folder) == first
        assert [p.name for p in meshes.iterdir()] == [file.name]


def test_other_meshes_or_another_budget_have_a_file_of_their_own(folder: Path, tmp_path: Path) -> None:
    reduced(folder)
    reduced(folder, faces=400)
    trimesh.creation.icosphere(4, 0.11).export(folder / "hand.stl")
    reduced(folder)
    assert len(list((tmp_path / "cache" / "meshes").iterdir())) == 3


def test_a_cache_that_cannot_be_written_is_only_slower(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    monkeypatch.setenv("SYNTHGEN_CACHE", str(blocked))
    assert sum(reduced(folder).values()) < 600


def test_parts_of_one_body_and_one_look_become_one(folder: Path) -> None:
    robot = mujoco.MjSpec()
    body = robot.worldbody.add_body(name="arm", pos=[0.0, 0.0, 1.0])
    turned = quat_from_axis_angle([1.0, 0.0, 0.0], np.pi / 2)
    for name, position in (("arm", (0.0, 0.0, 0.0)), ("hand", (0.0, 0.3, 0.0))):
        robot.add_mesh(name=name, file=str(folder / f"{name}.stl"))
        robot.add_material(name=f"paint of {name}", rgba=[0.2, 0.3, 0.4, 1.0])
        body.add_geom(
            type=mujoco.mjtGeom.mjGEOM_MESH,
            meshname=name,
            material=f"paint of {name}",
            pos=position,
            quat=turned,
            contype=0,
            conaffinity=0,
            group=2,
        )
    decimate.decimate_robot(robot, faces=500, folders=[folder])
    model = robot.compile()
    assert model.ngeom == 1
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    (extent,) = _boxes(model, data).values()
    np.testing.assert_allclose(extent, [0.4, 0.6, 0.4], atol=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["franka", "gr1", "g1"])
def test_reduced_robots_keep_their_extent(name: str) -> None:
    """Every visible part of the reduced robot is as large as the original, within 15 % and 2 cm."""
    robot = registry.load(name)
    scene = small_scene.scene()
    full = build_model(scene, robot, AssetStore().root, purpose="visual", faces=None)
    small = build_model(scene, robot, AssetStore().root, purpose="visual")
    boxes: list[dict[str, np.ndarray]] = []
    for model in (full, small):
        data = mujoco.MjData(model)
        mujoco.mj_kinematics(model, data)
        boxes.append(_boxes(model, data))
    assert boxes[0].keys() == boxes[1].keys()
    for part, extent in boxes[0].items():
        np.testing.assert_allclose(boxes[1][part], extent, rtol=0.15, atol=0.02, err_msg=part)
    visible = [sum(_faces(m)) for m in (full, small)]
    assert visible[1] < 11000 < visible[0] / 8


def _visible_meshes(model: mujoco.MjModel) -> list[int]:
    shown = (model.geom_group < HIDDEN_GROUP) & (model.geom_type == mujoco.mjtGeom.mjGEOM_MESH)
    return [int(g) for g in np.flatnonzero(shown)]


def _faces(model: mujoco.MjModel) -> list[int]:
    return [int(model.mesh_facenum[model.geom_dataid[g]]) for g in _visible_meshes(model)]


def _boxes(model: mujoco.MjModel, data: mujoco.MjData) -> dict[str, np.ndarray]:
    """World extents (3,) by body, of what is drawn of it."""
    points: dict[str, list[np.ndarray]] = {}
    for g in _visible_meshes(model):
        mesh = model.mesh(model.geom_dataid[g])
        v0, n = int(mesh.vertadr[0]), int(mesh.vertnum[0])
        world = model.mesh_vert[v0 : v0 + n] @ data.geom_xmat[g].reshape(3, 3).T + data.geom_xpos[g]
        points.setdefault(model.body(model.geom_bodyid[g]).name, []).append(world)
    return {body: np.ptp(np.concatenate(parts), axis=0) for body, parts in points.items()}
