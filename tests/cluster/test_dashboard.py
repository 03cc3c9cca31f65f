"""The Grafana dashboard asks for metrics that the engine exports."""

from __future__ import annotations

import json
import re
from typing import Any

from deployment import CLUSTER

from synthgen.engine.metrics import METRICS

DASHBOARD = json.loads((CLUSTER / "grafana" / "dashboard.json").read_text())
EXPORTED = {metric.exported(name): {*metric.tags, "run"} for name, metric in METRICS.items()}


def queries() -> list[tuple[str, str]]:
    """(expression, legend) of every panel."""
    return [(t["expr"], t["legendFormat"]) for p in DASHBOARD["panels"] for t in p["targets"]]


def test_panels_are_complete_and_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        assert panel["title"] and panel["targets"] and panel["datasource"]["uid"] == "${source}"
        place: dict[str, Any] = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken and max(x for x, _ in cells) < 24
        taken |= cells
    assert len({p["id"] for p in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    assert [v["name"] for v in DASHBOARD["templating"]["list"]] == ["source", "run"]


def test_parentheses_match() -> None:
    for expression, _ in queries():
        for pair in ("()", "[]", "{}"):
            assert expression.count(pair[0]) == expression.count(pair[1]), expression


def test_every_metric_exists_in_the_engine() -> None:
    asked = {m for expression, _ in queries() for m in re.findall(r"ray_synthgen_\w+", expression)}
    assert asked <= EXPORTED.keys(), f"not exported: {sorted(asked - EXPORTED.keys())}"
    assert EXPORTED.keys() <= asked, f"not shown: {sorted(EXPORTED.keys() - asked)}"
    for expression, legend in queries():
        used = set(re.findall(r"\{\{(\w+)\}\}", legend)) | set(re.findall(r"by \((\w+)\)", expression))
        for metric, filtered in re.findall(r"(ray_synthgen_\w+)(?:\{([^}]*)\})?", expression):
            tags = used | set(re.findall(r"(\w+)=~?\"", filtered))
            assert tags <= EXPORTED[metric], f"{metric} has no tag {sorted(tags - EXPORTED[metric])}"
            assert 'run=~"$run"' in filtered, f"{expression}: {metric} of every run together"
