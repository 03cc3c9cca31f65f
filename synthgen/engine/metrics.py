"""What a run shows to Prometheus, through Ray's own metrics export."""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Mapping
from typing import Any

from synthgen.engine.progress import Progress

PREFIX = "synthgen_"


class Metrics:
    """Ray metrics of one run, fed with every ``Progress``.

    Exported by each node's Ray agent: ``ray start --metrics-export-port`` says where. Names, with their tags:
    ``synthgen_episodes`` (task, embodiment, outcome), ``synthgen_phase_seconds`` (task, embodiment, phase),
    ``synthgen_boots``, ``synthgen_failed_boots``, ``synthgen_restarts`` (cause), ``synthgen_commits``,
    ``synthgen_commit_conflicts``, ``synthgen_memory_bytes``, ``synthgen_workers`` (state), ``synthgen_done`` and
    ``synthgen_requested`` and ``synthgen_quarantined`` (task, embodiment).

    Args:
        run: name of the run folder, a tag of every metric.
        make: for tests; None = ``ray.util.metrics``.
    """

    def __init__(self, run: str, *, make: Any = None) -> None:
        self._make: Any = make or importlib.import_module("ray.util.metrics")
        self._run = run
        self._known: dict[str, Any] = {}
        self._told: Counter[tuple[str, tuple[tuple[str, str], ...]]] = Counter()
        self._states: set[str] = set()

    def update(self, progress: Progress) -> None:
        """Bring every metric up to date."""
        for c in progress.cells:
            cell = {"task": c.task, "embodiment": c.embodiment}
            self._count("episodes", "attempts by outcome", c.made, {**cell, "outcome": "success"})
            for reason, count in c.failed.items():
                self._count("episodes", "attempts by outcome", count, {**cell, "outcome": reason})
            for phase, seconds in c.seconds.items():
                self._count("phase_seconds", "worker seconds by phase", seconds, {**cell, "phase": phase})
            self._gauge("done", "episodes safe in storage", c.done, cell)
            self._gauge("requested", "episodes asked for", c.requested, cell)
            self._gauge("quarantined", "slots given up", c.quarantined, cell)
        for cause, count in progress.restarts.items():
            self._count("restarts", "simulators replaced", count, {"cause": cause})
        self._count("boots", "simulators started", progress.boots, {})
        self._count("failed_boots", "simulators that did not start", progress.failed_boots, {})
        self._count("commits", "shards committed by this run's workers", progress.commits, {})
        self._count("commit_conflicts", "shards that another worker had committed first", progress.conflicts, {})
        self._gauge("memory_bytes", "resident bytes of all simulators", progress.memory, {})
        self._states |= progress.workers.keys()
        for state in self._states:
            self._gauge("workers", "workers by state", progress.workers.get(state, 0), {"state": state})

    def _count(self, name: str, description: str, total: float, tags: Mapping[str, str]) -> None:
        key = (name, tuple(sorted(tags.items())))
        more = total - self._told[key]
        if more > 0:
            self._told[key] = total  # type: ignore[assignment] - seconds are floats
            self._metric("Counter", name, description, tags).inc(more, tags={**tags, "run": self._run})

    def _gauge(self, name: str, description: str, value: float, tags: Mapping[str, str]) -> None:
        self._metric("Gauge", name, description, tags).set(value, tags={**tags, "run": self._run})

    def _metric(self, kind: str, name: str, description: str, tags: Mapping[str, str]) -> Any:
        if name not in self._known:
            keys = (*sorted(tags), "run")
            self._known[name] = getattr(self._make, kind)(PREFIX + name, description=description, tag_keys=keys)
        return self._known[name]
