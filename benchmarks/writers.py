"""Our LeRobot writer against lerobot's own, on the same pictures in one run.

Episodes of 300 ticks with two cameras of 256 x 256 (textured backgrounds, moving with the wrist camera, a moving arm
and object; without sensor noise, which a renderer does not make) are written three ways: by synthgen (this
environment), and by lerobot's own writer with its default settings and with h264 (in .venv-readers, which
.ci/readers.sh makes). Then every frame of each data set is decoded and compared with its source.

Also: a shard of 64 such episodes made into a GR00T data set without encoding anything again, its video packets compared
byte by byte; the whole of that, with parquet and statistics, against encoding alone.

    python benchmarks/writers.py [--episodes 4] [--ticks 300] [--json]

Wall time per episode, everything included: encoding, statistics, parquet, closing and finalizing; of several episodes
the fastest, on both sides, since what else the machine does only ever slows one down. Ours is one thread;
lerobot uses what threads it likes. The GR00T figure is a ratio of CPU times of one thread, encoding against all of the
export, so that a busy disk does not decide it; of three tries in turn the fastest of each.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthgen.core.episode import Episode
from synthgen.core.exporter import CameraSpec, ShardFiles
from synthgen.core.project import Project
from synthgen.formats.manifest import read_dataset_manifest
from synthgen.formats.transfer import write_dataset
from synthgen.media.packets import packets
from synthgen.media.video import encode_video, iterate
from synthgen.testing.episodes import dataset_spec, made_episode

REPOSITORY = Path(__file__).resolve().parent.parent
READERS = REPOSITORY / ".venv-readers"
SIZE = 256
FPS = 20
CAMERAS = ("agentview", "wrist")
SMALL = dataset_spec()
DATASET = dataset_spec(cameras=tuple(CameraSpec(name=c, width=SIZE, height=SIZE) for c in CAMERAS))
SHARD = 64
TRIES = 3
LIMITS = {"default": 10.0, "h264": 8.0}
PSNR = 35.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--episodes", type=int, default=4)
    parser.add_argument("--ticks", type=int, default=300)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = compare(Path(folder), options.episodes, options.ticks)
    if options.json:
        print(json.dumps(result))
    else:
        show(result)
    sys.exit(0 if result["met"] else 1)


def pictures(episode: int, camera: int, ticks: int) -> NDArray[np.uint8]:
    """(ticks, SIZE, SIZE, 3): a texture (moving with the wrist), a moving arm and object."""
    rng = np.random.default_rng(1000 * episode + camera)
    grey = rng.integers(60, 195, (16, 16, 1)) + rng.integers(-20, 20, (16, 16, 3))
    coarse = np.kron(grey, np.ones((16, 16, 1)))
    fine = rng.normal(0, 1, (SIZE, SIZE, 1))
    for axis in (0, 1):
        coarse = sum(np.roll(coarse, k, axis) for k in range(-6, 7)) / 13
        fine = sum(np.roll(fine, k, axis) for k in range(-1, 2)) / 3
    background = coarse + 10 * fine
    y, x = np.mgrid[0:SIZE, 0:SIZE]
    out = np.empty((ticks, SIZE, SIZE, 3), np.uint8)
    phase = rng.uniform(0, 6, 2)
    for t in range(ticks):
        cx, cy = (128 + 80 * np.sin(2 * np.pi * 0.2 * t / FPS + p) for p in phase)
        shift = (int((cx - 128) / 8), int((cy - 128) / 8)) if camera else (0, 0)
        image = np.roll(background, shift, (0, 1)).copy()
        arm = np.abs((x - 128) * (cy - 255) - (y - 255) * (cx - 128)) < 6 * np.hypot(cx - 128, cy - 255)
        image[arm & (y > cy)] = (70, 70, 80)
        image[(x - cx) ** 2 + (y - cy) ** 2 < 22**2] = (200, 60, 40)
        image[150:185, 60:95] = (40, 160, 70)
        out[t] = np.clip(image, 0, 255)
    return out


def compare(folder: Path, episodes: int, ticks: int) -> dict[str, Any]:
    source = folder / "source"
    source.mkdir()
    for e in range(episodes):
        np.save(source / f"{e}.npy", np.stack([pictures(e, c, ticks) for c in range(len(CAMERAS))]))
    out: dict[str, Any] = {"episodes": episodes, "ticks": ticks, "synthgen": ours(folder, episodes)}
    for codec in LIMITS:
        out[codec] = theirs(folder, codec, episodes)
        out[codec]["ratio"] = out[codec]["wall"] / out["synthgen"]["wall"]
    out["gr00t"] = gr00t(folder)
    met = all(out[codec]["ratio"] >= limit for codec, limit in LIMITS.items())
    out["met"] = bool(met and out["synthgen"]["psnr"] >= PSNR and out["gr00t"]["ratio"] >= 20)
    return out


def ours(folder: Path, episodes: int) -> dict[str, Any]:
    exporter = Project.of().load("exporters", "exporter")["lerobot"]
    still = encode_video(np.zeros((20, SIZE, SIZE, 3), np.uint8), FPS)
    warm_up = Writer(exporter, folder / "warm-up")
    warm_up.add(replace(made_episode(0, SMALL, frames=20), videos=dict.fromkeys(CAMERAS, still)))
    warm_up.finish()
    cpu = 0.0
    walls: list[float] = []
    writer = Writer(exporter, folder / "ours")
    for e in range(episodes):
        frames = np.load(folder / "source" / f"{e}.npy")
        template = made_episode(e, SMALL, frames=frames.shape[1])
        start, start_cpu = perf_counter(), process_time()
        videos = {c: encode_video(frames[i], FPS) for i, c in enumerate(CAMERAS)}
        writer.add(replace(template, videos=videos))
        walls.append(perf_counter() - start)
        cpu += process_time() - start_cpu
    start, start_cpu = perf_counter(), process_time()
    writer.finish()
    end = perf_counter() - start
    cpu += process_time() - start_cpu
    found = {"wall": min(walls) + end / episodes, "mean": (sum(walls) + end) / episodes}
    found |= {"cpu": cpu / episodes}
    return {**found, "psnr": psnr(folder, folder / "ours", episodes), "bytes": size(folder / "ours") / episodes}


def theirs(folder: Path, codec: str, episodes: int) -> dict[str, Any]:
    python = READERS / "bin" / "python"
    if not python.exists():
        sys.exit("benchmarks/writers.py: make the readers' environment first: .ci/readers.sh")
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": "ignore"}
    environment["LD_LIBRARY_PATH"] = f"{READERS / 'ffmpeg'}:{os.environ.get('LD_LIBRARY_PATH', '')}"
    command = [str(python), str(Path(__file__).with_name("lerobot_writer.py")), str(folder), codec, str(episodes)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"lerobot's writer failed:\n{done.stderr[-3000:]}")
    found = json.loads(done.stdout.splitlines()[-1])
    root = folder / codec
    return {**found, "psnr": psnr(folder, root, episodes), "bytes": size(root) / episodes}


def gr00t(folder: Path) -> dict[str, Any]:
    """A shard in our v3.0 and then in the GR00T layout, and encoding in between, so that both meet the same load."""
    formats = Project.of().load("exporters", "exporter")
    videos = next(formats["lerobot"].read(folder / "ours")).videos
    ticks = videos[CAMERAS[0]].frames
    writer = Writer(formats["lerobot"], folder / "v3")
    for e in range(SHARD):
        writer.add(replace(made_episode(e, SMALL, frames=ticks), videos=videos))
    writer.finish()
    manifest, _ = read_dataset_manifest(folder / "v3")
    frames = np.load(folder / "source" / "0.npy")
    encode = cpu = wall = float("inf")
    for _ in range(TRIES):
        start = process_time()
        for i in range(len(CAMERAS)):
            encode_video(frames[i], FPS)
        encode = min(encode, process_time() - start)
        shutil.rmtree(folder / "gr00t", ignore_errors=True)
        start, start_cpu = perf_counter(), process_time()
        write_dataset(formats["gr00t"], manifest.dataset, formats["lerobot"].read(folder / "v3"), folder / "gr00t")
        wall, cpu = min(wall, (perf_counter() - start) / SHARD), min(cpu, (process_time() - start_cpu) / SHARD)
    before, after = (formats[n].read(folder / r) for n, r in (("lerobot", "v3"), ("gr00t", "gr00t")))
    for a, b in zip(before, after, strict=True):
        for c in CAMERAS:
            assert list(packets(a.videos[c])) == list(packets(b.videos[c])), "packets differ"
    return {
        "wall": wall,
        "cpu": cpu,
        "encode": encode,
        "ratio": encode / cpu,
        "packets": "identical",
        "episodes": SHARD,
    }


class Writer:
    """Our exporter as a program would use it: one shard, then the data set."""

    def __init__(self, exporter: Any, root: Path) -> None:
        self.exporter, self.root, self.shard, self.count = exporter, root, root.with_name(root.name + ".shard"), 0
        self.shard.mkdir()
        self.writer = exporter.open_shard(self.shard, DATASET)

    def add(self, episode: Episode) -> None:
        """Append an episode."""
        self.writer.add(episode)
        self.count += 1

    def finish(self) -> None:
        """Close the shard and make the data set of it."""
        self.writer.close()
        files = [ShardFiles(folder=self.shard, files={}, episodes=self.count, frames=0)]
        self.exporter.finalize(files, self.root, DATASET)


def psnr(folder: Path, root: Path, episodes: int) -> float:
    """Peak signal-to-noise ratio over all frames of a v3 data set against the source, dB; frames must be all there."""
    error = count = 0.0
    for i, camera in enumerate(CAMERAS):
        files = sorted((root / "videos" / f"observation.images.{camera}").glob("*/*.mp4"))
        decoded = (frame for file in files for frame in iterate(file))
        for e in range(episodes):
            for frame in np.load(folder / "source" / f"{e}.npy", mmap_mode="r")[i]:
                error += float(((next(decoded).astype(float) - frame) ** 2).sum())
                count += frame.size
        assert next(decoded, None) is None, f"{root}: more frames than were written"
    return 10 * np.log10(255**2 * count / error)


def size(root: Path) -> float:
    return sum(p.stat().st_size for p in root.rglob("*") if p.is_file())


def show(r: dict[str, Any]) -> None:
    print(f"{r['episodes']} episodes of {r['ticks']} ticks, {len(CAMERAS)} cameras of {SIZE} x {SIZE}")
    print("writer                       s/episode   (mean)   times ours   PSNR dB   MB/episode")
    o = r["synthgen"]
    print(f"{'synthgen (h264)':27s} {line(o, 1)}")
    for codec, limit in LIMITS.items():
        t = r[codec]
        name = f"lerobot {t['version']}, {codec}"
        print(f"{name:27s} {line(t, t['ratio'])}   (asked: >= {limit:.0f})")
    g = r["gr00t"]
    print(
        f"GR00T from a shard of {g['episodes']}: {g['cpu'] * 1e3:.0f} ms CPU/episode, packets {g['packets']},", end=" "
    )
    print(f"{g['ratio']:.1f} times faster than encoding ({g['encode']:.2f} s; asked: >= 20)")
    print("met" if r["met"] else "NOT met")


def line(t: dict[str, Any], ratio: float) -> str:
    return f"{t['wall']:10.2f} {t['mean']:8.2f} {ratio:12.1f} {t['psnr']:9.1f} {t['bytes'] / 1e6:12.2f}"


if __name__ == "__main__":
    main()
