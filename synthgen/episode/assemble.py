"""From a checked attempt and its pictures to the Episode that exporters take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from synthgen.core.episode import Episode
from synthgen.core.pose import Array
from synthgen.core.spec import EpisodeSpec
from synthgen.core.task import Task
from synthgen.core.world import World
from synthgen.episode.attempt import Attempt
from synthgen.episode.kinematics import continuous
from synthgen.episode.render import Rendered, rows
from synthgen.episode.rig import Rig
from synthgen.episode.sample_json import sample_to_json


def assemble(attempt: Attempt, rig: Rig, rendered: Rendered, fingerprint: Mapping[str, Any]) -> Episode:
    """Everything of a successful attempt in data set form; shapes as in ``Episode``."""
    embodiment, observer = rig.embodiment, rig.observer
    length = len(attempt.action)
    states = rows(attempt.states, 0, length)
    driven = len(embodiment.driven)
    commanded = embodiment.expand(rig.targets(attempt.action))
    # Constants are joints that do not exist: their position is written, their velocity is none.
    velocity = embodiment.to_dataset(states.joint_velocity[:, :driven])
    velocity[:, [j in embodiment.constants for j in embodiment.dataset_joints]] = 0.0
    # Measured and commanded in one go: most of the cost is per call.
    grasps = observer.eef_poses(np.concatenate([states.joint_position, commanded]))
    chosen, sentences = choose_instruction(rig.task, attempt.world, attempt.spec)
    done = np.zeros(length, bool)
    done[-1] = True
    return Episode(
        spec=attempt.spec,
        fps=rig.fps,
        state=embodiment.to_dataset(states.joint_position[:, :driven]).astype(np.float32),
        action=attempt.action,
        velocity=velocity.astype(np.float32),
        eef_pose={name: _smooth(p[:length]) for name, p in grasps.items()},
        eef_target={name: _smooth(p[length:]) for name, p in grasps.items()},
        object_pose=_float32(observer.object_poses(states, attempt.sample)),
        receptacle_pose=_float32(observer.receptacle_poses(states, attempt.sample)),
        base_pose=observer.base.vector(),
        subtask=attempt.subtask,
        subtasks=tuple(rig.task.subtasks),
        instruction=sentences[chosen],
        paraphrases=tuple(s for i, s in enumerate(sentences) if i != chosen),
        reward=done.astype(np.float32),
        done=done,
        videos=rendered.videos,
        cameras=rendered.cameras,
        draws={**attempt.sample.draws, "instruction": float(chosen)},
        sample=sample_to_json(attempt.sample),
        sim_states=states,
        state_bodies=observer.layout.bodies,
        state_scene_joints=observer.layout.scene_joints,
        replay_error=attempt.replay_error,
        fingerprint=fingerprint,
        scene={"file": rig.scene.source.name, "digest": rig.scene.digest},
    )


def choose_instruction(task: Task, world: World, spec: EpisodeSpec) -> tuple[int, list[str]]:
    """Which of the task's instructions the episode is labelled with, by the "language" stream, and all of them."""
    sentences = list(task.instructions(world))
    return int(spec.rng("language").integers(len(sentences))), sentences


def _smooth(poses: Array) -> np.ndarray:
    return np.concatenate([poses[:, :3], continuous(poses[:, 3:])], -1).astype(np.float32)


def _float32(poses: Mapping[str, Array]) -> dict[str, np.ndarray]:
    return {name: p.astype(np.float32) for name, p in poses.items()}
