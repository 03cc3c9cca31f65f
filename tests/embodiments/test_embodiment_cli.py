"""``synthgen assets`` and ``synthgen embodiments`` as a user sees them."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from synthgen.cli.assets import assets
from synthgen.cli.embodiments import embodiments
from synthgen.core.errors import UsageError


def call(group, *args):
    result = CliRunner().invoke(group, args, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_list_says_what_there_is():
    rows = {r["name"]: r for r in json.loads(call(embodiments, "list", "--json"))}
    assert {n: r["dims"] for n, r in rows.items() if n in ("franka", "gr1", "g1")} == {"franka": 8, "gr1": 44, "g1": 43}
    text = call(embodiments, "list")
    for word in ("franka", "oxe_droid", "44", "ego_view", "unitree_g1"):
        assert word in text


@pytest.mark.parametrize("name", ["franka", "gr1", "g1"])
def test_show_gives_slices_limits_and_licence(name):
    shown = json.loads(call(embodiments, "show", name, "--json"))
    assert shown["groups"][-1]["end"] == shown["dims"]
    for group in shown["groups"]:
        assert group["end"] - group["start"] == len(group["joints"])
        for joint in group["joints"]:
            assert "constant" in joint or joint["lower"] < joint["upper"]
    text = call(embodiments, "show", name)
    assert "MIT" in text
    assert f"[{shown['groups'][0]['start']}:{shown['groups'][0]['end']}]" in text


def test_show_works_without_assets(tmp_path, monkeypatch):
    monkeypatch.setenv("SYNTHGEN_CACHE", str(tmp_path))
    monkeypatch.delenv("SYNTHGEN_ASSET_ROOT", raising=False)
    text = call(embodiments, "show", "gr1")
    assert "synthgen assets fetch" in text
    assert "left_arm  [0:7]" in text


def test_show_unknown_suggests():
    with pytest.raises(UsageError) as caught:
        call(embodiments, "show", "frank")
    assert "'franka'" in caught.value.remedy


def test_assets_list_and_path():
    rows = {r["name"]: r for r in json.loads(call(assets, "list", "--json"))}
    assert rows["robosuite"]["embodiments"] == ["franka", "gr1"]
    assert all(r["licence"].startswith("MIT") and len(r["sha256"]) == 64 for r in rows.values())
    path = Path(call(assets, "path", "robosuite").strip())
    assert (path / "robots/panda/robot.xml").is_file()
    fetched = json.loads(call(assets, "fetch", "robosuite-models", "--json"))
    assert Path(fetched["robosuite-models"]).is_dir()


def test_assets_list_says_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setenv("SYNTHGEN_CACHE", str(tmp_path))
    monkeypatch.delenv("SYNTHGEN_ASSET_ROOT", raising=False)
    assert all(r["path"] is None for r in json.loads(call(assets, "list", "--json")))
    assert "synthgen assets fetch robosuite" in call(assets, "list")


@pytest.mark.parametrize("group", [assets, embodiments])
def test_help_has_examples(group):
    assert "Example" in call(group, "--help")
    for name in group.commands:
        assert "Example" in call(group, name, "--help")
