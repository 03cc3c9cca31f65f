"""robomimic's HDF5, and Isaac Lab's: two profiles, since both use ``states`` for different things."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from synthgen.core.episode import Episode
from synthgen.core.exporter import DatasetSpec
from synthgen.formats.hdf5 import MAIN, Hdf5Format, Tree, array, group
from synthgen.formats.hdf5_content import NOTES, datagen_info, flat_state, in_world, more, scene_state, words, xyzw
from synthgen.formats.manifest import ShardManifest
from synthgen.formats.problem import Problem

VALID_EVERY = 10  # every tenth episode is in the mask "valid", the others in "train"


class Robomimic(Hdf5Format):
    """robomimic 0.3: actions scaled to [-1, 1], flat observations, masks; quaternions x y z w as in robosuite.

    A shard keeps the joint targets as they are (``actions_absolute``). The range they are scaled from is the data
    set's own and known only at the end, so the joining file holds the scaled ``actions`` and links the rest.
    """

    def demo(self, episode: Episode, dataset: DatasetSpec, pictures: Mapping[str, NDArray[np.uint8]]) -> Tree:
        """See ``Hdf5Format``."""
        obs: dict[str, NDArray] = {"joint_pos": episode.state, "joint_vel": episode.velocity}
        at = 0
        for g in dataset.groups:
            obs[f"{g.name}_qpos"] = episode.state[:, at : at + len(g.joints)]
            at += len(g.joints)
        for eef in dataset.end_effectors:
            pose = xyzw(episode.eef_pose[eef])
            obs[f"{eef}_eef_pos"], obs[f"{eef}_eef_quat"] = pose[:, :3], pose[:, 3:]
        poses = {**episode.object_pose, **episode.receptacle_pose}
        absent = np.zeros((len(episode), 7), np.float32)
        obs["object"] = np.concatenate([absent[:, :0], *(xyzw(poses.get(o, absent)) for o in dataset.objects)], 1)
        obs |= {f"{name}_image": p for name, p in pictures.items()}
        return {
            "actions_absolute": episode.action,
            "states": flat_state(episode),
            "rewards": episode.reward.astype(np.float64),
            "dones": episode.done.astype(np.int64),
            "obs": obs,
            "datagen_info": datagen_info(episode),
            "synthgen": more(episode, dataset),
        }

    def attributes(self, episode: Episode) -> Mapping[str, Any]:
        """See ``Hdf5Format``."""
        language = {"lang": episode.instruction, "paraphrases": list(episode.paraphrases)}
        return {"ep_meta": json.dumps(language), **words(episode)}

    def join(
        self, root: Path, file: h5py.File, demos: Sequence[tuple[str, str]], manifest: ShardManifest, summary: Any
    ) -> None:
        """See ``Hdf5Format``."""
        low, high = summary["action"]["min"], summary["action"]["max"]
        data = _data_group(file, manifest)
        joints = [j for g in manifest.dataset.groups for j in g.joints]
        scale = {"joints": joints, "low": low.tolist(), "high": high.tolist()}
        scale["formula"] = "actions = 2 * (absolute - low) / (high - low) - 1, and 0 where high equals low"
        data.attrs["action_scale"] = json.dumps(scale)
        data.attrs["objects"] = json.dumps(manifest.dataset.objects)
        for i, (name, inside) in enumerate(demos):
            demo = data.create_group(f"demo_{i}")
            with h5py.File(root / name) as shard:
                source = group(shard, inside)
                for key, value in source.attrs.items():
                    demo.attrs[key] = value
                demo.create_dataset("actions", data=scaled(array(source, "actions_absolute"), low, high))
                for key in source:
                    demo[key] = h5py.ExternalLink(name, f"{inside}/{key}")
        names = [f"demo_{i}" for i in range(len(demos))]
        mask = file.create_group("mask")
        mask["valid"] = np.array(names[VALID_EVERY - 1 :: VALID_EVERY], dtype="S")
        mask["train"] = np.array([n for i, n in enumerate(names) if (i + 1) % VALID_EVERY], dtype="S")

    def check_demo(self, data: h5py.Group, name: str, frames: int) -> Iterator[Problem]:
        """See ``Hdf5Format``."""
        yield from super().check_demo(data, name, frames)
        if name in data:
            demo, scale = group(data, name), json.loads(str(data.attrs["action_scale"]))
            want = scaled(array(demo, "actions_absolute"), np.array(scale["low"]), np.array(scale["high"]))
            if not np.array_equal(want, array(demo, "actions")):
                yield Problem(file=MAIN, where=f"data/{name}/actions", what="are not actions_absolute, scaled")


class IsaacLab(Hdf5Format):
    """Isaac Lab 3.0 (format_version 1): quaternions x y z w, everything relative to the environment's origin."""

    def demo(self, episode: Episode, dataset: DatasetSpec, pictures: Mapping[str, NDArray[np.uint8]]) -> Tree:
        """See ``Hdf5Format``."""
        obs: dict[str, Any] = {"joint_pos": episode.state, "joint_vel": episode.velocity}
        for eef in dataset.end_effectors:
            pose = xyzw(in_world(episode, episode.eef_pose[eef]))
            obs[f"{eef}_eef_pos"], obs[f"{eef}_eef_quat"] = pose[:, :3], pose[:, 3:]
        obs |= pictures
        obs["datagen_info"] = datagen_info(episode)
        states = scene_state(episode)
        initial = {k: {n: {f: a[:1] for f, a in b.items()} for n, b in v.items()} for k, v in states.items()}
        return {
            "actions": episode.action,
            "processed_actions": episode.action,
            "rewards": episode.reward,
            "dones": episode.done,
            "obs": obs,
            "initial_state": initial,
            "states": states,
            "synthgen": more(episode, dataset),
        }

    def attributes(self, episode: Episode) -> Mapping[str, Any]:
        """See ``Hdf5Format``."""
        return {"lang": episode.instruction, "paraphrases": json.dumps(episode.paraphrases), **words(episode)}

    def join(
        self, root: Path, file: h5py.File, demos: Sequence[tuple[str, str]], manifest: ShardManifest, summary: Any
    ) -> None:
        """See ``Hdf5Format``."""
        file.attrs["format_version"] = 1
        data = _data_group(file, manifest)
        data.attrs["joint_names"] = json.dumps([j for g in manifest.dataset.groups for j in g.joints])
        for i, (name, inside) in enumerate(demos):
            data[f"demo_{i}"] = h5py.ExternalLink(name, inside)


def _data_group(file: h5py.File, manifest: ShardManifest) -> h5py.Group:
    data = file.create_group("data")
    data.attrs["total"] = manifest.frames
    name = f"synthgen-{manifest.dataset.embodiment}-{'-'.join(sorted(manifest.tasks))}"
    kwargs = {"scene": manifest.dataset.scene, "control_freq": manifest.dataset.fps}
    data.attrs["conventions"] = json.dumps(dict(NOTES))
    data.attrs["env_args"] = json.dumps({"env_name": name, "env_type": 2, "type": 2, "env_kwargs": kwargs})
    return data


def scaled(actions: NDArray, low: NDArray, high: NDArray) -> NDArray[np.float32]:
    """Joint targets (T, D) to [-1, 1] over their range in the data set; 0 where they never change."""
    span = high - low
    moved = 2 * (actions.astype(float) - low) / np.where(span > 0, span, 1) - 1
    return np.clip(np.where(span > 0, moved, 0), -1, 1).astype(np.float32)


exporter = (
    Robomimic("robomimic", "HDF5 as robomimic reads it (actions scaled to [-1, 1])"),
    IsaacLab("isaaclab", "HDF5 as Isaac Lab 3.0 reads it (quaternions x y z w)"),
)
