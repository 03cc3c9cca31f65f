"""Conformance suite of a task. Subclass it, say which task it is and when it is done, and pytest does the rest::

class TestMyTask(TaskTests):
    def task(self):
        return task

    def done(self, world):
        return world_of(world.scene, world.sample, poses={...})  # the same world with the task done
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from typing import Any

import numpy as np
import pytest

from synthgen.core.outcome import FAILURE_REASONS
from synthgen.core.pose import Pose
from synthgen.core.project import Project
from synthgen.core.scene import SceneSpec
from synthgen.core.spec import EpisodeSpec
from synthgen.core.task import Task
from synthgen.core.world import World
from synthgen.testing.worlds import world_of

# A hand's name that no embodiment needs to have: success may not depend on which hand it is.
ANY_HAND = "any hand"


class TaskTests:
    """What must be true of every task.

    Attributes:
        scene: name or path of a scene that the task is for.
        draws: how many draws of it are looked at.
        paraphrases: least number of different instructions.
    """

    scene: str = "tabletop"
    draws: int = 25
    paraphrases: int = 10

    def task(self) -> Task:
        """The task under test."""
        raise NotImplementedError

    def done(self, world: World) -> World:
        """The same world with the task done: everything let go and at rest."""
        raise NotImplementedError

    def project(self) -> Project:
        """Where ``scene`` is looked for."""
        return Project.of()

    @pytest.fixture(scope="class")
    def worlds(self) -> Sequence[World]:
        """Worlds at the start of episodes, no physics involved."""
        usd: Any = import_module("synthgen.usd")
        spec: SceneSpec = usd.load_scene(self.project().scene(self.scene))
        name = self.task().name
        specs = (
            EpisodeSpec(task=name, embodiment="any", slot=i, attempt=0, entropy=20261123) for i in range(self.draws)
        )
        return [world_of(spec, usd.sample_scene(spec, s)) for s in specs]

    def test_describes_itself(self) -> None:
        """It has a name, a one-line summary, subtasks, and times that make sense."""
        task = self.task()
        assert isinstance(task, Task)
        assert task.name.isidentifier() and task.summary.strip() and "\n" not in task.summary
        assert task.subtasks and len(set(task.subtasks)) == len(task.subtasks)
        assert 0 < task.dwell < task.time_limit
        assert task.needs.arms >= 1

    def test_its_scene_fills_its_slots(self, worlds: Sequence[World]) -> None:
        """Every slot it needs is filled in its scene."""
        for world in worlds:
            for slot in self.task().needs.slots:
                assert world.filled(slot) in {**world.objects, **world.receptacles}

    def test_instructions_are_paraphrases(self, worlds: Sequence[World]) -> None:
        """Enough different instructions, without chance."""
        for world in worlds:
            said = list(self.task().instructions(world))
            assert len(said) >= self.paraphrases
            assert len(set(said)) == len(said)
            assert all(s == s.strip() and s and "{" not in s and "  " not in s for s in said)
            assert said == list(self.task().instructions(world)), "instructions must not depend on chance"

    def test_program_yields_skills(self, worlds: Sequence[World]) -> None:
        """Its program is made of skills."""
        skills = import_module("synthgen.experts.skills").Skill
        for world in worlds:
            program = list(self.task().program(world))
            assert program
            assert all(isinstance(s, skills) for s in program)

    def test_is_not_done_at_the_start(self, worlds: Sequence[World]) -> None:
        """A fresh draw is not a success, and the reason has a known name."""
        for world in worlds:
            assert not self.task().success(world)
            assert self.task().failure_reason(world) in FAILURE_REASONS

    def test_is_done_when_it_is_done(self, worlds: Sequence[World]) -> None:
        """The world in which it is done is a success."""
        for world in worlds:
            assert self.task().success(self.done(world))

    def test_is_not_done_while_something_has_fallen_down(self, worlds: Sequence[World]) -> None:
        """Anything on the floor spoils it."""
        for world in worlds:
            done = self.done(world)
            for name, state in done.objects.items():
                floor = Pose(
                    position=state.pose.position - np.array([0.0, 0.0, 0.8]), orientation=state.pose.orientation
                )
                fallen = replace(done, objects={**done.objects, name: replace(state, pose=floor)})
                assert not self.task().success(fallen), f"{name} lies on the floor"
                assert self.task().failure_reason(fallen) in FAILURE_REASONS

    def test_is_not_done_while_things_move(self, worlds: Sequence[World]) -> None:
        """Success is judged at rest."""
        for world in worlds:
            done = self.done(world)
            fast = {n: replace(o, linear_velocity=np.array([0.0, 0.4, 0.0])) for n, o in done.objects.items()}
            assert not self.task().success(replace(done, objects=fast))

    def test_is_not_done_while_everything_is_held(self, worlds: Sequence[World]) -> None:
        """What is still in a hand is not released."""
        for world in worlds:
            done = self.done(world)
            held = replace(done, touching=frozenset((ANY_HAND, n) for n in done.objects))
            assert not self.task().success(held)
