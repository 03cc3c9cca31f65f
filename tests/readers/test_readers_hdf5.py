"""robomimic's SequenceDataset and Isaac Lab's HDF5DatasetFileHandler."""

from __future__ import annotations

import json
import sys

import h5py
import numpy as np
import pytest
import torch
from conftest import VENV


def test_robomimic_sequences(sets, episodes, frames):
    from robomimic.utils.dataset import SequenceDataset

    path = str(sets["robomimic"] / "dataset.hdf5")
    dataset = SequenceDataset(
        path,
        obs_keys=("joint_pos", "arm_eef_pos", "arm_eef_quat", "object", "wrist_image"),
        dataset_keys=("actions", "rewards", "dones"),
        frame_stack=1,
        seq_length=10,
        hdf5_cache_mode=None,
        hdf5_use_swmr=False,
        load_next_obs=False,
    )
    assert len(dataset) == sum(len(e) for e in episodes)
    with h5py.File(path) as file:
        scale = json.loads(file["data"].attrs["action_scale"])
    low, high = np.array(scale["low"]), np.array(scale["high"])
    lengths = np.cumsum([0, *(len(e) for e in episodes)])
    for number in (0, len(episodes) - 1):
        episode, start = episodes[number], int(lengths[number])
        item = dataset[start + 20]
        assert np.array_equal(item["obs"]["joint_pos"], episode.state[20:30])
        assert np.array_equal(item["obs"]["arm_eef_quat"], episode.eef_pose["arm"][20:30][:, [4, 5, 6, 3]])
        absolute = low + (item["actions"] + 1) / 2 * (high - low)
        moving = high > low
        assert np.allclose(absolute[:, moving], episode.action[20:30][:, moving], atol=1e-5)
        assert np.array_equal(item["obs"]["wrist_image"], frames[number]["wrist"][20:30])
    batch = next(iter(torch.utils.data.DataLoader(dataset, batch_size=16, shuffle=True)))
    assert batch["actions"].shape[:2] == (16, 10)
    assert batch["actions"].abs().max() <= 1


def test_robomimic_contract(sets, episodes):
    """What its get_dataset_info script checks, and the masks."""
    with h5py.File(sets["robomimic"] / "dataset.hdf5") as file:
        data = file["data"]
        assert data.attrs["total"] == sum(len(e) for e in episodes)
        environment = json.loads(data.attrs["env_args"])
        assert {"env_name", "env_type", "env_kwargs"} <= set(environment)
        actions = [data[f"demo_{i}/actions"][()] for i in range(len(episodes))]
        assert min(a.min() for a in actions) >= -1
        assert max(a.max() for a in actions) <= 1
        masked = [n.decode() for key in ("train", "valid") for n in file[f"mask/{key}"][()]]
        assert sorted(masked) == sorted(f"demo_{i}" for i in range(len(episodes)))
        for i, episode in enumerate(episodes):
            demo = data[f"demo_{i}"]
            assert demo.attrs["num_samples"] == len(episode)
            assert demo["dones"][-1] == 1
            signals = demo["datagen_info/subtask_term_signals"]
            for name, signal in signals.items():
                assert name.rsplit("_", 1)[0] in episode.subtasks or name in episode.subtasks
                assert (np.diff(signal[()].astype(int)) >= 0).all()


def test_isaac_lab_handler(sets, episodes, frames):
    sys.path.insert(0, str(VENV / "isaaclab"))
    from isaaclab_datasets import HDF5DatasetFileHandler

    handler = HDF5DatasetFileHandler()
    handler.open(str(sets["isaaclab"] / "dataset.hdf5"))
    assert handler.get_num_episodes() == len(episodes)
    for i, episode in enumerate(episodes):
        loaded = handler.load_episode(f"demo_{i}", "cpu")
        assert loaded.seed == episode.spec.seed()
        assert loaded.success
        assert np.array_equal(loaded.data["actions"], episode.action)
        initial = loaded.get_initial_state()
        robot = initial["articulation"]["robot"]
        assert robot["root_pose"].shape == (1, 7)
        assert np.array_equal(robot["joint_position"][0], episode.state[0])
        # format_version 1: x y z w.
        assert np.allclose(robot["root_pose"][0, 3:], episode.base_pose[[4, 5, 6, 3]])
        assert np.array_equal(loaded.get_next_action(), episode.action[0])
        for name, pose in episode.object_pose.items():
            state = loaded.data["states"]["rigid_object"][name]["root_pose"].numpy()
            assert np.array_equal(state, pose[:, [0, 1, 2, 4, 5, 6, 3]])
        info = loaded.data["obs"]["datagen_info"]
        assert info["eef_pose"]["arm"].shape == (len(episode), 4, 4)
        assert np.array_equal(loaded.data["obs"]["wrist"].numpy(), frames[i]["wrist"])
        track = loaded.data["synthgen"]["camera"]["wrist"]
        assert np.array_equal(track["extrinsics"], episode.cameras["wrist"].extrinsics)
        assert np.array_equal(track["intrinsics"][-1], episode.cameras["wrist"].intrinsics)
        assert np.array_equal(loaded.data["rewards"], episode.reward)
    handler.close()


def test_isaac_lab_documented_keys(sets):
    with h5py.File(sets["isaaclab"] / "dataset.hdf5") as file:
        assert file.attrs["format_version"] == 1
        assert json.loads(file["data"].attrs["env_args"])["type"] == 2
        demo = file["data/demo_0"]
        assert {"actions", "processed_actions", "obs", "initial_state", "states"} <= set(demo)
        assert {"num_samples", "seed", "success"} <= set(demo.attrs)
        for state in (demo["initial_state"], demo["states"]):
            assert set(state) == {"articulation", "rigid_object"}
            keys = {"root_pose", "root_velocity", "joint_position", "joint_velocity"}
            assert set(state["articulation/robot"]) == keys
        info = demo["obs/datagen_info"]
        assert {"eef_pose", "target_eef_pose", "object_pose", "subtask_term_signals"} <= set(info)


@pytest.mark.parametrize("name", ["robomimic", "isaaclab"])
def test_the_folder_can_be_moved(sets, tmp_path, name):
    """The joining file names its shards relative to itself."""
    import shutil

    shutil.copytree(sets[name], tmp_path / "elsewhere")
    with h5py.File(tmp_path / "elsewhere" / "dataset.hdf5") as file:
        assert len(file["data/demo_0/obs/joint_pos"]) == file["data/demo_0"].attrs["num_samples"]
