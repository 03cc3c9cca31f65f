"""Finding tasks, exporters, embodiments, simulators and scenes: project folders first, then entry points.

A project folder holds ``scenes/``, ``tasks/``, ``exporters/`` and ``cluster/``. The built-in one lies beside the
package in a checkout and inside it in a wheel. The user's (``--project``) is searched first. Python files in a
project folder are executed: only point synthgen at folders you trust.
"""

from __future__ import annotations

import difflib
import importlib.util
import sys
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from synthgen.core.errors import UsageError


def builtin_root() -> Path:
    """The built-in project folder: ``synthgen/project`` in a wheel, the checkout's root otherwise."""
    package = Path(__file__).resolve().parent.parent
    inside = package / "project"
    return inside if inside.is_dir() else package.parent


def nearest(name: str, known: Iterable[str]) -> str:
    """A sentence naming the nearest known names, for error remedies."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if close:
        return f"did you mean {' or '.join(repr(c) for c in close)}?"
    return f"known: {', '.join(known) or 'none'}"


@dataclass(frozen=True, kw_only=True)
class Project:
    """Where to look, in order. ``Project.of(user_folder)`` puts the user's folder before the built-in one."""

    roots: tuple[Path, ...]

    @staticmethod
    def of(folder: Path | None = None) -> Project:
        """A project with the user's folder (if any) before the built-in one.

        Raises:
            UsageError: the folder does not exist.
        """
        builtin = builtin_root()
        if folder is None:
            return Project(roots=(builtin,))
        folder = folder.resolve()
        if not folder.is_dir():
            raise UsageError(
                f"--project {folder}: no such folder", remedy="give a folder that holds tasks/ or exporters/"
            )
        return Project(roots=(folder, builtin) if folder != builtin else (builtin,))

    def files(self, kind: str) -> dict[str, Path]:
        """Plug-in name (file stem) -> file, for kind "tasks" or "exporters"; earlier roots win."""
        found: dict[str, Path] = {}
        for root in self.roots:
            for path in sorted((root / kind).glob("*.py")):
                if not path.stem.startswith("_"):
                    found.setdefault(path.stem, path)
        return found

    def load(self, kind: str, attribute: str, *, needed: Collection[str] | None = None) -> dict[str, Any]:
        """Every plug-in of a kind by its own ``name``: module attribute ``attribute`` of each file, then entry points.

        A file may bind a tuple of plug-ins (profiles of one format). With ``needed``, files are read, likely ones
        first, only until these names are found: quicker, and untouched by another file that cannot be imported.

        Raises:
            UsageError: a file cannot be imported or lacks the attribute.
        """
        found: dict[str, Any] = {}
        files = self.files(kind)
        wanted = set(needed) if needed is not None else None
        for stem in sorted(files, key=lambda stem: not any(_alike(stem, name) for name in wanted or ())):
            if wanted is not None and wanted <= found.keys():
                return found
            path = files[stem]
            thing = getattr(_import_file(path, kind, stem), attribute, None)
            if thing is None:
                raise UsageError(
                    f"{path}: defines no {attribute!r}", remedy=f"bind an instance to the module's name {attribute!r}"
                )
            several = cast("tuple[Any, ...]", thing if isinstance(thing, tuple) else (thing,))
            for one in several:
                found.setdefault(one.name, one)
        for point in entry_points(group=f"synthgen.{kind}"):
            if point.name not in found:
                found[point.name] = point.load()
        return found

    def scene(self, name: str) -> Path:
        """A scene by path, or by name (``tabletop``) in the roots' ``scenes/``.

        Raises:
            UsageError: nothing of that name.
        """
        direct = Path(name)
        if direct.suffix in (".usd", ".usda", ".usdc", ".usdz") and direct.is_file():
            return direct.resolve()
        known: dict[str, Path] = {}
        for root in self.roots:
            for path in sorted((root / "scenes").glob("*.usd*")):
                known.setdefault(path.stem, path)
        stem = Path(name).stem
        if str(direct.parent) in (".", "scenes") and stem in known:
            return known[stem]
        raise UsageError(f"scene {name!r} not found", remedy=nearest(stem, known) + ", or give the path of a USD file")


def pick(kind: str, name: str, known: Mapping[str, Any]) -> Any:
    """``known[name]``, or a UsageError that suggests the nearest name."""
    if name not in known:
        raise UsageError(f"unknown {kind} {name!r}", remedy=nearest(name, known))
    return known[name]


def _alike(stem: str, name: str) -> bool:
    return stem.startswith(name) or name.startswith(stem)


def _import_file(path: Path, kind: str, stem: str) -> ModuleType:
    name = f"synthgen_project.{kind}.{stem}"
    loaded = sys.modules.get(name)
    if loaded is not None and getattr(loaded, "__file__", None) == str(path):
        return loaded
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path}: not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise UsageError(
            f"{path}: cannot be imported: {type(error).__name__}: {error}", remedy="mend the file"
        ) from error
    return module
