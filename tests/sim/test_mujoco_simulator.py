"""The MuJoCo simulator against the conformance suite."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from synthgen.core.embodiment import Embodiment
from synthgen.core.project import builtin_root
from synthgen.core.sample import SceneSample
from synthgen.core.scene import SceneSpec
from synthgen.core.simulator import Simulator
from synthgen.core.spec import EpisodeSpec
from synthgen.embodiments import registry as embodiments
from synthgen.sim import registry
from synthgen.testing.simulator_tests import SimulatorTests
from synthgen.usd.load import load_scene
from synthgen.usd.sample import sample_scene


class OnMujoco(SimulatorTests):
    scene_name = "tiny"
    robot_name = "franka"

    def simulator(self) -> Simulator:
        return registry.make("mujoco")

    def scene(self) -> SceneSpec:
        return load_scene(builtin_root() / "scenes" / f"{self.scene_name}.usda")

    def embodiment(self) -> Embodiment:
        return embodiments.load(self.robot_name)

    def samples(self) -> Sequence[SceneSample]:
        specs = [
            EpisodeSpec(task="pick_place", embodiment=self.robot_name, slot=slot, attempt=0, entropy=11)
            for slot in range(3)
        ]
        return [sample_scene(self.scene(), spec) for spec in specs]


class TestFrankaOnTiny(OnMujoco):
    pass


@pytest.mark.slow
class TestGr1OnTabletop(OnMujoco):
    scene_name = "tabletop"
    robot_name = "gr1"


@pytest.mark.slow
class TestG1OnTabletop(OnMujoco):
    scene_name = "tabletop"
    robot_name = "g1"
