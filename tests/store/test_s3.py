"""The bucket against a real server, with a proxy between that loses, refuses and damages requests."""

from __future__ import annotations

import hashlib
import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from synthgen.core.errors import DamagedShardError, MachineError, StorageError, UsageError
from synthgen.store.remote import check_store
from synthgen.store.s3 import Bucket
from synthgen.store.url import S3Url

pytestmark = pytest.mark.xdist_group("s3")


@pytest.fixture
def bucket(object_store: Any) -> Bucket:
    return Bucket(object_store.bucket, patience=8, part=5 << 20)


def test_of_many_who_create_an_object_one_wins(object_store: Any, bucket: Bucket) -> None:
    for round_ in range(5):
        key = f"{object_store.prefix}/{round_}"
        with ThreadPoolExecutor(8) as pool:
            won = list(pool.map(lambda i, key=key: bucket.create(key, f"{i}".encode()), range(8)))
        assert sum(won) == 1
        found = bucket.get(key)
        assert found is not None and found[0] == f"{won.index(True)}".encode()


def test_an_answer_that_was_lost_is_found_out(object_store: Any, bucket: Bucket) -> None:
    mine, others = f"{object_store.prefix}/mine", f"{object_store.prefix}/others"
    rule = object_store.proxy.rule("lose", "PUT", "/mine")
    assert bucket.create(mine, b"mine"), "it got through: it is ours"
    assert rule.hits == 1
    assert bucket.create(others, b"others")
    rule = object_store.proxy.rule("cut", "PUT", "/others")
    assert not bucket.create(others, b"mine"), "it did not get through, and another's is there"
    assert rule.hits == 1 and bucket.get(others) == (b"others", f'"{hashlib.md5(b"others").hexdigest()}"')


def test_a_conflict_is_tried_again(object_store: Any, bucket: Bucket) -> None:
    rule = object_store.proxy.rule("status", "PUT", "/a", times=2, status=409)
    assert bucket.create(f"{object_store.prefix}/a", b"1")
    assert rule.hits == 2
    object_store.proxy.rule("status", "PUT", "/a", status=409)
    assert not bucket.create(f"{object_store.prefix}/a", b"2")


@pytest.mark.parametrize("fault", ["status", "cut", "lose"])
def test_a_storm_is_outlasted(object_store: Any, bucket: Bucket, fault: Any, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(os.urandom(11 << 20))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    rules = [object_store.proxy.rule(fault, method, times=2) for method in ("PUT", "GET", "HEAD", "POST", "DELETE")]
    key = f"{object_store.prefix}/file"
    bucket.upload(path, key, size=11 << 20, sha256=digest)
    assert bucket.download(key, tmp_path / "copy", sha256=digest)
    assert [e.bytes for e in bucket.list(f"{object_store.prefix}/")] == [11 << 20]
    bucket.delete([key])
    assert not bucket.exists(key) and bucket.get(key) is None
    assert [r.hits for r in rules] == [2, 2, 2, 2, 0], "deletes of many are POSTs"


def test_what_stays_down_is_one_error_after_a_while(object_store: Any) -> None:
    rule = object_store.proxy.rule("status", times=float("inf"))
    began = time.monotonic()
    with pytest.raises(StorageError, match="SlowDown") as caught:
        Bucket(object_store.bucket, patience=1.5).create(f"{object_store.prefix}/a", b"1")
    assert 0.5 < time.monotonic() - began < 5 and rule.hits > 2
    assert "resumes" in caught.value.remedy and caught.value.exit_code == 3


def test_bytes_damaged_on_the_way_are_sent_again(object_store: Any, bucket: Bucket, tmp_path: Path) -> None:
    rule = object_store.proxy.rule("flip", "PUT", times=2)
    path = tmp_path / "file"
    path.write_bytes(b"good bytes")
    key = f"{object_store.prefix}/file"
    bucket.upload(path, key, size=10, sha256=hashlib.sha256(b"good bytes").hexdigest())
    found = bucket.get(key)
    assert rule.hits == 2 and found is not None and found[0] == b"good bytes"


def test_what_the_store_keeps_is_looked_at(object_store: Any, bucket: Bucket, tmp_path: Path) -> None:
    path, key = tmp_path / "file", f"{object_store.prefix}/file"
    path.write_bytes(b"good bytes")
    digest = hashlib.sha256(b"good bytes").hexdigest()
    object_store.proxy.rule("pretend", "PUT")
    with pytest.raises(DamagedShardError, match="the store keeps -1 bytes"):
        bucket.upload(path, key, size=10, sha256=digest)
    object_store.client.put_object(Bucket=object_store.bucket, Key=key, Body=b"evil bytes")
    object_store.proxy.rule("pretend", "PUT")
    with pytest.raises(DamagedShardError, match="others than the 10 that were sent"):
        bucket.upload(path, key, size=10, sha256=digest)
    object_store.proxy.log.clear()
    with pytest.raises(DamagedShardError, match="sha256"):
        bucket.download(key, tmp_path / "copy", sha256=digest)
    assert not (tmp_path / "copy").exists()
    path.write_bytes(b"other bytes")
    with pytest.raises(DamagedShardError, match="differs from what was verified"):
        bucket.upload(path, key, size=11, sha256=digest)


@pytest.mark.parametrize("size", [10, 6 << 20])
def test_a_store_with_etags_of_its_own_is_read_back(
    object_store: Any, bucket: Bucket, tmp_path: Path, size: int
) -> None:
    path, key = tmp_path / "file", f"{object_store.prefix}/file"
    path.write_bytes(b"x" * size)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    bucket.upload(path, key, size=size, sha256=digest)
    assert not any(line.startswith("GET") for line in object_store.proxy.log), "its ETag says enough"
    object_store.proxy.rule("etag", "HEAD", times=1)
    bucket.upload(path, key, size=size, sha256=digest)
    assert sum(line.startswith("GET") for line in object_store.proxy.log) == 1


def test_a_store_that_knows_less(object_store: Any, bucket: Bucket) -> None:
    object_store.proxy.rule("status", "GET", "uploads", status=501)
    assert list(bucket.uploads(object_store.prefix)) == []
    object_store.proxy.rule("status", "PUT", status=501)
    with pytest.raises(MachineError, match="does not know") as caught:
        bucket.create(f"{object_store.prefix}/a", b"1")
    assert "If-None-Match" in caught.value.remedy


def test_only_the_state_that_was_seen_is_replaced(object_store: Any, bucket: Bucket) -> None:
    key = f"{object_store.prefix}/lease"
    assert bucket.swap(key, b"1", '"0"') is None, "nothing is there"
    first = bucket.put(key, b"1")
    object_store.proxy.rule("lose", "PUT")
    second = bucket.swap(key, b"2", first)
    assert second is not None, "it got through though the answer was lost"
    assert bucket.swap(key, b"3", first) is None
    assert bucket.swap(key, b"3", second) is not None


def test_requests_are_told_to_the_watchdog(object_store: Any, bucket: Bucket) -> None:
    told: list[int] = []
    bucket.alive = lambda: told.append(1)
    object_store.proxy.rule("status", "PUT", times=2)
    bucket.put(f"{object_store.prefix}/a", b"1")
    assert len(told) == 3


def test_many_objects_come_in_pages(object_store: Any) -> None:
    bucket = Bucket(object_store.bucket, page=10)
    keys = [f"{object_store.prefix}/many/{i:04d}" for i in range(35)]
    for key in keys:
        bucket.put(key, b"")
    assert [e.key for e in bucket.list(f"{object_store.prefix}/many/")] == keys
    assert sum("list-type=2" in line for line in object_store.proxy.log) == 4
    bucket.delete(keys)
    assert list(bucket.list(f"{object_store.prefix}/many/")) == []


def test_a_fork_has_connections_of_its_own(object_store: Any, bucket: Bucket) -> None:
    assert bucket.create(f"{object_store.prefix}/parent", b"1")
    pid = os.fork()
    if pid == 0:
        done = bucket.create(f"{object_store.prefix}/child", b"1")
        os._exit(0 if done else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert bucket.exists(f"{object_store.prefix}/child")


def test_a_store_without_conditional_puts_is_refused(object_store: Any) -> None:
    url = S3Url.parse(object_store.url)
    check_store(url)
    assert object_store.names() == [], "the probe is gone"
    object_store.proxy.rule("pretend", "PUT", times=2)
    with pytest.raises(MachineError, match="If-None-Match"):
        check_store(url)


def test_a_bucket_that_is_not_there(object_store: Any) -> None:
    with pytest.raises(UsageError, match="NoSuchBucket"):
        check_store(S3Url("no-such-bucket", "run"))


def test_keys_that_are_refused(object_store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(MachineError, match="403") as caught:
        check_store(S3Url.parse(object_store.url))
    assert "AWS_SECRET_ACCESS_KEY" in caught.value.remedy


def test_no_keys(object_store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(MachineError, match="no credentials") as caught:
        check_store(S3Url.parse(object_store.url))
    assert caught.value.exit_code == 2


def test_an_endpoint_that_is_none(object_store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "not a url")
    with pytest.raises(MachineError, match="not a url"):
        check_store(S3Url.parse(object_store.url))


def test_no_library(object_store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [n for n in sys.modules if n.split(".")[0] in ("boto3", "botocore")] or ["boto3"]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MachineError, match="boto3") as caught:
        check_store(S3Url.parse(object_store.url))
    assert "synthgen[s3]" in caught.value.remedy


def test_threads_share_a_bucket(bucket: Bucket, object_store: Any) -> None:
    errors: list[BaseException] = []

    def work(i: int) -> None:
        try:
            for j in range(5):
                bucket.put(f"{object_store.prefix}/{i}.{j}", b"x")
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert errors == [] and len(object_store.names()) == 40
