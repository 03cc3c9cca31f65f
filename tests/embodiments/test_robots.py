"""The three built-in robots pass the public suite, also inside the models that the MuJoCo simulator really uses."""

from pathlib import Path

import numpy as np

from synthgen.core.pose import Pose, quat_from_axis_angle
from synthgen.core.scene import Mount, SceneSpec
from synthgen.embodiments.assets import AssetStore
from synthgen.embodiments.registry import load
from synthgen.testing.embodiment_tests import EmbodimentTests

STORE = AssetStore()
MOUNT = Pose.of((0.3, -0.2, 0.9), quat_from_axis_angle((0, 0, 1), 0.8))
SCENE = SceneSpec(
    source=Path("bench.usda"),
    digest="",
    gravity=np.array([0.0, 0.0, -9.81]),
    bodies={},
    mounts=(Mount(name="mount", path="/mount", pose=MOUNT),),
)


class BuiltinTests(EmbodimentTests):
    name = ""

    def embodiment(self):
        return load(self.name)

    def asset_root_of(self, pack):
        return STORE.root(pack)

    def scene_models(self):
        from synthgen.sim.mujoco.model import build_model

        robot = self.embodiment()
        purposes = ("physics", "planning")
        models = {p: (build_model(SCENE, robot, STORE.root, purpose=p), MOUNT @ robot.base) for p in purposes}
        return {**super().scene_models(), **models}


class TestFranka(BuiltinTests):
    name = "franka"


class TestGr1(BuiltinTests):
    name = "gr1"


class TestG1(BuiltinTests):
    name = "g1"
