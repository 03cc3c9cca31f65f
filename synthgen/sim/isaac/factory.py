"""What the registry calls to make a simulator on Isaac Lab."""

from __future__ import annotations

import os

from synthgen.sim.isaac.simulator import IsaacSimulator
from synthgen.sim.registry import SimulatorOptions


def _make(engine: str, options: SimulatorOptions, device: str | None) -> IsaacSimulator:
    # Where to simulate changes no draw, so it is no part of the plan: cuda:0 for a worker that has a GPU.
    renderer = "ovrtx" if options.choices.get("renderer") == "ovrtx" else None
    if renderer is not None and device == "cpu":
        device = None
    return IsaacSimulator(
        engine,
        renderer=renderer,
        device=os.environ.get("SYNTHGEN_DEVICE") or device,
        rendering=options.rendering,
        pixels=options.pixels,
        shadows=options.shadows,
        root_of=options.root_of,
        nvidia_assets=options.choices.get("assets") == "nvidia",
        robots=options.robots,
    )


def ovphysx(options: SimulatorOptions) -> IsaacSimulator:
    """NVIDIA PhysX without Kit."""
    return _make("ovphysx", options, options.device)


def newton(options: SimulatorOptions) -> IsaacSimulator:
    """Newton without Kit."""
    return _make("newton", options, options.device)


def isaacsim(options: SimulatorOptions) -> IsaacSimulator:
    """Isaac Sim in Kit; always on the GPU."""
    return _make("isaacsim", options, None if options.device == "cpu" else options.device)
