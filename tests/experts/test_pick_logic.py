"""What the expert does with what it sees: worlds are handed to it, nothing is simulated."""

from dataclasses import replace

import numpy as np
import pytest
from expert_bench import FPS, Job, motion, planner, simulated, world

from synthgen.core.errors import EpisodeFailure, UsageError
from synthgen.core.pose import Pose
from synthgen.experts.pick import arms_by_liking, plan_pick
from synthgen.experts.program import run_program
from synthgen.experts.skills import Home, Pick, Place

TABLE = {"red_can": (0.26, -0.24, 0.0), "gray_bin": (0.21, 0.0, 0.0)}


def start(robot: str, job: Job, at):
    expert = planner(robot)
    return run_program(job, expert, expert.embodiment, rng=np.random.default_rng(0), fps=FPS, world=at)


def after(at, segment, robot: str, *, lifted: float = 0.0, held: bool = False):
    """The world in which a segment was followed exactly; the can may have been lifted."""
    targets = segment.targets[-1]
    changed = replace(at, targets=targets, joints=simulated(planner(robot), targets), touching=frozenset())
    if lifted:
        can = at.objects["red_can"]
        pose = Pose(position=can.pose.position + np.array([0, 0, lifted]), orientation=can.pose.orientation)
        changed = replace(changed, objects={**at.objects, "red_can": replace(can, pose=pose)})
    hand = planner(robot).embodiment.end_effectors[0].name
    return replace(changed, touching=frozenset({(hand, "red_can")}) if held else frozenset())


def test_a_missed_grasp_is_tried_once_more_and_then_given_up():
    at = world("franka", TABLE)
    expert = start("franka", Job(Pick("red_can")), at)
    labels, segment = [], next(expert)
    with pytest.raises(EpisodeFailure) as failure:
        while True:
            labels.append(segment.label)
            at = after(at, segment, "franka")
            segment = expert.send(at)
    assert failure.value.reason == "missed_grasp"
    assert labels == ["reach", "close", "lift", "open", "draw back", "reach", "close", "lift"]


def test_a_held_object_ends_the_pick():
    at = world("franka", TABLE)
    expert = start("franka", Job(Pick("red_can")), at)
    labels, segment = [], next(expert)
    with pytest.raises(StopIteration):
        while True:
            labels.append(segment.label)
            lift = segment.label == "lift"
            at = after(at, segment, "franka", lifted=0.08 if lift else 0.0, held=segment.label in ("close", "lift"))
            segment = expert.send(at)
    assert labels == ["reach", "close", "lift"]


def test_an_object_that_moved_is_approached_anew_before_closing():
    at = world("franka", TABLE)
    expert = start("franka", Job(Pick("red_can")), at)
    first = next(expert)
    can = at.objects["red_can"]
    pushed = Pose(position=can.pose.position + np.array([0.05, 0.05, 0.0]), orientation=can.pose.orientation)
    at = after(replace(at, objects={**at.objects, "red_can": replace(can, pose=pushed)}), first, "franka")
    second = expert.send(at)
    assert second.label == "draw back"
    third = expert.send(after(at, second, "franka"))
    assert third.label == "reach"
    site = planner("franka").embodiment.end_effectors[0].site
    where = planner("franka").fk(site, third.targets[-1]).position
    np.testing.assert_allclose(where[:2], pushed.position[:2], atol=0.003)


def test_an_object_lost_on_the_way_is_dropped():
    at = world("franka", TABLE)
    expert = start("franka", Job(Pick("red_can"), Place("red_can", into="gray_bin")), at)
    segment = next(expert)
    labels = []
    with pytest.raises(EpisodeFailure) as failure:
        while True:
            labels.append(segment.label)
            moved = segment.label != "transfer"
            at = after(at, segment, "franka", lifted=0.08 if segment.label == "lift" else 0.0, held=moved)
            segment = expert.send(at)
    assert failure.value.reason == "dropped" and labels[-1] == "transfer"


def test_out_of_reach_is_said_so():
    at = world("franka", {"red_can": (1.4, 0.0, 0.0), "gray_bin": (0.21, 0.0, 0.0)})
    with pytest.raises(EpisodeFailure) as failure:
        next(start("franka", Job(Pick("red_can")), at))
    assert failure.value.reason == "unreachable" and "red_can" in failure.value.detail


@pytest.mark.parametrize("robot", ["gr1", "g1"])
def test_the_arm_on_the_objects_side_is_chosen_and_the_other_stays(robot):
    for y, name in ((-0.24, "right"), (0.24, "left")):
        at = world(robot, {"red_can": (0.26, y, 0.0), "gray_bin": (0.21, 0.0, 0.0)})
        seen = motion(robot, at)
        assert arms_by_liking(seen, "red_can", "gray_bin")[0].name == name
        plan = plan_pick(seen, "red_can", "gray_bin")
        assert plan.found.arm.name == name
        expert = start(robot, Job(Pick("red_can"), Place("red_can", into="gray_bin")), at)
        rows = next(expert).targets
        idle = set(range(rows.shape[1])) - {*plan.found.arm.columns, *plan.found.arm.hand_columns}
        assert idle
        home = planner(robot).home
        np.testing.assert_array_equal(rows[:, sorted(idle)], np.repeat(home[None, sorted(idle)], len(rows), axis=0))


@pytest.mark.parametrize("robot", ["gr1", "g1"])
def test_mirrored_scenes_have_mirrored_plans(robot):
    plans = {}
    for y in (-0.24, 0.24):
        at = world(robot, {"red_can": (0.27, y, 0.0), "gray_bin": (0.21, 0.0, 0.0)})
        plans[y] = plan_pick(motion(robot, at), "red_can", "gray_bin")
    expert = planner(robot)
    at = {y: expert.grasp_frame(p.found.arm, p.found.knots[-1])[0] for y, p in plans.items()}
    np.testing.assert_allclose(at[-0.24] * [1, -1, 1], at[0.24], atol=0.02)


@pytest.mark.parametrize("robot", ["franka", "gr1", "g1"])
def test_the_planned_reach_is_free_at_a_finer_resolution(robot):
    things = {**TABLE, "yellow_bottle": (0.45, -0.1, 0.0)}
    at = world(robot, things)
    seen = motion(robot, at)
    plan = plan_pick(seen, "red_can", "gray_bin")
    expert, arm = seen.planner, plan.found.arm
    expert.set_world(at)
    expert.set_hand(arm, plan.found.grasp.open)
    begin = plan.reach.at[-3]  # the approach begins here; from there on a hand may touch what it closes in on
    for s in np.linspace(0, 1, 300):
        if s > begin and plan.found.grasp.encloses:
            expert.ignore("/World/Objects/red_can")
        assert not expert.collides(arm, plan.reach(np.array([s]))[0], clearance=0.0), s


def test_home_brings_every_arm_home():
    expert = planner("gr1")
    at = world("gr1", {})
    away = expert.home.copy()
    for arm in expert.arms.values():
        away[arm.columns[-7:]] = np.array(arm.effector.rest)[-7:]
    at = replace(at, targets=away, joints=simulated(expert, away))
    run = start("gr1", Job(Home()), at)
    segment = next(run)
    with pytest.raises(StopIteration):
        while True:
            at = replace(at, targets=segment.targets[-1], joints=simulated(expert, segment.targets[-1]))
            segment = run.send(at)
    np.testing.assert_allclose(at.targets, expert.home, atol=1e-9)


def test_what_is_not_a_skill_is_refused():
    with pytest.raises(UsageError, match="yields str"):
        next(start("franka", Job("pick it up"), world("franka", TABLE)))


def test_subtasks_must_be_listed():
    job = Job(Pick("red_can"))
    job.subtasks = ("grab",)
    with pytest.raises(UsageError, match="'reach'"):
        next(start("franka", job, world("franka", TABLE)))


def test_the_same_world_and_stream_give_the_same_targets():
    rows = []
    for _ in range(2):
        # In between the planner is used for something else.
        plan_pick(
            motion("g1", world("g1", {"red_cube": (0.27, 0.25, 0.3), "white_plate": (0.2, 0.0, 0.0)})), "red_cube", None
        )
        rows.append(
            next(start("g1", Job(Pick("red_can"), Place("red_can", into="gray_bin")), world("g1", TABLE))).targets
        )
    np.testing.assert_array_equal(rows[0], rows[1])
