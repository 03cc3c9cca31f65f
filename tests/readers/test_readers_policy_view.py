"""A policy's view: the first samples of one DataLoader epoch are the same, whichever format they come from.

Pictures are compared byte by byte: torchcodec (lerobot), the PyAV of this environment (GR00T, Zarr) and the PyAV that
wrote the HDF5 file are three builds of FFmpeg.
"""

from __future__ import annotations

import json

import h5py
import numpy as np
import torch
from conftest import EPISODES
from lerobot.datasets.lerobot_dataset import LeRobotDataset
from test_readers_gr00t import gr00t_view
from test_readers_zarr import ZarrFrames

from synthgen.media.video import decode

SAMPLES = 100


class Gr00tFrames(torch.utils.data.Dataset):
    def __init__(self, root) -> None:
        self.items = []
        for number in range(EPISODES):
            view = gr00t_view(root, number)
            join = {
                k: np.concatenate([view[f"{k}.joint_position"], view[f"{k}.gripper_position"]], 1)
                for k in ("state", "action")
            }
            pictures = decode(view["video.wrist"])
            self.items += list(zip(join["state"], join["action"], pictures, strict=True))

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index):
        return dict(zip(("state", "action", "picture"), self.items[index], strict=True))


class Hdf5Frames(torch.utils.data.Dataset):
    def __init__(self, path) -> None:
        self.file = h5py.File(path)
        scale = json.loads(self.file["data"].attrs["action_scale"])
        self.low, self.high = np.array(scale["low"]), np.array(scale["high"])
        names = sorted(self.file["data"], key=lambda n: int(n[5:]))
        self.places = [(n, t) for n in names for t in range(self.file["data"][n].attrs["num_samples"])]

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index):
        name, t = self.places[index]
        demo = self.file["data"][name]
        action = self.low + (demo["actions"][t].astype(float) + 1) / 2 * (self.high - self.low)
        action = np.where(self.high > self.low, action, demo["actions_absolute"][t])
        picture = demo["obs/wrist_image"][t]
        return {"state": demo["obs/joint_pos"][t], "action": action.astype(np.float32), "picture": picture}


class Renamed(torch.utils.data.Dataset):
    def __init__(self, dataset, scale: float) -> None:
        self.dataset, self.scale = dataset, scale

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index):
        item = self.dataset[index]
        picture = item["observation.images.wrist"]
        if self.scale != 1:  # lerobot: (3, H, W) in [0, 1]
            picture = (picture.permute(1, 2, 0) * self.scale).round().to(torch.uint8)
        return {"state": item["observation.state"], "action": item["action"], "picture": picture}


def first(dataset) -> dict[str, np.ndarray]:
    order = torch.Generator().manual_seed(3)
    loader = torch.utils.data.DataLoader(dataset, batch_size=25, shuffle=True, generator=order)
    batches = [b for _, b in zip(range(SAMPLES // 25), loader, strict=False)]
    return {k: torch.cat([torch.as_tensor(b[k]) for b in batches]).numpy() for k in batches[0]}


def test_equal_whichever_format(sets):
    views = {
        "lerobot": first(Renamed(LeRobotDataset("synthgen/test", root=sets["lerobot"]), 255)),
        "gr00t": first(Gr00tFrames(sets["gr00t"])),
        "zarr": first(Renamed(ZarrFrames(sets["zarr"], jpeg=False), 1)),
        "robomimic": first(Hdf5Frames(sets["robomimic"] / "dataset.hdf5")),
    }
    base = views.pop("lerobot")
    assert len(base["state"]) == SAMPLES
    for name, view in views.items():
        assert np.abs(view["state"] - base["state"]).max() <= 1e-6, name
        assert np.abs(view["action"] - base["action"]).max() <= 1e-6, name
        assert np.array_equal(view["picture"], base["picture"]), name
