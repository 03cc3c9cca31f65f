"""What every skill's motion works with: the episode's planner, its last targets, and how segments are made."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from synthgen.core.errors import UsageError
from synthgen.core.pose import Array
from synthgen.core.task import Task
from synthgen.core.trajectory import Segment
from synthgen.core.world import World
from synthgen.experts.arm import Arm
from synthgen.experts.grasps import Grasp
from synthgen.experts.planner import Planner
from synthgen.experts.timing import Curve


@dataclass(frozen=True, kw_only=True, eq=False)
class Grip:
    """What a hand holds, and how it took it; ``over``: (n,) configuration over the receptacle that was planned."""

    arm: Arm
    object: str
    grasp: Grasp
    over: Array | None = None


class Motion:
    """State of one episode's expert: the world as last seen, the last targets, and what is in the hand.

    Args:
        task: whose subtask names the segments refer to.
        planner: of the robot in this scene.
        rng: the episode's "expert" stream.
        fps: control rate, Hz.
        world: at the start.
    """

    def __init__(self, *, task: Task, planner: Planner, rng: np.random.Generator, fps: int, world: World) -> None:
        self.task, self.rng, self.fps = task, rng, fps
        self._planner = planner
        self.grip: Grip | None = None
        self.look(world)

    def look(self, world: World) -> None:
        """Take over a newly observed world."""
        self.world = world
        self.targets = np.array(world.targets, float)
        self._seen = False

    @property
    def planner(self) -> Planner:
        """The planner, in the world last looked at. Others may use it in between: ask for it anew after a segment."""
        if not self._seen:
            self._planner.set_world(self.world)
            self._seen = True
        return self._planner

    @property
    def home(self) -> Array:
        """(Jd,) the embodiment's home pose."""
        return self._planner.home

    def arm_targets(self, arm: Arm) -> Array:
        """(n,) where the arm is told to be now."""
        return self.targets[arm.columns]

    def hand_targets(self, arm: Arm) -> Array:
        """(h,) where the hand is told to be now."""
        return self.targets[arm.hand_columns]

    def subtask(self, name: str) -> int:
        """Index of a subtask of the task.

        Raises:
            UsageError: the task does not list it.
        """
        if name not in self.task.subtasks:
            raise UsageError(
                f"task {self.task.name!r}: its program has a subtask {name!r} that is not in its subtasks",
                remedy=f"add {name!r} to the task's subtasks",
            )
        return self.task.subtasks.index(name)

    def segment(
        self, arm: Arm, subtask: str, label: str, *, arm_rows: Array | None = None, hand_rows: Array | None = None
    ) -> Segment:
        """Joint targets in which an arm (T, n) and its hand (T', h) move at the same time; all else stays.

        The shorter of the two rests at its end.
        """
        parts = [(arm.columns, arm_rows), (arm.hand_columns, hand_rows)]
        length = max(len(rows) for _, rows in parts if rows is not None)
        targets = np.repeat(self.targets[None], length, axis=0)
        for columns, rows in parts:
            if rows is not None:
                targets[: len(rows), columns] = rows
                targets[len(rows) :, columns] = rows[-1]
        return Segment(targets=targets, subtask=self.subtask(subtask), label=label)

    def arm_rows(self, arm: Arm, curve: Curve, *, pace: float = 1.0) -> Array:
        """(T, n) targets along a curve."""
        return self._planner.timed(arm, curve, fps=self.fps, pace=pace)

    def hand_rows(self, arm: Arm, goal: Array, *, pace: float = 1.0, settle: float = 0.0) -> Array:
        """(T, h) targets from the hand's present ones to ``goal``, then ``settle`` seconds there."""
        rows = self._planner.timed_hand(arm, self.hand_targets(arm), goal, fps=self.fps, pace=pace)
        return np.concatenate([rows, np.repeat(rows[-1:], round(settle * self.fps), axis=0)])
