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
    assert seen["brightness"] == pytest.approx(brightness, abs=1e-5)


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


def metadata(root) -> tuple[dict, dict, dict, list[dict]]:
    """info.json, modality.json, stats.json and episodes.jsonl."""
    meta = root / "meta"
    info, modality, stats = (json.loads((meta / f"{n}.json").read_text()) for n in ("info", "modality", "stats"))
    return info, modality, stats, list(map(json.loads, (meta / "episodes.jsonl").open()))


def test_statistics_can_be_cut_by_group(sets):
    """Its loader cuts every entry of a column's statistics at a group's start and end."""
    info, modality, stats, _ = metadata(sets["gr00t"])
    for kind, default in (("state", "observation.state"), ("action", "action")):
        for name, where in modality[kind].items():
            column = where.get("original_key", default)
            for key, values in stats[column].items():
                cut = values[where["start"] : where["end"]]
                assert len(cut) == where["end"] - where["start"] <= info["features"][column]["shape"][0], (name, key)


def test_relative_statistics_have_the_shape_of_a_chunk(sets):
    """They normalise chunks (16, width) element by element; each relative action has a state group like it."""
    _, modality, _, _ = metadata(sets["gr00t"])
    relative = json.loads((sets["gr00t"] / "meta/relative_stats.json").read_text())
    for name, where in modality["action"].items():
        assert modality["state"][name]["end"] - modality["state"][name]["start"] == where["end"] - where["start"]
        for values in relative[name].values():
            assert np.shape(values) == (16, where["end"] - where["start"])


def test_language_under_every_name_it_asks_for(sets, episodes):
    """Annotations by the names in its configurations; "task" drawn from ``tasks``; "sub_task" written into a list."""
    view = gr00t_view(sets["gr00t"], 0)
    for name in ("human.action.task_description", "human.task_description", "human.coarse_action"):
        assert set(view[f"annotation.{name}"]) == {episodes[0].instruction}
    lines = metadata(sets["gr00t"])[3]
    known = [json.loads(line)["task"] for line in (sets["gr00t"] / "meta/tasks.jsonl").open()]
    for line, episode in zip(lines, episodes, strict=True):
        assert line["tasks"] == [episode.instruction, *episode.paraphrases]
        assert set(line["tasks"]) <= set(known)
        assert all(0 <= part["start"] < part["end"] <= line["length"] for part in line["sub_tasks"])


def test_torchcodec_gives_every_frame_by_number(sets, episodes, frames):
    """Its loader asks torchcodec for frames 0 to length - 1 of the episode's own file."""
    from torchcodec.decoders import VideoDecoder

    for number, episode in enumerate(episodes):
        path = gr00t_view(sets["gr00t"], number)["video.wrist"]
        decoder = VideoDecoder(str(path), dimension_order="NHWC")
        found = decoder.get_frames_at(indices=list(range(len(episode)))).data.numpy()
        assert np.array_equal(found, frames[number]["wrist"])
