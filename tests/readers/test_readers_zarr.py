"""The Zarr layouts, read with nothing but zarr (and PyAV or Pillow for the pictures)."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys

import av
import numpy as np
import pandas as pd
import torch
import zarr
from conftest import VENV
from PIL import Image

REPLAY = """
import json, sys
import numcodecs, numpy as np, zarr

# The calls of diffusion_policy's ReplayBuffer.copy_from_path, on the Zarr library it was written for.
assert zarr.__version__.startswith("2."), zarr.__version__
group = zarr.open(sys.argv[1], "r")
root = zarr.group(group.store)
meta = {k: v[:] for k, v in root["meta"].items()}
data = {k: root["data"][k][:] for k in root["data"].keys()}
ends = meta["episode_ends"]
for value in data.values():
    assert value.shape[0] == ends[-1]
# Its other way in: a store in memory, arrays copied as they are or compressed anew.
copied = zarr.MemoryStore()
zarr.group(copied).create_group("data", overwrite=True)
for path in ("/meta", "/data/action"):
    zarr.copy_store(source=group.store, dest=copied, source_path=path, dest_path=path, if_exists="replace")
pictures = root["data/observation_images_wrist"]
codec = numcodecs.Blosc(cname="lz4", clevel=5, shuffle=numcodecs.Blosc.NOSHUFFLE)
zarr.copy(source=pictures, dest=zarr.group(copied)["data"], name="wrist", chunks=pictures.chunks, compressor=codec)
again = zarr.group(copied)
assert (again["data/action"][:] == data["action"]).all() and (again["data/wrist"][:] == pictures[:]).all()
np.savez(sys.argv[2], ends=ends, action=data["action"], wrist=data["observation_images_wrist"])
"""


class ZarrFrames(torch.utils.data.Dataset):
    """One item per frame; stores are opened where they are used."""

    def __init__(self, root, jpeg: bool) -> None:
        self.root, self.jpeg = root, jpeg
        table = pd.concat(pd.read_parquet(p) for p in sorted((root / "meta/episodes").glob("*/*.parquet")))
        self.places = [
            (r["zarr/store"], int(r["zarr/episode"]), int(r["zarr/row_from"]), t)
            for _, r in table.iterrows()
            for t in range(r["length"])
        ]
        self.stores: dict[str, zarr.Group] = {}

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index):
        name, episode, start, t = self.places[index]
        store = self.stores.setdefault(name, zarr.open_group(str(self.root / name), mode="r"))
        row = start + t
        out = {k: torch.from_numpy(store[f"data/{k}"][row]) for k in ("observation.state", "action")}
        if self.jpeg:
            blob = store["data/observation.images.wrist"][row : row + 1][0]
            picture = np.asarray(Image.open(io.BytesIO(blob)))
        else:
            blob = store["videos/observation.images.wrist"][episode : episode + 1][0]
            with av.open(io.BytesIO(blob)) as container:
                picture = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)][t]
        return {**out, "index": index, "observation.images.wrist": torch.from_numpy(np.array(picture))}


def check(root, episodes, frames, *, jpeg: bool, tolerance: float) -> None:
    states, actions = (np.concatenate([getattr(e, k) for e in episodes]) for k in ("state", "action"))
    pictures = np.concatenate([f["wrist"] for f in frames])
    dataset = ZarrFrames(root, jpeg)
    assert len(dataset) == len(states)
    loader = torch.utils.data.DataLoader(torch.utils.data.Subset(dataset, range(0, len(dataset), 11)), batch_size=8)
    for batch in loader:
        index = batch["index"].numpy()
        assert np.array_equal(batch["observation.state"], states[index])
        assert np.array_equal(batch["action"], actions[index])
        difference = batch["observation.images.wrist"].numpy().astype(int) - pictures[index]
        assert np.abs(difference).mean() <= tolerance  # of 255 levels


def test_mp4_per_episode(sets, episodes, frames):
    check(sets["zarr"], episodes, frames, jpeg=False, tolerance=0)


def test_jpeg_per_frame(sets, episodes, frames):
    check(sets["zarr-jpeg"], episodes, frames, jpeg=True, tolerance=3)


def test_metadata(sets, episodes):
    info = json.loads((sets["zarr"] / "meta/info.json").read_text())
    assert (info["storage_format"], info["zarr_layout"]) == ("zarr", "0.1")
    assert info["total_frames"] == sum(len(e) for e in episodes)
    stores = sorted((sets["zarr"] / "stores").iterdir())
    assert len(stores) == info["total_stores"]
    for path in stores:
        store = zarr.open_group(str(path), mode="r")
        ends = store["meta/episode_ends"][:]
        assert store["data/action"].shape[0] == ends[-1]
        names = store.attrs["tasks"]
        assert all(0 <= i < len(names) for i in store["meta/task_index"][:])


def test_replay_buffer(sets, episodes, frames, tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(VENV / "zarr2")}
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-c",
        REPLAY,
        str(sets["zarr-v2"] / "replay.zarr"),
        str(tmp_path / "out.npz"),
    ]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    seen = np.load(tmp_path / "out.npz")
    assert seen["ends"].tolist() == np.cumsum([len(e) for e in episodes]).tolist()
    assert np.array_equal(seen["action"], np.concatenate([e.action for e in episodes]))
    assert np.array_equal(seen["wrist"], np.concatenate([f["wrist"] for f in frames]))


def test_names_that_a_policy_can_use(sets):
    """diffusion_policy's encoder and normalizer take the names for those of modules and parameters."""
    store = zarr.open_group(str(sets["zarr-v2"] / "replay.zarr"), mode="r")
    names = list(store["data"].array_keys())
    assert {"action", "observation_state", "observation_images_wrist"} <= set(names)
    modules = torch.nn.ModuleDict({n: torch.nn.Identity() for n in names})
    parameters = torch.nn.ParameterDict({n: torch.nn.Parameter(torch.zeros(1)) for n in names})
    assert len(modules) == len(parameters) == len(names)


def test_windows_of_the_replay_buffer(sets, episodes):
    """Windows as its SequenceSampler cuts them: within an episode, the last frame repeated beyond the end."""
    store = zarr.open_group(str(sets["zarr-v2"] / "replay.zarr"), mode="r")
    ends = store["meta/episode_ends"][:]
    action = store["data/action"][:]
    horizon, after = 16, 7
    number = len(episodes) - 1
    start, end = int(ends[number - 1]), int(ends[number])
    first = end - horizon + after  # the last window that may begin
    window = action[first:end]
    window = np.concatenate([window, np.repeat(window[-1:], horizon - len(window), 0)])
    want = episodes[number].action[first - start :]
    assert np.array_equal(window[: len(want)], want)
    assert np.array_equal(window[len(want) :], np.repeat(episodes[number].action[-1:], after, 0))
