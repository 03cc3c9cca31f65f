"""``--out s3://...``: run, resume, status, verify, gc and replay, against a real server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from s3_server import SECRET

from synthgen.core.failpoint import arm

pytestmark = pytest.mark.xdist_group("s3")
Synthgen = Callable[..., Any]
FAKE = ("--simulator", "fake", "--tasks", "fake", "--formats", "tiny", "--cameras", "none", "--workers", 0)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYNTHGEN_FAKE", "success=0.7")


def test_a_run_is_made_and_looked_at_by_its_url(synthgen: Synthgen, object_store: Any) -> None:
    url = object_store.url
    end = synthgen("run", *FAKE, "--n", 7, "--out", url)
    assert end.code == 0, end.err
    assert f"data set  {url}/tiny/franka  (3 episodes" in end.out and f"report    {url}/report.html" in end.out
    assert {"report.html", "datasets.json", "tiny/franka/index.jsonl"} < set(object_store.names())
    state = json.loads(synthgen("status", url, "--json").out)
    assert (state["complete"], state["committed"], state["run"]) == (True, 7, url)
    assert synthgen("gc", url).out == "0 orphans, 0 bytes were removed\n"
    again = synthgen("run", *FAKE, "--n", 7, "--out", url, "--json")
    assert again.code == 0 and json.loads(again.out)["datasets"][0] == f"{url}/tiny/franka"
    assert synthgen("run", *FAKE, "--n", 7, "--seed", 3, "--out", url).code == 2, "another plan"
    kept = [p.read_bytes() for p in Path(os.environ["SYNTHGEN_WORK"]).rglob("*") if p.is_file()]
    kept += [object_store.get(name) for name in object_store.names()]
    assert len(kept) > 20 and not any(SECRET.encode() in data for data in kept)


def test_what_one_machine_began_another_ends(
    synthgen: Synthgen, object_store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNTHGEN_S3_PATIENCE", "1")
    run = ("run", *FAKE, "--embodiments", "franka", "--n", 6, "--shard-size", 2)
    rule = object_store.proxy.rule("status", "PUT", "/commits/fake.franka.000001", times=float("inf"))
    end = synthgen(*run, "--out", object_store.url)
    assert end.code == 3 and "SlowDown" in end.err and f"--out {object_store.url}" in end.err
    rule.times = 0
    monkeypatch.setenv("SYNTHGEN_WORK", str(tmp_path / "elsewhere"))
    assert json.loads(synthgen("status", object_store.url, "--json").out)["committed"] == 2
    assert synthgen(*run, "--out", object_store.url).code == 0
    assert synthgen(*run, "--out", tmp_path / "local").code == 0
    for name in ("index.jsonl", "fake.000004.npz"):
        assert object_store.get(f"tiny/franka/{name}") == (tmp_path / "local" / "tiny" / "franka" / name).read_bytes()
    listed = json.loads(synthgen("gc", object_store.url, "--dry-run", "--json").out)
    assert [o["path"].rsplit("-", 1)[0] for o in listed["orphans"]] == [
        f"{object_store.url}/shards/fake.franka.000001"
    ], "what the first had uploaded and could not publish"
    synthgen("gc", object_store.url)
    assert len({n.split("/")[1] for n in object_store.names("shards/")}) == 3


def test_verify_and_repair(synthgen: Synthgen, object_store: Any) -> None:
    run = ("run", *FAKE, "--embodiments", "franka", "--n", 4, "--formats", "lerobot", "--out", object_store.url)
    assert synthgen(*run).code == 0
    good = synthgen("verify", object_store.url)
    assert good.code == 0 and f"{object_store.url}/lerobot/franka  lerobot  4 episodes" in good.out
    key = next(n for n in object_store.names("shards/") if n.endswith(".parquet"))
    object_store.put(key, b"x")
    bad = synthgen("verify", object_store.url, "--repair", "--json")
    assert bad.code == 3 and json.loads(bad.out)["problems"][0]["file"] == key
    assert json.loads(synthgen("status", object_store.url, "--json").out)["shards_committed"] == 3
    assert synthgen(*run).code == 0 and synthgen("verify", object_store.url).code == 0


def test_what_is_known_of_a_quarantined_slot_is_in_the_store(
    synthgen: Synthgen, object_store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNTHGEN_FAKE", "success=0")
    run = ("run", *FAKE, "--embodiments", "franka", "--n", 1, "--max-attempts", 2, "--out", object_store.url)
    end = synthgen(*run)
    assert end.code == 4 and f"see `synthgen status {object_store.url}`" in end.err
    assert object_store.names("quarantine/") == ["quarantine/fake.franka.000000000.json"]
    replayed = synthgen("replay", object_store.url, "--slot", 0)
    assert replayed.code == 4 and replayed.out.count("attempt ") == 2


def test_mistakes_are_told_before_anything_starts(
    synthgen: Synthgen, object_store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for out, why in (
        ("gs://bucket/run", "only s3://"),
        ("s3://runs", "not a place in a bucket"),
        ("s3://no-such-bucket/run", "NoSuchBucket"),
    ):
        end = synthgen("run", *FAKE, "--n", 3, "--out", out)
        assert end.code == 2 and why in end.err and "remedy" in end.err
    assert synthgen("status", object_store.url).code == 2
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    end = synthgen("run", *FAKE, "--n", 3, "--out", object_store.url)
    assert end.code == 2 and "credentials" in end.err and "AWS_ACCESS_KEY_ID" in end.err


@pytest.mark.slow
@pytest.mark.timeout(280)
def test_workers_killed_around_the_upload(synthgen: Synthgen, object_store: Any, tmp_path: Path) -> None:
    """With Ray and simulator processes: kill -9 after the upload and after the publication, and a lost answer."""
    faults = tmp_path / "faults"
    arm(faults, "shard.uploaded", "kill", detail="fake.franka.000000")
    arm(faults, "s3.after_publish", "kill", detail="fake.franka.000001")
    object_store.proxy.rule("lose", "PUT", "/commits/fake.franka.000002")
    command = [sys.executable, "-m", "synthgen.cli.main", "run", *map(str, FAKE[:-1]), "1", "--embodiments", "franka"]
    command += ["--n", "6", "--shard-size", "2", "--out", object_store.url, "--json"]
    environment = os.environ | {"SYNTHGEN_FAULTS": str(faults)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    assert len(list(faults.glob("*.fired.*"))) == 2
    assert json.loads(done.stdout)["committed"] == 6
    assert (
        synthgen("run", *FAKE, "--embodiments", "franka", "--n", 6, "--shard-size", 2, "--out", tmp_path / "l").code
        == 0
    )
    for path in (tmp_path / "l" / "tiny" / "franka").iterdir():
        assert object_store.get(f"tiny/franka/{path.name}") == path.read_bytes()
    assert '"bytes": 0, "orphans": []' not in synthgen("gc", object_store.url, "--json").out
    assert len({n.split("/")[1] for n in object_store.names("shards/")}) == 3


@pytest.mark.slow
@pytest.mark.timeout(280)
def test_a_real_run(synthgen: Synthgen, object_store: Any) -> None:
    """The smallest run on MuJoCo, with Ray and a simulator process, to its checked data set in the store."""
    command = [sys.executable, "-m", "synthgen.cli.main", "run", "--tasks", "pick_place", "--scene", "tiny", "--n", "2"]
    command += ["--embodiments", "franka", "--workers", "1", "--cameras", "none", "--out", object_store.url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    assert f"data set  {object_store.url}/lerobot/franka  (2 episodes" in done.stdout
    verified = synthgen("verify", object_store.url)
    assert verified.code == 0 and "2 episodes" in verified.out
