"""Does an episode fit the data set it is written to? Asked before anything of it is written."""

from __future__ import annotations

import numpy as np

from synthgen.core.episode import Episode
from synthgen.core.errors import UsageError
from synthgen.core.exporter import DatasetSpec


def check_episode(episode: Episode, dataset: DatasetSpec) -> None:
    """Lengths, widths, finiteness, rate, end effectors, cameras, and the number of frames in each video.

    Raises:
        UsageError: naming the slot and the field.
    """
    frames, width = len(episode), sum(len(g.joints) for g in dataset.groups)
    who = f"episode of slot {episode.spec.slot}"

    def refuse(what: str) -> None:
        raise UsageError(f"{who}: {what}", remedy="this is a fault of what made the episode, not of the data set")

    if frames == 0:
        refuse("has no frames")
    if episode.fps != dataset.fps:
        refuse(f"fps is {episode.fps}, the data set's {dataset.fps}")
    shapes = {"state": (frames, width), "action": (frames, width), "velocity": (frames, width)}
    shapes |= {"subtask": (frames,), "reward": (frames,), "done": (frames,)}
    for name, shape in shapes.items():
        if getattr(episode, name).shape != shape:
            refuse(f"{name} has shape {getattr(episode, name).shape}, expected {shape}")
        if not np.isfinite(getattr(episode, name)).all():
            refuse(f"{name} holds a value that is not finite")
    for kind in ("eef_pose", "eef_target", "object_pose", "receptacle_pose"):
        for name, pose in getattr(episode, kind).items():
            if pose.shape != (frames, 7) or not np.isfinite(pose).all():
                refuse(f"{kind}[{name!r}] is not a finite (T, 7) array")
    if episode.subtask.min() < 0 or episode.subtask.max() >= len(episode.subtasks):
        refuse(f"subtask holds an index outside its {len(episode.subtasks)} names")
    missing = [e for e in dataset.end_effectors if e not in episode.eef_pose or e not in episode.eef_target]
    missing += [c.name for c in dataset.cameras if c.name not in episode.videos or c.name not in episode.cameras]
    if missing:
        refuse(f"lacks {', '.join(missing)}")
    for camera in dataset.cameras:
        video = episode.videos[camera.name]
        if (video.width, video.height, video.fps) != (camera.width, camera.height, dataset.fps):
            refuse(f"video {camera.name!r} is {video.width}x{video.height} at {video.fps} Hz")
        if video.frames != frames:
            refuse(f"video {camera.name!r} has {video.frames} frames, the episode {frames}")
        if episode.cameras[camera.name].extrinsics.shape != (frames, 4, 4):
            refuse(f"extrinsics of {camera.name!r} are not (T, 4, 4)")
