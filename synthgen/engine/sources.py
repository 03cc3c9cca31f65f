"""Opening what makes episodes, and the exporters of a plan."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from synthgen.core.exporter import Exporter
from synthgen.core.plan import RunPlan
from synthgen.core.project import Project, pick
from synthgen.core.source import EpisodeSource

FAKE = "fake"


def open_source(
    plan: RunPlan, task: str, embodiment: str, *, project: Project, asset_root: Path | None, num_envs: int
) -> EpisodeSource:
    """The source of one cell's episodes: boots a simulator.

    Raises:
        SynthgenError: whatever keeps it from starting.
    """
    if plan.simulator == FAKE:
        from synthgen.testing.fake_source import FakeSource

        return FakeSource(plan, task, embodiment)
    from synthgen.episode.build import open_source as real

    return real(plan, task, embodiment, project=project, asset_root=asset_root, num_envs=num_envs)


def known_exporters(project: Project, simulator: str, *, needed: Collection[str]) -> dict[str, Any]:
    """Exporters by name, at least the ``needed`` ones that exist; with the fake simulator the tests' tiny one, too.

    Raises:
        UsageError: an exporter file cannot be imported.
    """
    known: dict[str, Any] = {}
    if simulator == FAKE:
        from synthgen.testing.tiny_exporter import exporter

        known[exporter.name] = exporter
    if set(needed) <= known.keys():
        return known
    return project.load("exporters", "exporter", needed=set(needed) - known.keys()) | known


def exporters_of(plan: RunPlan, project: Project) -> dict[str, Exporter]:
    """The plan's exporters by name, in its order.

    Raises:
        UsageError: an unknown format.
    """
    known = known_exporters(project, plan.simulator, needed=plan.formats)
    return {name: pick("format", name, known) for name in plan.formats}
