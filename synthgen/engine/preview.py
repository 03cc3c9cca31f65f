"""Strips of frames of a run's first episodes, for the report; kept whatever formats the run writes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from synthgen.core.episode import Episode
from synthgen.store.run import RunStore

EPISODES = 2  # per cell
FRAMES = 6  # per camera


def add_preview(store: RunStore, cell: str, episode: Episode) -> None:
    """Write a strip of evenly spaced frames, a row per camera, of one of the cell's first episodes.

    Later slots, and episodes without pictures, have none.

    Raises:
        StorageError: disk full and the like.
    """
    from synthgen.media.sheet import contact_sheet
    from synthgen.media.video import decode

    if episode.spec.slot >= EPISODES or not episode.videos:
        return
    times = np.linspace(0, len(episode) - 1, min(FRAMES, len(episode))).astype(int)
    images: list[NDArray[np.uint8]] = []
    labels: list[str] = []
    for name, video in episode.videos.items():
        frames = decode(video.data)
        images += [frames[t] for t in times]
        labels += [f"{name} {t / episode.fps:.1f} s" for t in times]
    store.write(
        f"previews/{cell}.{episode.spec.slot:08d}.png", contact_sheet(images, columns=len(times), labels=labels)
    )
