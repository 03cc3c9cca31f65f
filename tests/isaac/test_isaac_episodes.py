"""Whole episodes on PhysX: the pipeline, experts and tasks of every engine, several environments at once.

Runs in .venv-isaac (``make test-isaac``).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("isaaclab", reason="runs in .venv-isaac: make test-isaac")

from synthgen.core.plan import Cell, RunPlan
from synthgen.core.project import Project
from synthgen.core.spec import EpisodeSpec
from synthgen.episode.build import open_source
from synthgen.episode.sample_json import sample_from_json
from synthgen.usd import load_scene, sample_scene

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
PROJECT = Project.of(None)
SLOTS = range(5)
ENVS = 3


def run(simulator: str, slots: Any = SLOTS, *, num_envs: int = 1, cameras: tuple[str, ...] = ()):
    """({slot: episode}, [outcomes], [(phase, slot, attempt)]) of the tiny scene with Franka."""
    plan = RunPlan(
        cells=(Cell(task="pick_place", embodiment="franka", n=len(slots)),),
        seed=11,
        scene="tiny",
        scene_digest=load_scene(PROJECT.scene("tiny")).digest,
        simulator=simulator,
        fps=20,
        cameras={"franka": cameras},
        width=96,
        height=96,
        formats=("lerobot",),
        shard_size=8,
        max_attempts=6,
        task_digests={},
        version="0",
    )
    beats: list[tuple[str, int, int]] = []
    source = open_source(plan, "pick_place", "franka", project=PROJECT, asset_root=None, num_envs=num_envs)
    try:
        results = list(source.run(slots, beat=lambda *b: beats.append(b)))
    finally:
        source.close()
    return {o.slot: e for o, e in results if e is not None}, [o for o, _ in results], beats


@pytest.fixture(scope="module")
def batch():
    return run("ovphysx", num_envs=ENVS, cameras=("agentview",))


def test_several_environments_make_every_slot(batch):
    episodes, outcomes, beats = batch
    assert set(episodes) == set(SLOTS), [(o.slot, o.reason, o.detail) for o in outcomes if not o.success]
    resets = [slot for phase, slot, attempt in beats if phase == "reset" and attempt == 0]
    first_end = next(i for i, (phase, *_) in enumerate(beats) if phase == "check")
    assert {slot for _, slot, _ in beats[:first_end]} >= set(range(ENVS)), "the environments work side by side"
    assert resets == list(SLOTS)


def test_what_a_slot_draws_depends_on_its_spec_only(batch):
    """Neither the engine nor the environment it ran in: the sample is the scene's, the words are MuJoCo's."""
    episodes, _, _ = batch
    scene = load_scene(PROJECT.scene("tiny"))
    for slot, episode in episodes.items():
        spec = EpisodeSpec(task="pick_place", embodiment="franka", slot=slot, attempt=episode.spec.attempt, entropy=11)
        assert episode.spec == spec
        drawn, expected = sample_from_json(episode.sample), sample_scene(scene, spec)
        assert drawn.slots == expected.slots
        for path, body in expected.bodies.items():
            assert drawn.bodies[path].active == body.active and drawn.bodies[path].mass == body.mass
            np.testing.assert_allclose(drawn.bodies[path].pose.vector(), body.pose.vector(), atol=1e-12)
    same = 0
    for slot, episode in run("mujoco")[0].items():
        if episode.spec == episodes[slot].spec:
            same += 1
            assert (episode.instruction, episode.draws) == (episodes[slot].instruction, episodes[slot].draws)
            assert episode.sample == episodes[slot].sample
    assert same >= len(SLOTS) - 2, "the engines agree in hardly any slot's successful attempt"


def test_an_episode_carries_the_object_and_its_pictures(batch):
    episodes, outcomes, _ = batch
    for episode in episodes.values():
        target = episode.sample["slots"]["target"]
        path = episode.object_pose[target][:, :3]
        assert np.linalg.norm(path[-1] - path[0]) > 0.05 and path[:, 2].max() - path[0, 2] > 0.03
        assert episode.replay_error is not None and np.abs(episode.replay_error).max() < 0.02
        assert episode.videos["agentview"].frames == len(episode)
    rendered = [o for o in outcomes if o.success]
    assert all(o.seconds["render"] > 0 for o in rendered)
