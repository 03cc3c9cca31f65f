"""What the registry calls to make a MuJoCo simulator."""

from __future__ import annotations

from synthgen.sim.mujoco.simulator import MujocoSimulator
from synthgen.sim.registry import SimulatorOptions


def make(options: SimulatorOptions) -> MujocoSimulator:
    """A MuJoCo simulator; ``options.device`` is ignored, it always runs on the CPU."""
    return MujocoSimulator(
        root_of=options.root_of,
        rendering=options.rendering,
        shadows=options.shadows,
        faces=options.faces,
    )
