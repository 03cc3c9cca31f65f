# pyright: reportMissingImports=false, reportAttributeAccessIssue=false
"""The simulator on Isaac Lab: the ``Simulator`` protocol for OvPhysX, Newton and Isaac Sim alike."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any, ClassVar

import numpy as np

from synthgen.core.embodiment import Embodiment
from synthgen.core.errors import SceneError, SimulatorError
from synthgen.core.pose import Array, Pose
from synthgen.core.sample import SceneSample
from synthgen.core.scene import SceneSpec
from synthgen.core.simulator import CameraImages, RenderRequest, SimState, SimulatorInfo, StateLayout
from synthgen.embodiments.assets import AssetStore
from synthgen.sim.isaac import gates, lab, nvidia, pictures, robot_usd, scene_usd
from synthgen.sim.isaac.engines import ENGINES, Engine, RendererName
from synthgen.sim.isaac.links import Links, links_of
from synthgen.sim.isaac.states import StateIO


class IsaacSimulator:
    """E environments in one Isaac Lab scene.

    Isaac Lab runs one simulation per process. Several simulators may exist all the same: the one that is used wakes up,
    and the one that was awake keeps its state and is rebuilt when it is used again.

    Args:
        engine: "ovphysx", "newton" or "isaacsim".
        renderer: "ovrtx" for RTX pictures without Kit; None: the engine's usual one.
        device: "cpu" or "cuda:0"; None: the GPU where RTX draws, else the CPU.
        timestep: physics step in seconds; None: what the engine does well.
        rendering: make cameras from the start. pixels: width and height of their pictures, which another request
            changes by starting the simulation anew.
        shadows: let distant lights cast shadows (kit-less; RTX always does).
        root_of: folder of an asset pack by name; None: the asset store's.
        nvidia_assets: load NVIDIA's own robots instead of ours, see ``nvidia``.
        robots: embodiments that will be loaded; one that NVIDIA has no reachable asset for is refused at once.
    """

    num_envs: int = 0
    _awake: ClassVar[IsaacSimulator | None] = None

    def __init__(
        self,
        engine: str = "ovphysx",
        *,
        renderer: RendererName | None = None,
        device: str | None = None,
        timestep: float | None = None,
        rendering: bool = True,
        pixels: tuple[int, int] = (pictures.USUAL.width, pictures.USUAL.height),
        shadows: bool = False,
        root_of: Callable[[str], Any] | None = None,
        nvidia_assets: bool = False,
        robots: Sequence[str] = (),
    ) -> None:
        self.engine: Engine = ENGINES[engine]
        if renderer is not None:
            self.engine = replace(self.engine, renderer=renderer)
        gates.check(self.engine)
        self._nvidia_assets = nvidia_assets
        for name in robots if nvidia_assets else ():
            nvidia.require(nvidia.load(name))
        self.device = device or ("cuda:0" if self.engine.ray_traced else "cpu")
        gates.check_device(self.engine, self.device)
        self._timestep = timestep
        self._rendering = rendering
        self._pixels = pixels
        self._shadows = shadows
        self._root_of = root_of or AssetStore().root
        self._loaded = False
        self._handles: lab.Handles | None = None
        self._asleep: SimState | None = None
        self._warm: set[str] = set()  # cameras whose first pictures were thrown away

    def load(self, scene: SceneSpec, embodiment: Embodiment, *, fps: int, num_envs: int = 1) -> None:
        """Build the environments; see ``Simulator.load``."""
        if not scene.mounts:
            raise SceneError(
                f"{scene.source}: no mount, so a robot has nowhere to stand",
                remedy="apply SynthgenMountAPI to an Xform at the near edge of the work surface",
            )
        self.scene, self.embodiment, self.num_envs = scene, embodiment, num_envs
        self.model = robot_usd.robot_model(embodiment, self._root_of)
        self.links: Links = links_of(self.model, name=embodiment.name)
        self.base: Pose = scene.mounts[0].pose @ embodiment.base
        self._robot_file = robot_usd.robot_file(embodiment, self.model)
        self._stock = None
        if self._nvidia_assets:
            self._stock = nvidia.load(embodiment.name)
            nvidia.require(self._stock)
        self._ready = scene_usd.prepare(scene)
        wanted = self._timestep or self.engine.substep
        self._substeps = max(1, math.ceil(1.0 / fps / wanted - 1e-9))
        self.dt = 1.0 / fps / self._substeps
        width, height = self._pixels
        views = replace(pictures.USUAL, width=width, height=height, shadows=self._shadows)
        self._build(views if self._rendering else None)
        self._targets = np.tile(embodiment.home_targets(), (num_envs, 1))
        self._loaded = True
        self._io.write(self._io.rest([SceneSample(slots={}, bodies={})] * num_envs), range(num_envs))
        self._io.command(embodiment.expand(self._targets))

    def _build(self, views: lab.Views | None) -> None:
        """(Re)start the simulation. Isaac Lab fixes the cameras' resolution and outputs when the scene is made."""
        other = IsaacSimulator._awake
        if other is not None:
            other._sleep()
        self._views = views
        self._warm = set()
        self._handles = lab.build(
            self.engine,
            scene=self.scene,
            ready=self._ready,
            embodiment=self.embodiment,
            robot_file=self._robot_file,
            links=self.links,
            base=self.base,
            num_envs=self.num_envs,
            dt=self.dt,
            device=self.device,
            views=views,
            stock=None if self._stock is None else (self._stock, self.model),
        )
        applied = self._io.applied if self._loaded else {}
        self._io = StateIO(self._handles, self.scene, self._ready, self.embodiment)
        for env, sample in applied.items():
            self._io.apply_sample(env, sample)
        IsaacSimulator._awake = self

    def _sleep(self) -> None:
        """Keep the state, end the simulation."""
        if self._handles is not None:
            self._asleep = self._io.read()
            self._end()

    def _end(self) -> None:
        if self._handles is not None:
            self._handles.stack.close()
            self._handles = None
        if IsaacSimulator._awake is self:
            IsaacSimulator._awake = None

    def _rebuild(self, views: lab.Views | None) -> None:
        """Go on where the simulation was, in a new one."""
        self._sleep()
        state, self._asleep = self._asleep, None
        self._build(views)
        assert state is not None
        self._io.write(state, range(self.num_envs))
        self._io.command(self.embodiment.expand(self._targets))

    @property
    def handles(self) -> lab.Handles:
        """The running simulation.

        Raises:
            SimulatorError: ``load`` was not called, or ``close`` was.
        """
        if self._handles is None:
            if not self._loaded or self._asleep is None:
                raise SimulatorError("the simulator is not loaded", remedy="call load first")
            self._rebuild(self._views)
        assert self._handles is not None
        return self._handles

    @property
    def io(self) -> StateIO:
        """Reads and writes the running simulation."""
        assert self.handles is not None
        return self._io

    def layout(self) -> StateLayout:
        """Names of the bodies and scene joints in the order of ``SimState``."""
        return self._io.layout

    def reset(self, samples: Mapping[int, SceneSample]) -> None:
        """Start environments anew; see ``Simulator.reset``."""
        envs, io = sorted(samples), self.io
        for env in envs:
            io.apply_sample(env, samples[env])
        if envs:
            io.write(io.rest([samples[e] for e in envs]), envs)
            self._targets[envs] = self.embodiment.home_targets()
            io.command(self.embodiment.expand(self._targets))

    def step(self, joint_targets: Array) -> None:
        """Advance by one control period; see ``Simulator.step``."""
        handles = self.handles
        if np.shape(joint_targets) != self._targets.shape:
            raise SimulatorError(
                f"joint targets of shape {np.shape(joint_targets)}; {self._targets.shape} was expected"
            )
        start, end = self.embodiment.expand(self._targets), self.embodiment.expand(np.asarray(joint_targets, float))
        share = np.arange(1, self._substeps + 1)[:, None, None] / self._substeps
        for command in self._io.commands(start + (end - start) * share):
            command()
            handles.robot.write_data_to_sim()
            handles.sim.step(render=False)
        handles.scene.update(self.dt * self._substeps)
        self._targets = np.array(joint_targets, float)

    def state(self) -> SimState:
        """A copy of the state of all environments."""
        state = self.io.read()
        if not state.finite():
            raise SimulatorError(f"{self.engine.name}: the state is not finite")
        return state

    def set_state(
        self, state: SimState, *, previous_targets: Array | None = None, envs: Sequence[int] | None = None
    ) -> None:
        """Set environments to ``state``; see ``Simulator.set_state``."""
        chosen = list(range(self.num_envs)) if envs is None else list(envs)
        self.io.write(state, chosen)
        driven = len(self.embodiment.driven)
        self._targets[chosen] = state.joint_position[:, :driven] if previous_targets is None else previous_targets
        self._io.command(self.embodiment.expand(self._targets))

    def render(
        self, request: RenderRequest, states: SimState, samples: Mapping[int, SceneSample]
    ) -> dict[str, CameraImages]:
        """Draw recorded states; see ``Simulator.render``."""
        views = replace(pictures.views_for(request), shadows=self._shadows)
        assert self.handles is not None
        if self._views is None or not pictures.satisfies(self._views, views):
            self._rebuild(views)
        return pictures.render(self, self._io, request, states, samples)

    def info(self) -> SimulatorInfo:
        """Who simulates."""
        versions = {p: _version(p) for p in ("isaaclab", "ovphysx", "newton", "mujoco-warp", "warp-lang", "torch")}
        return SimulatorInfo(
            name=self.engine.name,
            version=_version(self.engine.package),
            device=self.device,
            timestep=self.dt,
            deterministic=False,
            details={
                "versions": versions,
                "substeps": self._substeps,
                "environments": self.num_envs,
                **({"robot": self._stock.name} if self._stock is not None else {}),
            },
        )

    def health(self) -> Mapping[str, float]:
        """Numbers to watch."""
        import psutil

        found = {
            "rss_bytes": float(psutil.Process(os.getpid()).memory_info().rss),
            "environments": float(self.num_envs),
        }
        if self.device.startswith("cuda"):
            import torch

            free, total = torch.cuda.mem_get_info()
            found["vram_bytes"] = float(total - free)
        return found

    def close(self) -> None:
        """End the simulation; may be called twice. With Kit the process should be ended from outside."""
        self._end()
        self._loaded, self._asleep = False, None


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
