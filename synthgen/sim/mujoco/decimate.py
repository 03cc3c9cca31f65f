"""Fewer triangles for a robot's looks: without a GPU, triangles and separate parts are what a picture costs.

A robot of 100 000 and more triangles looks the same with some thousand at the sizes data sets use. Its visual meshes
are joined where they have one body and one look, and reduced. The result is kept in one file of the cache, named by a
digest of the source meshes and of everything that decides it, so a later start takes milliseconds instead of seconds.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import mujoco
import numpy as np

from synthgen.core.pose import matrix_from_quat
from synthgen.sim.mujoco import mesh_cache
from synthgen.sim.mujoco.reduce import AGGRESSIVENESS, LEAST_FACES, reduce_all
from synthgen.sim.mujoco.robot import HIDDEN_GROUP, drop_unused_assets
from synthgen.sim.mujoco.shell import Triangles

RECIPE = 7  # raise when the algorithm changes what it makes

Parts = dict[str, list[mujoco.MjsGeom]]


def decimate_robot(robot: mujoco.MjSpec, *, faces: int, folders: Iterable[Path]) -> None:
    """Replace the visible meshes of ``robot`` by reduced ones, ``faces`` triangles all together or somewhat more.

    ``folders``: where its mesh files lie, at any depth. Textures are dropped, because texture coordinates do not
    survive the reduction: a textured material keeps its colour.

    Raises:
        ValueError: MuJoCo cannot read a mesh.
    """
    parts = _parts(robot)
    if not parts:
        return
    path = mesh_cache.cache_path(_digest(robot, parts, faces, folders))
    reduced = mesh_cache.read(path, list(parts))
    if reduced is None:
        reduced = reduce_all(_sources(robot, parts), faces)
        mesh_cache.write(path, reduced)
    for name, geoms in parts.items():
        _replace(robot, name, geoms, reduced[name])
    for material in robot.materials:
        material.textures = [""] * len(material.textures)
    drop_unused_assets(robot)


def _parts(robot: mujoco.MjSpec) -> Parts:
    """Visible mesh geoms by part: those of one body that look the same."""
    numbers: dict[tuple[object, ...], str] = {}
    parts: Parts = {}
    for geom in robot.geoms:
        if geom.group >= HIDDEN_GROUP or geom.type != mujoco.mjtGeom.mjGEOM_MESH:
            continue
        look = (geom.parent.name, *_look(robot, geom))
        name = numbers.setdefault(look, f"{geom.parent.name}#{len(numbers)}")
        parts.setdefault(name, []).append(geom)
        geom.name = geom.name or f"{name}#{len(parts[name])}"
    return parts


def _look(robot: mujoco.MjSpec, geom: mujoco.MjsGeom) -> tuple[object, ...]:
    """What decides a geom's looks once textures are gone. Files often name the same look many times."""
    rgba = tuple(float(x) for x in geom.rgba)
    m = robot.material(geom.material) if geom.material else None
    if m is None:
        return rgba
    return (*rgba, *(float(x) for x in m.rgba), m.specular, m.shininess, m.emission, m.reflectance)


def _replace(robot: mujoco.MjSpec, name: str, geoms: Sequence[mujoco.MjsGeom], triangles: Triangles) -> None:
    """One mesh geom in the body's frame instead of ``geoms``."""
    body, material, rgba = geoms[0].parent, geoms[0].material, np.array(geoms[0].rgba)
    for geom in geoms:
        robot.delete(geom)
    mesh = robot.add_mesh(name=name, inertia=mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL)
    mesh.uservert, mesh.userface = triangles[0].ravel(), triangles[1].ravel()
    body.add_geom(
        name=name,
        type=mujoco.mjtGeom.mjGEOM_MESH,
        meshname=name,
        material=material,
        rgba=rgba,
        group=HIDDEN_GROUP - 1,
        contype=0,
        conaffinity=0,
        mass=0.0,
    )


def _sources(robot: mujoco.MjSpec, parts: Parts) -> dict[str, Triangles]:
    """The parts as MuJoCo reads them (any file format, scale applied), in their bodies' frames."""
    model = robot.copy().compile()
    out: dict[str, Triangles] = {}
    for name, geoms in parts.items():
        vertices, triangles, count = [], [], 0
        for geom in geoms:
            g = model.geom(geom.name)
            m = model.mesh(g.dataid[0])
            points = model.mesh_vert[m.vertadr[0] : m.vertadr[0] + m.vertnum[0]]
            vertices.append(points @ matrix_from_quat(g.quat).T + g.pos)
            triangles.append(model.mesh_face[m.faceadr[0] : m.faceadr[0] + m.facenum[0]] + count)
            count += len(points)
        out[name] = np.concatenate(vertices).astype(np.float64), np.concatenate(triangles).astype(np.int32)
    return out


def _digest(robot: mujoco.MjSpec, parts: Parts, faces: int, folders: Iterable[Path]) -> str:
    """sha256 over the mesh files and everything else that decides the result."""
    h = hashlib.sha256()
    settings = {
        "recipe": RECIPE,
        "faces": faces,
        "least": LEAST_FACES,
        "aggressiveness": AGGRESSIVENESS,
        "fast-simplification": version("fast-simplification"),
    }
    h.update(json.dumps(settings, sort_keys=True).encode())
    meshes = {m.name: m for m in robot.meshes}
    used = [meshes[g.meshname] for geoms in parts.values() for g in geoms]
    files = _files_by_name({Path(m.file).name for m in used}, folders)
    sources: Mapping[str, Triangles] | None = None
    for name, geoms in parts.items():
        for geom in geoms:
            mesh = meshes[geom.meshname]
            numbers = (*geom.pos, *geom.quat, *geom.alt.euler, *mesh.scale, *mesh.refpos, *mesh.refquat)
            h.update(f"|{name}|{geom.name}|{[float(x) for x in numbers]}|".encode())
            # A spec does not tell the folder of a hand attached from another file. Where several files fit, all
            # count: the digest then changes with any of them.
            fitting = [p for p in files.get(Path(mesh.file).name, ()) if mesh.file and p.match(mesh.file)]
            for path in fitting:
                h.update(hashlib.sha256(path.read_bytes()).digest())
            if not fitting:
                sources = sources or _sources(robot, parts)
                for part in sources[name]:
                    h.update(np.ascontiguousarray(part).tobytes())
    return h.hexdigest()


def _files_by_name(names: set[str], folders: Iterable[Path]) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for folder in folders:
        for path in sorted(Path(folder).rglob("*")):
            if path.name in names and path.is_file():
                found.setdefault(path.name, []).append(path)
    return found
