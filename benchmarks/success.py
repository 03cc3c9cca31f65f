"""Success per attempt of a task, by embodiment, object and receptacle, through the real pipeline (no pictures).

Every slot gets one attempt, so the rate is per attempt: draws out of reach count as failures. Use:

    python benchmarks/success.py --embodiment franka --n 200 --seed 1234
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import Counter, defaultdict

os.environ.setdefault("OMP_NUM_THREADS", "1")


def measure(task: str, embodiment: str, scene: str, *, n: int, seed: int, verbose: bool) -> dict[str, object]:
    """Run n single attempts and count."""
    import numpy as np

    from synthgen import __version__
    from synthgen.core.plan import Cell, RunPlan
    from synthgen.core.project import Project
    from synthgen.core.spec import EpisodeSpec
    from synthgen.episode.build import open_source
    from synthgen.usd import load_scene, sample_scene

    project = Project.of(None)
    spec = load_scene(project.scene(scene))
    plan = RunPlan(
        cells=(Cell(task=task, embodiment=embodiment, n=n),),
        seed=seed,
        scene=scene,
        scene_digest=spec.digest,
        simulator="mujoco",
        fps=20,
        cameras={},
        width=256,
        height=256,
        formats=(),
        shard_size=64,
        max_attempts=1,
        task_digests={},
        version=__version__,
    )
    source = open_source(plan, task, embodiment, project=project, asset_root=None)
    reasons: Counter[str] = Counter()
    tally: dict[str, Counter[str]] = defaultdict(Counter)
    seconds: dict[str, list[float]] = defaultdict(list)
    frames = []
    done = 0
    for outcome, episode in source.run(range(n), beat=lambda *_: None):
        done += 1
        episode_spec = EpisodeSpec(task=task, embodiment=embodiment, slot=outcome.slot, attempt=0, entropy=seed)
        try:
            slots = sample_scene(spec, episode_spec).slots
        except Exception:  # the draw itself failed: nothing fills the slots
            slots = {}
        for slot in ("target", "container"):
            tally[f"{slot} {slots.get(slot, '-')}"]["success" if outcome.success else "failure"] += 1
        if outcome.success:
            frames.append(len(episode.action))
            for phase, s in outcome.seconds.items():
                seconds[phase].append(1e3 * s)
        else:
            reasons[outcome.reason] += 1
            if verbose:
                print(outcome.slot, outcome.reason, outcome.detail, dict(slots), file=sys.stderr, flush=True)
    source.close()
    return {
        "task": task,
        "embodiment": embodiment,
        "scene": scene,
        "seed": seed,
        "attempts": done,
        "success_rate": sum(1 for _ in frames) / max(1, done),
        "failures": dict(reasons.most_common()),
        "by": {k: f"{c['success']}/{c['success'] + c['failure']}" for k, c in sorted(tally.items())},
        "median_ms_by_phase": {k: round(float(np.median(v)), 1) for k, v in seconds.items()},
        "median_frames": float(np.median(frames)) if frames else 0.0,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="pick_place")
    parser.add_argument("--embodiment", default="franka,gr1,g1")
    parser.add_argument("--scene", default="tabletop")
    parser.add_argument("--n", type=int, default=200)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--quiet", action="store_true", help="do not print each failure")
    args = parser.parse_args()
    for embodiment in args.embodiment.split(","):
        result = measure(args.task, embodiment, args.scene, n=args.n, seed=args.seed, verbose=not args.quiet)
        print(json.dumps(result, indent=2), flush=True)


if __name__ == "__main__":
    main()
