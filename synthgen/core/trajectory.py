"""What an expert yields: a timed piece of joint targets."""

from __future__ import annotations

from dataclasses import dataclass

from synthgen.core.pose import Array


@dataclass(frozen=True, kw_only=True, eq=False)
class Segment:
    """Joint targets for the next control periods.

    Attributes:
        targets: (T, Jd) absolute targets of the driven joints, rad (m), one row per control period, T >= 1.
        subtask: index into ``Task.subtasks``.
        label: what the skill calls this piece ("approach"), for logs and failure details.
    """

    targets: Array
    subtask: int
    label: str = ""
