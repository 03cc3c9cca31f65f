"""What readers accept without a word, ``check`` names: the file, the place, and what to do."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from synthgen.core.errors import SynthgenError
from synthgen.core.exporter import ShardFiles
from synthgen.testing.episodes import dataset_spec, made_episode

DATA = "data/chunk-000/file-000.parquet"
EPISODES = "meta/episodes/chunk-000/file-000.parquet"
VIDEO = "videos/observation.images.wrist/chunk-000/file-001.mp4"


@pytest.fixture(scope="module")
def good(formats, tmp_path_factory) -> Path:
    """A LeRobot data set of two shards."""
    root = tmp_path_factory.mktemp("damage")
    return make(formats["lerobot"], root, root / "set")


def make(exporter, work: Path, out: Path, dataset=None) -> Path:
    dataset = dataset or dataset_spec()
    shards = []
    for number in range(2):
        folder = work / f"{out.name}.{number}"
        folder.mkdir()
        writer = exporter.open_shard(folder, dataset)
        for slot in range(2 * number, 2 * number + 2):
            writer.add(made_episode(slot, dataset))
        writer.close()
        shards.append(ShardFiles(folder=folder, files={}, episodes=2, frames=0))
    exporter.finalize(shards, out, dataset)
    return out


def info(**changes):
    def damage(root: Path) -> None:
        path = root / "meta/info.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return damage


def column(file: str, name: str, change):
    def damage(root: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        table = pq.ParquetFile(root / file).read()
        at = table.schema.get_field_index(name)
        field = table.schema.field(at)
        values = change(np.array(table.column(name).to_pylist()))
        table = table.set_column(at, field, pa.array(values.tolist(), type=field.type))
        rewrite(root / file, table)

    return damage


def rewrite(path: Path, table) -> None:
    """Keep the row groups; write a file of its own, since shards share theirs by links."""
    import pyarrow.parquet as pq

    old = pq.read_metadata(path)
    sizes = [old.row_group(i).num_rows for i in range(old.num_row_groups)]
    path.unlink()
    with pq.ParquetWriter(path, table.schema) as writer:
        start = 0
        for size in sizes:
            writer.write_table(table.slice(start, size))
            start += size


def drop(file: str, name: str):
    def damage(root: Path) -> None:
        import pyarrow.parquet as pq

        rewrite(root / file, pq.ParquetFile(root / file).read().drop_columns([name]))

    return damage


def broken(values: np.ndarray) -> np.ndarray:
    values = values.copy()
    values[3, 0] = np.nan
    return values


def swap(a: str, b: str):
    def damage(root: Path) -> None:
        (root / a).rename(root / "swap")
        (root / b).rename(root / a)
        (root / "swap").rename(root / b)

    return damage


def unsorted_tasks(root: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = root / "meta/tasks.parquet"
    table = pq.ParquetFile(path).read()
    path.unlink()
    pq.write_table(table.set_column(0, "task_index", pa.array(list(range(len(table)))[::-1])), path)


def wrong_mean(root: Path) -> None:
    path = root / "meta/stats.json"
    stats = json.loads(path.read_text())
    stats["action"]["mean"][0] += 0.1
    path.write_text(json.dumps(stats))


def short_video(root: Path) -> None:
    data = (root / VIDEO).read_bytes()
    (root / VIDEO).unlink()
    (root / VIDEO).write_bytes(data[: len(data) // 2])


DAMAGE = {
    "total_frames": (info(total_frames=7), "meta/info.json", "total_frames"),
    "fps": (info(fps=30), "meta/info.json", "fps"),
    "version": (info(codebase_version="v2.1"), "meta/info.json", "codebase_version"),
    "zero timestamps": (column(DATA, "timestamp", lambda v: 0 * v), DATA, "timestamp"),
    "jitter": (column(DATA, "timestamp", lambda v: v + 0.003), DATA, "timestamp"),
    "nan": (column(DATA, "action", broken), DATA, "action"),
    "index not global": (column(DATA, "index", lambda v: v + 1), DATA, "index"),
    "episode_index": (column(DATA, "episode_index", lambda v: 0 * v), DATA, "episode_index"),
    "task_index": (column(DATA, "task_index", lambda v: v + 1), DATA, "task_index"),
    "missing column": (drop(DATA, "next.done"), DATA, "next.done"),
    "dataset_from_index": (column(EPISODES, "dataset_from_index", lambda v: 0 * v), EPISODES, "dataset_from_index"),
    "from_timestamp": (
        column(EPISODES, "videos/observation.images.wrist/from_timestamp", lambda v: v + 0.05),
        EPISODES,
        "from_timestamp",
    ),
    "unsorted tasks": (unsorted_tasks, "meta/tasks.parquet", "task_index"),
    "misordered files": (swap(DATA, "data/chunk-000/file-001.parquet"), DATA, ""),
    "stray file": (lambda r: shutil.copy(r / DATA, r / "data/chunk-000/file-009.parquet"), "file-009.parquet", ""),
    "missing video": (lambda r: (r / VIDEO).unlink(), VIDEO, ""),
    "short video": (short_video, VIDEO, ""),
    "swapped videos": (swap(VIDEO, VIDEO.replace("file-001", "file-000")), VIDEO, ""),
    "no stats": (lambda r: (r / "meta/stats.json").unlink(), "meta/stats.json", ""),
    "wrong mean": (wrong_mean, "meta/stats.json", "action"),
    "missing records": (lambda r: (r / "meta/records/chunk-000/file-001.parquet").unlink(), "meta/records", ""),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_named(formats, good, tmp_path, name):
    damage, file, where = DAMAGE[name]
    root = tmp_path / "set"
    shutil.copytree(good, root)
    assert list(formats["lerobot"].check(root)) == []
    damage(root)
    problems = list(formats["lerobot"].check(root))
    assert any(file in p.file and where in p.where for p in problems), [str(p) for p in problems]
    assert all(p.remedy for p in problems)


def test_another_layout_version_is_refused(formats, good, tmp_path):
    shutil.copytree(good, tmp_path / "set")
    path = tmp_path / "set/meta/synthgen.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"layout": 99}))
    with pytest.raises(SynthgenError, match="layout version 99"):
        list(formats["lerobot"].check(tmp_path / "set"))


def test_data_sets_of_other_features_do_not_merge(formats, good, tmp_path):
    other = dataset_spec(objects=("can",))
    make(formats["lerobot"], tmp_path, tmp_path / "other", other)
    with pytest.raises(SynthgenError, match="objects"):
        formats["lerobot"].merge([good, tmp_path / "other"], tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


def test_data_sets_of_other_cameras_or_encoders_do_not_merge(formats, good, tmp_path):
    from synthgen.core.exporter import CameraSpec

    wide = dataset_spec(cameras=(CameraSpec(name="wrist", width=64, height=64),))
    make(formats["lerobot"], tmp_path, tmp_path / "one", wide)
    with pytest.raises(SynthgenError, match="cameras"):
        formats["lerobot"].merge([good, tmp_path / "one"], tmp_path / "merged")
    shutil.copytree(good, tmp_path / "other")
    path = tmp_path / "other/meta/synthgen.json"
    values = json.loads(path.read_text())
    values["info"]["observation.images.wrist"]["info"]["video.crf"] = 30
    path.write_text(json.dumps(values))
    with pytest.raises(SynthgenError, match=r"observation.images.wrist \(video.crf 21 against 30"):
        formats["lerobot"].merge([good, tmp_path / "other"], tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


@pytest.mark.parametrize("file", [VIDEO, "meta/rows/chunk-000/file-001.parquet"])
def test_merging_a_set_without_a_file_names_it_and_goes_on_once_mended(formats, good, tmp_path, file):
    shutil.copytree(good, tmp_path / "set")
    (tmp_path / "set" / file).rename(tmp_path / "kept")
    with pytest.raises(SynthgenError, match=file):
        formats["lerobot"].merge([good, tmp_path / "set"], tmp_path / "merged")
    assert not (tmp_path / "merged").exists()
    (tmp_path / "kept").rename(tmp_path / "set" / file)
    assert formats["lerobot"].merge([good, tmp_path / "set"], tmp_path / "merged").episodes == 8


def test_a_zarr_chunk_that_is_missing_is_not_read_as_zeros(formats, tmp_path):
    from synthgen.formats.transfer import write_dataset

    root = make(formats["zarr"], tmp_path, tmp_path / "set")
    (root / "stores/s-000001.zarr/data/action/c/0/0").unlink()
    with pytest.raises(SynthgenError, match=r"s-000001.zarr: data/action: has 0 of its 1 files"):
        formats["zarr"].merge([root, root], tmp_path / "merged")
    with pytest.raises(SynthgenError, match=r"s-000001.zarr: data/action: has 0 of its 1 files"):
        write_dataset(formats["gr00t"], dataset_spec(), formats["zarr"].read(root), tmp_path / "out")
    assert not (tmp_path / "merged").exists() and not (tmp_path / "out").exists()


def test_merge_links_videos(formats, good, tmp_path):
    formats["lerobot"].merge([good, good], tmp_path / "merged")
    source = {p.stat().st_ino for p in good.glob("videos/*/*/*.mp4")}
    assert {p.stat().st_ino for p in (tmp_path / "merged").glob("videos/*/*/*.mp4")} == source


def test_a_full_disk_while_finalizing(formats, good, tmp_path, monkeypatch):
    from synthgen.formats import lerobot_v3

    def full(source: Path, target: Path) -> None:
        raise OSError(28, "No space left on device", str(target))

    monkeypatch.setattr(lerobot_v3, "link", full)
    with pytest.raises(SynthgenError, match="No space left"):
        formats["lerobot"].merge([good, good], tmp_path / "merged")
    assert list(tmp_path.iterdir()) == []
    monkeypatch.undo()
    assert formats["lerobot"].merge([good, good], tmp_path / "merged").episodes == 8


@pytest.mark.parametrize("name", ["gr00t", "zarr", "robomimic"])
def test_an_exporter_that_raises_is_named(formats, good, tmp_path, monkeypatch, name):
    from synthgen.core.errors import ExporterError
    from synthgen.formats import shard
    from synthgen.formats.transfer import write_dataset

    def broken(*arguments) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(shard.ShardBook, "add", broken)
    with pytest.raises(ExporterError, match=rf"'{name}' failed writing episode 0 .*: ZeroDivisionError: a bug"):
        write_dataset(formats[name], dataset_spec(), formats["lerobot"].read(good), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
    monkeypatch.undo()
    made = write_dataset(formats[name], dataset_spec(), formats["lerobot"].read(good), tmp_path / "out")
    assert made.episodes == 4


def test_episodes_that_cannot_be_read_leave_nothing(formats, good, tmp_path, monkeypatch):
    from synthgen.formats.transfer import write_dataset

    exporter = formats["gr00t"]
    episodes = formats["lerobot"].read(good)

    def failing():
        yield next(episodes)
        raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        write_dataset(exporter, dataset_spec(), failing(), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_the_card_says_what_is_in_it(good):
    text = (good / "README.md").read_text()
    for part in ("toy_arm", "pick_place", "Apache-2.0", "synthgen run --tasks", "(w, x, y, z)", "4 demonstrations"):
        assert part in text
