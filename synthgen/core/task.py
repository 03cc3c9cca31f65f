"""The contract of a task. A task never names an embodiment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from synthgen.core.world import World


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What a task asks of a scene and an embodiment; checked before anything starts.

    Attributes:
        slots: names of the scene's object slots that must exist and be filled.
        arms: end effectors needed at the same time.
        capabilities: skills the embodiment must have ("grasp").
    """

    slots: tuple[str, ...] = ()
    arms: int = 1
    capabilities: tuple[str, ...] = ("grasp",)


@runtime_checkable
class Task(Protocol):
    """One file in ``tasks/`` defines one and binds an instance to the module's name ``task``.

    Attributes:
        name: what the command line calls it; the file's name.
        summary: one line for ``synthgen tasks list``.
        needs: see ``Needs``.
        subtasks: names, in order of first use; segments refer to them by index.
        time_limit: seconds of simulated time after which an attempt is a failure.
        dwell: seconds that success must hold, after the program has ended.
    """

    name: str
    summary: str
    needs: Needs
    subtasks: tuple[str, ...]
    time_limit: float
    dwell: float

    def instructions(self, world: World) -> Sequence[str]:
        """Paraphrases of the same unambiguous instruction; the first is the canonical one."""
        ...

    def program(self, world: World) -> Iterator[Any]:
        """Yield the skills (``synthgen.experts``) that do the task, given the world at the start."""
        ...

    def success(self, world: World) -> bool:
        """Whether the world (not the script) says that it is done."""
        ...

    def failure_reason(self, world: World) -> str:
        """One of ``FAILURE_REASONS``: why ``success`` is False in this final world."""
        ...
