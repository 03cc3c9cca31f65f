"""How an attempt can end, and what it cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

FAILURE_REASONS: Mapping[str, str] = {
    "placement": "the objects could not be placed in their spawn regions without touching",
    "unreachable": "no collision-free grasp or place pose within the arm's reach",
    "no_path": "no collision-free path between two reachable poses",
    "missed_grasp": "the hand closed without holding the object, also on the retry",
    "dropped": "the object left the hand before it was to be released",
    "not_in_receptacle": "the program ended and the object is not inside its receptacle",
    "not_released": "the program ended with the hand still touching the object",
    "not_at_rest": "the object did not come to rest within the dwell time",
    "knocked_off": "another object fell off the work surface",
    "unstable": "the physics produced a non-finite or impossible state",
    "timeout": "the program ran longer than the task's time limit",
    "replay_failed": "replaying the recorded actions did not reach success again",
    "not_successful": "the task's success condition does not hold, for a reason of its own",
}

PHASES = ("sample", "plan", "physics", "check", "render", "encode", "write", "idle")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The end of one attempt.

    Attributes:
        slot: index of the slot within its cell (task, embodiment).
        attempt: 0 for the first attempt at the slot.
        success: whether the attempt became an episode.
        reason: "" on success, else one of ``FAILURE_REASONS``.
        detail: free text for the log.
        seconds: wall seconds by phase, keys from ``PHASES``.
        steps: control steps simulated.
    """

    slot: int
    attempt: int
    success: bool
    reason: str = ""
    detail: str = ""
    seconds: Mapping[str, float] = field(default_factory=dict[str, float])
    steps: int = 0
