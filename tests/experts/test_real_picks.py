"""Real picks on real physics, for every embodiment: they succeed, keep the motion limits and use one arm."""

from functools import cache

import numpy as np
import pytest
from expert_bench import FPS, ROBOTS, tabletop

from synthgen import __version__
from synthgen.core.plan import Cell, RunPlan
from synthgen.core.project import Project
from synthgen.embodiments.registry import load
from synthgen.episode.build import open_source

pytestmark = pytest.mark.slow
ATTEMPTS = 4


@cache
def attempts(robot: str):
    """Outcomes and episodes of the first attempts at a few slots."""
    plan = RunPlan(
        cells=(Cell(task="pick_place", embodiment=robot, n=ATTEMPTS),),
        seed=20261124,
        scene="tabletop",
        scene_digest=tabletop().digest,
        simulator="mujoco",
        fps=FPS,
        cameras={},
        width=64,
        height=64,
        formats=(),
        shard_size=64,
        max_attempts=1,
        task_digests={},
        version=__version__,
    )
    source = open_source(plan, "pick_place", robot, project=Project.of(), asset_root=None)
    try:
        return list(source.run(range(ATTEMPTS), beat=lambda *_: None))
    finally:
        source.close()


def episodes(robot: str):
    return [episode for _, episode in attempts(robot) if episode is not None]


@pytest.mark.parametrize("robot", ROBOTS)
def test_they_succeed_and_replay(robot):
    outcomes = [outcome for outcome, _ in attempts(robot)]
    assert sum(o.success for o in outcomes) >= ATTEMPTS - 1, [(o.reason, o.detail) for o in outcomes]
    assert all(e.replay_error is not None for e in episodes(robot))


@pytest.mark.parametrize("robot", ROBOTS)
def test_commands_keep_the_robots_motion_limits(robot):
    embodiment = load(robot)
    velocity = np.array([embodiment.limits[j].velocity for j in embodiment.driven])
    acceleration = np.array([embodiment.limits[j].acceleration for j in embodiment.driven])
    for episode in episodes(robot):
        rows = embodiment.from_dataset(episode.action.astype(float))
        step = np.diff(rows, axis=0)
        assert (np.abs(step).max(axis=0) * FPS <= velocity * 1.001 + 1e-4).all()
        assert (np.abs(np.diff(step, axis=0)).max(axis=0) * FPS**2 <= acceleration * 1.001 + 1e-2).all()


@pytest.mark.parametrize("robot", ROBOTS)
def test_the_object_travels_in_one_hand_and_all_subtasks_occur_in_order(robot):
    embodiment = load(robot)
    for episode in episodes(robot):
        target = episode.sample["slots"]["target"]
        lifted = episode.object_pose[target][:, 2].max() - episode.object_pose[target][0, 2]
        assert lifted > 0.05
        assert sorted(set(episode.subtask.tolist())) == list(range(len(episode.subtasks)))
        assert (np.diff(episode.subtask) >= 0).all()
        if len(embodiment.end_effectors) == 2:
            groups = embodiment.group_slices()
            moved = {
                side: float(np.ptp(episode.action[:, slice(*groups[f"{side}_arm"])], axis=0).max())
                for side in ("left", "right")
            }
            assert min(moved.values()) == 0.0 and max(moved.values()) > 0.2


@pytest.mark.parametrize("robot", ROBOTS)
def test_idle_frames_are_only_where_a_hand_closes_or_success_is_awaited(robot):
    for episode in episodes(robot):
        still = ~np.diff(episode.action, axis=0).any(axis=1)
        closing = {"grasp", "release"}
        names = [episode.subtasks[i] for i in episode.subtask[1:][still]]
        # What is held at the end of the program is of the last subtask.
        assert set(names) <= closing | {"retreat"}
        assert sum(n in closing for n in names) <= 8
