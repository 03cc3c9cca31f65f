"""Preallocated arrays that a rollout writes one row per control tick into."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthgen.core.pose import Array
from synthgen.core.simulator import SimState


class Recorder:
    """The frames of one attempt: state t is the one before action t, state ``length`` the one after the last.

    Attributes:
        length: T, actions recorded so far.
        action: (capacity, D) float32 data set vectors.
        subtask: (capacity,) int64.
    """

    def __init__(self, capacity: int, actions: int) -> None:
        self.capacity = capacity
        self.length = 0
        self.action = np.zeros((capacity, actions), np.float32)
        self.subtask = np.zeros(capacity, np.int64)
        self._rows: list[tuple[str, NDArray[np.float64]]] = []

    def start(self, state: SimState, env: int) -> None:
        """Forget what was recorded and take the state before the first action."""
        if not self._rows:
            for name in SimState.FIELDS:
                shape = getattr(state, name).shape[1:]
                self._rows.append((name, np.zeros((self.capacity + 1, *shape))))
        self.length = 0
        self._put(state, env)

    def add(self, action: NDArray[np.float32], subtask: int, state: SimState, env: int) -> None:
        """Record an action (D,) and the state it led to."""
        t = self.length
        self.action[t] = action
        self.subtask[t] = subtask
        self.length = t + 1
        self._put(state, env)

    def _put(self, state: SimState, env: int) -> None:
        t = self.length
        for name, rows in self._rows:
            rows[t] = getattr(state, name)[env]

    @property
    def full(self) -> bool:
        """Whether no further action fits."""
        return self.length >= self.capacity

    def states(self, start: int = 0, stop: int | None = None) -> SimState:
        """States [start, stop) as copies; default stop: one past the state after the last action."""
        stop = self.length + 1 if stop is None else stop
        fields: dict[str, Any] = {name: rows[start:stop].copy() for name, rows in self._rows}
        return SimState(**fields)


def impossible(states: SimState, *, joint_speed: float = 60.0, body_speed: float = 30.0) -> str:
    """Why these states cannot be physical, or "".

    Non-finite numbers, joints faster than ``joint_speed`` rad/s (m/s), bodies faster than ``body_speed`` m/s.
    """
    if not states.finite():
        return "non-finite state"
    fastest = _largest(states.joint_velocity)
    if fastest > joint_speed:
        return f"a joint moved at {fastest:.0f} rad/s"
    fastest = _largest(states.body_velocity[..., :3])
    if fastest > body_speed:
        return f"a body moved at {fastest:.0f} m/s"
    return ""


def _largest(values: Array) -> float:
    return float(np.abs(values).max(initial=0.0))
