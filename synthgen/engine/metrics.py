"""What a run shows to Prometheus, through Ray's own metrics export."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from synthgen.engine.progress import CellProgress, Progress

PREFIX = "synthgen_"
CELL = ("task", "embodiment")


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One metric: a counter only grows while its driver lives; a gauge is a value of now. ``run`` is a tag of each."""

    kind: Literal["Counter", "Gauge"]
    help: str
    tags: tuple[str, ...] = ()

    def exported(self, name: str) -> str:
        """The name that Ray's agent gives it."""
        return f"ray_{PREFIX}{name}{'_total' if self.kind == 'Counter' else ''}"


METRICS: Mapping[str, Metric] = {
    "episodes": Metric(kind="Counter", help="attempts by outcome", tags=(*CELL, "outcome")),
    "phase_seconds": Metric(kind="Counter", help="worker seconds by phase", tags=(*CELL, "phase")),
    "boots": Metric(kind="Counter", help="simulators started"),
    "failed_boots": Metric(kind="Counter", help="simulators that did not start"),
    "restarts": Metric(kind="Counter", help="simulators replaced, by reason", tags=("reason",)),
    "commits": Metric(kind="Counter", help="shards committed by this command's workers"),
    "conflicts": Metric(kind="Counter", help="shards that another worker had committed first"),
    "done": Metric(kind="Gauge", help="episodes safe in storage", tags=CELL),
    "requested": Metric(kind="Gauge", help="episodes asked for", tags=CELL),
    "quarantined": Metric(kind="Gauge", help="slots given up", tags=CELL),
    "workers": Metric(kind="Gauge", help="workers by what they do", tags=("state",)),
    "memory_bytes": Metric(kind="Gauge", help="resident bytes of all simulators"),
    "largest_memory_bytes": Metric(kind="Gauge", help="resident bytes of the largest simulator"),
}


class Metrics:
    """Ray metrics of one run (``METRICS``), fed with every ``Progress`` of its driver.

    Exported by the Ray agent of the driver's node: ``ray start --metrics-export-port`` says where.

    Args:
        run: name of the run folder, a tag of every metric.
        make: what makes them; None = ``ray.util.metrics``. For tests.
    """

    def __init__(self, run: str, *, make: Any = None) -> None:
        make = make or importlib.import_module("ray.util.metrics")
        self._run = run
        self._metrics = {
            name: getattr(make, m.kind)(PREFIX + name, description=m.help, tag_keys=(*m.tags, "run"))
            for name, m in METRICS.items()
        }
        self._told: dict[tuple[str, ...], float] = {}
        self._states: set[str] = set()

    def update(self, progress: Progress) -> None:
        """Bring every metric up to date."""
        for cell in progress.cells:
            self._cell(cell)
        for reason, count in progress.restarts.items():
            self._set("restarts", count, reason)
        self._set("boots", progress.boots)
        self._set("failed_boots", progress.failed_boots)
        self._set("commits", progress.commits)
        self._set("conflicts", progress.conflicts)
        self._set("memory_bytes", progress.memory)
        self._set("largest_memory_bytes", progress.largest_memory)
        self._states |= progress.workers.keys()
        for state in self._states:
            self._set("workers", progress.workers.get(state, 0), state)

    def _cell(self, c: CellProgress) -> None:
        cell = (c.task, c.embodiment)
        self._set("episodes", c.made, *cell, "success")
        for reason, count in c.failed.items():
            self._set("episodes", count, *cell, reason)
        for phase, seconds in c.seconds.items():
            self._set("phase_seconds", seconds, *cell, phase)
        self._set("done", c.done, *cell)
        self._set("requested", c.requested, *cell)
        self._set("quarantined", c.quarantined, *cell)

    def _set(self, name: str, value: float, *tags: str) -> None:
        metric = METRICS[name]
        named = {**dict(zip(metric.tags, tags, strict=True)), "run": self._run}
        if metric.kind == "Gauge":
            self._metrics[name].set(value, tags=named)
            return
        key = (name, *tags)
        more = value - self._told.get(key, 0.0)
        if more > 0:
            self._told[key] = value
            self._metrics[name].inc(more, tags=named)
