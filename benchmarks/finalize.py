"""Does putting a data set together cost time in proportion to its size, and no more memory for a larger one?

Short synthetic episodes with real encoded video are written into shards of 64 and finalized, each size in a process of
its own whose largest resident memory is read at the end. Nothing is simulated: the generator makes an episode from its
number, around one of eight videos encoded beforehand.

    python benchmarks/finalize.py [--sizes 1000,5000,20000] [--frames 10] [--format lerobot] [--json]

Time is CPU time of the process (the machine may be busy), wall time beside it.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np

from synthgen.core.episode import CameraTrack, Episode
from synthgen.core.exporter import CameraSpec, DatasetSpec, ShardFiles
from synthgen.core.project import Project
from synthgen.core.spec import EpisodeSpec
from synthgen.media.video import encode_video
from synthgen.testing.episodes import dataset_spec, made_episode

SHARD = 64
PIXELS = 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="1000,5000,20000")
    parser.add_argument("--frames", type=int, default=10)
    parser.add_argument("--format", default="lerobot")
    parser.add_argument("--folder", type=Path, help="where to work (default: a temporary folder)")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            print(json.dumps(measure(Path(folder), options.one, options.frames, options.format)))
        return
    rows = []
    for size in options.sizes.split(","):
        command = [sys.executable, __file__, "--one", size, "--frames", str(options.frames), "--format", options.format]
        command += ["--folder", str(options.folder)] if options.folder else []
        rows.append(json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
        if not options.json:
            show(rows[-1], first=len(rows) == 1)
    if options.json:
        print(json.dumps(rows))


def measure(folder: Path, episodes: int, frames: int, name: str) -> dict[str, Any]:
    exporter = Project.of().load("exporters", "exporter")[name]
    dataset = dataset_spec(cameras=(CameraSpec(name="agentview", width=PIXELS, height=PIXELS),))
    shards: list[ShardFiles] = []
    source = generate(dataset, episodes, frames)
    cpu, wall = process_time(), perf_counter()
    for number in range(-(-episodes // SHARD)):
        place = folder / f"{number:06d}"
        place.mkdir()
        writer = exporter.open_shard(place, dataset)
        count = min(SHARD, episodes - number * SHARD)
        for _ in range(count):
            writer.add(next(source))
        writer.close()
        shards.append(ShardFiles(folder=place, files={}, episodes=count, frames=count * frames))
    out: dict[str, Any] = {"format": name, "episodes": episodes, "frames": frames}
    out["write"] = {"cpu": process_time() - cpu, "wall": perf_counter() - wall, "peak_mb": peak()}
    cpu, wall = process_time(), perf_counter()
    summary = exporter.finalize(shards, folder / "set", dataset)
    assert summary.episodes == episodes
    out["finalize"] = {"cpu": process_time() - cpu, "wall": perf_counter() - wall, "peak_mb": peak()}
    return out


def generate(dataset: DatasetSpec, episodes: int, frames: int) -> Iterator[Episode]:
    """Episodes that differ in every number, around a few real ones."""
    pictures = np.random.default_rng(0).integers(0, 255, (8, frames, PIXELS, PIXELS, 3), dtype=np.uint8)
    videos = [encode_video(p, dataset.fps) for p in pictures]
    still = CameraTrack(intrinsics=np.eye(3), extrinsics=np.tile(np.eye(4), (frames, 1, 1)))
    base = made_episode(0, dataset_spec(), frames=frames)
    for slot in range(episodes):
        noise = np.random.default_rng(slot).normal(0, 0.1, base.state.shape).astype(np.float32)
        yield replace(
            base,
            spec=EpisodeSpec(task="pick_place", embodiment="toy", slot=slot, attempt=0, entropy=1),
            state=base.state + noise,
            action=base.action + noise,
            instruction=f"put the can number {slot % 50} into the bowl",
            videos={"agentview": videos[slot % 8]},
            cameras={"agentview": still},
        )


def peak() -> float:
    """Largest resident memory of this process so far, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def show(row: dict[str, Any], *, first: bool) -> None:
    if first:
        print("episodes   write ms/ep   finalize s (cpu)   ms/ep   wall s   peak MB after write / finalize")
    n, w, f = row["episodes"], row["write"], row["finalize"]
    print(
        f"{n:8d} {w['cpu'] / n * 1e3:13.2f} {f['cpu']:18.2f} {f['cpu'] / n * 1e3:7.3f} {f['wall']:8.2f}"
        f" {w['peak_mb']:17.0f} / {f['peak_mb']:.0f}",
        flush=True,
    )


if __name__ == "__main__":
    main()
