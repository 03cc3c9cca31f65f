from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

from synthgen.engine.metrics import METRICS, PREFIX, Metrics
from synthgen.engine.progress import CellProgress, Progress


class Kept:
    """Stands for ``ray.util.metrics``: adds up what is told, and refuses tags that were not declared."""

    def __init__(self) -> None:
        self.values: Counter[tuple[str, ...]] = Counter()
        kept = self

        class Metric:
            def __init__(self, name: str, description: str, tag_keys: tuple[str, ...]) -> None:
                assert description and name.startswith("synthgen_")
                self.name, self.keys = name, set(tag_keys)

            def _key(self, tags: dict[str, str]) -> tuple[str, ...]:
                assert set(tags) == self.keys
                return (self.name, *(tags[k] for k in sorted(tags) if k != "run"))

            def inc(self, value: float, tags: dict[str, str]) -> None:
                assert value > 0
                kept.values[self._key(tags)] += value  # type: ignore[assignment]

            def set(self, value: float, tags: dict[str, str]) -> None:
                kept.values[self._key(tags)] = value  # type: ignore[assignment]

        self.Counter: Any = Metric
        self.Gauge: Any = Metric


def test_counters_grow_by_what_is_new_and_gauges_follow() -> None:
    kept = Kept()
    metrics = Metrics("run", make=kept)
    cell = CellProgress(
        task="t",
        embodiment="e",
        requested=9,
        done=2,
        made=2,
        failed=Counter(dropped=1),
        seconds=Counter(physics=1.5),  # type: ignore[arg-type]
    )
    first = Progress(
        cells=(cell,),
        workers={"running": 2},
        wanted=2,
        rate=None,
        eta=None,
        restarts={"hang": 1},
        seconds=1.0,
        memory=100,
        largest_memory=60,
        boots=2,
        failed_boots=0,
        commits=1,
        conflicts=0,
    )
    metrics.update(first)
    metrics.update(first)
    more = replace(cell, done=5, made=5, failed=Counter(dropped=1), seconds=Counter(physics=4.0))  # type: ignore[arg-type]
    metrics.update(
        replace(first, cells=(more,), workers={"idle": 2}, restarts={"hang": 3}, memory=50, failed_boots=1, conflicts=1)
    )
    assert kept.values[("synthgen_episodes", "e", "success", "t")] == 5
    assert kept.values[("synthgen_episodes", "e", "dropped", "t")] == 1
    assert kept.values[("synthgen_phase_seconds", "e", "physics", "t")] == 4.0
    assert kept.values[("synthgen_restarts", "hang")] == 3
    assert kept.values[("synthgen_memory_bytes",)] == 50
    assert kept.values[("synthgen_largest_memory_bytes",)] == 60
    assert {key[0] for key in kept.values} == {PREFIX + name for name in METRICS}
    assert kept.values[("synthgen_workers", "running")] == 0 and kept.values[("synthgen_workers", "idle")] == 2
    assert kept.values[("synthgen_done", "e", "t")] == 5
