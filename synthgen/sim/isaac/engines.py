# pyright: reportMissingImports=false
"""The three engines behind one configuration: what differs between them is on this page."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

EngineName = Literal["ovphysx", "newton", "isaacsim"]
RendererName = Literal["newton", "rtx", "ovrtx"]


@dataclass(frozen=True, kw_only=True)
class Engine:
    """One way to run Isaac Lab.

    Attributes:
        name: what the command line calls it.
        title: for people.
        kit: needs Isaac Sim's Kit, an NVIDIA GPU with RT cores and an accepted EULA.
        substep: longest physics step it is run with, seconds.
        package: distribution whose version identifies the engine.
        renderer: who draws: Newton-Warp, RTX in Kit, or OVRTX (RTX without Kit).
    """

    name: EngineName
    title: str
    kit: bool
    substep: float
    package: str
    renderer: RendererName = "newton"

    @property
    def ray_traced(self) -> bool:
        """Whether it draws with RTX: that needs a GPU with ray tracing cores, and starts with stale pictures."""
        return self.renderer != "newton"


ENGINES: dict[str, Engine] = {
    "ovphysx": Engine(name="ovphysx", title="NVIDIA PhysX without Kit", kit=False, substep=0.005, package="ovphysx"),
    "newton": Engine(
        name="newton", title="Newton (MuJoCo-Warp solver) without Kit", kit=False, substep=0.0025, package="newton"
    ),
    "isaacsim": Engine(
        name="isaacsim",
        title="Isaac Sim: PhysX and RTX in Kit",
        kit=True,
        substep=0.005,
        package="isaacsim",
        renderer="rtx",
    ),
}


# With gravity applied in every iteration of the solver (Isaac Lab's default) a can that is set down tilted dances on
# its rim for ever; applied once per step it comes to rest.
PHYSX = {"enable_external_forces_every_iteration": False}


def physics_cfg(engine: Engine) -> Any:
    """Isaac Lab's physics configuration of the engine."""
    if engine.name == "ovphysx":
        from isaaclab_ov.physics import OvPhysxCfg

        return OvPhysxCfg(enable_enhanced_determinism=True, **PHYSX)
    if engine.name == "newton":
        from isaaclab_newton.physics import MJWarpSolverCfg, NewtonCfg

        # MuJoCo-Warp's own contacts let cylinders spin and sink into what they stand on; Newton's pipeline does not.
        return NewtonCfg(
            solver_cfg=MJWarpSolverCfg(
                njmax=600,
                nconmax=200,
                integrator="implicitfast",  # Euler is unstable with damped position drives on light fingers
                cone="elliptic",
                impratio=10.0,
                use_mujoco_contacts=False,
            )
        )
    from synthgen.sim.isaac import kit

    return kit.physics_cfg()


def renderer_cfg(engine: Engine, *, shadows: bool = False) -> Any:
    """Isaac Lab's renderer configuration of the engine."""
    if engine.renderer == "ovrtx":
        from isaaclab_ov.renderers import OVRTXRendererCfg

        return OVRTXRendererCfg(
            colorize_semantic_segmentation=False,
            log_level="warn",
            log_file_path=str(Path(tempfile.gettempdir(), f"synthgen-ovrtx-{os.getpid()}.log")),
        )
    if not engine.kit:
        from isaaclab_newton.renderers import NewtonWarpRendererCfg

        return NewtonWarpRendererCfg(
            enable_shadows=shadows,
            enable_backface_culling=True,  # cameras sit inside the meshes they are mounted on
            colorize_semantic_segmentation=False,
            create_default_light=True,
        )
    from synthgen.sim.isaac import kit

    return kit.renderer_cfg()
