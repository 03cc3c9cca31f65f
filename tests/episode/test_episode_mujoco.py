"""The pipeline on real physics: what is recorded replays exactly and depends on the spec only."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest
from test_pipeline import no_beat, same

from synthgen.core.embodiment import Embodiment
from synthgen.core.episode import Episode
from synthgen.core.errors import PlanMismatchError, SimulatorError, UsageError
from synthgen.core.plan import Cell, RunPlan
from synthgen.core.pose import Pose, quat_mul
from synthgen.core.project import Project
from synthgen.core.simulator import RenderRequest
from synthgen.episode.build import open_source
from synthgen.episode.pipeline import Pipeline
from synthgen.episode.render import RenderPlan, render_states
from synthgen.episode.sample_json import sample_from_json
from synthgen.media.video import decode

pytestmark = pytest.mark.slow
PROJECT = Project.of()


@cache
def digest(scene: str) -> str:
    from synthgen.usd import load_scene

    return load_scene(PROJECT.scene(scene)).digest


def plan(embodiment: str, *, scene: str = "tabletop", cameras: tuple[str, ...] = (), **changes: Any) -> RunPlan:
    values: dict[str, Any] = dict(
        cells=(Cell(task="pick_place", embodiment=embodiment, n=10),),
        seed=20261123,
        scene=scene,
        scene_digest=digest(scene),
        simulator="mujoco",
        fps=20,
        cameras={embodiment: cameras},
        width=96,
        height=96,
        formats=("lerobot",),
        shard_size=8,
        max_attempts=6,
        task_digests={},
        version="0",
    )
    return RunPlan(**(values | changes))


def test_a_simulator_with_another_number_of_environments_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from synthgen.sim.mujoco.simulator import MujocoSimulator

    load = MujocoSimulator.load
    monkeypatch.setattr(
        MujocoSimulator, "load", lambda self, *args, **options: load(self, *args, **options | {"num_envs": 1})
    )
    with pytest.raises(SimulatorError, match="made 1 environments, not 2"):
        open_cell("franka", scene="tiny", num_envs=2)


def open_cell(embodiment: str, *, num_envs: int = 1, **options: Any) -> Pipeline:
    made = plan(embodiment, **options)
    return open_source(made, "pick_place", embodiment, project=PROJECT, asset_root=None, num_envs=num_envs)


def run(source: Pipeline, slots) -> tuple[dict[int, Episode], list]:
    results = list(source.run(slots, beat=no_beat))
    return {o.slot: e for o, e in results if e is not None}, [o for o, _ in results]


@pytest.fixture(scope="module")
def franka() -> Iterator[Pipeline]:
    source = open_cell("franka")
    yield source
    source.close()


@pytest.fixture(scope="module")
def episodes(franka: Pipeline) -> dict[int, Episode]:
    found, _ = run(franka, range(4))
    assert set(found) == set(range(4))
    return found


def test_a_slot_does_not_depend_on_those_before_it(episodes: dict[int, Episode]) -> None:
    source = open_cell("franka")
    alone, _ = run(source, [3])
    again, _ = run(source, [0, 3])
    source.close()
    assert same(alone[3], episodes[3])
    assert same(again[0], episodes[0])
    assert same(again[3], episodes[3])


def test_environments_do_not_touch_each_other(episodes: dict[int, Episode]) -> None:
    source = open_cell("franka", num_envs=2)
    pairs, _ = run(source, range(4))
    source.close()
    for slot, episode in episodes.items():
        assert same(pairs[slot], episode), f"slot {slot}"


def test_replay_is_bit_identical(episodes: dict[int, Episode]) -> None:
    for episode in episodes.values():
        assert episode.replay_error is not None
        assert (episode.replay_error == 0.0).all()


def test_the_exported_actions_alone_bring_the_episode_about(franka: Pipeline, episodes: dict[int, Episode]) -> None:
    """As a user would: sample, first state and float32 actions of the data set, nothing else."""
    from synthgen.embodiments.registry import load
    from synthgen.sim.registry import SimulatorOptions, make
    from synthgen.usd import load_scene

    scene, robot = load_scene(PROJECT.scene("tabletop")), load("franka")
    simulator = make("mujoco", SimulatorOptions(rendering=False))
    simulator.load(scene, robot, fps=20)
    for episode in episodes.values():
        simulator.reset({0: sample_from_json(episode.sample)})
        start = episode.sim_states.env(0)
        home = robot.from_dataset(robot.to_dataset(robot.home_targets()).astype(np.float32).astype(float))
        simulator.set_state(start, previous_targets=home[None])
        for action, want in zip(episode.action[:-1], episode.state[1:], strict=True):
            simulator.step(robot.from_dataset(action.astype(float))[None])
            got = robot.to_dataset(simulator.state().joint_position[0, : len(robot.driven)])
            assert np.array_equal(got.astype(np.float32), want)
    simulator.close()


def test_numbers_belong_together(episodes: dict[int, Episode]) -> None:
    for e in episodes.values():
        target = e.sample["slots"]["target"]
        moved = np.linalg.norm(e.object_pose[target][-1, :3] - e.object_pose[target][0, :3])
        assert moved > 0.05
        # While the object is carried it stays put in the hand: both poses come from different code.
        carried = e.subtask == e.subtasks.index("move")
        base = Pose.from_vector(e.base_pose)
        hand = base.apply(e.eef_pose["arm"][carried, :3].astype(float))
        turn = quat_mul(base.orientation, e.eef_pose["arm"][carried, 3:].astype(float))
        inside = np.stack(
            [
                Pose.of(h, q).inverse().apply(o)
                for h, q, o in zip(hand, turn, e.object_pose[target][carried, :3], strict=True)
            ]
        )
        assert np.ptp(inside[3:], axis=0).max() < 0.02
        # Commands lead, measurements follow: by the controller's lag on the way, closely at rest.
        lag = np.linalg.norm(e.eef_pose["arm"][1:, :3] - e.eef_target["arm"][:-1, :3], axis=1)
        assert lag.max() < 0.12
        assert lag[-1] < 0.005
        assert np.abs(e.state[1:, :7] - e.action[:-1, :7]).max() < 0.2
        assert np.isfinite(e.velocity).all()


def test_pictures_show_the_recorded_states() -> None:
    source = open_cell("franka", cameras=("agentview", "wrist"))
    found, outcomes = run(source, [1])
    episode = found[1]
    request = RenderRequest(cameras=("agentview", "wrist"), width=96, height=96)
    again = source.simulator.render(request, episode.sim_states, {0: sample_from_json(episode.sample)})
    for name in ("agentview", "wrist"):
        frames = decode(episode.videos[name].data)
        assert len(frames) == len(episode)
        errors = ((frames.astype(float) - again[name].rgb) ** 2).mean((1, 2, 3))
        assert 10 * np.log10(255**2 / errors).min() > 28  # 96 pixels are hard on chroma
        assert again[name].rgb.std() > 10
        assert np.allclose(again[name].extrinsics, episode.cameras[name].extrinsics)
    # The wrist camera moves with the arm, the other does not.
    assert np.ptp(episode.cameras["wrist"].extrinsics[:, :3, 3], axis=0).max() > 0.1
    assert np.ptp(episode.cameras["agentview"].extrinsics, axis=0).max() == 0.0
    assert outcomes[-1].seconds["render"] > 0
    # Rendered again from what the episode holds, the video is the same to the byte.
    rendered = render_states(
        source.simulator,
        RenderPlan(cameras=("agentview",), width=96, height=96),
        episode.sim_states,
        sample_from_json(episode.sample),
        fps=20,
    )
    assert rendered.videos["agentview"].data == episode.videos["agentview"].data
    source.close()


@pytest.mark.parametrize("embodiment", ["gr1", "g1"])
def test_humanoids(embodiment: str) -> None:
    source = open_cell(embodiment, scene="tiny")
    robot: Embodiment = source.embodiment
    found, outcomes = run(source, [0])
    source.close()
    assert 0 in found, [(o.reason, o.detail) for o in outcomes]
    e = found[0]
    assert e.state.shape == (len(e), len(robot.dataset_joints))
    assert (e.replay_error == 0.0).all()
    assert set(e.eef_pose) == {"left", "right"}
    for joint, value in robot.constants.items():
        assert (e.action[:, robot.dataset_joints.index(joint)] == np.float32(value)).all()


def test_a_changed_scene_is_refused() -> None:
    with pytest.raises(PlanMismatchError, match="changed"):
        open_cell("franka", scene_digest="0" * 64)


def test_an_unknown_camera_suggests_the_nearest() -> None:
    with pytest.raises(UsageError, match="agentview"):
        open_cell("franka", cameras=("agent_view",))
