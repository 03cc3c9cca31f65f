"""What a consumer may want is in every format, where docs/formats.md says."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import zarr

from synthgen.core.exporter import ShardFiles
from synthgen.core.project import Project
from synthgen.formats.features import frame_columns, frame_features
from synthgen.formats.lerobot import column_values
from synthgen.formats.tables import read_table
from synthgen.testing.episodes import dataset_spec, made_episode

FORMATS = Project.of().load("exporters", "exporter")
DATASET = dataset_spec()
EPISODE = made_episode(1, DATASET)
COLUMNS = frame_columns(EPISODE, DATASET)


@pytest.fixture(scope="module")
def sets(tmp_path_factory) -> dict[str, Path]:
    """A data set of one episode in every format."""
    out: dict[str, Path] = {}
    folder = tmp_path_factory.mktemp("contents")
    for name, exporter in FORMATS.items():
        shard = folder / f"{name}.shard"
        shard.mkdir()
        writer = exporter.open_shard(shard, DATASET)
        writer.add(EPISODE)
        writer.close()
        exporter.finalize([ShardFiles(folder=shard, files={}, episodes=1, frames=0)], folder / name, DATASET)
        out[name] = folder / name
    return out


def column_names() -> list[str]:
    return [f.name for f in frame_features(DATASET) if f.name != "subtask_index"]


@pytest.mark.parametrize("name", ["lerobot", "lerobot-language", "gr00t"])
def test_parquet_columns(sets, name):
    table = read_table(next((sets[name] / "data").glob("*/*.parquet")))
    for column in column_names():
        assert np.array_equal(column_values(table, column), COLUMNS[column]), column


@pytest.mark.parametrize(("name", "store"), [("zarr", "stores/s-000000.zarr"), ("zarr-v2", "replay.zarr")])
def test_zarr_columns(sets, name, store):
    group = zarr.open_group(str(sets[name] / store), mode="r")
    assert group.attrs["conventions"]["quaternion"].startswith("unit, (w, x, y, z)")
    for column in column_names():
        key = column.replace(".", "_") if name == "zarr-v2" else column
        found = group[f"data/{key}"]
        assert isinstance(found, zarr.Array)
        assert np.array_equal(np.asarray(found[:]), COLUMNS[column]), column


@pytest.mark.parametrize("name", ["robomimic", "isaaclab"])
def test_hdf5_has_what_its_profile_has_no_place_for(sets, name):
    with h5py.File(sets[name] / "dataset.hdf5") as file:
        assert "(x, y, z, w)" in json.loads(str(file["data"].attrs["conventions"]))["quaternion"]
        demo = file["data/demo_0"]
        assert demo.attrs["success"]
        assert json.loads(str(demo.attrs["draws"])) == dict(EPISODE.draws)
        assert json.loads(str(demo.attrs["subtasks"])) == list(EPISODE.subtasks)
        assert demo.attrs["seed"] == EPISODE.spec.seed()
        for column in ("observation.eef_9d.right", "target.eef_9d.right", "target.eef_delta_9d.right"):
            assert np.array_equal(demo[f"synthgen/{column}"][()], COLUMNS[column])
        assert np.array_equal(demo["synthgen/subtask_index"][()], EPISODE.subtask)
        for camera, track in EPISODE.cameras.items():
            assert np.array_equal(demo[f"synthgen/camera/{camera}/extrinsics"][()], track.extrinsics)
            assert np.array_equal(demo[f"synthgen/camera/{camera}/intrinsics"][3], track.intrinsics)
        assert np.array_equal(demo["rewards"][()], EPISODE.reward)
        assert np.array_equal(demo["dones"][()].astype(bool), EPISODE.done)
        info = demo["datagen_info"] if name == "robomimic" else demo["obs/datagen_info"]
        assert set(info["subtask_term_signals"]) == set(EPISODE.subtasks)
        text = str(demo.attrs["ep_meta" if name == "robomimic" else "paraphrases"])
        assert all(p in text for p in EPISODE.paraphrases)


def test_intrinsics_are_those_of_the_camera():
    k = EPISODE.cameras["wrist"].intrinsics
    assert (COLUMNS["camera_intrinsics.wrist"] == [k[0, 0], k[1, 1], k[0, 2], k[1, 2]]).all()
    assert len(COLUMNS["camera_intrinsics.wrist"]) == len(EPISODE)


@pytest.mark.parametrize("name", ["lerobot", "lerobot-language", "zarr", "zarr-jpeg"])
def test_the_episodes_table_has_words_and_seeds(sets, name):
    rows = read_table(sets[name] / "meta/episodes/chunk-000/file-000.parquet").to_pylist()
    assert rows[0]["tasks"] == [EPISODE.instruction]
    assert rows[0]["paraphrases"] == list(EPISODE.paraphrases)
    assert rows[0]["seed"] == EPISODE.spec.seed()


def test_subtasks_and_paraphrases_as_each_lerobot_has_them(sets):
    line = json.loads((sets["gr00t"] / "meta/episodes.jsonl").read_text())
    assert line["tasks"] == [EPISODE.instruction, *EPISODE.paraphrases]
    assert [s["text"] for s in line["sub_tasks"]] == list(EPISODE.subtasks)
    table = read_table(next((sets["lerobot-language"] / "data").glob("*/*.parquet")))
    language = table.column("language_persistent").to_pylist()[0]
    assert [r["content"] for r in language if r["style"] == "subtask"] == list(EPISODE.subtasks)
    assert [r["content"] for r in language if r["style"] == "task_aug"][1:] == list(EPISODE.paraphrases)


@pytest.mark.parametrize("name", FORMATS)
def test_records_hold_draws_sample_and_fingerprint(sets, name):
    row = read_table(sets[name] / "meta/records/chunk-000/file-000.parquet").to_pylist()[0]
    assert (row["seed"], row["entropy"]) == (EPISODE.spec.seed(), str(EPISODE.spec.entropy))
    record = json.loads(row["record"])
    assert record["draws"] == dict(EPISODE.draws)
    assert record["sample"] == EPISODE.sample
    assert record["fingerprint"] == EPISODE.fingerprint
    # The recipe of docs/formats.md for the arrays.
    packed = {a["name"]: a for a in row["arrays"]}["sim_states/body_pose"]
    dtype = np.dtype(packed["dtype"])
    grouped = np.frombuffer(packed["data"], np.uint8).reshape(dtype.itemsize, -1)
    values = np.ascontiguousarray(grouped.T).view(dtype).reshape(packed["shape"])
    assert EPISODE.sim_states is not None
    assert np.array_equal(values, EPISODE.sim_states.body_pose)
