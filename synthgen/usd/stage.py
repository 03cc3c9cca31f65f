"""Opening a stage, with one clear error when that is not possible, and its digest."""

from __future__ import annotations

import hashlib
import os
import zipfile
from pathlib import Path

from pxr import Tf, Usd, UsdUtils

from synthgen.core.errors import SceneError
from synthgen.usd import schemas
from synthgen.usd.problems import Problem, make

EXTENSIONS = (".usd", ".usda", ".usdc", ".usdz")


def open_stage(path: Path) -> tuple[Usd.Stage, list[Problem]]:
    """Open a stage file; the problems are references, payloads or sublayers that did not compose.

    Raises:
        SceneError: no such file, not USD, or damaged.
    """
    if not path.is_file():
        raise SceneError(f"{path}: no such file", remedy="give the path of a .usd, .usda, .usdc or .usdz file")
    if path.suffix not in EXTENSIONS:
        raise SceneError(f"{path}: not a USD file", remedy=f"give a file that ends in {', '.join(EXTENSIONS)}")
    schemas.register()
    quiet = UsdUtils.CoalescingDiagnosticDelegate()  # what USD would print, the problems say
    try:
        stage = Usd.Stage.Open(str(path))
    except Tf.ErrorException as error:
        said = " ".join(str(getattr(error.args[0], "commentary", error.args[0])).split())
        raise SceneError(
            f"{path}: cannot be read as USD: {said}", remedy="mend the file; usdchecker or usdview may say more"
        ) from None
    problems = [_composition_problem(e) for e in stage.GetCompositionErrors()]
    quiet.TakeUncoalescedDiagnostics()
    return stage, sorted(problems, key=lambda p: p.path)


def digest(path: Path, textures: list[Path]) -> str:
    """sha256 (hex) over every layer and asset the stage depends on, by path relative to the root file, and content.

    ``textures``: image files in use; each must exist.
    """
    quiet = UsdUtils.CoalescingDiagnosticDelegate()
    layers, assets, _ = UsdUtils.ComputeAllDependencies(str(path))
    quiet.TakeUncoalescedDiagnostics()
    files = {Path(layer.realPath) for layer in layers if layer.realPath}
    files |= {Path(asset) for asset in assets} | set(textures)
    total = hashlib.sha256()
    # A layer inside a .usdz has a path like file.usdz[inner.usdc]; the package itself is among the files then.
    for name, file in sorted((os.path.relpath(f, path.parent), f) for f in files if f.is_file()):
        total.update(name.replace(os.sep, "/").encode())
        total.update(hashlib.sha256(file.read_bytes()).digest())
    return total.hexdigest()


def unpacked(resolved: str, cache: Path) -> Path:
    """A resolved asset path as a file; members of a .usdz package are unpacked into ``cache`` by content."""
    if not resolved.endswith("]"):
        return Path(resolved)
    package, member = resolved[:-1].split("[", 1)
    with zipfile.ZipFile(package) as archive:
        data = archive.read(member)
    target = cache / "textures" / f"{hashlib.sha256(data).hexdigest()[:32]}{Path(member).suffix}"
    if not target.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f"{target.name}.{os.getpid()}.partial")
        partial.write_bytes(data)
        partial.replace(target)
    return target


def _composition_problem(error: object) -> Problem:
    site = getattr(error, "rootSite", None)
    where = str(site.path) if site is not None else ""
    remedy = "put the file where the reference points, or mend or remove the reference"
    return make("missing-reference", where, " ".join(str(error).split()), remedy)
