"""lerobot's own classes on our v3.0 data sets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import synthgen
from lerobot.datasets.lerobot_dataset import LeRobotDataset
from lerobot.datasets.streaming_dataset import StreamingLeRobotDataset
from packaging.version import Version

LEROBOT = Version(__import__("importlib.metadata", fromlist=["version"]).version("lerobot"))


def opened(root: Path, **options) -> LeRobotDataset:
    return LeRobotDataset("synthgen/test", root=root, **options)


def starts(episodes) -> np.ndarray:
    lengths = [len(e) for e in episodes]
    return np.cumsum([0, *lengths[:-1]])


def assert_pictures(tensor, expected: np.ndarray) -> None:
    """(3, H, W) float in [0, 1] against (H, W, 3) uint8."""
    found = (tensor.numpy().transpose(1, 2, 0) * 255).round().astype(np.uint8)
    assert np.array_equal(found, expected)


def test_every_frame_of_every_episode(sets, episodes, frames):
    dataset = opened(sets["lerobot"])
    assert dataset.num_episodes == len(episodes)
    assert len(dataset) == sum(len(e) for e in episodes)
    assert dataset.fps == episodes[0].fps
    for number, (start, episode) in enumerate(zip(starts(episodes), episodes, strict=True)):
        for t in range(len(episode)):
            item = dataset[int(start) + t]
            assert item["episode_index"] == number
            assert item["frame_index"] == t
            assert item["index"] == start + t
            assert item["timestamp"] == np.float32(t / episode.fps)
            assert item["task"] == episode.instruction
            assert np.array_equal(item["observation.state"], episode.state[t])
            assert np.array_equal(item["action"], episode.action[t])
            assert np.array_equal(item["observation.velocity"], episode.velocity[t])
            assert np.array_equal(item["observation.eef_pose.arm"], episode.eef_pose["arm"][t])
            assert np.array_equal(item["target.eef_pose.arm"], episode.eef_target["arm"][t])
            assert item["next.done"] == (t == len(episode) - 1)
            assert item["next.reward"] == episode.reward[t]
            for name, pose in episode.object_pose.items():
                assert np.array_equal(item[f"object_pose.{name}"], pose[t])
            for camera, pictures in frames[number].items():
                assert_pictures(item[f"observation.images.{camera}"], pictures[t])


def test_subtasks_by_name(sets, episodes):
    import pandas as pd

    names = pd.read_parquet(sets["lerobot"] / "meta" / "subtasks.parquet")
    dataset = opened(sets["lerobot"])
    for start, episode in zip(starts(episodes), episodes, strict=True):
        for t in range(0, len(episode), 5):
            item = dataset[int(start) + t]
            expected = episode.subtasks[episode.subtask[t]]
            assert names.iloc[int(item["subtask_index"])].name == expected
            if Version("0.5") > LEROBOT:
                assert item["subtask"] == expected


@pytest.mark.parametrize("workers", [0, 2])
def test_dataloader(sets, episodes, workers):
    dataset = opened(sets["lerobot"])
    options = {"multiprocessing_context": "spawn"} if workers else {}
    loader = torch.utils.data.DataLoader(dataset, batch_size=32, shuffle=True, num_workers=workers, **options)
    seen = torch.cat([batch["index"] for batch in loader])
    assert sorted(seen.tolist()) == list(range(len(dataset)))


def test_action_chunks_and_history(sets, episodes):
    step = 1 / episodes[0].fps
    deltas = {"action": [k * step for k in range(16)], "observation.images.wrist": [-step, 0.0]}
    dataset = opened(sets["lerobot"], delta_timestamps=deltas)
    start, episode = int(starts(episodes)[1]), episodes[1]
    item = dataset[start + 7]
    assert np.array_equal(item["action"], episode.action[7 : 7 + 16])
    assert item["observation.images.wrist"].shape[0] == 2
    assert dataset[start + len(episode) - 1]["action_is_pad"].tolist() == [False] + [True] * 15


def test_statistics_are_the_true_ones(sets, episodes):
    stats = opened(sets["lerobot"]).meta.stats
    for key, values in (("action", [e.action for e in episodes]), ("observation.state", [e.state for e in episodes])):
        whole = np.concatenate(values).astype(float)
        for name, want in (
            ("min", whole.min(0)),
            ("max", whole.max(0)),
            ("mean", whole.mean(0)),
            ("std", whole.std(0)),
        ):
            assert np.allclose(stats[key][name], want, atol=1e-9), (key, name)
        # The sketch promises a rank, not a value.
        for name, share in (("q01", 0.01), ("q50", 0.5), ("q99", 0.99)):
            rank = (whole <= np.asarray(stats[key][name]) + 1e-6).mean(0)
            low = (whole < np.asarray(stats[key][name]) - 1e-6).mean(0)
            assert (rank >= share - 0.01).all()
            assert (low <= share + 0.01).all()
        assert stats[key]["count"][0] == len(whole)


def test_streaming(sets, episodes, tmp_path):
    """StreamingLeRobotDataset takes an episode's place in the whole set for its place in the video file (lerobot 0.4.4
    to 0.6.1), so it reads only sets with one video file per camera: here, one shard."""
    synthgen("export", str(sets["lerobot"]), "--format", "lerobot", "--out", str(tmp_path / "one"))
    assert len(list((tmp_path / "one" / "videos" / "observation.images.wrist").glob("*/*.mp4"))) == 1
    dataset = StreamingLeRobotDataset("synthgen/test", root=tmp_path / "one", shuffle=False)
    seen = sorted(int(item["index"]) for item in dataset)
    assert seen == list(range(sum(len(e) for e in episodes)))


def test_aggregate(sets, episodes, tmp_path):
    from lerobot.datasets.aggregate import aggregate_datasets

    roots = [sets["lerobot"], sets["lerobot"]]
    aggregate_datasets(["synthgen/a", "synthgen/b"], "synthgen/ab", roots=roots, aggr_root=tmp_path / "ab")
    both = opened(tmp_path / "ab")
    assert both.num_episodes == 2 * len(episodes)
    half = len(both) // 2
    for t in (0, half - 1):
        a, b = both[t], both[half + t]
        assert torch.equal(a["action"], b["action"])
        assert torch.equal(a["observation.images.wrist"], b["observation.images.wrist"])


def test_merged_and_split_by_us(sets, episodes, tmp_path):
    one = str(sets["lerobot"])
    synthgen("merge", one, one, "--out", str(tmp_path / "both"))
    both = opened(tmp_path / "both")
    assert both.num_episodes == 2 * len(episodes)
    half = len(both) // 2
    assert torch.equal(both[5]["observation.images.wrist"], both[half + 5]["observation.images.wrist"])
    synthgen("split", one, "--episodes", "1,4", "--out", str(tmp_path / "parts"))
    train = opened(tmp_path / "parts" / "train")
    assert len(train) == len(episodes[1]) + len(episodes[4])
    assert np.array_equal(train[len(episodes[1])]["action"], episodes[4].action[0])


@pytest.mark.skipif(Version("0.6") > LEROBOT, reason="language columns came with lerobot 0.6")
def test_language_columns(sets, episodes):
    from lerobot.utils.collate import lerobot_collate_fn

    dataset = opened(sets["lerobot-language"])
    episode = episodes[0]
    rows = dataset[len(episode) // 2]["language_persistent"]
    subtasks = [r for r in rows if r["style"] == "subtask"]
    changes = np.flatnonzero(np.diff(episode.subtask, prepend=-1))
    assert [r["content"] for r in subtasks] == [episode.subtasks[episode.subtask[c]] for c in changes]
    assert [r["timestamp"] for r in subtasks] == pytest.approx([c / episode.fps for c in changes])
    augmented = [r["content"] for r in rows if r["style"] == "task_aug"]
    assert augmented == [episode.instruction, *episode.paraphrases]
    loader = torch.utils.data.DataLoader(dataset, batch_size=8, collate_fn=lerobot_collate_fn)
    assert next(iter(loader))["action"].shape[0] == 8


@pytest.mark.skipif(Version("0.5") > LEROBOT, reason="ray.data.read_lerobot needs lerobot 0.5 or later")
def test_ray_reads_it(sets, episodes, frames):
    import ray

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        rows = ray.data.read_lerobot(str(sets["lerobot"])).take_all()
    finally:
        ray.shutdown()
    assert sorted(r["index"] for r in rows) == list(range(sum(len(e) for e in episodes)))
    whole = np.concatenate([e.action for e in episodes])
    pictures = np.concatenate([f["wrist"] for f in frames])
    for row in rows[::17]:
        assert np.array_equal(row["action"], whole[row["index"]])
        found = np.asarray(row["observation.images.wrist"])
        found = found if found.shape[-1] == 3 else found.transpose(1, 2, 0)
        assert np.array_equal(found, pictures[row["index"]])
