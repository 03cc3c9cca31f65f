"""Checks of joined videos: every frame decodes, every episode starts at a keyframe."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from synthgen.core.errors import DamagedShardError
from synthgen.formats.problem import Problem
from synthgen.media.packets import packets
from synthgen.media.video import Source, count_frames


def check_video(file: str, source: Source, starts: NDArray, total: int, *, decode: bool = True) -> Iterator[Problem]:
    """A video of ``total`` frames in which an episode starts at each of ``starts`` (frames)."""
    if isinstance(source, Path) and not source.is_file():
        yield Problem(file=file, where="", what="missing")
        return
    try:
        keys = np.array([key for _, key, _ in packets(source)])
        if len(keys) != total:
            yield Problem(file=file, where="", what=f"holds {len(keys)} frames, its episodes have {total}")
            return
        for start in starts[~keys[starts]]:
            yield Problem(file=file, where=f"frame {start}", what="an episode starts here, but it is no keyframe")
        decoded = count_frames(source) if decode else total
        if decoded != total:
            yield Problem(file=file, where="", what=f"only {decoded} of {total} frames decode")
    except DamagedShardError as error:
        yield Problem(file=file, where="", what=error.message)
