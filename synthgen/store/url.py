"""Where a run in an object store is (``s3://bucket/prefix``), its objects' names, and its folder on this machine."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from synthgen.core.errors import DamagedShardError, UsageError

SCHEME = "s3://"
BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]")
# One part of an object's name. Servers differ in what they make of other characters, and of "." and "..".
PART = re.compile(r"[A-Za-z0-9_.=+@,()-]+")


@dataclass(frozen=True)
class S3Url:
    """A run's place: every object of it is named ``prefix/...`` in ``bucket``."""

    bucket: str
    prefix: str

    @staticmethod
    def parse(text: str) -> S3Url:
        """``s3://bucket/prefix`` (a slash at the end is dropped).

        Raises:
            UsageError: not such a URL, or without a prefix.
        """
        remedy = "give s3://BUCKET/PREFIX, of letters, digits and _ . = + @ , ( ) -"
        if not text.startswith(SCHEME):
            raise UsageError(f"{text}: only s3:// and folders can hold a run", remedy=remedy)
        bucket, _, prefix = text.removeprefix(SCHEME).rstrip("/").partition("/")
        if not BUCKET.fullmatch(bucket) or not _is_name(prefix):
            raise UsageError(f"{text}: not a place in a bucket", remedy=remedy)
        return S3Url(bucket, prefix)

    def __str__(self) -> str:
        return f"{SCHEME}{self.bucket}/{self.prefix}"

    @property
    def name(self) -> str:
        """The last part of the prefix."""
        return self.prefix.rsplit("/", 1)[-1]

    def key(self, relative: str) -> str:
        """The name of the object that is ``relative`` to the run.

        Raises:
            DamagedShardError: the name could mean something outside the run's prefix, on this server or another.
        """
        if not _is_name(relative):
            raise DamagedShardError(
                f"{self}: a record names {relative!r}, which leaves the run's prefix",
                remedy="do not trust this run; make it again",
            )
        return f"{self.prefix}/{relative}"

    def relative(self, key: str) -> str | None:
        """The inverse of ``key``; None for an object that is not the run's, or not named as ours are."""
        relative = key.removeprefix(f"{self.prefix}/")
        return relative if relative != key and _is_name(relative) else None


def working_folder(url: S3Url, base: Path | None = None) -> Path:
    """The folder on this machine for what is not in the store yet: one per URL.

    ``base``: where such folders lie; None = ``$SYNTHGEN_WORK``, or ``runs`` in synthgen's cache.
    """
    digest = hashlib.sha256(str(url).encode()).hexdigest()[:16]
    return (base or base_asked_for() or _cache()).expanduser().resolve() / f"{url.name}-{digest}"


def base_asked_for() -> Path | None:
    """Where the user wants working folders to lie, on every machine; None = each machine's default."""
    own = os.environ.get("SYNTHGEN_WORK")
    return Path(own) if own else None


def _cache() -> Path:
    own = os.environ.get("SYNTHGEN_CACHE")
    if own:
        return Path(own) / "runs"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "synthgen" / "runs"


def _is_name(text: str) -> bool:
    parts = text.split("/")
    return all(PART.fullmatch(p) and p not in (".", "..") for p in parts)
