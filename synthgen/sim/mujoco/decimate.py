"""Fewer triangles for the robot's visual meshes: without a GPU, triangles are what a picture costs.

A robot of 100 000 and more triangles looks the same with some thousand at the sizes data sets use. The reduced meshes
of a robot are kept in one file of the cache, named by a digest of the source meshes and of everything that decides the
result, so a later start takes milliseconds instead of seconds.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import uuid
import zipfile
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path

import mujoco
import numpy as np
from numpy.typing import NDArray

from synthgen.core.pose import Array, matrix_from_quat
from synthgen.embodiments.assets import cache_folder
from synthgen.sim.mujoco.robot import HIDDEN_GROUP
from synthgen.sim.mujoco.shell import Triangles, outer_shell

RECIPE = 5  # raise when the algorithm below changes what it makes
LEAST_FACES = 48
AGGRESSIVENESS = 7.0

log = logging.getLogger(__name__)


def decimate_robot(robot: mujoco.MjSpec, *, faces: int, folders: Iterable[Path]) -> None:
    """Replace every visible mesh of ``robot`` by a reduced one, ``faces`` triangles all together or a little more.

    ``folders``: where its mesh files lie, at any depth. Textures are dropped, because texture coordinates do not
    survive the reduction: a textured material keeps its colour.

    Raises:
        ValueError: MuJoCo cannot read a mesh.
    """
    visible = {g.meshname for g in robot.geoms if g.group != HIDDEN_GROUP}
    meshes = [m for m in robot.meshes if m.name in visible]
    if not meshes:
        return
    path = cache_folder() / "meshes" / f"{_digest(robot, meshes, faces, folders)}.npz"
    reduced = _read(path, [m.name for m in meshes])
    if reduced is None:
        reduced = reduce_all(_source_meshes(robot, meshes), faces)
        _write(path, reduced)
    for mesh in meshes:
        vertices, triangles = reduced[mesh.name]
        mesh.file = ""
        mesh.content_type = ""
        mesh.scale = np.ones(3)
        mesh.refpos = np.zeros(3)
        mesh.refquat = np.array([1.0, 0.0, 0.0, 0.0])
        mesh.uservert = vertices.ravel()
        mesh.userface = triangles.ravel()
        mesh.inertia = mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL
    for material in robot.materials:
        material.textures = [""] * len(material.textures)


def reduce_all(meshes: Mapping[str, Triangles], faces: int) -> dict[str, Triangles]:
    """Reduce meshes (vertices (V, 3) metres, triangles (F, 3)) to about ``faces`` triangles all together.

    Each mesh's share grows with its size, so that fingers keep their shape beside a torso.
    """
    welded = {name: _weld(*mesh) for name, mesh in meshes.items()}
    size = {name: float(np.linalg.norm(np.ptp(v, axis=0))) for name, (v, _) in welded.items()}
    total = sum(size.values())
    return {name: _reduce(*mesh, max(LEAST_FACES, int(faces * size[name] / total))) for name, mesh in welded.items()}


def _reduce(vertices: Array, triangles: NDArray[np.int32], count: int) -> Triangles:
    """One mesh with about ``count`` triangles: by edge collapses where they do, else of its outer shell.

    Filigree that would lose much of its surface (raised lettering, thin rims) gets up to eight times as many.
    """
    if count >= len(triangles):
        return vertices, triangles
    plain = _collapse(vertices, triangles, count)
    area = _area(vertices, triangles)
    if len(plain[1]) <= 1.2 * count and _area(*plain) >= 0.85 * area:
        return plain
    shell = _weld(*outer_shell(vertices, triangles))
    if _area(*shell) > 1.5 * area:  # an open sheet, which a shell would double
        return plain
    for generosity in (1, 2, 4, 8):
        if generosity * count >= len(shell[1]):
            return shell
        closed = _collapse(*shell, generosity * count)
        if _area(*closed) >= 0.8 * _area(*shell):
            break
    return closed


def _collapse(vertices: Array, triangles: NDArray[np.int32], count: int) -> Triangles:
    import fast_simplification

    # Its thresholds are absolute; at this scale they rise gently enough to keep the shape.
    scale = float(np.linalg.norm(np.ptp(vertices, axis=0))) / 100.0
    reduced = fast_simplification.simplify(vertices / scale, triangles, target_count=count, agg=AGGRESSIVENESS)
    return np.asarray(reduced[0], np.float64) * scale, np.asarray(reduced[1], np.int32)


def _weld(vertices: Array, triangles: NDArray[np.int32]) -> Triangles:
    """Merge equal vertices (files repeat them per normal or texture coordinate) and drop degenerate triangles."""
    unique, inverse = np.unique(vertices.astype(np.float32), axis=0, return_inverse=True)
    faces = inverse.reshape(-1)[triangles].astype(np.int32)
    good = (faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 2] != faces[:, 0])
    return unique.astype(np.float64), np.ascontiguousarray(faces[good])


def _area(vertices: Array, triangles: NDArray[np.int32]) -> float:
    a, b, c = (vertices[triangles[:, i]] for i in range(3))
    return float(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2)


def _source_meshes(robot: mujoco.MjSpec, meshes: list[mujoco.MjsMesh]) -> dict[str, Triangles]:
    """The meshes as MuJoCo reads them (any format, scale applied), in their files' own frames."""
    model = robot.copy().compile()
    out: dict[str, Triangles] = {}
    for mesh in meshes:
        m = model.mesh(mesh.name)
        v0, nv = int(m.vertadr[0]), int(m.vertnum[0])
        f0, nf = int(m.faceadr[0]), int(m.facenum[0])
        # The compiler moves vertices into the mesh's inertial frame; put them back.
        vertices = model.mesh_vert[v0 : v0 + nv] @ matrix_from_quat(model.mesh_quat[m.id]).T + model.mesh_pos[m.id]
        out[mesh.name] = (vertices.astype(np.float64), model.mesh_face[f0 : f0 + nf].astype(np.int32))
    return out


def _digest(robot: mujoco.MjSpec, meshes: list[mujoco.MjsMesh], faces: int, folders: Iterable[Path]) -> str:
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
    sources: dict[str, Triangles] = {}
    files = _files_by_name({Path(m.file).name for m in meshes}, folders)
    for mesh in meshes:
        h.update(f"|{mesh.name}|{[float(x) for x in (*mesh.scale, *mesh.refpos, *mesh.refquat)]}|".encode())
        # A spec does not tell the folder of a hand attached from another file. Where several files fit, all count:
        # the digest then changes with any of them.
        fitting = [p for p in files.get(Path(mesh.file).name, ()) if mesh.file and p.match(mesh.file)]
        for path in fitting:
            h.update(hashlib.sha256(path.read_bytes()).digest())
        if not fitting:
            sources = sources or _source_meshes(robot, meshes)
            for part in sources[mesh.name]:
                h.update(np.ascontiguousarray(part).tobytes())
    return h.hexdigest()


def _files_by_name(names: set[str], folders: Iterable[Path]) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for folder in folders:
        for path in sorted(Path(folder).rglob("*")):
            if path.name in names and path.is_file():
                found.setdefault(path.name, []).append(path)
    return found


def _read(path: Path, names: list[str]) -> dict[str, Triangles] | None:
    """The cached meshes, or None where there are none or the file is damaged."""
    try:
        with path.open("rb") as file, np.load(file) as data:
            return {n: (data[f"{i}.vertices"], data[f"{i}.triangles"]) for i, n in enumerate(names)}
    except FileNotFoundError:
        return None
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
        log.warning("%s is damaged (%s) and is made again", path, error)
        return None


def _write(path: Path, meshes: Mapping[str, Triangles]) -> None:
    """Write beside, then rename: many workers may start at once. A cache that cannot be written is only slower."""
    arrays: dict[str, NDArray[np.generic]] = {}
    for i, (vertices, triangles) in enumerate(meshes.values()):
        arrays[f"{i}.vertices"], arrays[f"{i}.triangles"] = vertices, triangles
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with beside.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
        beside.replace(path)
    except OSError as error:
        log.warning("cannot keep reduced meshes in %s: %s", path, error)
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
