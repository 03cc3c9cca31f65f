"""Asset packs on disk: fetched once, checked, unpacked whole or not at all, offline afterwards.

A pack's folder in the cache appears by one rename of a finished folder. So an interrupted download leaves only a
temporary folder behind, and any number of processes may fetch the same pack at the same time.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import time
import uuid
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath

from synthgen.core.errors import AssetError
from synthgen.core.project import pick
from synthgen.embodiments.download import download_wheel
from synthgen.embodiments.packs import PACKS, AssetPack

MARKER = ".synthgen-pack.json"
_STALE = 6 * 3600.0  # seconds; no download takes that long
_FETCH = "run 'synthgen assets fetch' where the package index is reachable"


def cache_folder() -> Path:
    """The cache: ``$SYNTHGEN_CACHE``, or ``synthgen`` under ``$XDG_CACHE_HOME`` or ``~/.cache``."""
    own = os.environ.get("SYNTHGEN_CACHE")
    if own:
        return Path(own).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base).expanduser() if base else Path.home() / ".cache") / "synthgen"


class AssetStore:
    """Where the packs lie.

    Args:
        asset_root: a folder of the user's own holding one folder per pack (``robosuite/robots/panda/robot.xml`` ...);
            used as it is, never written to. None: ``$SYNTHGEN_ASSET_ROOT``, and without that the cache.
        cache: the cache's root; None: see ``cache_folder``.
        download: ``download(pack, folder) -> wheel``; replaced in tests.
        packs: the packs it knows.
    """

    def __init__(
        self,
        *,
        asset_root: Path | None = None,
        cache: Path | None = None,
        download: Callable[[AssetPack, Path], Path] = download_wheel,
        packs: Mapping[str, AssetPack] = PACKS,
    ) -> None:
        root = asset_root or os.environ.get("SYNTHGEN_ASSET_ROOT") or None
        self.asset_root = Path(root).expanduser() if root else None
        self.folder = (cache or cache_folder()) / "assets"
        self.packs = packs
        self._download = download
        self._good: set[str] = set()

    def root(self, name: str) -> Path:
        """The folder of a pack, fetching it if it is not there yet.

        Raises:
            UsageError: no pack of that name.
            AssetError: it is missing and cannot be fetched, or does not match its checksum.
        """
        pack: AssetPack = pick("asset pack", name, self.packs)
        if self.asset_root is not None:
            return self._own(pack)
        target = self.folder / pack.key
        if name in self._good or self._whole(pack, target, deep=False):
            self._good.add(name)
            return target
        return self.fetch(name)

    def path(self, name: str) -> Path | None:
        """Where the pack lies now, or None when it would have to be fetched. Touches no network.

        Raises:
            UsageError: no pack of that name.
        """
        pack: AssetPack = pick("asset pack", name, self.packs)
        if self.asset_root is not None:
            folder = self.asset_root / pack.name
            return folder if not _missing(pack, folder) else None
        target = self.folder / pack.key
        return target if self._whole(pack, target, deep=False) else None

    def fetch(self, name: str) -> Path:
        """Make the cached pack whole: re-check every digest, download again if anything is missing or differs.

        Raises:
            UsageError: no pack of that name.
            AssetError: no network, wrong checksum, or the cache cannot be written.
        """
        pack: AssetPack = pick("asset pack", name, self.packs)
        if self.asset_root is not None:
            return self._own(pack)
        target = self.folder / pack.key
        try:
            with self._lock(pack):
                self._sweep(pack)
                if not self._whole(pack, target, deep=True):
                    self._install(pack, target)
        except OSError as error:
            raise AssetError(
                f"asset pack {name!r}: cannot write {error.filename or self.folder}: {error.strerror}",
                remedy="set SYNTHGEN_CACHE to a folder you can write to, with 200 MB free",
            ) from error
        self._good.add(name)
        return target

    def _own(self, pack: AssetPack) -> Path:
        assert self.asset_root is not None
        folder = self.asset_root / pack.name
        missing = _missing(pack, folder)
        if missing:
            raise AssetError(
                f"asset root {self.asset_root}: {missing} not found (asset pack {pack.name!r})",
                remedy=f"put the content of {pack.prefix} of the wheel {pack.project} {pack.version} into {folder}, "
                "or unset SYNTHGEN_ASSET_ROOT to use the cache",
            )
        return folder

    def _whole(self, pack: AssetPack, folder: Path, *, deep: bool) -> bool:
        """Whether the folder is what its marker says: sizes always, every file's digest when ``deep``."""
        try:
            marker = json.loads((folder / MARKER).read_text())
            if marker["sha256"] != pack.sha256 or not marker["files"]:
                return False
            for path, (size, digest) in marker["files"].items():
                file = folder / path
                if file.stat().st_size != size or (deep and _sha256(file) != digest):
                    return False
        except (OSError, ValueError, KeyError, TypeError):
            return False
        return True

    @contextlib.contextmanager
    def _lock(self, pack: AssetPack) -> Iterator[None]:
        """Let one process of this machine download at a time. Correctness rests on the rename, not on this lock."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / f".{pack.name}.lock").open("w") as handle:
            with contextlib.suppress(ImportError, OSError):  # file systems without locks: all download, one wins
                import fcntl

                fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def _sweep(self, pack: AssetPack) -> None:
        """Remove what killed processes left behind."""
        for folder in self.folder.glob(f".tmp-{pack.name}-*"):
            with contextlib.suppress(OSError):
                if time.time() - folder.stat().st_mtime > _STALE:
                    shutil.rmtree(folder, ignore_errors=True)

    def _install(self, pack: AssetPack, target: Path) -> None:
        work = self.folder / f".tmp-{pack.name}-{uuid.uuid4().hex}"
        try:
            (work / "wheel").mkdir(parents=True)
            wheel = self._download(pack, work / "wheel")
            digest = _sha256(wheel)
            if digest != pack.sha256:
                raise AssetError(
                    f"asset pack {pack.name!r}: {wheel.name} has sha256 {digest}, expected {pack.sha256}",
                    remedy="the download is damaged or the index serves another file; " + _FETCH,
                )
            tree = work / "tree"
            _unpack(pack, wheel, tree)
            self._publish(pack, tree, target, work)
        finally:
            shutil.rmtree(work, ignore_errors=True)

    def _publish(self, pack: AssetPack, tree: Path, target: Path, work: Path) -> None:
        try:
            tree.rename(target)
            return
        except OSError:
            if not target.exists():
                raise
        if self._whole(pack, target, deep=True):  # another process was faster
            return
        with contextlib.suppress(FileNotFoundError):
            target.rename(work / "damaged")
        tree.rename(target)


def _unpack(pack: AssetPack, wheel: Path, tree: Path) -> None:
    files: dict[str, tuple[int, str]] = {}
    with zipfile.ZipFile(wheel) as archive:
        for info in archive.infolist():
            path = pack.target(info.filename)
            if path is None:
                continue
            if ".." in PurePosixPath(path).parts or PurePosixPath(path).is_absolute():
                raise AssetError(f"asset pack {pack.name!r}: {wheel.name} holds an unsafe path {info.filename!r}")
            file = tree / path
            file.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(info) as source, file.open("wb") as sink:
                shutil.copyfileobj(source, sink)
            files[path] = (file.stat().st_size, _sha256(file))
    missing = _missing(pack, tree)
    if missing:
        raise AssetError(f"asset pack {pack.name!r}: {wheel.name} holds no {missing}")
    marker = {"project": pack.project, "version": pack.version, "sha256": pack.sha256, "files": files}
    (tree / MARKER).write_text(json.dumps(marker, indent=1, sort_keys=True))


def _missing(pack: AssetPack, folder: Path) -> str:
    return next((n for n in pack.needed if not (folder / n).is_file()), "")


def _sha256(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
