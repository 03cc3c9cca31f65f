"""Statistics of source pixels as histograms: exact to merge, and taken before the encoder changes anything."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from synthgen.core.episode import ImageStats

QUANTILES = {"q01": 0.01, "q10": 0.10, "q50": 0.50, "q90": 0.90, "q99": 0.99}


class PixelHistogram:
    """Counts the 256 levels of each RGB channel over frames."""

    def __init__(self) -> None:
        self._counts = np.zeros((3, 256), np.int64)
        self._frames = 0

    def add(self, frame: NDArray[np.uint8]) -> None:
        """Count the pixels of a frame (H, W, 3) uint8."""
        for channel in range(3):
            self._counts[channel] += np.bincount(frame[..., channel].ravel(), minlength=256)
        self._frames += 1

    def result(self) -> ImageStats:
        """The counts so far."""
        return ImageStats(counts=self._counts.copy(), frames=self._frames)


def merge(stats: Iterable[ImageStats]) -> ImageStats:
    """Add histograms up."""
    counts, frames = np.zeros((3, 256), np.int64), 0
    for s in stats:
        counts += s.counts
        frames += s.frames
    return ImageStats(counts=counts, frames=frames)


def summarize(stats: ImageStats) -> Mapping[str, NDArray[np.float64]]:
    """Numbers in the form LeRobot keeps for images.

    Returns:
        min, max, mean, std and q01, q10, q50, q90, q99, each (3, 1, 1) in [0, 1], exact for the counted pixels
        (a quantile is the least level that at least that share of the pixels does not exceed); count, (1,), frames.

    Raises:
        ValueError: nothing was counted.
    """
    if stats.frames == 0:
        raise ValueError("no pixels were counted")
    levels = np.arange(256) / 255.0
    total = stats.counts.sum(1)
    mean = stats.counts @ levels / total
    variance = (stats.counts * (levels - mean[:, None]) ** 2).sum(1) / total
    below = np.cumsum(stats.counts, 1)
    out = {
        "min": levels[(stats.counts > 0).argmax(1)],
        "max": levels[255 - (stats.counts[:, ::-1] > 0).argmax(1)],
        "mean": mean,
        "std": np.sqrt(variance),
    }
    for name, share in QUANTILES.items():
        out[name] = levels[(below >= share * total[:, None]).argmax(1)]
    return {**{k: v.reshape(3, 1, 1) for k, v in out.items()}, "count": np.array([stats.frames])}
