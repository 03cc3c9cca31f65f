"""The ``Simulator`` on MuJoCo: one model and one data per environment, bitwise repeatable."""

from __future__ import annotations

import copy
import math
import platform
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import mujoco
import numpy as np
import psutil

from synthgen.core.embodiment import Embodiment
from synthgen.core.errors import UsageError
from synthgen.core.pose import Array
from synthgen.core.sample import SceneSample
from synthgen.core.scene import SceneSpec
from synthgen.core.simulator import CameraImages, RenderRequest, SimState, SimulatorInfo, StateLayout
from synthgen.sim.mujoco.dynamics import SampleDynamics, parking_pose
from synthgen.sim.mujoco.gl import open_context
from synthgen.sim.mujoco.model import build_model
from synthgen.sim.mujoco.pictures import Pictures
from synthgen.sim.mujoco.state import StateMap


class MujocoSimulator:
    """Simulates on the CPU. Needs no display; pictures need EGL or OSMesa.

    Args:
        root_of: folder of an asset pack by name (``AssetStore().root``).
        rendering: whether ``render`` will be used; if so, ``load`` checks that this machine has OpenGL.
        shadows: draw shadows; several times slower without a GPU.
        faces: triangles of the robot's visual meshes, all together; None = as they come.
    """

    def __init__(
        self,
        *,
        root_of: Callable[[str], Any],
        rendering: bool = True,
        shadows: bool = False,
        faces: int | None = 4000,
    ) -> None:
        self.num_envs = 0
        self._root_of = root_of
        self._rendering = rendering
        self._shadows = shadows
        self._faces = faces
        self._pictures: Pictures | None = None
        self._models: list[mujoco.MjModel] = []
        self._data: list[mujoco.MjData] = []
        self._failed = 0

    def load(self, scene: SceneSpec, embodiment: Embodiment, *, fps: int, num_envs: int = 1) -> None:
        """See ``Simulator.load``. The physics step is the embodiment's, shortened to divide the control period.

        Raises:
            UsageError: ``fps`` or ``num_envs`` below 1.
            MachineError: pictures are wanted and this machine cannot draw.
            SceneError, AssetError: the model cannot be built.
        """
        if fps < 1 or num_envs < 1:
            raise UsageError(f"fps {fps}, num_envs {num_envs}: both must be at least 1")
        self.close()
        if self._rendering:
            open_context(16, 16).free()
        self._scene, self._embodiment = scene, embodiment
        self._substeps = max(1, math.ceil(1.0 / (fps * embodiment.timestep) - 1e-9))
        self._timestep = 1.0 / (fps * self._substeps)
        model = build_model(scene, embodiment, self._root_of, purpose="physics", timestep=self._timestep)
        self._states = StateMap(model, scene, embodiment)
        self._dynamics = SampleDynamics(model, scene)
        self._models = [model] + [copy.copy(model) for _ in range(num_envs - 1)]
        self._data = [mujoco.MjData(m) for m in self._models]
        self.num_envs = num_envs
        self._load_commands(model)
        for env in range(num_envs):
            self._start(env, self._home)

    def _load_commands(self, model: mujoco.MjModel) -> None:
        """Which actuator follows which driven joint, and the constant commands of drives in the scene."""
        embodiment = self._embodiment
        driven = list(embodiment.driven)
        self._home = embodiment.home_targets()
        own = np.array([model.actuator(j).id for j in driven], np.intp)
        follow = np.array([model.actuator(f.joint).id for f in embodiment.followers], np.intp)
        self._actuators = np.concatenate([own, follow])
        # Commands = (driven targets)[source] * ratio + offset, in the order of self._actuators.
        leaders = [driven.index(f.leader) for f in embodiment.followers]
        self._source = np.array([*range(len(driven)), *leaders], np.intp)
        self._ratio = np.array([*np.ones(len(driven)), *(f.ratio for f in embodiment.followers)])
        self._offset = np.array([*np.zeros(len(driven)), *(f.offset for f in embodiment.followers)])
        self._fraction = (np.arange(1, self._substeps + 1) / self._substeps)[:, None]
        self._resting = np.zeros(model.nu)
        for joint in self._scene.joints:
            drive = joint.drive
            if drive is not None and mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_ACTUATOR, joint.path) >= 0:
                self._resting[model.actuator(joint.path).id] = drive.target
        self._command = np.tile(self._resting, (self.num_envs, 1))

    def layout(self) -> StateLayout:
        """See ``Simulator.layout``."""
        return self._states.layout

    def reset(self, samples: Mapping[int, SceneSample]) -> None:
        """See ``Simulator.reset``."""
        for env, sample in samples.items():
            self._dynamics.apply(self._models[env], sample)
            data = self._data[env]
            self._start(env, self._home)
            for path, body in sample.bodies.items():
                row = self._states.layout.bodies.index(path)
                self._states.place(data, path, body.pose.vector() if body.active else parking_pose(row))

    def _start(self, env: int, targets: Array) -> None:
        """Forget everything; robot at ``targets``, commands too."""
        data = self._data[env]
        mujoco.mj_resetData(self._models[env], data)
        data.qpos[:] = self._states.rest
        data.qpos[self._states.joint_qpos] = self._embodiment.expand(targets)
        self._command[env] = self._commands(targets)

    def _commands(self, targets: Array) -> Array:
        """Driven joint targets (Jd,) -> a value for every actuator (nu,)."""
        out = self._resting.copy()
        out[self._actuators] = targets[self._source] * self._ratio + self._offset
        return out

    def step(self, joint_targets: Array) -> None:
        """See ``Simulator.step``.

        Raises:
            UsageError: the targets' shape is not (E, Jd).
        """
        if joint_targets.shape != (self.num_envs, len(self._home)):
            raise UsageError(f"joint targets {joint_targets.shape}, expected {(self.num_envs, len(self._home))}")
        step = mujoco.mj_step
        for env, (model, data) in enumerate(zip(self._models, self._data, strict=True)):
            start, end = self._command[env], self._commands(joint_targets[env])
            control = data.ctrl
            for row in start + self._fraction * (end - start):
                control[:] = row
                step(model, data)
            self._command[env] = end

    def state(self) -> SimState:
        """See ``Simulator.state``."""
        return SimState.stack([self._states.read(m, d) for m, d in zip(self._models, self._data, strict=True)])

    def set_state(
        self, state: SimState, *, previous_targets: Array | None = None, envs: Sequence[int] | None = None
    ) -> None:
        """See ``Simulator.set_state``."""
        chosen = range(self.num_envs) if envs is None else envs
        if len(state.joint_position) != len(chosen):
            raise UsageError(f"set_state: {len(state.joint_position)} states for {len(chosen)} environments")
        for row, env in enumerate(chosen):
            targets = (
                state.joint_position[row, : len(self._home)] if previous_targets is None else previous_targets[row]
            )
            self._start(env, np.asarray(targets, float))
            self._states.write(self._data[env], state, row)

    def render(
        self, request: RenderRequest, states: SimState, samples: Mapping[int, SceneSample]
    ) -> dict[str, CameraImages]:
        """See ``Simulator.render``; segmentation values and depth: see ``Pictures``.

        Raises:
            UsageError: an unknown camera or mode.
            MachineError: this machine cannot draw.
            SimulatorError: a state is not finite, or row 0 has no sample.
        """
        if self._pictures is None:
            model = build_model(
                self._scene,
                self._embodiment,
                self._root_of,
                purpose="visual",
                faces=self._faces,
                shadows=self._shadows,
            )
            self._pictures = Pictures(model, self._scene, self._states)
        return self._pictures.draw(request, states, samples)

    def info(self) -> SimulatorInfo:
        """See ``Simulator.info``."""
        return SimulatorInfo(
            name="mujoco",
            version=mujoco.__version__,
            device="cpu",
            timestep=self._timestep,
            deterministic=True,
            details={
                "integrator": "implicitfast",
                "substeps": self._substeps,
                "platform": f"{platform.system()} {platform.machine()}",
                "faces": self._faces,
                "shadows": self._shadows,
            },
        )

    def health(self) -> Mapping[str, float]:
        """See ``Simulator.health``: rss_bytes, envs, envs_finite, and warnings since each environment's start."""
        finite = sum(bool(np.isfinite(d.qpos).all() and np.isfinite(d.qvel).all()) for d in self._data)
        numbers = [w.number for d in self._data for w in d.warning]
        return {
            "rss_bytes": float(psutil.Process().memory_info().rss),
            "envs": float(self.num_envs),
            "envs_finite": float(finite),
            "warnings": float(sum(numbers)),
        }

    def close(self) -> None:
        """See ``Simulator.close``."""
        if self._pictures is not None:
            self._pictures.close()
            self._pictures = None
        self._models, self._data = [], []
        self.num_envs = 0
