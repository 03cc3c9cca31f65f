"""A run in a real object store: every shard committed once, whatever dies; resumed from nothing but the store."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from store_helpers import Fill, in_a_process, runner_of

from synthgen.core.errors import DamagedShardError, PlanMismatchError, StorageError, UsageError
from synthgen.core.failpoint import arm
from synthgen.store.finalize import finalize
from synthgen.store.gc import orphans, remove
from synthgen.store.lease import Lease
from synthgen.store.place import open_run
from synthgen.store.remote import RemoteRunStore
from synthgen.store.run import RunStore
from synthgen.store.shard import commit_shard
from synthgen.store.spool import Spool
from synthgen.store.status import status
from synthgen.store.strikes import Strike, Strikes
from synthgen.store.url import S3Url
from synthgen.store.verify import requeue, verify_run
from synthgen.testing.fake_source import FakeSource, fake_plan
from synthgen.testing.tiny_exporter import dataset_digest, exporter

pytestmark = pytest.mark.xdist_group("s3")
EXPORTERS = {"tiny": exporter}
Machine = Callable[..., RemoteRunStore]


@pytest.fixture
def machine(object_store: Any, tmp_path: Path) -> Machine:
    """The run as a machine of that name sees it, which has a working folder of its own: ``machine("a")``."""

    def join(name: str, n: int = 8) -> RemoteRunStore:
        url, plan = S3Url.parse(object_store.url), fake_plan(n, embodiments=("franka", "g1"))
        return RemoteRunStore.start(url, plan, work=tmp_path / name)

    return join


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Digests of the data sets of a run in a folder."""
    store = RunStore.create(tmp_path_factory.mktemp("local"), fake_plan(8, embodiments=("franka", "g1")))
    for shard in store.plan.shards():
        runner_of(store, shard).run(shard, defer=(), stop=lambda: False)
    return digests(store)


def digests(store: RunStore) -> dict[str, str]:
    """Finalize, and the digests of the data sets."""
    found: dict[str, str] = {}
    finalize(store, EXPORTERS)
    for relative in store.datasets():
        with store.dataset(relative) as folder:
            found[relative] = dataset_digest(folder)
    return found


def assert_whole(store: RunStore) -> None:
    """Every slot is committed once, and everything a record names is there."""
    slots = [(r.cell, s.slot) for r in store.records() for s in r.slots]
    assert sorted(slots) == [(c.name, s) for c in store.plan.cells for s in range(c.n)]
    assert list(verify_run(store, EXPORTERS)) == []


def test_a_run_in_a_store_makes_the_data_sets_of_a_run_in_a_folder(
    machine: Machine, fill: Fill, local: dict[str, str], object_store: Any
) -> None:
    store = machine("a")
    fill(store)
    assert_whole(store)
    assert digests(store) == local
    assert not list((store.root / "shards").iterdir()), "what the store has is not kept here"
    assert {k.split("/")[0] for k in object_store.names()} == {
        "plan.json", "commits", "shards", "tiny", "finalized", "datasets.json",
    }  # fmt: skip


def test_it_is_resumed_from_an_empty_folder_on_another_machine(
    machine: Machine, fill: Fill, local: dict[str, str]
) -> None:
    first = machine("a")
    shards = list(first.plan.shards())
    fill(first, *shards[:1])
    other = machine("b")
    assert not list(other.root.iterdir())
    assert [s.name for s in other.missing()] == [s.name for s in shards[1:]]
    fill(other, *shards[:2], worker="b")
    third = open_run(first.url, work=first.root.parent / "c")
    fill(third, worker="c")
    assert [r.worker for r in third.records()] == ["test", "b", "c", "c"]
    assert_whole(first)
    state = status(machine("d"))
    assert state.complete and state.root == str(first.url)
    assert digests(third) == local
    assert digests(machine("e")) == local, "idempotent: another machine finds them finished"


def test_two_who_make_the_same_shards_commit_each_once(machine: Machine, object_store: Any) -> None:
    stores = [machine(name) for name in ("a", "b", "c")]
    shards = list(stores[0].plan.shards())

    def work(store: RemoteRunStore) -> list[tuple[int, int]]:
        found: list[tuple[int, int]] = []
        for shard in shards:
            runner = runner_of(store, shard, store.root.parent.name)
            assert runner.run(shard, defer=(), stop=lambda: False) == "committed"
            found.append((runner.commits, runner.conflicts))
        return found

    with ThreadPoolExecutor(3) as pool:
        results = list(pool.map(work, stores))
    for i in range(len(shards)):
        assert sum(r[i][0] for r in results) == 1
    assert_whole(stores[0])
    there = {k.rsplit("/", 2)[0] for k in object_store.names("shards/")}
    assert there == {r.folder for r in stores[0].records()}, "who lost took its files away"


def test_who_is_second_loses_properly(machine: Machine, fill: Fill, object_store: Any) -> None:
    """The second looked before the first was done, and has uploaded its files when it hears of it."""
    first, second = machine("a"), machine("b")
    shard = next(first.plan.shards())
    source = FakeSource(second.plan, shard.task, shard.embodiment)
    spool = Spool(second.root, shard)
    for outcome, episode in source.run(range(shard.start, shard.stop), beat=lambda *_: None):
        if episode is not None:
            spool.add(episode, [outcome])
    fill(first, shard, worker="first")
    object_store.proxy.log.clear()
    won = commit_shard(
        second,
        shard,
        dataset=source.dataset(),
        exporters=EXPORTERS,
        quarantined={},
        worker="second",
        beat=lambda slot: None,
    )
    assert not won and sum(line.startswith("PUT") and "/shards/" in line for line in object_store.proxy.log) == 5
    assert [r.worker for r in first.records()] == ["first"]
    assert list(verify_run(first, EXPORTERS)) == [] and list(orphans(first, older_than=0)) == []


def test_a_commit_whose_answer_was_lost_counts(machine: Machine, fill: Fill, object_store: Any) -> None:
    store = machine("a")
    shard = next(store.plan.shards())
    rule = object_store.proxy.rule("lose", "PUT", "/commits/")
    runner = runner_of(store, shard)
    assert runner.run(shard, defer=(), stop=lambda: False) == "committed"
    assert rule.hits == 1 and (runner.commits, runner.conflicts) == (1, 0)
    fill(store)
    assert_whole(store)


def test_a_commit_in_conflict_is_tried_again(machine: Machine, object_store: Any) -> None:
    store = machine("a")
    shard = next(store.plan.shards())
    rule = object_store.proxy.rule("status", "PUT", "/commits/", times=3, status=409)
    runner = runner_of(store, shard)
    assert runner.run(shard, defer=(), stop=lambda: False) == "committed"
    assert rule.hits == 3 and runner.commits == 1


def test_a_storm_over_a_whole_run_is_outlasted(
    machine: Machine, fill: Fill, object_store: Any, local: dict[str, str]
) -> None:
    store = machine("a")
    faults = ("status", "cut", "lose")
    for i, shard in enumerate(store.plan.shards()):
        for method in ("PUT", "GET", "HEAD"):
            object_store.proxy.rule(faults[i % 3], method)
        fill(store, shard)
    object_store.proxy.rule("status", times=3)
    assert digests(store) == local
    assert_whole(store)
    assert all(r.hits == r.times for r in object_store.proxy.rules)


@pytest.mark.parametrize("where", ["/shards/", "/commits/"])
def test_a_store_that_stays_down_loses_nothing(
    *,
    machine: Machine,
    fill: Fill,
    object_store: Any,
    where: str,
    monkeypatch: pytest.MonkeyPatch,
    local: dict[str, str],
) -> None:
    monkeypatch.setenv("SYNTHGEN_S3_PATIENCE", "1")
    store = machine("a")
    rule = object_store.proxy.rule("status", "PUT", where, times=float("inf"))
    with pytest.raises(StorageError, match="SlowDown") as caught:
        fill(store)
    assert "resumes" in caught.value.remedy
    spooled = sorted(store.root.rglob("*.episode"))
    assert len(spooled) == 4, "what was made is kept"
    rule.times = 0
    again = machine("a")
    first = next(again.plan.shards())
    assert runner_of(again, first).run(first, defer=(), stop=lambda: True) == "committed", "no slot is made again"
    fill(again)
    assert_whole(again)
    assert digests(again) == local


POINTS = ("shard.verified", "s3.uploaded", "shard.uploaded", "s3.before_publish", "s3.after_publish", "shard.committed")


@pytest.mark.parametrize("point", POINTS)
def test_a_kill_around_the_upload_leaves_at_most_an_orphan(
    *, machine: Machine, fill: Fill, armed: Path, point: str, local: dict[str, str], object_store: Any
) -> None:
    store = machine("a")
    shards = list(store.plan.shards())
    fill(store, shards[0])
    arm(armed, point, "kill")
    assert in_a_process(lambda: fill(store, shards[1])) == -9
    other = machine("b")
    published = POINTS.index(point) >= POINTS.index("s3.after_publish")
    assert other.committed() == {s.name for s in shards[: 1 + published]}
    lost = [o.path.relative_to(other.root).as_posix() for o in orphans(other, older_than=0) if o.objects]
    uploaded = point not in ("shard.verified",) and not published
    assert [re.sub("-[0-9a-f]{16}$", "", p) for p in lost] == ([f"shards/{shards[1].name}"] if uploaded else [])
    fill(other)
    assert digests(other) == local
    before = object_store.names()
    remove(other, list(orphans(other)))
    assert len(before) - len(object_store.names()) == sum(k.startswith(tuple(f"{p}/" for p in lost)) for k in before)
    assert_whole(other)
    assert digests(machine("a")) == local


@pytest.mark.parametrize("point", ["s3.dataset.cleared", "s3.dataset.filled", "s3.dataset.described"])
def test_a_kill_while_data_sets_are_uploaded_is_made_good(
    *, machine: Machine, fill: Fill, armed: Path, point: str, object_store: Any, local: dict[str, str]
) -> None:
    store = machine("a", 4)
    fill(store)
    digests(store)
    grown = machine("a")
    fill(grown)
    arm(armed, point, "kill", detail="tiny.g1")
    assert in_a_process(lambda: finalize(grown, EXPORTERS)) == -9
    keys = object_store.names("tiny/g1/")
    if "tiny/g1/index.jsonl" in keys:
        lines = object_store.get("tiny/g1/index.jsonl").splitlines()
        assert len(lines) == 8 and {f"tiny/g1/{json.loads(line)['file']}" for line in lines} < set(keys)
    object_store.client.delete_object(Bucket=object_store.bucket, Key=f"{object_store.prefix}/finalize.lock")
    assert digests(machine("b")) == local


def test_a_run_divided_otherwise_leaves_no_data_set_behind(machine: Machine, fill: Fill, object_store: Any) -> None:
    store = machine("a")
    fill(store)
    finalize(store, EXPORTERS)
    finalize(store, EXPORTERS, episodes_per_dataset=4)
    names = {k.split("/")[1] for k in object_store.names("tiny/")}
    assert names == {"franka-000", "franka-001", "g1-000", "g1-001"}
    assert store.datasets() == [f"tiny/{n}" for n in sorted(names)]


def test_another_plan_is_refused_and_a_larger_n_grows(machine: Machine, fill: Fill, object_store: Any) -> None:
    store = machine("a")
    fill(store)
    with pytest.raises(PlanMismatchError, match="n of fake"):
        machine("a", 4)
    with pytest.raises(PlanMismatchError, match=re.escape(object_store.url)):
        RemoteRunStore.start(store.url, fake_plan(8, seed=3))
    grown = machine("b", 13)
    assert len(list(grown.missing())) == 4 and machine("c", 13).plan == grown.plan
    fill(grown)
    assert_whole(grown)
    with pytest.raises(UsageError, match="no run there"):
        open_run(S3Url.parse(object_store.url + "-not"))


def test_gc_removes_orphans_and_nothing_else(
    machine: Machine, fill: Fill, object_store: Any, tmp_path: Path, local: dict[str, str]
) -> None:
    store = machine("a")
    shards = list(store.plan.shards())
    fill(store, shards[0])

    kept = set(object_store.names())
    orphaned = {f"shards/{shards[1].name}-0123456789abcdef/tiny/{n}" for n in ("a.npz", "index.jsonl")}
    orphaned |= {f"strikes/{shards[0].name}/000000001.x.json", "probe-0123"}
    beside = {f"strikes/{shards[1].name}/000000005.x.json", "notes.txt", "tiny/notes.txt"}
    for name in orphaned | beside:
        object_store.put(name, b"x" * 7)
    upload = {"Bucket": object_store.bucket, "Key": f"{object_store.prefix}/{next(iter(orphaned))}"}
    object_store.client.create_multipart_upload(**upload)
    elsewhere = {"Bucket": object_store.bucket, "Key": f"{object_store.prefix}-other/x"}
    object_store.client.create_multipart_upload(**elsewhere)
    object_store.client.put_object(**elsewhere, Body=b"x")

    young = [o.path.name for o in orphans(store)]
    assert young == ["000000001.x.json"], "the run goes on: what is young may belong to a worker that is alive"
    found = list(orphans(store, older_than=0))
    assert len(found) == 4 and sum(o.bytes for o in found) == 28
    assert set(object_store.names()) == kept | orphaned | beside, "looking removes nothing"
    remove(store, found)
    assert set(object_store.names()) == kept | beside
    left = object_store.client.list_multipart_uploads(Bucket=object_store.bucket)["Uploads"]
    assert [u["Key"] for u in left if u["Key"].startswith(object_store.prefix)] == [elsewhere["Key"]]
    fill(store)
    assert digests(store) == local
    kept = set(object_store.names())
    remove(store, list(orphans(store)))
    assert set(object_store.names()) == kept - {f"strikes/{shards[1].name}/000000005.x.json"}


def test_damage_is_found_and_only_that_shard_made_again(
    machine: Machine, fill: Fill, object_store: Any, local: dict[str, str]
) -> None:
    store = machine("a")
    fill(store)
    assert digests(store) == local
    records = list(store.records())
    object_store.put(f"{records[1].folder}/tiny/index.jsonl", b"rubbish")
    other = f"{object_store.prefix}/{records[2].folder}/tiny/{next(iter(records[2].formats['tiny'].files))}"
    object_store.client.delete_object(Bucket=object_store.bucket, Key=other)
    damage = list(verify_run(machine("b"), EXPORTERS))
    assert [d.shard for d in damage] == [records[1].shard, records[2].shard]
    requeue(store, (d.shard for d in damage))
    assert [s.name for s in machine("c").missing()] == [d.shard for d in damage]
    assert len(object_store.names("damaged/")) == 2
    fill(machine("c"))
    assert_whole(store)
    assert digests(store) == local
    assert not list((store.root / "fetched").iterdir()), "copies are not kept"


def test_finalize_refuses_damaged_files(machine: Machine, fill: Fill, object_store: Any) -> None:
    store = machine("a")
    fill(store)
    name = f"{next(store.records()).folder}/tiny/index.jsonl"
    object_store.put(name, b"rubbish")
    with pytest.raises(DamagedShardError, match="sha256"):
        finalize(store, EXPORTERS)
    object_store.client.delete_object(Bucket=object_store.bucket, Key=f"{object_store.prefix}/{name}")
    with pytest.raises(StorageError, match="gone"):
        finalize(store, EXPORTERS)
    assert object_store.names("tiny/") == []


def test_records_cannot_lead_out_of_the_run(machine: Machine, fill: Fill, object_store: Any) -> None:
    store = machine("a")
    fill(store)
    name = next(store.plan.shards()).name
    key = f"commits/{name}.json"
    good = json.loads(object_store.get(key))
    secret = {"Bucket": object_store.bucket, "Key": f"{object_store.prefix}-other/secret"}
    object_store.client.put_object(**secret, Body=b"secret")
    files = good["formats"]["tiny"]["files"]
    evil: list[dict[str, Any]] = [
        {"folder": "../other"},
        {"folder": f"shards/../../{object_store.prefix}-other"},
        {"folder": "commits/x"},
        {"formats": {"tiny": good["formats"]["tiny"] | {"files": files | {"../../../../secret": [6, "0"]}}}},
        {"formats": {"../..": good["formats"]["tiny"]}},
    ]
    for change in evil:
        object_store.put(key, json.dumps(good | change).encode())
        other = machine("b")
        with pytest.raises(DamagedShardError, match="leaves the run"):
            finalize(other, EXPORTERS)
        with pytest.raises(DamagedShardError, match="leaves the run"):
            list(orphans(other, older_than=0))
        assert [d.shard for d in verify_run(other, EXPORTERS)] == [name]
    assert object_store.client.get_object(**secret)["Body"].read() == b"secret"
    # Names that are fine in a folder and not in every store are refused before anything is asked for.
    for odd in ("a%2f..%2fb", "/etc/passwd", "a b"):
        change = {"formats": {"tiny": good["formats"]["tiny"] | {"files": files | {odd: [6, "0"]}}}}
        object_store.put(key, json.dumps(good | change).encode())
        with pytest.raises(DamagedShardError, match="leaves the run"):
            finalize(machine("b"), EXPORTERS)


def test_objects_with_odd_names_are_nobodys(machine: Machine, fill: Fill, object_store: Any) -> None:
    store = machine("a")
    fill(store)
    for name in ("commits/a b.json", "commits/x/y.json", "shards/a b/x", "previews/x\ty.png"):
        object_store.put(name, b"x")
    assert store.committed() == {s.name for s in store.plan.shards()}
    assert list(orphans(store)) == []
    assert store.names("previews") == []


def test_strikes_are_seen_by_other_machines(machine: Machine) -> None:
    one, other = machine("a"), machine("b")
    shard = next(one.plan.shards())
    strike = Strike(slot=1, attempt=0, phase="step", cause="killed by SIGKILL", worker="w0", log="")
    name = Strikes(one, shard).add(strike)
    assert Strikes(other, shard).by_slot() == {1: [strike]}
    other.remove(name)
    assert Strikes(one, shard).by_slot() == {}


def test_a_record_is_read_once_and_read_anew_when_it_was_made_again(
    machine: Machine, fill: Fill, object_store: Any
) -> None:
    store = machine("a")
    fill(store)
    other = machine("b")
    status(other)
    object_store.proxy.log.clear()
    status(other)
    assert not [line for line in object_store.proxy.log if "commits/" in line and "list-type" not in line]
    name = next(other.plan.shards()).name
    requeue(store, [name])
    fill(machine("c"), worker="again")
    assert next(other.records()).worker == "again"


def test_only_one_finalizes_at_a_time(machine: Machine, object_store: Any) -> None:
    store = machine("a")
    key = store.url.key("lock")
    held: list[str] = []

    def work(name: str) -> None:
        with Lease(machine(name).bucket, key, renew=0.2, abandoned=30).held():
            held.append(name)
            assert len(held) == 1
            object_store.client.list_objects_v2(Bucket=object_store.bucket)
            held.remove(name)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, "abcd"))
    assert "lock" not in object_store.names()


def test_a_lease_whose_holder_died_is_taken_over_by_one(machine: Machine) -> None:
    bucket = machine("a").bucket
    key = machine("a").url.key("lock")
    bucket.put(key, b"of a dead process")
    order: list[str] = []

    def work(name: str) -> None:
        with Lease(machine(name).bucket, key, renew=0.1, abandoned=0.7).held():
            order.append(f"+{name}")
            order.append(f"-{name}")

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(work, "abc"))
    assert len(order) == 6 and all(order[i][1] == order[i + 1][1] for i in (0, 2, 4))


def test_a_lease_that_was_lost_is_told(machine: Machine) -> None:
    bucket = machine("a").bucket
    key = machine("a").url.key("lock")
    lease = Lease(bucket, key, renew=0.1)
    with pytest.raises(StorageError, match="took over"), lease.held():
        bucket.put(key, b"of another process")
        while not lease._lost:
            time.sleep(0.02)
    assert bucket.exists(key), "the other's is left alone"
