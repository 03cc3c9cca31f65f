"""Fetching asset packs: real wheels, a real pip, and everything that can go wrong on the way."""

import hashlib
import json
import multiprocessing
import os
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from synthgen.core.errors import AssetError, UsageError
from synthgen.embodiments import download
from synthgen.embodiments.assets import MARKER, AssetStore
from synthgen.embodiments.packs import PACKS, AssetPack

FILES = {
    "demo_assets/models/robots/a/robot.xml": b"<mujoco/>",
    "demo_assets/models/robots/a/meshes/one.stl": b"\x00\x01" * 5000,
    "demo_assets/models/robots/b/robot.xml": b"<unwanted/>",
    "demo_assets/models/hand.xml": b"<mujoco model='hand'/>",
    "demo_assets/__init__.py": b"raise SystemExit",
    "demo_assets-1.0.dist-info/LICENSE": b"MIT License",
    "demo_assets-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: demo-assets\nVersion: 1.0\n",
    "demo_assets-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    "demo_assets-1.0.dist-info/RECORD": b"",
}


def make_wheel(folder: Path, extra: dict[str, bytes] | None = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    wheel = folder / "demo_assets-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, content in {**FILES, **(extra or {})}.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return wheel


def pack_of(wheel: Path) -> AssetPack:
    return AssetPack(
        name="demo",
        project="demo-assets",
        version="1.0",
        sha256=hashlib.sha256(wheel.read_bytes()).hexdigest(),
        prefix="demo_assets/models/",
        members=("robots/a/", "hand.xml"),
        texts=(("demo_assets-1.0.dist-info/LICENSE", "LICENSE"),),
        needed=("robots/a/robot.xml",),
        licence="MIT",
    )


@pytest.fixture
def wheel(tmp_path):
    return make_wheel(tmp_path / "index")


@pytest.fixture
def pack(wheel):
    return pack_of(wheel)


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    monkeypatch.delenv("SYNTHGEN_ASSET_ROOT", raising=False)


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """pip may look nowhere."""
    (tmp_path / "empty").mkdir()
    for name in [n for n in os.environ if n.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "empty"))


def copying(wheel):
    def fetch(pack, folder):
        return Path(shutil.copy(wheel, folder))

    return fetch


def refusing(pack, folder):
    raise AssertionError("the network was touched")


def store_of(tmp_path, pack, fetch):
    return AssetStore(cache=tmp_path / "cache", download=fetch, packs={"demo": pack})


def leftovers(store):
    return [p.name for p in store.folder.glob(".tmp-*")]


def test_only_the_named_members_are_unpacked(tmp_path, wheel, pack):
    root = store_of(tmp_path, pack, copying(wheel)).root("demo")
    files = {str(p.relative_to(root)) for p in root.rglob("*") if p.is_file()}
    assert files == {"robots/a/robot.xml", "robots/a/meshes/one.stl", "hand.xml", "LICENSE", MARKER}
    assert (root / "robots/a/meshes/one.stl").read_bytes() == FILES["demo_assets/models/robots/a/meshes/one.stl"]


def test_offline_after_the_first_time(tmp_path, wheel, pack):
    first = store_of(tmp_path, pack, copying(wheel)).root("demo")
    again = store_of(tmp_path, pack, refusing)
    assert again.root("demo") == again.fetch("demo") == again.path("demo") == first


def test_pip_fetches_with_its_own_configuration(tmp_path, wheel, pack, offline, monkeypatch):
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    root = AssetStore(cache=tmp_path / "cache", packs={"demo": pack}).root("demo")
    assert (root / "hand.xml").is_file()


def test_no_network_and_no_cache_is_one_clear_error(tmp_path, pack, offline):
    store = AssetStore(cache=tmp_path / "cache", packs={"demo": pack})
    with pytest.raises(AssetError, match=r"'demo' \(demo-assets 1.0\) is not cached") as caught:
        store.root("demo")
    assert "synthgen assets fetch demo" in caught.value.remedy
    assert "PIP_FIND_LINKS" in caught.value.remedy
    assert store.path("demo") is None
    assert leftovers(store) == []


def test_pip_refuses_a_wheel_with_another_digest(tmp_path, wheel, pack, offline, monkeypatch):
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    store = AssetStore(cache=tmp_path / "cache", packs={"demo": replace(pack, sha256="0" * 64)})
    with pytest.raises(AssetError):
        store.root("demo")
    assert store.path("demo") is None


def test_a_corrupt_download_does_not_poison_the_cache(tmp_path, wheel, pack):
    def corrupt(pack, folder):
        copy = Path(shutil.copy(wheel, folder))
        copy.write_bytes(copy.read_bytes()[:-100])
        return copy

    store = store_of(tmp_path, pack, corrupt)
    with pytest.raises(AssetError, match="sha256"):
        store.root("demo")
    assert store.path("demo") is None
    assert leftovers(store) == []
    assert store_of(tmp_path, pack, copying(wheel)).root("demo").is_dir()


def test_an_interrupted_download_does_not_poison_the_cache(tmp_path, wheel, pack):
    def interrupted(pack, folder):
        (folder / "half.whl").write_bytes(b"half")
        raise KeyboardInterrupt

    store = store_of(tmp_path, pack, interrupted)
    with pytest.raises(KeyboardInterrupt):
        store.root("demo")
    assert store.path("demo") is None
    assert leftovers(store) == []
    assert store_of(tmp_path, pack, copying(wheel)).root("demo").is_dir()


def _die_while_unpacking(cache, wheel, pack):
    def fetch(pack, folder):
        copy = Path(shutil.copy(wheel, folder))
        (folder.parent / "tree").mkdir()
        (folder.parent / "tree" / "hand.xml").write_text("half")
        os._exit(9)
        return copy

    AssetStore(cache=cache, download=fetch, packs={"demo": pack}).root("demo")


def test_a_killed_fetch_does_not_poison_the_cache(tmp_path, wheel, pack):
    child = multiprocessing.get_context("fork").Process(
        target=_die_while_unpacking, args=(tmp_path / "cache", wheel, pack)
    )
    child.start()
    child.join()
    assert child.exitcode == 9
    store = store_of(tmp_path, pack, copying(wheel))
    assert len(leftovers(store)) == 1
    assert store.path("demo") is None
    assert (store.root("demo") / "hand.xml").read_bytes() == FILES["demo_assets/models/hand.xml"]
    os.utime(store.folder / leftovers(store)[0], (0, 0))
    store.fetch("demo")
    assert leftovers(store) == []


@pytest.mark.parametrize("harm", ["truncate", "delete", "marker"])
def test_a_damaged_cache_is_fetched_again(tmp_path, wheel, pack, harm):
    root = store_of(tmp_path, pack, copying(wheel)).root("demo")
    mesh = root / "robots/a/meshes/one.stl"
    if harm == "truncate":
        mesh.write_bytes(b"short")
    elif harm == "delete":
        mesh.unlink()
    else:
        (root / MARKER).write_text("{")
    store = store_of(tmp_path, pack, copying(wheel))
    assert store.path("demo") is None
    assert store.root("demo") == root
    assert mesh.read_bytes() == FILES["demo_assets/models/robots/a/meshes/one.stl"]
    assert leftovers(store) == []


def test_fetch_finds_silent_damage(tmp_path, wheel, pack):
    """Same size, other bytes: ``root`` only compares sizes, ``fetch`` reads every file."""
    root = store_of(tmp_path, pack, copying(wheel)).root("demo")
    (root / "hand.xml").write_bytes(b"x" * len(FILES["demo_assets/models/hand.xml"]))
    store_of(tmp_path, pack, copying(wheel)).fetch("demo")
    assert (root / "hand.xml").read_bytes() == FILES["demo_assets/models/hand.xml"]


def _fetch_once(cache, wheel, pack, barrier, results):
    barrier.wait()
    root = AssetStore(cache=cache, download=copying(wheel), packs={"demo": pack}).root("demo")
    results.put(str(root) if (root / "hand.xml").is_file() else "missing")


@pytest.mark.parametrize("locks", [True, False])
def test_concurrent_fetchers_all_succeed(tmp_path, wheel, pack, monkeypatch, locks):
    if not locks:  # as on a file system without locks: everyone downloads, one rename wins
        import fcntl

        def refuse(*_):
            raise OSError("no locks")

        monkeypatch.setattr(fcntl, "flock", refuse)
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(4), context.Queue()
    children = [
        context.Process(target=_fetch_once, args=(tmp_path / "cache", wheel, pack, barrier, results)) for _ in range(4)
    ]
    for child in children:
        child.start()
    found = {results.get(timeout=30) for _ in children}
    for child in children:
        child.join()
    assert [c.exitcode for c in children] == [0] * 4
    store = store_of(tmp_path, pack, refusing)
    assert found == {str(store.root("demo"))}
    assert leftovers(store) == []


def test_a_wheel_cannot_write_outside(tmp_path):
    wheel = make_wheel(tmp_path / "index", {"demo_assets/models/robots/a/../../../evil.txt": b"evil"})
    store = store_of(tmp_path, pack_of(wheel), copying(wheel))
    with pytest.raises(AssetError, match="unsafe path"):
        store.root("demo")
    assert not list(tmp_path.rglob("evil.txt"))


def test_a_wheel_without_the_needed_files_is_refused(tmp_path, wheel, pack):
    store = store_of(tmp_path, replace(pack, needed=("robots/c/robot.xml",)), copying(wheel))
    with pytest.raises(AssetError, match=r"robots/c/robot\.xml"):
        store.root("demo")


def test_asset_root_is_used_as_it_is(tmp_path, pack, monkeypatch):
    folder = tmp_path / "mine" / "demo" / "robots" / "a"
    folder.mkdir(parents=True)
    monkeypatch.setenv("SYNTHGEN_ASSET_ROOT", str(tmp_path / "mine"))
    store = store_of(tmp_path, pack, refusing)
    assert store.path("demo") is None
    with pytest.raises(AssetError, match=r"robots/a/robot\.xml not found") as caught:
        store.root("demo")
    assert str(tmp_path / "mine" / "demo") in caught.value.remedy
    (folder / "robot.xml").write_text("<mujoco/>")
    assert store.root("demo") == store.fetch("demo") == store.path("demo") == tmp_path / "mine" / "demo"


def test_an_unwritable_cache_says_so(tmp_path, wheel, pack):
    (tmp_path / "cache").write_text("a file, not a folder")
    with pytest.raises(AssetError, match="cannot write") as caught:
        store_of(tmp_path, pack, copying(wheel)).root("demo")
    assert "SYNTHGEN_CACHE" in caught.value.remedy


def test_no_pip_says_so(tmp_path, pack, monkeypatch):
    monkeypatch.setattr(download, "pip_command", lambda: None)
    with pytest.raises(AssetError, match="no pip"):
        AssetStore(cache=tmp_path, packs={"demo": pack}).root("demo")


def test_another_interpreters_pip_is_found(monkeypatch):
    monkeypatch.setattr(download.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(download.shutil, "which", lambda name: "/opt/pip3" if name == "pip3" else None)
    assert download.pip_command() == ["/opt/pip3"]


def test_unknown_pack_suggests_the_nearest(tmp_path):
    with pytest.raises(UsageError, match="robosuit") as caught:
        AssetStore(cache=tmp_path).root("robosuit")
    assert "'robosuite'" in caught.value.remedy


def test_other_members_are_another_folder(pack):
    assert replace(pack, members=("robots/a/",)).key != pack.key
    assert replace(pack, sha256="1" * 64).key != pack.key


def test_cache_follows_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.delenv("SYNTHGEN_CACHE", raising=False)
    assert AssetStore().folder == tmp_path / "xdg/synthgen/assets"
    monkeypatch.setenv("SYNTHGEN_CACHE", str(tmp_path / "own"))
    assert AssetStore().folder == tmp_path / "own/assets"


@pytest.mark.parametrize("name", sorted(PACKS))
def test_the_real_packs_hold_licence_and_digests(name):
    root = AssetStore().fetch(name)
    assert "MIT License" in (root / "LICENSE").read_text()
    marker = json.loads((root / MARKER).read_text())
    assert marker["sha256"] == PACKS[name].sha256
    assert all((root / n).is_file() for n in PACKS[name].needed)
