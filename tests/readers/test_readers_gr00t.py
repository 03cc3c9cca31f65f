"""The GR00T layout: read by the last lerobot that reads v2.1, and by the steps Isaac-GR00T's loader takes.

Isaac-GR00T itself is on no package index. ``gr00t_view`` does what its LeRobotEpisodeLoader does with the files (its
source was read for that): chunked paths from info.json, modality.json's slices of columns, tasks.jsonl for annotations.
"""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from conftest import VENV

OLD = """
import json, sys
import numpy as np
from lerobot.datasets.lerobot_dataset import LeRobotDataset

dataset = LeRobotDataset("synthgen/test", root=sys.argv[1])
out = {"episodes": dataset.num_episodes, "frames": len(dataset), "tasks": [], "actions": [], "brightness": []}
for i in range(0, len(dataset), 7):
    item = dataset[i]
    out["tasks"].append(item["task"])
    out["actions"].append(item["action"].tolist())
    out["brightness"].append(float(item["observation.images.wrist"].mean()))
print(json.dumps(out))
"""


def gr00t_view(root, episode: int):
    """State and action by group, the annotated instruction, and video paths by name."""
    info = json.loads((root / "meta/info.json").read_text())
    modality = json.loads((root / "meta/modality.json").read_text())
    tasks = {t["task_index"]: t["task"] for t in map(json.loads, (root / "meta/tasks.jsonl").open())}
    place = {"episode_chunk": episode // info["chunks_size"], "episode_index": episode}
    table = pd.read_parquet(root / info["data_path"].format(**place))
    out = {}
    for kind, default in (("state", "observation.state"), ("action", "action")):
        for name, where in modality[kind].items():
            column = table[where.get("original_key", default)]
            assert isinstance(column.iloc[0], np.ndarray)
            out[f"{kind}.{name}"] = np.stack(column.map(lambda x, w=where: x[w["start"] : w["end"]]))
    for name in modality["annotation"]:
        column = table[modality["annotation"][name].get("original_key", f"annotation.{name}")]
        out[f"annotation.{name}"] = [tasks[i] for i in column]
    for name, where in modality["video"].items():
        out[f"video.{name}"] = root / info["video_path"].format(video_key=where["original_key"], **place)
    return out


def test_lerobot_of_that_layout(sets, episodes, frames):
    environment = {**__import__("os").environ, "PYTHONPATH": str(VENV / "v21")}
    command = [sys.executable, "-W", "ignore", "-c", OLD, str(sets["gr00t"])]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    seen = json.loads(done.stdout.splitlines()[-1])
    assert (seen["episodes"], seen["frames"]) == (len(episodes), sum(len(e) for e in episodes))
    whole = np.concatenate([e.action for e in episodes])
    assert np.array_equal(np.array(seen["actions"], np.float32), whole[::7])
    assert seen["tasks"] == [e.instruction for e in episodes for _ in range(len(e))][::7]
    brightness = np.concatenate([f["wrist"].mean((1, 2, 3)) / 255 for f in frames])[::7]
    assert seen["brightness"] == pytest.approx(brightness, abs=2e-3)


def test_groups_annotations_and_packets(sets, episodes):
    from synthgen.media.packets import packets

    for number, episode in enumerate(episodes):
        view = gr00t_view(sets["gr00t"], number)
        joints = np.concatenate([view["state.joint_position"], view["state.gripper_position"]], 1)
        assert np.array_equal(joints, episode.state)
        joints = np.concatenate([view["action.joint_position"], view["action.gripper_position"]], 1)
        assert np.array_equal(joints, episode.action)
        assert view["state.arm_eef_9d"].shape == view["action.arm_eef_9d"].shape == (len(episode), 9)
        assert np.allclose(view["state.arm_eef_9d"][:, :3], episode.eef_pose["arm"][:, :3])
        assert set(view["annotation.human.action.task_description"]) == {episode.instruction}
        assert set(view["annotation.human.validity"]) == {"valid"}
        subtasks = [episode.subtasks[s] for s in episode.subtask]
        assert view["annotation.synthgen.subtask"] == subtasks
        for camera, video in episode.videos.items():
            assert list(packets(view[f"video.{camera}"])) == list(packets(video))


def test_sub_tasks_cover_the_episode(sets, episodes):
    lines = list(map(json.loads, (sets["gr00t"] / "meta/episodes.jsonl").open()))
    for line, episode in zip(lines, episodes, strict=True):
        assert line["length"] == len(episode)
        for part in line["sub_tasks"]:
            names = {episode.subtasks[s] for s in episode.subtask[part["start"] : part["end"]]}
            assert names == {part["text"]}


def test_statistics_are_those_its_own_script_would_write(sets, episodes):
    """Features and keys as stats.py asks for them; relative chunks over whole windows, action[t + h] - state[t]."""
    info = json.loads((sets["gr00t"] / "meta/info.json").read_text())
    stats = json.loads((sets["gr00t"] / "meta/stats.json").read_text())
    for name, feature in info["features"].items():
        if "float" in feature["dtype"]:
            assert {"mean", "std", "min", "max", "q01", "q99"} <= set(stats[name])
    relative = json.loads((sets["gr00t"] / "meta/relative_stats.json").read_text())
    chunks = []
    for e in episodes:
        at = np.arange(len(e) - 15)[:, None] + np.arange(16)
        chunks.append(e.action[at].astype(float) - e.state[: len(e) - 15, None])
    whole = np.concatenate(chunks)[..., :7]
    found = relative["joint_position"]
    for key, want in (("min", whole.min(0)), ("max", whole.max(0)), ("mean", whole.mean(0)), ("std", whole.std(0))):
        assert np.allclose(found[key], want, atol=1e-9), key
    assert np.allclose(found["q99"], np.quantile(whole, 0.99, axis=0), atol=0.02 * np.ptp(whole))
