"""The Grafana dashboard asks for metrics that the engine exports."""

from __future__ import annotations

import ast
import json
import re
from typing import Any

import pytest
from deployment import CLUSTER, ROOT

DASHBOARD = json.loads((CLUSTER / "grafana" / "dashboard.json").read_text())
SUFFIXES = {"Counter": "_total", "Gauge": ""}


def exported() -> dict[str, set[str]]:
    """Metrics that synthgen/engine declares, under the names that Ray gives them (run: 2.60) -> their tags."""
    found: dict[str, set[str]] = {}
    for path in (ROOT / "synthgen" / "engine").glob("*.py"):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
                kind = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                name = node.args[0].value
                if kind in SUFFIXES and isinstance(name, str) and name.startswith("synthgen_"):
                    keys = next((k.value for k in node.keywords if k.arg == "tag_keys"), None)
                    tags = {c.value for c in ast.walk(keys) if isinstance(c, ast.Constant)} if keys else set()
                    found[f"ray_{name}{SUFFIXES[kind]}"] = {str(t) for t in tags}
    return found


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
    assert [v["name"] for v in DASHBOARD["templating"]["list"]] == ["source"]


def test_parentheses_match() -> None:
    for expression, _ in queries():
        for pair in ("()", "[]", "{}"):
            assert expression.count(pair[0]) == expression.count(pair[1]), expression


def test_every_metric_exists_in_the_engine() -> None:
    known = exported()
    if not known:
        pytest.skip("the engine exports no metrics yet")
    asked = {m for expression, _ in queries() for m in re.findall(r"ray_synthgen_\w+", expression)}
    assert asked <= known.keys(), f"not exported: {sorted(asked - known.keys())}"
    for expression, legend in queries():
        used = set(re.findall(r"\{\{(\w+)\}\}", legend)) | set(re.findall(r"by \((\w+)\)", expression))
        for metric in re.findall(r"ray_synthgen_\w+", expression):
            assert used <= known[metric], f"{metric} has no tag {sorted(used - known[metric])}"
