"""The contract of a simulator. One protocol for MuJoCo, PhysX and Isaac Sim."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from synthgen.core.embodiment import Embodiment
from synthgen.core.pose import Array
from synthgen.core.sample import SceneSample
from synthgen.core.scene import SceneSpec


@dataclass(frozen=True, kw_only=True, eq=False)
class SimState:
    """The physical state of E environments; enough to continue or to render from.

    World-frame quantities are relative to each environment's own origin.

    Attributes:
        joint_position, joint_velocity: (E, J), ``Embodiment.joints`` order, rad and rad/s (m, m/s).
        body_pose: (E, B, 7) x y z w-x-y-z of the scene's rigid bodies, ``StateLayout.bodies`` order. Poses of bodies
            that a joint moves follow from the joints: reported, and ignored when a state is set.
        body_velocity: (E, B, 6) linear then angular, world frame, m/s and rad/s.
        scene_joint_position, scene_joint_velocity: (E, M), ``StateLayout.scene_joints`` order.
    """

    joint_position: Array
    joint_velocity: Array
    body_pose: Array
    body_velocity: Array
    scene_joint_position: Array
    scene_joint_velocity: Array

    FIELDS = (
        "joint_position",
        "joint_velocity",
        "body_pose",
        "body_velocity",
        "scene_joint_position",
        "scene_joint_velocity",
    )

    def env(self, index: int) -> SimState:
        """The state of one environment, keeping a leading axis of 1."""
        return SimState(**{f: getattr(self, f)[index : index + 1] for f in self.FIELDS})

    @classmethod
    def stack(cls, states: Sequence[SimState]) -> SimState:
        """Concatenate along the leading axis (environments, or time steps of one environment); one stays as it is."""
        if len(states) == 1:
            return states[0]
        return cls(**{f: np.concatenate([getattr(s, f) for s in states]) for f in cls.FIELDS})

    def finite(self) -> bool:
        """Whether every number is finite."""
        return all(bool(np.isfinite(getattr(self, f)).all()) for f in self.FIELDS)


@dataclass(frozen=True, kw_only=True)
class StateLayout:
    """Names for the axes of SimState: paths of the scene's rigid bodies (stage order) and of its joints."""

    bodies: tuple[str, ...]
    scene_joints: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class RenderRequest:
    """What to draw. ``cameras`` are names (world or robot cameras); width and height in pixels."""

    cameras: tuple[str, ...]
    width: int = 256
    height: int = 256
    modes: tuple[str, ...] = ("rgb",)


@dataclass(frozen=True, kw_only=True, eq=False)
class CameraImages:
    """Pictures of one camera: rgb (E, H, W, 3) uint8; depth (E, H, W) float32 metres; segmentation (E, H, W) int32.

    Depth is measured along the optical axis, 0 where there is nothing. Segmentation: 0 nothing, 1 what belongs to no
    rigid body of the scene (table, floor), 2 the robot, 3 + i the i-th body of ``StateLayout.bodies``.

    Attributes:
        intrinsics: (3, 3) pinhole matrix, pixels.
        extrinsics: (E, 4, 4) camera -> world, OpenCV axes (x right, y down, z forward).
    """

    rgb: NDArray[np.uint8] | None = None
    depth: NDArray[np.float32] | None = None
    segmentation: NDArray[np.int32] | None = None
    intrinsics: Array
    extrinsics: Array


@dataclass(frozen=True, kw_only=True)
class SimulatorInfo:
    """Who simulated: engine name and version, device, physics step (s), determinism, free-form details."""

    name: str
    version: str
    device: str
    timestep: float
    deterministic: bool
    details: Mapping[str, Any] = field(default_factory=dict[str, Any])


class Simulator(Protocol):
    """E >= 1 environments of one scene and one embodiment.

    Life: ``load`` once; then any sequence of ``reset``, ``step``, ``state``, ``set_state``, ``render``; then ``close``.
    """

    num_envs: int

    def load(self, scene: SceneSpec, embodiment: Embodiment, *, fps: int, num_envs: int = 1) -> None:
        """Build the environments. ``fps``: control rate, Hz; one ``step`` simulates 1/fps seconds.

        Raises:
            SimulatorError, SceneError, AssetError.
        """
        ...

    def layout(self) -> StateLayout:
        """Names of the bodies and scene joints in the order of ``SimState``."""
        ...

    def reset(self, samples: Mapping[int, SceneSample]) -> None:
        """Start environments (by index) anew: apply the sample's values, robot at home, everything at rest."""
        ...

    def step(self, joint_targets: Array) -> None:
        """Advance every environment by one control period.

        ``joint_targets`` (E, Jd): targets to be reached at its end; each joint's command moves linearly from the
        previous target over the physics steps. After ``reset`` or ``set_state`` the previous target is the home
        pose, or the ``previous_targets`` given to ``set_state``.
        """
        ...

    def state(self) -> SimState:
        """A copy of the state of all environments."""
        ...

    def set_state(
        self, state: SimState, *, previous_targets: Array | None = None, envs: Sequence[int] | None = None
    ) -> None:
        """Set environments to ``state`` and forget their solver warm starts; the others are left alone.

        ``envs``: indices of the K environments to set, None = all E of them; ``state`` has leading axis K.
        After equal calls, equal steps give equal states (bitwise, where the simulator says deterministic), whatever
        the environment did before and whatever the others do.
        ``previous_targets`` (K, Jd): where the commands stand; None = the driven joints' positions.
        """
        ...

    def render(
        self, request: RenderRequest, states: SimState, samples: Mapping[int, SceneSample]
    ) -> dict[str, CameraImages]:
        """Draw recorded states.

        ``states`` has any leading length N (time steps of one or more environments); ``samples`` maps row -> sample,
        a row without one uses the nearest lower row's. Does not disturb the simulation's own state.
        """
        ...

    def info(self) -> SimulatorInfo:
        """Who simulates."""
        ...

    def health(self) -> Mapping[str, float]:
        """Numbers to watch: rss_bytes, environments alive, warnings of the engine."""
        ...

    def close(self) -> None:
        """Give back what it holds; may be called twice."""
        ...
