"""The built-in task: the public suite, what its instructions say, and why it may fail."""

import sys
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthgen.core.pose import Pose, quat_from_axis_angle
from synthgen.core.project import Project
from synthgen.core.spec import EpisodeSpec
from synthgen.core.world import World
from synthgen.experts.naming import describe, things
from synthgen.testing.task_tests import TaskTests
from synthgen.testing.worlds import resting_in, world_of
from synthgen.usd import load_scene, sample_scene

TASK = Project.of().load("tasks", "task")["pick_place"]


@cache
def scene(name: str = "tabletop"):
    return load_scene(Project.of().scene(name))


def drawn(slot: int) -> World:
    spec = EpisodeSpec(task="pick_place", embodiment="any", slot=slot, attempt=0, entropy=5)
    return world_of(scene(), sample_scene(scene(), spec))


def done(world: World, **more: object) -> World:
    target, container = world.filled("target"), world.filled("container")
    return world_of(world.scene, world.sample, poses={target: resting_in(world, target, container)}, **more)


class TestPickPlace(TaskTests):
    def task(self):
        return TASK

    def done(self, world):
        return done(world)


class TestPickPlaceTiny(TestPickPlace):
    scene = "tiny"


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 10_000))
def test_instructions_single_out_target_and_container(slot):
    world = drawn(slot)
    for role in ("target", "container"):
        name = world.filled(role)
        phrase = describe(world, name)
        assert phrase in TASK.instructions(world)[0]
        # The words fit this thing and no other one that is there.
        noun, words = phrase.split()[-1], set(phrase.split()[:-1])
        fitting = [t.name for t in things(world) if t.noun == noun and words <= set(t.attributes.values())]
        assert fitting == [name]


def test_names_use_as_few_words_as_do():
    counts = {len(describe(drawn(slot), drawn(slot).filled("target")).split()) for slot in range(40)}
    assert counts == {1, 2}


def test_things_alike_are_told_apart_by_where_they_stand():
    world = drawn(0)
    target = world.filled("target")
    base = world.objects[target]
    mount = world.scene.mounts[0].pose

    def copy(name: str, x: float, y: float):
        pose = Pose(position=mount.apply(np.array([x, y, 0.0])), orientation=base.pose.orientation)
        return replace(base, prop=replace(base.prop, name=name), pose=pose)

    three = {"a": copy("a", 0.2, 0.3), "b": copy("b", 0.3, 0.0), "c": copy("c", 0.2, -0.3)}
    alike = replace(world, objects=three, receptacles={})
    said = {name: describe(alike, name) for name in three}
    assert said["a"].startswith("leftmost ") and said["c"].startswith("rightmost ")
    assert said["b"].startswith("farthest ")
    middle = replace(alike, objects={**three, "b": copy("b", 0.2, 0.0)})
    assert describe(middle, "b").startswith("second ") and describe(middle, "b").endswith("from the left")


def test_a_thing_that_is_not_there_has_no_name():
    with pytest.raises(KeyError):
        describe(drawn(0), "unicorn")


def test_failure_reasons_say_what_is_wrong():
    world = drawn(1)
    target, container = world.filled("target"), world.filled("container")
    good = done(world)
    assert TASK.success(good)
    assert TASK.failure_reason(world) == "not_in_receptacle"
    assert TASK.failure_reason(done(world, touching=[("right", target)])) == "not_released"

    rolling = replace(good.objects[target], angular_velocity=np.array([0.0, 0.0, 3.0]))
    assert TASK.failure_reason(replace(good, objects={**good.objects, target: rolling})) == "not_at_rest"

    tipped = good.receptacles[container]
    frame = Pose(position=tipped.frame.position, orientation=quat_from_axis_angle([1, 0, 0], 0.9))
    spoiled = replace(good, receptacles={**good.receptacles, container: replace(tipped, frame=frame)})
    assert TASK.failure_reason(spoiled) == "not_in_receptacle"

    down = Pose(position=good.objects[target].pose.position - [0, 0, 0.7], orientation=np.array([1.0, 0, 0, 0]))
    lost = replace(good, objects={**good.objects, target: replace(good.objects[target], pose=down)})
    assert TASK.failure_reason(lost) == "dropped"


def test_another_object_on_the_floor_is_knocked_off():
    world = next(w for w in map(drawn, range(50)) if "distractor_0" in w.sample.slots)
    other = world.filled("distractor_0")
    good = done(world)
    low = Pose(position=good.objects[other].pose.position - [0, 0, 0.7], orientation=np.array([1.0, 0, 0, 0]))
    spoiled = replace(good, objects={**good.objects, other: replace(good.objects[other], pose=low)})
    assert TASK.failure_reason(spoiled) == "knocked_off"


def test_the_task_knows_no_engine():
    source = sys.modules[type(TASK).__module__].__dict__
    assert "mujoco" not in source and "pxr" not in source
