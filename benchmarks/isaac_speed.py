"""Speed of the Isaac Lab simulators: environment steps per second, and the share of the time spent outside the engine.

    .venv-isaac/bin/python benchmarks/isaac_speed.py --simulator ovphysx --num-envs 1 8 32

One line of JSON per number of environments. An environment step is one physics step of one environment; a control
period is what the pipeline does: interpolate targets, step, read the state of every body.
"""

from __future__ import annotations

import argparse
import json
import time

import numpy as np

from synthgen.core.project import Project
from synthgen.core.spec import EpisodeSpec
from synthgen.embodiments import registry
from synthgen.sim.isaac.simulator import IsaacSimulator
from synthgen.usd import load_scene, sample_scene


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulator", default="ovphysx")
    parser.add_argument("--embodiment", default="franka")
    parser.add_argument("--scene", default="tabletop")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--num-envs", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--periods", type=int, default=60)
    args = parser.parse_args()
    scene, robot = load_scene(Project.of(None).scene(args.scene)), registry.load(args.embodiment)
    for count in args.num_envs:
        print(json.dumps(measure(args, scene, robot, count)), flush=True)


def measure(args: argparse.Namespace, scene: object, robot: object, count: int) -> dict[str, object]:
    sim = IsaacSimulator(args.simulator, device=args.device, rendering=False)
    start = time.perf_counter()
    sim.load(scene, robot, fps=20, num_envs=count)
    boot = time.perf_counter() - start
    specs = [EpisodeSpec(task="pick_place", embodiment=robot.name, slot=i, attempt=0, entropy=0) for i in range(count)]
    sim.reset({i: sample_scene(scene, spec) for i, spec in enumerate(specs)})
    home = np.tile(robot.home_targets(), (count, 1))
    inside = 0.0
    engine = sim.handles.sim.step

    def timed(**options: object) -> None:
        nonlocal inside
        begun = time.perf_counter()
        engine(**options)
        inside += time.perf_counter() - begun

    sim.handles.sim.step = timed
    for _ in range(10):
        sim.step(home)
        sim.state()
    inside = 0.0
    start = time.perf_counter()
    for k in range(args.periods):
        sim.step(home + 0.1 * np.sin(0.1 * k))
        sim.state()
    seconds = time.perf_counter() - start
    steps = round(1.0 / 20 / sim.dt) * args.periods
    found = {
        "simulator": args.simulator,
        "device": args.device,
        "embodiment": robot.name,
        "num_envs": count,
        "physics_step_s": sim.dt,
        "env_steps_per_s": round(steps * count / seconds),
        "control_periods_per_s": round(args.periods * count / seconds, 1),
        "outside_engine": round(1.0 - inside / seconds, 3),
        "boot_s": round(boot, 1),
        "rss_GB": round(sim.health()["rss_bytes"] / 1e9, 2),
    }
    sim.close()
    return found


if __name__ == "__main__":
    main()
