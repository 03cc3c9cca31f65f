"""verify, inspect, merge, split and export as commands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from synthgen.cli import dataset as commands
from synthgen.core.errors import SynthgenError
from synthgen.core.exporter import ShardFiles
from synthgen.core.project import Project
from synthgen.testing.episodes import dataset_spec, made_episode


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("commands")
    exporter = Project.of().load("exporters", "exporter")["lerobot"]
    (folder / "shard").mkdir()
    writer = exporter.open_shard(folder / "shard", dataset_spec())
    for slot in range(4):
        writer.add(made_episode(slot, dataset_spec()))
    writer.close()
    shard = ShardFiles(folder=folder / "shard", files={}, episodes=4, frames=0)
    exporter.finalize([shard], folder / "set", dataset_spec())
    return folder / "set"


def run(command, *arguments, code: int = 0) -> str:
    done = CliRunner().invoke(command, [str(a) for a in arguments], catch_exceptions=False)
    assert done.exit_code == code, done.output
    return done.output


def test_verify_and_inspect(made):
    assert "good" in run(commands.verify, made)
    found = json.loads(run(commands.verify, made, "--fast", "--json"))
    assert found["problems"] == []
    assert json.loads(run(commands.inspect, made, "--json"))[0]["episodes"] == 4
    assert "pick_place" in run(commands.inspect, made)


def test_merge_split_and_export(made, tmp_path):
    run(commands.merge, made, made, "--out", tmp_path / "both")
    assert "8 episodes" in run(commands.verify, tmp_path / "both")
    run(commands.split, tmp_path / "both", "--fraction", 0.25, "--seed", 3, "--out", tmp_path / "parts")
    for name, count in (("train", 2), ("test", 6)):
        assert f"{count} episodes" in run(commands.verify, tmp_path / "parts" / name)
    run(commands.export, made, "--format", "gr00t", "--out", tmp_path / "gr00t")
    assert "good" in run(commands.verify, tmp_path / "gr00t")


def test_json_everywhere(made, tmp_path):
    both = tmp_path / "both"
    found = json.loads(run(commands.merge, made, made, "--out", both, "--json"))
    assert found == [{"dataset": str(both), "format": "lerobot", "episodes": 8, "frames": found[0]["frames"]}]
    parts = json.loads(run(commands.split, both, "--episodes", "0:2", "--out", tmp_path / "parts", "--json"))
    assert [p["episodes"] for p in parts] == [2, 6]
    exported = json.loads(run(commands.export, made, "--format", "zarr", "--out", tmp_path / "zarr", "--json"))
    assert (exported[0]["format"], exported[0]["episodes"]) == ("zarr", 4)


def test_half_a_division_is_none(made, tmp_path):
    broken = tmp_path / "set"
    run(commands.merge, made, made, "--out", broken)
    video = sorted(broken.glob("videos/*/*/*.mp4"))[1]  # of the second half
    video.rename(tmp_path / "kept")
    with pytest.raises(SynthgenError, match=video.name):
        run(commands.split, broken, "--episodes", "0:4", "--out", tmp_path / "parts")
    assert not (tmp_path / "parts/train").exists()
    (tmp_path / "kept").rename(video)
    run(commands.split, broken, "--episodes", "0:4", "--out", tmp_path / "parts")


def test_damage_ends_with_code_3(made, tmp_path):
    run(commands.merge, made, made, "--out", tmp_path / "both")
    (tmp_path / "both/meta/stats.json").unlink()
    assert "remedy" in run(commands.verify, tmp_path / "both", code=3)


@pytest.mark.parametrize(
    ("command", "arguments", "said"),
    [
        (commands.verify, ["nowhere"], "no such folder"),
        (commands.merge, ["{made}", "--out", "{tmp}/x"], "at least two"),
        (commands.split, ["{made}", "--out", "{tmp}/x"], "either"),
        (commands.split, ["{made}", "--fraction", "2", "--out", "{tmp}/x"], "between 0 and 1"),
        (commands.split, ["{made}", "--fraction", "0.5", "--names", "a/b,c", "--out", "{tmp}/x"], "folder names"),
        (commands.split, ["{made}", "--episodes", "1", "--seed", "3", "--out", "{tmp}/x"], "--seed"),
        (commands.split, ["{made}", "--episodes", "0:4", "--out", "{tmp}/x"], "some, not all"),
        (commands.merge, ["{made}", "{made}", "--out", "{made}/inside"], "inside the data set"),
        (commands.merge, ["{made}", "{made}/meta", "--out", "{tmp}/x"], "not a data set"),
        (commands.split, ["{made}", "--episodes", "1:99", "--out", "{tmp}/x"], "not within"),
        (commands.export, ["{made}", "--format", "grott", "--out", "{tmp}/x"], "gr00t"),
        (commands.export, ["{made}", "--format", "gr00t", "--out", "{made}"], "exists already"),
    ],
)
def test_one_clear_error(made, tmp_path, command, arguments, said):
    filled = [a.format(made=made, tmp=tmp_path) for a in arguments]
    with pytest.raises(SynthgenError) as error:
        run(command, *filled)
    assert said in str(error.value)
    assert not (tmp_path / "x").exists()
