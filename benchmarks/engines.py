"""Success per attempt and speed of the engines on the same slots: the same layouts, instructions and seeds.

    python benchmarks/engines.py --simulator ovphysx --embodiment franka --n 50 --num-envs 4 --out table.jsonl

appends one line of JSON. Run it with the Python of the environment that has the engine (.venv or .venv-isaac).
"""

from __future__ import annotations

import argparse
import collections
import json
import time
from pathlib import Path

from synthgen.core.plan import Cell, RunPlan
from synthgen.core.project import Project
from synthgen.episode.build import open_source
from synthgen.usd import load_scene


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulator", default="mujoco")
    parser.add_argument("--task", default="pick_place")
    parser.add_argument("--embodiment", default="franka")
    parser.add_argument("--scene", default="tabletop")
    parser.add_argument("--n", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--num-envs", type=int, default=1)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--verbose", action="store_true")
    args = parser.parse_args()
    project = Project.of(None)
    plan = RunPlan(
        cells=(Cell(task=args.task, embodiment=args.embodiment, n=args.n),),
        seed=args.seed,
        scene=args.scene,
        scene_digest=load_scene(project.scene(args.scene)).digest,
        simulator=args.simulator,
        fps=20,
        cameras={args.embodiment: ()},
        width=96,
        height=96,
        formats=("lerobot",),
        shard_size=64,
        max_attempts=1,
        task_digests={args.task: ""},
        version="0",
    )
    start = time.perf_counter()
    source = open_source(plan, args.task, args.embodiment, project=project, asset_root=None, num_envs=args.num_envs)
    boot = time.perf_counter() - start
    reasons: collections.Counter[str] = collections.Counter()
    phases: collections.Counter[str] = collections.Counter()
    steps = 0
    start = time.perf_counter()
    for outcome, _ in source.run(range(args.n), beat=lambda phase, slot, attempt: None):
        reasons[outcome.reason or "success"] += 1
        phases.update(outcome.seconds)
        steps += outcome.steps
        if args.verbose:
            print(outcome.slot, outcome.reason or "success", outcome.detail, flush=True)
    seconds = time.perf_counter() - start
    source.close()
    line = {
        "simulator": args.simulator,
        "embodiment": args.embodiment,
        "num_envs": args.num_envs,
        "attempts": args.n,
        "success": reasons["success"],
        "reasons": dict(sorted(reasons.items())),
        "boot_s": round(boot, 1),
        "seconds": round(seconds, 1),
        "control_steps": steps,
        "phases_s": {k: round(v, 1) for k, v in sorted(phases.items())},
    }
    print(json.dumps(line))
    if args.out:
        with args.out.open("a") as file:
            file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
