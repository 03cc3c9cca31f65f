"""What pictures and control ticks cost on MuJoCo, without a GPU.

For every embodiment on the tabletop scene, in milliseconds of CPU per 256 x 256 frame: the robot's visual meshes as
they come and reduced, everything else equal (no shadows, no multisampling), and ``mujoco.Renderer`` as it comes
(shadows, four samples a pixel, meshes as they come). And the time of ``step()`` over bare ``mj_step`` with the same
controls. All are measured in turns, and the least disturbed of several rounds counts, because machines are shared.

    python benchmarks/render_cost.py [--frames 20] [--rounds 5] [--embodiments franka,gr1,g1]
"""

from __future__ import annotations

import argparse
import json
import os
import time
from itertools import pairwise

from synthgen.engine.process import THREADS

os.environ.update(THREADS)  # as a worker's simulator has them; before anything loads
os.environ.setdefault("MUJOCO_GL", "egl")

import numpy as np

from synthgen.core.embodiment import Embodiment
from synthgen.core.project import builtin_root
from synthgen.core.sample import SceneSample
from synthgen.core.scene import SceneSpec
from synthgen.core.simulator import RenderRequest, SimState
from synthgen.core.spec import EpisodeSpec
from synthgen.embodiments import registry
from synthgen.embodiments.assets import AssetStore
from synthgen.sim.mujoco.model import build_model
from synthgen.sim.mujoco.sample_looks import SampleLooks
from synthgen.sim.mujoco.simulator import MujocoSimulator
from synthgen.usd.load import load_scene
from synthgen.usd.sample import sample_scene

TICKS = 40


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--embodiments", default="franka,gr1,g1")
    args = parser.parse_args()
    scene = load_scene(builtin_root() / "scenes" / "tabletop.usda")
    results = {name: measure(scene, name, args.frames, args.rounds) for name in args.embodiments.split(",")}
    for name, r in results.items():
        print(
            f"{name:8s} {r['full_ms']:7.2f} ms/frame with {r['full_faces']:6d} robot faces, "
            f"{r['reduced_ms']:5.2f} ms with {r['reduced_faces']:5d}: {r['speedup']:.1f} x; "
            f"mujoco.Renderer {r['stock_ms']:.1f} ms: {r['stock_speedup']:.1f} x; "
            f"step() / bare mj_step = {r['step_ratio']:.3f}"
        )
    print(json.dumps(results))


def measure(scene: SceneSpec, name: str, frames: int, rounds: int) -> dict[str, float]:
    """Figures of one embodiment; the camera is the scene's first, 256 x 256."""
    robot = registry.load(name)
    sample = sample_scene(scene, EpisodeSpec(task="pick_place", embodiment=name, slot=0, attempt=0, entropy=1))
    root_of = AssetStore().root
    reduced, full = (MujocoSimulator(root_of=root_of, faces=f) for f in (4000, None))
    for sim in (reduced, full):
        sim.load(scene, robot, fps=20)
        sim.reset({0: sample})
    path = motion(robot.home_targets())
    states = record(reduced, path, frames)
    ms: dict[str, list[float]] = {"reduced": [], "full": [], "stock": []}
    stock = Stock(scene, robot, sample)
    for turn in range(rounds + 1):
        seconds = {
            "reduced": draw(reduced, scene, states, sample) / frames,
            "full": draw(full, scene, states, sample) / frames,
            "stock": stock.draw(scene.cameras[0].name),
        }
        for what, value in seconds.items():
            if turn:  # the first builds the models and uploads the meshes
                ms[what].append(1e3 * value)
    stock.renderer.close()
    result = {
        "full_ms": min(ms["full"]),
        "reduced_ms": min(ms["reduced"]),
        "speedup": min(ms["full"]) / min(ms["reduced"]),
        "stock_ms": min(ms["stock"]),
        "stock_speedup": min(ms["stock"]) / min(ms["reduced"]),
        "full_faces": faces(full),
        "reduced_faces": faces(reduced),
        "step_ratio": step_ratio(reduced, sample, path, rounds),
    }
    for sim in (reduced, full):
        sim.close()
    return result


class Stock:
    """The same model, undecimated, drawn by ``mujoco.Renderer`` with MuJoCo's default quality."""

    def __init__(self, scene: SceneSpec, robot: Embodiment, sample: SceneSample) -> None:
        import mujoco

        model = build_model(scene, robot, AssetStore().root, purpose="visual", faces=None, shadows=True)
        defaults = mujoco.MjSpec().visual.quality
        model.vis.quality.offsamples, model.vis.quality.shadowsize = defaults.offsamples, defaults.shadowsize
        SampleLooks(model, scene).apply(model, sample)
        self.data = mujoco.MjData(model)
        for joint, value in zip(robot.joints, robot.expand(robot.home_targets()), strict=True):
            self.data.qpos[model.joint(joint).qposadr[0]] = value
        mujoco.mj_forward(model, self.data)
        self.renderer = mujoco.Renderer(model, 256, 256)

    def draw(self, camera: str) -> float:
        """CPU seconds of one picture."""
        start = time.process_time()
        self.renderer.update_scene(self.data, camera)
        self.renderer.render()
        return time.process_time() - start


def motion(home: np.ndarray) -> np.ndarray:
    """(TICKS, Jd) a slow wave of all joints about home."""
    t = np.arange(1, TICKS + 1)[:, None] / TICKS
    return home + 0.05 * np.sin(np.pi * t) * np.cos(np.arange(len(home)))


def record(sim: MujocoSimulator, path: np.ndarray, frames: int) -> SimState:
    states = []
    for row in np.resize(path, (frames, path.shape[1])):
        sim.step(row[None])
        states.append(sim.state())
    return SimState.stack(states)


def draw(sim: MujocoSimulator, scene: SceneSpec, states: SimState, sample: SceneSample) -> float:
    request = RenderRequest(cameras=(scene.cameras[0].name,), width=256, height=256)
    start = time.process_time()
    sim.render(request, states, {0: sample})
    return time.process_time() - start


def faces(sim: MujocoSimulator) -> int:
    """Triangles of the robot that are drawn."""
    pictures = sim._pictures
    assert pictures is not None
    model = pictures._model
    robot = pictures._geom_value == 2
    shown = robot & (model.geom_group < 3) & (model.geom_dataid >= 0)
    return int(sum(model.mesh_facenum[model.geom_dataid[g]] for g in np.flatnonzero(shown)))


def step_ratio(sim: MujocoSimulator, sample: SceneSample, path: np.ndarray, rounds: int) -> float:
    """CPU time of ``step`` over that of ``mj_step`` alone with the same controls from the same start."""
    import mujoco

    sim.reset({0: sample})
    start = sim.state()
    home = sim._home
    ours: list[float] = []
    bare: list[float] = []
    for _ in range(4 * rounds):
        sim.set_state(start, previous_targets=home[None])
        clock = time.thread_time()
        for row in path:
            sim.step(row[None])
        ours.append(time.thread_time() - clock)
        ends = [sim._commands(row) for row in (home, *path)]
        controls = np.concatenate([a + sim._fraction * (b - a) for a, b in pairwise(ends)])
        sim.set_state(start, previous_targets=home[None])
        model, data = sim._models[0], sim._data[0]
        clock = time.thread_time()
        for row in controls:
            data.ctrl[:] = row
            mujoco.mj_step(model, data)
        bare.append(time.thread_time() - clock)
    return min(ours) / min(bare)


if __name__ == "__main__":
    main()
