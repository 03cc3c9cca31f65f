"""Laws of the pipeline, on a small exact world (``toy``): what holds for every simulator, task and robot."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from toy import ROBOT, ToyTask, column, line, pipeline, stops_short

from synthgen.core.errors import EpisodeFailure
from synthgen.core.outcome import FAILURE_REASONS, PHASES
from synthgen.core.trajectory import Segment
from synthgen.media.video import decode


def no_beat(phase: str, slot: int, attempt: int) -> None:
    pass


def run(slots, num_envs: int = 1, **options):
    """{slot: episode}, [outcomes]."""
    made = pipeline(num_envs, **options)
    results = list(made.run(slots, beat=no_beat))
    episodes = {o.slot: e for o, e in results if e is not None}
    return episodes, [o for o, _ in results]


def same(a, b) -> bool:
    """Whether two episodes are equal in every number and byte."""
    arrays = ("state", "action", "velocity", "subtask", "reward", "done", "replay_error")
    return (
        all(np.array_equal(getattr(a, n), getattr(b, n)) for n in arrays)
        and all(np.array_equal(a.eef_pose[k], b.eef_pose[k]) for k in a.eef_pose)
        and all(np.array_equal(a.object_pose[k], b.object_pose[k]) for k in a.object_pose)
        and (a.spec, a.instruction, a.draws, a.sample) == (b.spec, b.instruction, b.draws, b.sample)
        and {k: v.data for k, v in a.videos.items()} == {k: v.data for k, v in b.videos.items()}
    )


def test_an_episode_depends_on_its_spec_only() -> None:
    """Not on the environment, the number of environments, or what ran before."""
    together, outcomes = run(range(8))
    assert set(together) == set(range(8))
    assert any(not o.success for o in outcomes), "the toy expert must fail sometimes, or this proves little"
    alone, _ = run([5])
    backwards, _ = run(reversed(range(8)))
    for envs in (2, 3, 8):
        lanes, lane_outcomes = run(range(8), envs)
        assert all(same(together[s], lanes[s]) for s in range(8))
        key = lambda o: (o.slot, o.attempt, o.success, o.reason, o.detail, o.steps)  # noqa: E731
        assert sorted(map(key, lane_outcomes)) == sorted(map(key, outcomes))
    assert same(together[5], alone[5])
    assert all(same(together[s], backwards[s]) for s in range(8))


@pytest.mark.parametrize("envs", [2, 3, 5])
def test_no_environment_waits_while_slots_are_left(envs) -> None:
    """Lockstep without barriers: who finishes starts its next slot before the others move on."""
    made = pipeline(envs)
    ticks = 0
    step = made.simulator.step

    def counted(targets):
        nonlocal ticks
        ticks += 1
        step(targets)

    made.simulator.step = counted
    begun: list[tuple[int, int]] = []  # (slot, tick of its first attempt's reset)
    ended: list[tuple[int, int]] = []  # (steps, tick of an attempt's end)

    def beat(phase, slot, attempt):
        if phase == "reset" and attempt == 0:
            begun.append((slot, ticks))

    for outcome, _ in made.run(range(12), beat=beat):
        ended.append((outcome.steps, ticks))
    assert [slot for slot, _ in begun] == list(range(12)), "slots are taken in order, each once"
    assert [tick for _, tick in begun[:envs]] == [0] * envs, "all environments start at once"
    ends = {tick for _, tick in ended}
    assert all(tick in ends for _, tick in begun[envs:]), "a slot starts in the tick in which another ends"
    # The lanes are full until the last slot is taken: work done = environments x ticks up to there.
    last = begun[-1][1]
    idle = envs * ticks - sum(steps for steps, _ in ended)
    assert idle <= (envs - 1) * (ticks - last)


def test_failures_are_counted_and_never_rendered() -> None:
    made = pipeline(program=stops_short)
    results = list(made.run([0, 1], beat=no_beat))
    assert [(o.slot, o.attempt) for o, _ in results] == [(s, a) for s in (0, 1) for a in range(4)]
    assert {o.reason for o, _ in results} <= {"not_in_receptacle", "placement"}
    assert all(e is None for _, e in results)
    assert made.simulator.rendered == 0


def test_frames_render_the_recorded_states() -> None:
    episodes, _ = run([0, 1, 2])
    for episode in episodes.values():
        video = episode.videos["front"]
        frames = decode(video.data)
        assert len(frames) == video.frames == len(episode)
        for frame, state in zip(frames, episode.state, strict=True):
            edge = column(state[0], 32)
            assert edge < 3 or frame[:, : edge - 2, 0].mean() > 150
            assert (frame[:, edge + 2 :, 0] < 110).all()
        track = episode.cameras["front"]
        assert track.extrinsics.shape == (len(episode), 4, 4)


def test_the_record_is_the_data_sets_convention() -> None:
    episodes, _ = run(range(6))
    index = ROBOT.dataset_joints.index
    for e in episodes.values():
        length = len(e)
        for name in ("state", "action", "velocity"):
            value = getattr(e, name)
            assert value.shape == (length, 3)
            assert value.dtype == np.float32
        assert (e.state[:, index("waist")] == 0.25).all()
        assert (e.velocity[:, index("waist")] == 0.0).all()
        # Action t is reached (with the toy's lag) at frame t + 1: state follows action, not the reverse.
        q, a = e.state[:, 0].astype(float), e.action[:, 0].astype(float)
        assert np.allclose(q[1:], q[:-1] + 0.35 * (a[:-1] - q[:-1]), atol=1e-6)
        assert e.state[0] == pytest.approx([0.1, 0.25, 0.0])
        assert e.done.tolist() == [False] * (length - 1) + [True]
        assert e.reward.sum() == e.reward[-1] == 1.0
        assert e.subtask.tolist() == sorted(e.subtask.tolist())
        assert set(e.subtask) == {0, 1, 2}
        # The grasp frame sits on the cart; the base stands 0.5 m to its side.
        assert e.eef_pose["arm"][:, :3] == pytest.approx(
            np.stack([q, np.full(length, -0.5), np.zeros(length)], -1), abs=1e-6
        )
        assert e.eef_target["arm"][:, 0] == pytest.approx(a, abs=1e-6)
        assert e.object_pose["ball"].shape == e.receptacle_pose["spot"].shape == (length, 7)
        assert e.object_pose["ball"][0, 0] == pytest.approx(e.draws["ball.x"])
        assert e.instruction not in e.paraphrases
        assert len({e.instruction, *e.paraphrases}) == 4


def test_no_idle_frames_at_the_ends() -> None:
    episodes, _ = run(range(6))
    for e in episodes.values():
        assert not np.array_equal(e.action[0, [0, 2]].astype(float), ROBOT.home_targets().astype(np.float32))
        moved = np.abs(np.diff(e.state, axis=0)).max(1)
        assert moved[-2] > 1e-3, "more than one idle frame at the end"


def test_instructions_vary_by_slot() -> None:
    episodes, _ = run(range(12))
    assert len({e.instruction for e in episodes.values()}) >= 3


def test_replay_is_exact_and_its_error_recorded() -> None:
    episodes, _ = run(range(4))
    assert all((e.replay_error == 0.0).all() for e in episodes.values())


def test_an_episode_that_does_not_replay_is_a_failure() -> None:
    made = pipeline(drift=-0.05)  # the ball is elsewhere in the replay: the hand misses it
    results = list(made.run([0], beat=no_beat))
    assert {o.reason for o, _ in results} <= {"replay_failed", "not_in_receptacle", "placement"}
    assert any(o.reason == "replay_failed" for o, _ in results)
    assert made.simulator.rendered == 0


def test_non_finite_states_are_unstable() -> None:
    _, outcomes = run([0], explode_at=30, attempts=8)
    assert {o.reason for o in outcomes} <= {"unstable", "placement"}
    assert any(o.reason == "unstable" for o in outcomes)


def test_an_endless_program_times_out() -> None:
    def endless(world, rng):
        while True:
            at = world.targets
            world = yield Segment(targets=line(at, at + np.array([0.001, 0.0]), 4), subtask=0, label="creep")

    _, outcomes = run([1], program=endless, attempts=1)
    (outcome,) = outcomes
    assert outcome.reason == "timeout"
    assert "creep" in outcome.detail
    # Settling aside, exactly the time limit was simulated.
    assert 200 <= outcome.steps <= 220


def test_a_program_that_fails_names_its_reason() -> None:
    def gives_up(world, rng):
        yield Segment(targets=line(world.targets, world.targets + 0.1, 5), subtask=0)
        raise EpisodeFailure("missed_grasp", "twice")

    _, outcomes = run([1], program=gives_up, attempts=1)
    assert (outcomes[0].reason, outcomes[0].detail) == ("missed_grasp", "twice")


def test_a_program_without_motion_is_no_episode() -> None:
    episodes, outcomes = run([1], program=lambda world, rng: iter(()), attempts=1)
    assert not episodes
    assert outcomes[0].reason == "not_successful"


def test_reasons_of_a_tasks_own_are_counted_as_such() -> None:
    class Odd(ToyTask):
        def failure_reason(self, world):
            return "the cat took it"

    _, outcomes = run([1], task=Odd(), program=stops_short, attempts=1)
    assert outcomes[0].reason == "not_successful"
    assert "cat" in outcomes[0].detail


def test_the_expert_sees_the_world_at_segment_ends() -> None:
    seen = []

    def looks(world, rng):
        seen.append(world)
        for _ in range(3):
            at = world.targets
            world = yield Segment(targets=line(at, at + np.array([0.05, 0.0]), 5), subtask=0)
            seen.append(world)

    run([1], program=looks, attempts=1)
    assert [w.time for w in seen] == pytest.approx([0.0, 0.25, 0.5, 0.75])
    for before, after in pairwise(seen):
        assert after.targets[0] == pytest.approx(before.targets[0] + 0.05, abs=1e-6)
        assert after.joints[0] > before.joints[0]
    assert seen[0].touching == frozenset()


def test_touching_is_seen() -> None:
    seen = []

    def touches(world, rng):
        ball = world.objects["ball"].center[0]
        goal = np.array([ball, 0.0])
        seen.append(
            (yield Segment(targets=np.concatenate([line(world.targets, goal, 10), line(goal, goal, 20)]), subtask=0))
        )

    run([1], program=touches, attempts=1)
    assert seen[0].touching == {("arm", "ball")}


def test_phases_and_beats() -> None:
    beats = []
    made = pipeline()
    (*_, (outcome, episode)) = made.run([1], beat=lambda *b: beats.append(b))
    assert episode is not None
    assert set(outcome.seconds) <= set(PHASES)
    assert {"sample", "plan", "physics", "check", "render", "encode"} <= set(outcome.seconds)
    assert all(s > 0 for s in outcome.seconds.values())
    phases = [p for p, slot, attempt in beats]
    assert set(phases) == {"reset", "plan", "step", "check", "render"}
    assert {slot for _, slot, _ in beats} == {1}


def test_state_only_runs_render_nothing() -> None:
    episodes, outcomes = run([0, 1], cameras=())
    assert len(episodes) == 2
    assert all(e.videos == {} and e.cameras == {} for e in episodes.values())
    assert all("render" not in o.seconds or o.seconds["render"] < 0.01 for o in outcomes)


def test_close_reaches_the_simulator() -> None:
    made = pipeline()
    made.close()
    made.close()
    assert made.simulator.closed == 2


def test_every_reason_is_known() -> None:
    _, outcomes = run(range(30), attempts=2)
    assert {o.reason for o in outcomes if not o.success} <= set(FAILURE_REASONS)
