from __future__ import annotations

from pathlib import Path

import pytest

from synthgen.core.errors import DamagedShardError, UsageError
from synthgen.store.place import place_of
from synthgen.store.url import S3Url, working_folder


def test_a_url_is_a_bucket_and_a_prefix() -> None:
    url = S3Url.parse("s3://bucket/a/run1/")
    assert (url.bucket, url.prefix, url.name, str(url)) == ("bucket", "a/run1", "run1", "s3://bucket/a/run1")
    assert url.key("commits/x.json") == "a/run1/commits/x.json"
    assert url.relative("a/run1/commits/x.json") == "commits/x.json"


@pytest.mark.parametrize(
    "text",
    ["s3://bucket", "s3://bucket/", "s3:///run", "s3://b/run", "s3://bucket/../x", "s3://bucket/a//b",
     "s3://bucket/a b",     "s3://bucket/./a", "s3://user:secret@bucket/run", "s3://bucket/a?x=1", "s3://bucket/a\\b", "gs://bucket/run"],
)  # fmt: skip
def test_what_is_no_place_in_a_bucket(text: str) -> None:
    with pytest.raises(UsageError, match=r"not a place in a bucket|only s3"):
        place_of(text)


def test_a_folder_is_a_folder() -> None:
    assert place_of("data/run") == Path("data/run")


@pytest.mark.parametrize(
    "name",
    ["", "/etc/passwd", "../other/plan.json", "a/../../b", "a/..", "..", ".", "a//b", "a/", "a\\..\\b", "a\0b", "a\nb",
     "a%2f..%2fb", "a b"],
)  # fmt: skip
def test_names_cannot_leave_the_prefix(name: str) -> None:
    url = S3Url.parse("s3://bucket/run")
    with pytest.raises(DamagedShardError, match="leaves the run's prefix"):
        url.key(name)
    assert url.relative(f"run/{name}") is None
    assert url.relative("runner/x") is None and url.relative("run") is None


def test_every_url_has_a_working_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = (working_folder(S3Url.parse(u), tmp_path) for u in ("s3://bucket/a/run", "s3://bucket/b/run"))
    assert one != two and one.parent == two.parent == tmp_path
    monkeypatch.setenv("SYNTHGEN_WORK", str(tmp_path / "w"))
    assert working_folder(S3Url.parse("s3://bucket/a/run")).parent == tmp_path / "w"
    monkeypatch.delenv("SYNTHGEN_WORK")
    monkeypatch.setenv("SYNTHGEN_CACHE", str(tmp_path / "c"))
    assert working_folder(S3Url.parse("s3://bucket/a/run")).parent == tmp_path / "c" / "runs"
