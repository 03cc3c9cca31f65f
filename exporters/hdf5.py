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
from synthgen.core.pose import Pose, matrix_from_quat, quat_inv, quat_mul
from synthgen.core.simulator import SimState
from synthgen.formats.hdf5 import MAIN, Hdf5Format, Tree, array, group
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
        }

    def attributes(self, episode: Episode) -> Mapping[str, Any]:
        """See ``Hdf5Format``."""
        language = {"lang": episode.instruction, "paraphrases": list(episode.paraphrases)}
        return {"ep_meta": json.dumps(language), "seed": episode.spec.seed(), "task": episode.spec.task}

    def join(self, file: h5py.File, demos: Sequence[tuple[str, str]], manifest: ShardManifest, summary: Any) -> None:
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
            with h5py.File(Path(file.filename).parent / name) as shard:
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
            "obs": obs,
            "initial_state": initial,
            "states": states,
        }

    def attributes(self, episode: Episode) -> Mapping[str, Any]:
        """See ``Hdf5Format``."""
        return {"seed": episode.spec.seed(), "success": True, "task": episode.spec.task, "lang": episode.instruction}

    def join(self, file: h5py.File, demos: Sequence[tuple[str, str]], manifest: ShardManifest, summary: Any) -> None:
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
    data.attrs["env_args"] = json.dumps({"env_name": name, "env_type": 2, "type": 2, "env_kwargs": kwargs})
    return data


def scaled(actions: NDArray, low: NDArray, high: NDArray) -> NDArray[np.float32]:
    """Joint targets (T, D) to [-1, 1] over their range in the data set; 0 where they never change."""
    span = high - low
    moved = 2 * (actions.astype(float) - low) / np.where(span > 0, span, 1) - 1
    return np.clip(np.where(span > 0, moved, 0), -1, 1).astype(np.float32)


def xyzw(pose: NDArray) -> NDArray[np.float32]:
    """Poses (T, 7) x y z w-x-y-z -> x y z x-y-z-w."""
    return np.asarray(pose, np.float32)[:, [0, 1, 2, 4, 5, 6, 3]]


def in_world(episode: Episode, pose: NDArray) -> NDArray[np.float64]:
    """Poses (T, 7) in the robot's base frame -> world."""
    base = Pose.from_vector(episode.base_pose)
    return np.concatenate([base.apply(pose[:, :3]), quat_mul(base.orientation, np.asarray(pose[:, 3:], float))], -1)


def transforms(pose: NDArray) -> NDArray[np.float32]:
    """Poses (T, 7) -> (T, 4, 4)."""
    out = np.tile(np.eye(4), (len(pose), 1, 1))
    out[:, :3, :3], out[:, :3, 3] = matrix_from_quat(pose[:, 3:]), pose[:, :3]
    return out.astype(np.float32)


def datagen_info(episode: Episode) -> Tree:
    """What MimicGen and Isaac Lab Mimic start from; poses (T, 4, 4) in the world."""
    objects = {**episode.object_pose, **episode.receptacle_pose}
    return {
        "eef_pose": {e: transforms(in_world(episode, p)) for e, p in episode.eef_pose.items()},
        "target_eef_pose": {e: transforms(in_world(episode, p)) for e, p in episode.eef_target.items()},
        "object_pose": {n: transforms(p) for n, p in objects.items()},
        "subtask_term_signals": term_signals(episode),
    }


def term_signals(episode: Episode) -> dict[str, NDArray[np.bool_]]:
    """By subtask (a repeated one with its number of times): (T,) True from its end on."""
    starts = np.flatnonzero(np.diff(episode.subtask, prepend=-1))
    ends = [*starts[1:], len(episode) - 1]
    out: dict[str, NDArray[np.bool_]] = {}
    for start, end in zip(starts, ends, strict=True):
        name = episode.subtasks[episode.subtask[start]]
        times = sum(k == name or k.startswith(f"{name}_") for k in out)
        out[name if not times else f"{name}_{times + 1}"] = np.arange(len(episode)) >= end
    return out


def flat_state(episode: Episode) -> NDArray[np.float64]:
    """(T, S): every field of the simulator's state side by side; the joint state where none was kept."""
    if episode.sim_states is None:
        return np.concatenate([episode.state, episode.velocity], 1).astype(float)
    fields = [getattr(episode.sim_states, f) for f in SimState.FIELDS]
    return np.concatenate([f.reshape(len(episode), -1) for f in fields], 1)


def scene_state(episode: Episode) -> dict[str, dict[str, dict[str, NDArray]]]:
    """Isaac Lab's scene state over time: the robot as an articulation, objects as rigid objects."""
    frames = len(episode)
    robot = {
        "root_pose": np.tile(xyzw(episode.base_pose[None]), (frames, 1)),
        "root_velocity": np.zeros((frames, 6), np.float32),
        "joint_position": episode.state,
        "joint_velocity": episode.velocity,
    }
    objects = {
        name: {"root_pose": xyzw(pose), "root_velocity": velocity_of(episode, pose)}
        for name, pose in episode.object_pose.items()
    }
    return {"articulation": {"robot": robot}, "rigid_object": objects}


def velocity_of(episode: Episode, pose: NDArray[np.float32]) -> NDArray[np.float32]:
    """(T, 6) linear and angular velocity, world: the simulator's where it kept that body, else by differences."""
    if episode.sim_states is not None:
        for i in range(episode.sim_states.body_pose.shape[1]):
            if np.array_equal(episode.sim_states.body_pose[:, i].astype(np.float32), pose):
                return episode.sim_states.body_velocity[:, i].astype(np.float32)
    if len(pose) < 2:
        return np.zeros((len(pose), 6), np.float32)
    p = np.asarray(pose, float)
    turn = quat_mul(p[1:, 3:], quat_inv(p[:-1, 3:]))
    turn *= np.where(turn[:, :1] < 0, -1, 1)
    sine = np.linalg.norm(turn[:, 1:], axis=1, keepdims=True)
    angle = 2 * np.arctan2(sine, turn[:, :1])
    angular = np.divide(turn[:, 1:] * angle, sine, out=np.zeros_like(turn[:, 1:]), where=sine > 1e-12)
    step = np.concatenate([p[1:, :3] - p[:-1, :3], angular], 1) * episode.fps
    return np.concatenate([step, step[-1:]]).astype(np.float32)


exporter = (
    Robomimic("robomimic", "HDF5 as robomimic reads it (actions scaled to [-1, 1])"),
    IsaacLab("isaaclab", "HDF5 as Isaac Lab 3.0 reads it (quaternions x y z w)"),
)
