"""What every attempt of one cell (task, embodiment) shares: built once per worker."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from synthgen.core.embodiment import Embodiment
from synthgen.core.pose import Array
from synthgen.core.sample import SceneSample
from synthgen.core.scene import SceneSpec
from synthgen.core.simulator import SimState, Simulator
from synthgen.core.spec import EpisodeSpec
from synthgen.core.task import Task
from synthgen.core.trajectory import Segment
from synthgen.core.world import World
from synthgen.episode.observer import Observer
from synthgen.episode.stopwatch import Stopwatch

Program = Generator[Segment, World, None]


@dataclass(kw_only=True, eq=False)
class Rig:
    """A loaded simulator with everything an attempt asks.

    Attributes:
        task, embodiment, scene: what is done, by whom, where.
        simulator: loaded.
        observer: reads its states.
        draw: one draw of the scene for an episode; raises EpisodeFailure("placement").
        program: starts the expert on the world at the start, with the episode's "expert" stream; raises EpisodeFailure.
        fps: control rate, Hz.
        watch: what phases are measured with.
        state: state of all environments after the last step or reset; whoever advances the simulator refreshes it.
    """

    task: Task
    embodiment: Embodiment
    scene: SceneSpec
    simulator: Simulator
    observer: Observer
    draw: Callable[[EpisodeSpec], SceneSample]
    program: Callable[[World, np.random.Generator], Program]
    fps: int
    watch: Stopwatch = field(default_factory=Stopwatch)
    state: SimState = field(init=False)

    def refresh(self) -> None:
        """Read the simulator's state."""
        self.state = self.simulator.state()

    def quantized(self, targets: Array) -> tuple[NDArray[np.float32], Array]:
        """Driven targets (..., Jd) -> (float32 data set vectors (..., D), the targets they stand for (..., Jd)).

        What is executed is what is recorded: the second is made from the first.
        """
        vectors = self.embodiment.to_dataset(targets).astype(np.float32)
        return vectors, self.targets(vectors)

    def targets(self, vectors: NDArray[np.float32]) -> Array:
        """Data set vectors (..., D) -> driven joint targets (..., Jd), exactly."""
        return self.embodiment.from_dataset(vectors.astype(float))
