"""The expert: from a task's program to timed joint targets, looking at the world after every segment."""

from __future__ import annotations

from collections.abc import Generator

import numpy as np

from synthgen.core.embodiment import Embodiment
from synthgen.core.errors import UsageError
from synthgen.core.task import Task
from synthgen.core.trajectory import Segment
from synthgen.core.world import World
from synthgen.experts.motion import Motion
from synthgen.experts.pick import pick
from synthgen.experts.place import place
from synthgen.experts.planner import Planner
from synthgen.experts.skills import Home, Pick, Place
from synthgen.experts.timing import Curve


def run_program(
    task: Task, planner: Planner, embodiment: Embodiment, *, rng: np.random.Generator, fps: int, world: World
) -> Generator[Segment, World, None]:
    """Do a task: yields a segment of joint targets, is sent the world observed at the segment's end.

    Use::

        expert = run_program(task, planner, embodiment, rng=spec.rng("expert"), fps=fps, world=world)
        segment = next(expert)
        while True:  # until StopIteration: the program has ended
            ...  # step through segment.targets
            segment = expert.send(world_now)

    Args:
        task: gives the program.
        planner: for this embodiment in this scene; may be used again for the next episode.
        embodiment: the planner's.
        rng: the episode's "expert" stream.
        fps: control rate, Hz.
        world: the world at the start.

    Raises:
        EpisodeFailure: the attempt cannot go on (while iterating).
        UsageError: the program yields something that is not a skill.
    """
    if planner.embodiment is not embodiment:
        raise UsageError(f"the planner is for {planner.embodiment.name!r}, not {embodiment.name!r}")
    motion = Motion(task=task, planner=planner, rng=rng, fps=fps, world=world)
    program = list(task.program(world))
    for i, skill in enumerate(program):
        if isinstance(skill, Pick):
            meant = (s.into for s in program[i + 1 :] if isinstance(s, Place) and s.object == skill.object)
            yield from pick(motion, skill, next(meant, None))
        elif isinstance(skill, Place):
            yield from place(motion, skill)
        elif isinstance(skill, Home):
            yield from _home(motion)
        else:
            raise UsageError(
                f"task {task.name!r}: its program yields {type(skill).__name__}",
                remedy="yield skills from synthgen.experts.skills",
            )


def _home(motion: Motion) -> Generator[Segment, World, None]:
    for arm in motion.planner.arms.values():
        planner = motion.planner
        goal = planner.home[arm.columns]
        start = motion.arm_targets(arm)
        if np.abs(goal - start).max() < 1e-3:
            continue
        curve = (
            planner.curve(arm, [start, goal])
            or planner.detour(arm, [start, goal], rng=motion.rng)
            or Curve(np.stack([start, goal]), arm.velocity)
        )
        hand = motion.hand_rows(arm, planner.home[arm.hand_columns])
        rows = motion.arm_rows(arm, curve)
        motion.look((yield motion.segment(arm, "retreat", "home", arm_rows=rows, hand_rows=hand)))
