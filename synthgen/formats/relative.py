"""Statistics of state-relative action chunks, as Isaac-GR00T normalises them: one value per step of the chunk.

Joints: action[t + h] - state[t]. End effectors: inverse(pose[t]) * target[t + h] as position and 6-D rotation. Only
chunks that lie wholly within an episode count.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from synthgen.core.exporter import DatasetSpec
from synthgen.formats.features import pose_9d, relative_pose
from synthgen.formats.statistics import RunningStatistics

HORIZON = 16


class RelativeStatistics:
    """Counts every action group and end effector of a data set over ``HORIZON`` steps; mergeable.

    Attributes:
        running: the numbers themselves, one column per step and value.
    """

    def __init__(self, dataset: DatasetSpec) -> None:
        self._widths: dict[str, int] = {g.name: len(g.joints) for g in dataset.groups}
        self._widths |= {eef_key(e): 9 for e in dataset.end_effectors}
        self._eefs = dataset.end_effectors
        self.running = RunningStatistics(HORIZON * sum(self._widths.values()))

    def add(self, columns: Mapping[str, NDArray]) -> None:
        """Count an episode; ``columns`` as ``frame_columns`` gives them."""
        chunks = len(columns["action"]) - HORIZON + 1
        if chunks <= 0:
            return
        at = np.arange(chunks)[:, None] + np.arange(HORIZON)  # (chunks, H)
        joints = (
            np.asarray(columns["action"], float)[at] - np.asarray(columns["observation.state"], float)[:chunks, None]
        )
        parts = [joints]
        for eef in self._eefs:
            base = np.asarray(columns[f"observation.eef_pose.{eef}"], float)[:chunks, None]
            target = np.asarray(columns[f"target.eef_pose.{eef}"], float)[at]
            parts.append(pose_9d(relative_pose(np.broadcast_to(base, target.shape), target)).astype(float))
        self.running.add(np.concatenate(parts, -1).reshape(chunks, -1))

    def merge(self, other: RelativeStatistics) -> None:
        """Count everything ``other`` counted."""
        self.running.merge(other.running)

    def summary(self) -> dict[str, dict[str, list[list[float]]]]:
        """By key: max, min, q01, q99, mean, std, each (HORIZON, width) as nested lists. Empty when nothing counted."""
        if not self.running.count:
            return {}
        wide = self.running.summary()
        out: dict[str, dict[str, list[list[float]]]] = {}
        at = 0
        for name, width in self._widths.items():
            mine = slice(at, at + width)
            keys = ("max", "min", "q01", "q99", "mean", "std")
            out[name] = {k: wide[k].reshape(HORIZON, -1)[:, mine].tolist() for k in keys}
            at += width
        return out


def eef_key(eef: str) -> str:
    """Name of an end effector's group in modality.json."""
    return f"{eef}_eef_9d"
