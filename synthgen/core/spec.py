"""An episode's identity, and the only source of randomness in synthgen."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

STREAMS = ("layout", "physics", "visual", "appearance", "language", "expert")


@dataclass(frozen=True, kw_only=True)
class EpisodeSpec:
    """What an episode is a pure function of (together with the plan's scene and the simulator).

    Attributes:
        task: task name.
        embodiment: embodiment name.
        slot: index of the required success within its cell (task, embodiment), from 0.
        attempt: 0 for the first attempt at the slot.
        entropy: the plan's seed.
    """

    task: str
    embodiment: str
    slot: int
    attempt: int
    entropy: int

    def rng(self, stream: str) -> np.random.Generator:
        """Return a fresh generator of the named stream.

        Streams are independent: a new draw in one never shifts another. Calling twice with the same
        name gives the same numbers twice, so take each stream once and pass it on.

        Raises:
            ValueError: the stream's name is not in ``STREAMS``.
        """
        if stream not in STREAMS:
            raise ValueError(f"unknown random stream {stream!r}; known: {', '.join(STREAMS)}")
        return np.random.Generator(np.random.PCG64(np.random.SeedSequence(self._words(stream))))

    def seed(self) -> int:
        """A 63-bit number that identifies this attempt, for data sets that want a seed column."""
        return int.from_bytes(self._digest("seed")[:8], "big") >> 1

    def _digest(self, stream: str) -> bytes:
        text = f"{self.entropy}/{self.task}/{self.embodiment}/{self.slot}/{self.attempt}/{stream}"
        return hashlib.sha256(text.encode()).digest()

    def _words(self, stream: str) -> list[int]:
        return list(np.frombuffer(self._digest(stream), dtype=">u4").astype(int))
