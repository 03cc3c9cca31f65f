"""lerobot's own writer on the pictures of writers.py; runs in .venv-readers.

    lerobot_writer.py FOLDER default|h264 EPISODES

Reads FOLDER/source/<episode>.npy, writes FOLDER/<codec>, prints seconds per episode as JSON.
"""

from __future__ import annotations

import importlib.metadata
import inspect
import json
import sys
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from lerobot.datasets.lerobot_dataset import LeRobotDataset

FPS = 20


def main() -> None:
    folder, codec, episodes = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    shape = np.load(folder / "source" / "0.npy", mmap_mode="r").shape[2:]
    keys = [f"observation.images.{c}" for c in ("agentview", "wrist")]
    features: dict[str, Any] = {
        k: {"dtype": "video", "shape": shape, "names": ["height", "width", "channels"]} for k in keys
    }
    for name in ("observation.state", "action"):
        features[name] = {"dtype": "float32", "shape": (7,), "names": [f"j{i}" for i in range(7)]}
    start = perf_counter()
    dataset = LeRobotDataset.create("synthgen/bench", FPS, features, root=folder / codec, **options(codec))
    end = perf_counter() - start
    walls: list[float] = []
    values = np.zeros(7, np.float32)
    for e in range(episodes):
        frames = np.load(folder / "source" / f"{e}.npy")
        start = perf_counter()
        for t in range(frames.shape[1]):
            images = {k: frames[i, t] for i, k in enumerate(keys)}
            dataset.add_frame({**images, "observation.state": values, "action": values, "task": "bench"})
        dataset.save_episode()
        walls.append(perf_counter() - start)
    start = perf_counter()
    dataset.finalize()
    end += perf_counter() - start
    found = {"wall": min(walls) + end / episodes, "mean": (sum(walls) + end) / episodes}
    print(json.dumps({**found, "version": importlib.metadata.version("lerobot")}))


def options(codec: str) -> dict[str, Any]:
    """What changes for h264; its spelling changed with lerobot 0.6."""
    if codec == "default":
        return {}
    if "vcodec" in inspect.signature(LeRobotDataset.create).parameters:
        return {"vcodec": codec}
    from lerobot.configs import RGBEncoderConfig

    return {"rgb_encoder": RGBEncoderConfig(vcodec=codec)}


if __name__ == "__main__":
    main()
