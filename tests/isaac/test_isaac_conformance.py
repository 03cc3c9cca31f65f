"""The simulator conformance suite on every kit-less engine. Runs in .venv-isaac (``make test-isaac``)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("isaaclab", reason="runs in .venv-isaac: make test-isaac")

from synthgen.core.simulator import SimState
from synthgen.core.spec import EpisodeSpec
from synthgen.embodiments import registry
from synthgen.sim.isaac.simulator import IsaacSimulator
from synthgen.testing.simulator_tests import SimulatorTests
from synthgen.usd.load import load_scene
from synthgen.usd.sample import sample_scene

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
KITCHEN = Path(__file__).parent / "kitchen.usda"


class IsaacTests(SimulatorTests):
    """The kitchen with its drawer, and Franka."""

    engine = ""

    def same(self, sim, a, b):
        """Float32, and each environment has its own origin: a can at rest rattles by hundredths of a rad/s."""
        near = {"body_velocity": 0.05, "joint_velocity": 1e-3, "scene_joint_velocity": 1e-3}
        return all(np.allclose(getattr(a, f), getattr(b, f), rtol=0, atol=near.get(f, 1e-4)) for f in SimState.FIELDS)

    def simulator(self) -> IsaacSimulator:
        return IsaacSimulator(self.engine)

    def scene(self):
        return load_scene(KITCHEN)

    def embodiment(self):
        return registry.load("franka")

    def samples(self):
        scene = self.scene()
        specs = [EpisodeSpec(task="t", embodiment="franka", slot=i, attempt=0, entropy=1) for i in range(3)]
        return [sample_scene(scene, spec) for spec in specs]


class TestOvPhysx(IsaacTests):
    engine = "ovphysx"


class TestNewton(IsaacTests):
    engine = "newton"


del IsaacTests, SimulatorTests
