"""The physical values of a sample, written into a physics model: masses, friction, which bodies are there."""

from __future__ import annotations

from collections.abc import Iterator

import mujoco
import numpy as np

from synthgen.core.sample import SceneSample
from synthgen.core.scene import SceneSpec

PARKING = 10.0  # metres below the world's origin


def parking_pose(row: int) -> np.ndarray:
    """(7,) where the absent body at ``row`` of the state layout waits, one metre from the next."""
    return np.array([float(row % 16), float(row // 16), -PARKING, 1.0, 0.0, 0.0, 0.0])


def subtree(model: mujoco.MjModel, body: int) -> Iterator[int]:
    """A body and all that hangs on it."""
    for other in range(body, model.nbody):
        above = other
        while above > body:
            above = int(model.body_parentid[above])
        if above == body:
            yield other


class SampleDynamics:
    """Writes samples into one model, always starting from the values it was compiled with."""

    _ARRAYS = (
        "body_mass",
        "body_inertia",
        "body_gravcomp",
        "body_contype",
        "body_conaffinity",
        "geom_contype",
        "geom_conaffinity",
        "geom_friction",
        "tree_sleep_policy",
    )

    def __init__(self, model: mujoco.MjModel, scene: SceneSpec) -> None:
        for joint in scene.joints:
            # A spring that creeps towards its target must not fall asleep on the way.
            tree = model.body_treeid[model.body(joint.child).id]
            if tree >= 0:
                model.tree_sleep_policy[tree] = int(mujoco.mjtSleepPolicy.mjSLEEP_NEVER)
        self._compiled = {name: getattr(model, name).copy() for name in self._ARRAYS}
        self._scratch = mujoco.MjData(model)

    def apply(self, model: mujoco.MjModel, sample: SceneSample) -> None:
        """Masses (inertia scales along), friction factors; absent bodies are weightless, asleep, and touch nothing."""
        for name, values in self._compiled.items():
            getattr(model, name)[:] = values
        for path, body in sample.bodies.items():
            root = model.body(path).id
            geoms = model.geom_bodyid == root
            model.geom_friction[geoms, 0] *= body.friction_scale
            if body.mass is not None and model.body_mass[root] > 0:
                factor = body.mass / model.body_mass[root]
                model.body_mass[root] = body.mass
                model.body_inertia[root] *= factor
            if not body.active:
                for part in subtree(model, root):
                    model.body_gravcomp[part] = 1.0
                    model.body_contype[part] = model.body_conaffinity[part] = 0
                    inside = model.geom_bodyid == part
                    model.geom_contype[inside] = model.geom_conaffinity[inside] = 0
                    if model.body_treeid[part] >= 0:
                        model.tree_sleep_policy[model.body_treeid[part]] = int(mujoco.mjtSleepPolicy.mjSLEEP_INIT)
        # Constants that MuJoCo derives from the masses, as if it had compiled the model with them.
        mujoco.mj_setConst(model, self._scratch)
