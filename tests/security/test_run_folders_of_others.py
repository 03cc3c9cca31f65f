"""A run folder may come from anybody: it is parsed, and nothing outside it is read as its own, written or removed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from synthgen.cli.main import cli
from synthgen.core.errors import SynthgenError, UsageError
from synthgen.core.plan import RunPlan
from synthgen.store.gc import orphans, remove, sweep
from synthgen.store.run import RunStore
from synthgen.testing.fake_source import fake_plan

HOSTILE = ["../../x", "/etc", "..", "a/b", "", ".hidden", "a\0b", "a\nb", "-rf"]


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("field", ["task", "embodiment", "formats"])
def test_names_in_a_plan_cannot_be_paths(tmp_path: Path, name: str, field: str) -> None:
    values: dict[str, Any] = fake_plan(2).to_json()
    if field == "formats":
        values["formats"] = [name]
    else:
        values["cells"][0][field] = name
    (tmp_path / "plan.json").write_text(json.dumps(values))
    with pytest.raises(UsageError, match="not a name"):
        RunStore.open(tmp_path)


def test_names_that_are_in_use_are_names() -> None:
    plan = fake_plan(2, embodiments=("franka", "g1"))
    assert RunPlan.from_json(plan.to_json()) == plan


def test_gc_follows_no_link_out_of_the_run_folder(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    (mine / "fake.franka.000000").mkdir(parents=True)
    (mine / "letter.txt").write_text("dear")
    store = RunStore.create(tmp_path / "run", fake_plan(2))
    (store.root / "commits").mkdir()
    (store.root / "commits" / f"{next(store.plan.shards()).name}.json").touch()
    for name in ("spool", "strikes", "finalized"):
        (store.root / name).symlink_to(mine)
    (store.root / "shards").mkdir()
    (store.root / "shards" / "x").symlink_to(mine)
    sweep(store)
    (store.root / "commits").rename(store.root / "elsewhere")
    found = list(orphans(store, older_than=0))
    assert [o.path for o in found] == [store.root / "shards" / "x"]
    remove(store, found)
    assert not (store.root / "shards" / "x").is_symlink()
    (store.root / "shards").rmdir()
    (store.root / "shards").symlink_to(mine)
    assert list(orphans(store, older_than=0)) == []
    assert sorted(p.name for p in mine.iterdir()) == ["fake.franka.000000", "letter.txt"]


@pytest.mark.parametrize("text", ["not json", "[]", "null", '{"__class__": "os.system"}', "\x80\x04K*.", ""])
def test_rubbish_in_plan_json_is_an_error_not_an_action(tmp_path: Path, text: str) -> None:
    (tmp_path / "plan.json").write_text(text)
    with pytest.raises(SynthgenError):
        RunStore.open(tmp_path)
    result = CliRunner().invoke(cli, ["status", str(tmp_path)])
    assert result.exit_code != 0
