from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from synthgen.core.errors import DamagedShardError, StorageError
from synthgen.core.failpoint import arm
from synthgen.store.files import inside, load, publish, replace, storage_errors


def test_publish_is_exclusive_and_leaves_no_rest(tmp_path: Path) -> None:
    target = tmp_path / "a" / "commit.json"
    assert publish(target, b"first")
    assert not publish(target, b"second")
    assert target.read_bytes() == b"first"
    assert [p.name for p in (target.parent).iterdir()] == ["commit.json"]


def test_of_many_publishers_exactly_one_wins(tmp_path: Path) -> None:
    target = tmp_path / "commit.json"
    with ThreadPoolExecutor(16) as pool:
        won = list(pool.map(lambda i: (publish(target, b"%d" % i), i), range(64)))
    winners = [i for ok, i in won if ok]
    assert len(winners) == 1
    assert target.read_bytes() == b"%d" % winners[0]
    assert [p.name for p in (tmp_path).iterdir()] == ["commit.json"]


def test_full_disk_is_a_storage_error_and_publishes_nothing(tmp_path: Path, armed: Path) -> None:
    arm(armed, "write.before_fsync", "enospc")
    with pytest.raises(StorageError, match="No space left") as caught:
        publish(tmp_path / "x" / "commit.json", b"data")
    assert "free space" in caught.value.remedy
    assert caught.value.exit_code == 3
    assert [p.name for p in (tmp_path / "x").iterdir()] == []


def test_replace_swaps_whole_files(tmp_path: Path) -> None:
    target = tmp_path / "marker.json"
    replace(target, b'{"a": 1}')
    replace(target, b'{"a": 2}')
    assert load(target) == {"a": 2}
    assert [p.name for p in (tmp_path).iterdir()] == ["marker.json"]


@pytest.mark.parametrize("content", [b"", b"[1]", b"{", b"\xff\xfe"])
def test_load_names_a_damaged_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "record.json").write_bytes(content)
    with pytest.raises(DamagedShardError, match=r"record\.json"):
        load(tmp_path / "record.json")


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../x", "", "a\\..\\b", "a\0b"])
def test_inside_refuses_what_leaves_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(DamagedShardError, match="leaves the run folder"):
        inside(name, tmp_path)


def test_unwritable_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="Permission denied") as caught, storage_errors(tmp_path):
        raise PermissionError(13, "Permission denied", str(tmp_path / "commits"))
    assert "writable" in caught.value.remedy
