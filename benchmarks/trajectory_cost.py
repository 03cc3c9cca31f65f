"""What a state-only trajectory costs beyond its physics: the generator's time over that of bare ``mj_step``.

Both do the same: the bare loop sets the start state of a trajectory that the generator has just made and applies the
very same interpolated controls with ``mj_step``, on a second copy of the physics model. The two are interleaved
trajectory by trajectory and measured in CPU time of the thread, so that a busy machine changes both alike.

    python benchmarks/trajectory_cost.py [--trajectories 30] [--embodiment franka] [--scene tabletop] [--camera NAME]
                                         [--json]

Counted as generator: sampling, reset, settling, planning, physics, success checks, trimming and assembling the
episode, of successful attempts. Shown apart: the replay check (physics a second time) and failed attempts. With
--camera each trajectory is also rendered and encoded at 256 x 256; the renderer draws in threads of its own, so CPU
time is then the process's (benchmarks/render_cost.py compares decimated with undecimated meshes).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from statistics import mean, median
from time import process_time, thread_time
from typing import Any

import numpy as np

from synthgen.core.exporter import DatasetSpec
from synthgen.core.project import Project
from synthgen.core.simulator import SimState
from synthgen.episode.build import open_rig
from synthgen.episode.pipeline import Pipeline
from synthgen.episode.render import RenderPlan

LIMIT = 1.4


class Tap:
    """A simulator that also keeps what it was told: targets of every step, and where states were set."""

    def __init__(self, simulator: Any) -> None:
        self._simulator = simulator
        self.targets: list[np.ndarray] = []
        self.set: list[tuple[int, SimState, np.ndarray]] = []
        self.sample: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._simulator, name)

    def reset(self, samples: Mapping[int, Any]) -> None:
        """An attempt begins: forget the one before."""
        self.targets, self.set, self.sample = [], [], samples[0]
        self._simulator.reset(samples)
        self.reset_state = self._simulator.state()

    def step(self, joint_targets: np.ndarray) -> None:
        """Keep the targets."""
        self.targets.append(joint_targets[0].copy())
        self._simulator.step(joint_targets)

    def set_state(self, state: SimState, *, previous_targets: np.ndarray, envs: Sequence[int] | None = None) -> None:
        """Keep when and what."""
        self.set.append((len(self.targets), state, previous_targets[0]))
        self._simulator.set_state(state, previous_targets=previous_targets, envs=envs)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trajectories", type=int, default=30)
    parser.add_argument("--embodiment", default="franka")
    parser.add_argument("--scene", default="tabletop")
    parser.add_argument("--task", default="pick_place")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--camera", default="", help="also render with this camera, 256 x 256")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    result = measure(options)
    if options.json:
        print(json.dumps(result))
    else:
        report(result)
    return 0 if result["ratio"] <= LIMIT else 1


def measure(options: argparse.Namespace) -> dict[str, Any]:
    from synthgen.embodiments.assets import AssetStore
    from synthgen.embodiments.registry import load
    from synthgen.sim.registry import SimulatorOptions, make
    from synthgen.usd import load_scene

    clock = process_time if options.camera else thread_time
    project = Project.of()
    scene = load_scene(project.scene(options.scene))
    embodiment = load(options.embodiment)
    store = AssetStore()
    fps = 20
    simulator = make("mujoco", SimulatorOptions(root_of=store.root, rendering=bool(options.camera)))
    simulator.load(scene, embodiment, fps=fps, num_envs=1)
    tap = Tap(simulator)
    task = project.load("tasks", "task")[options.task]
    rig = open_rig(task, embodiment, scene, tap, store.root, fps=fps, clock=clock)
    pipeline = Pipeline(
        rig,
        render=RenderPlan(cameras=(options.camera,) if options.camera else ()),
        dataset=_no_dataset(options.embodiment),
        entropy=options.seed,
        max_attempts=1,
    )
    bare = Bare(scene, embodiment, store.root, fps)
    rows: list[dict[str, float]] = []
    failed, slot = [], 0
    while len(rows) < options.trajectories:
        begin = clock()
        ((outcome, episode),) = pipeline.run([slot], beat=lambda *_: None)
        total = clock() - begin
        slot += 1
        if episode is None:
            failed.append(total)
            continue
        rows.append(
            {
                "total": total,
                "check": outcome.seconds["check"],
                "generator": total - outcome.seconds["check"] - (pictures := _pictures(options, outcome.seconds)),
                "pictures": pictures,
                "sample": outcome.seconds["sample"],
                "plan": outcome.seconds["plan"],
                "physics": outcome.seconds["physics"],
                "assemble": outcome.seconds.get("encode", 0.0) + outcome.seconds.get("render", 0.0) - pictures,
                **bare.measure(tap, len(episode)),
                "frames": len(episode),
            }
        )
    split = {k: mean(r[k] for r in rows) for k in rows[0]}
    split["other"] = split["generator"] - split["sample"] - split["plan"] - split["physics"] - split["assemble"]
    return {
        "embodiment": options.embodiment,
        "trajectories": len(rows),
        "failed_attempts": len(failed),
        "mean_ms_of_failed": 1e3 * mean(failed) if failed else 0.0,
        "frames": split["frames"],
        "ms": {k: 1e3 * v for k, v in split.items() if k != "frames"},
        "ratio": split["generator"] / split["bare"],
        "ratio_median": median(r["generator"] / r["bare"] for r in rows),
        "ratio_exported_frames_only": split["generator"] / split["bare_exported"],
    }


def _pictures(options: argparse.Namespace, seconds: Mapping[str, float]) -> float:
    """Seconds of drawing and encoding; assembling an episode counts as encoding, and is nothing beside it."""
    return seconds.get("render", 0.0) + seconds.get("encode", 0.0) if options.camera else 0.0


class Bare:
    """``mj_step`` and nothing else, on a physics model of its own."""

    def __init__(self, scene: Any, embodiment: Any, root_of: Any, fps: int) -> None:
        import mujoco

        from synthgen.sim.mujoco.dynamics import SampleDynamics
        from synthgen.sim.mujoco.model import build_model
        from synthgen.sim.mujoco.state import StateMap

        self.model = build_model(scene, embodiment, root_of, purpose="physics")
        self.data = mujoco.MjData(self.model)
        self.map = StateMap(self.model, scene, embodiment)
        self.dynamics = SampleDynamics(self.model, scene)
        self.embodiment = embodiment
        self.actuators = [self.model.actuator(j).id for j in embodiment.joints]
        self.substeps = round(1.0 / fps / self.model.opt.timestep)

    def measure(self, tap: Tap, frames: int) -> dict[str, float]:
        """CPU seconds for all that the rollout simulated, and for the exported frames alone."""
        (settled, start, targets), (replayed, again, replay_targets) = tap.set
        settling = self._seconds(tap, tap.reset_state, np.array([targets] * (settled + 1)))
        rollout = self._seconds(tap, start, np.array([targets, *tap.targets[settled:replayed]]))
        exported = tap.targets[replayed : replayed + frames]
        return {
            "bare": settling + rollout,
            "bare_settling": settling,
            "bare_exported": self._seconds(tap, again, np.array([replay_targets, *exported])),
        }

    def _seconds(self, tap: Tap, start: SimState, targets: np.ndarray) -> float:
        import mujoco

        model, data = self.model, self.data
        self.dynamics.apply(model, tap.sample)
        mujoco.mj_resetData(model, data)
        self.map.write(data, start, 0)
        share = (np.arange(1, self.substeps + 1) / self.substeps)[None, :, None]
        between = targets[:-1, None] + (targets[1:, None] - targets[:-1, None]) * share
        controls = np.zeros((between.shape[0] * self.substeps, model.nu))
        controls[:, self.actuators] = self.embodiment.expand(between.reshape(-1, targets.shape[1]))
        ctrl, step = data.ctrl, mujoco.mj_step
        begin = thread_time()
        for row in controls:
            ctrl[:] = row
            step(model, data)
        return thread_time() - begin


def report(result: dict[str, Any]) -> None:
    ms = result["ms"]
    print(
        f"{result['trajectories']} trajectories of {result['frames']:.0f} frames, {result['embodiment']}, CPU ms each"
    )
    for name in ("sample", "plan", "physics", "assemble", "other"):
        print(f"  {name:<10}{ms[name]:8.2f}  {100 * ms[name] / ms['generator']:5.1f} %")
    print(f"  {'generator':<10}{ms['generator']:8.2f}")
    print(f"  {'bare':<10}{ms['bare']:8.2f}  mj_step over the same control ticks (settling, program, hold)")
    print(f"  {'':<10}{ms['bare_exported']:8.2f}  mj_step over the exported frames only")
    print(f"  {'':<10}{ms['bare_settling']:8.2f}  of it while objects settle")
    print(f"  {'check':<10}{ms['check']:8.2f}  replay, not counted")
    if ms["pictures"]:
        print(f"  {'pictures':<10}{ms['pictures']:8.2f}  {ms['pictures'] / result['frames']:.2f} a frame, not counted")
    print(
        f"ratio {result['ratio']:.3f} (limit {LIMIT}; median {result['ratio_median']:.3f}; "
        f"over the exported frames only {result['ratio_exported_frames_only']:.3f})"
    )
    print(f"failed attempts: {result['failed_attempts']}, {result['mean_ms_of_failed']:.1f} ms each")


def _no_dataset(name: str) -> DatasetSpec:
    return DatasetSpec(
        name=name,
        embodiment=name,
        robot_type=name,
        gr00t_tag="",
        fps=20,
        groups=(),
        end_effectors=(),
        cameras=(),
        tasks=(),
        scene="",
        command="",
        licence="",
    )


if __name__ == "__main__":
    sys.exit(main())
