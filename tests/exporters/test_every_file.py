"""Any file of a finished data set that is missing or cut short is named by ``check``, in every format."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from synthgen.core.errors import SynthgenError
from synthgen.core.exporter import CameraSpec, ShardFiles
from synthgen.core.project import Project
from synthgen.testing.episodes import SIZE, dataset_spec, made_episode

FORMATS = Project.of().load("exporters", "exporter")
DATASET = dataset_spec(cameras=(CameraSpec(name="wrist", width=SIZE, height=SIZE),), objects=("can",))


def make(exporter, folder: Path) -> Path:
    shards = []
    for slot in range(2):
        shard = folder / f"shard{slot}"
        shard.mkdir()
        writer = exporter.open_shard(shard, DATASET)
        writer.add(made_episode(slot, DATASET, frames=6))
        writer.close()
        shards.append(ShardFiles(folder=shard, files={}, episodes=1, frames=6))
    exporter.finalize(shards, folder / "set", DATASET)
    return folder / "set"


def kinds(root: Path) -> list[Path]:
    """One file of each kind; the card and Zarr's files without attributes do not count."""
    found: dict[str, Path] = {}
    for path in sorted(p for p in root.rglob("*") if p.is_file()):
        name = path.relative_to(root).as_posix()
        kind = re.sub(r"data/(observation.images)?[^/]*/", r"data/\1/", name) if "zarr/" in name else name
        if name != "README.md" and path.read_bytes() not in (b"{}", b""):
            found.setdefault(re.sub(r"\d+", "#", kind), path)
    return list(found.values())


@pytest.mark.parametrize("name", FORMATS)
def test_every_kind_of_file(tmp_path, name):
    exporter = FORMATS[name]
    root = make(exporter, tmp_path)
    assert list(exporter.check(root)) == []
    for path in kinds(root):
        data = path.read_bytes()
        for damaged in (None, data[: len(data) // 2]):
            path.unlink()  # never written in place: shards share it
            if damaged is not None:
                path.write_bytes(damaged)
            try:
                said = [str(p) for p in exporter.check(root)]
            except SynthgenError as error:  # the manifest itself
                said = [str(error)]
            place = path.relative_to(root).as_posix()
            store, zarr, array = place.partition(".zarr/")  # a file of a store is named by store and array
            array = re.sub(r"/?(\.z\w+|zarr\.json|[c/\d.]+)$", "", array)
            assert any((f"{store}.zarr" in s and array in s) if zarr else (place in s) for s in said), (place, said)
            path.unlink(missing_ok=True)
            path.write_bytes(data)
    assert list(exporter.check(root)) == []
