"""A bucket: conditional puts, checked uploads and downloads, and patience with a store that is busy."""

from __future__ import annotations

import base64
import hashlib
import os
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, TypeVar

from synthgen.core.errors import DamagedShardError, StorageError, SynthgenError
from synthgen.core.failpoint import failpoint
from synthgen.store.files import storage_errors
from synthgen.store.s3_client import connect, patience_asked_for
from synthgen.store.s3_errors import RESUME, meaning, refused

T = TypeVar("T")
FIRST_WAIT, LONGEST_WAIT = 0.2, 15.0
PART = 16 << 20  # bytes; larger files go in parts of this size
PARTS = 10_000  # the most that S3 takes
PAGE = 1000  # objects that one request lists or deletes; the most that S3 takes
CHUNK = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Entry:
    """An object in a listing: ``age`` is in seconds by the server's clock."""

    key: str
    bytes: int
    etag: str
    age: float


@dataclass(frozen=True, kw_only=True)
class Upload:
    """An upload in parts that was neither completed nor aborted."""

    key: str
    id: str
    age: float


class Bucket:
    """One bucket. May be used by several threads, and after a fork.

    Every method raises MachineError (no library, no credentials, or refused), UsageError (no such bucket) and
    StorageError (the store did not answer within ``patience`` seconds).

    Args:
        name: the bucket's.
        patience: seconds that a request is repeated; None = ``$SYNTHGEN_S3_PATIENCE``, or 120.
        part: bytes of a part of a large file; page: objects that one request lists or deletes.

    Attributes:
        alive: called before every request, for watchdogs.
        patience: see above.
    """

    def __init__(self, name: str, *, patience: float | None = None, part: int = PART, page: int = PAGE) -> None:
        self.name = name
        self.alive: Callable[[], None] = lambda: None
        self.patience = patience if patience is not None else patience_asked_for()
        self._part = part
        self._page = page
        self._clients: dict[int, Any] = {}

    def create(self, key: str, data: bytes) -> bool:
        """Put an object that is not there yet; False when another was first.

        When our own try got through while its answer was lost, the object there is byte-equal to ``data``: True.
        """
        put = {"Key": key, "Body": data, "ContentMD5": _md5(data), "IfNoneMatch": "*"}
        while True:
            if self._do(f"publish {key}", lambda c: c.put_object(Bucket=self.name, **put), {412: None}) is not None:
                return True
            there = self.get(key)
            if there is not None:
                return there[0] == data

    def swap(self, key: str, data: bytes, etag: str) -> str | None:
        """Replace an object if it is still the one with that ETag; the new ETag, or None when it is not."""
        put = {"Key": key, "Body": data, "ContentMD5": _md5(data), "IfMatch": etag}
        ends = {412: None, 404: None}
        answer = self._do(f"replace {key}", lambda c: c.put_object(Bucket=self.name, **put), ends)
        if answer is not None:
            return str(answer["ETag"])
        there = self.get(key)
        return there[1] if there is not None and there[0] == data else None

    def put(self, key: str, data: bytes) -> str:
        """Put an object, replacing what is there; its ETag."""
        put = {"Key": key, "Body": data, "ContentMD5": _md5(data)}
        return str(self._do(f"write {key}", lambda c: c.put_object(Bucket=self.name, **put))["ETag"])

    def get(self, key: str) -> tuple[bytes, str] | None:
        """A small object and its ETag; None when there is none."""

        def read(client: Any) -> tuple[bytes, str]:
            answer = client.get_object(Bucket=self.name, Key=key)
            return answer["Body"].read(), str(answer["ETag"])

        return self._do(f"read {key}", read, {404: None})

    def exists(self, key: str) -> bool:
        """Whether there is such an object."""
        return self._head(key) is not None

    def list(self, prefix: str) -> Iterator[Entry]:
        """The objects whose names begin with ``prefix``, page by page."""
        more: dict[str, str] = {}
        while True:
            asked = {"Bucket": self.name, "Prefix": prefix, "MaxKeys": self._page, **more}
            answer = self._do(f"list {prefix}", lambda c, asked=asked: c.list_objects_v2(**asked), {404: None})
            if answer is None:
                raise StorageError(f"list {prefix}: the store says 404", remedy=RESUME)
            now = _date(answer)
            for o in answer.get("Contents", ()):
                age = (now or o["LastModified"]).timestamp() - o["LastModified"].timestamp()
                yield Entry(key=str(o["Key"]), bytes=int(o["Size"]), etag=str(o["ETag"]), age=age)
            if not answer.get("IsTruncated"):
                return
            more = {"ContinuationToken": answer["NextContinuationToken"]}

    def upload(self, path: Path, key: str, *, size: int, sha256: str) -> None:
        """Put a file, in parts when it is large, and check what arrived.

        The server compares each request's bytes with their MD5. Afterwards the object must have the file's size and the
        ETag that these MD5s make; where a store makes ETags in another way, it is read back.

        Raises:
            DamagedShardError: the file is not what ``size`` and ``sha256`` say, or the store keeps something else.
        """
        with storage_errors(path):
            etag = self._upload_parts(path, key, sha256) if size > self._part else self._upload_whole(path, key, sha256)
        there = self._head(key)
        kept = (-1, "") if there is None else (int(there["ContentLength"]), str(there["ETag"]).strip('"'))
        if kept[0] != size or (kept[1] != etag and self._stream(key) != sha256):
            raise DamagedShardError(
                f"s3://{self.name}/{key}: the store keeps {kept[0]} bytes, or others than the {size} that were sent",
                remedy=RESUME,
            )

    def download(self, key: str, path: Path, *, sha256: str | None = None) -> bool:
        """Get an object as a file; False when there is none.

        Raises:
            DamagedShardError: its sha256 is another.
        """
        with storage_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            found = self._stream(key, path)
        if found is not None and sha256 not in (None, found):
            path.unlink()
            raise DamagedShardError(
                f"s3://{self.name}/{key}: its sha256 differs", remedy="run `synthgen verify RUN --repair`"
            )
        return found is not None

    def delete(self, keys: Sequence[str]) -> None:
        """Delete objects; those that are not there are no error."""
        for at in range(0, len(keys), self._page):
            listed = {"Objects": [{"Key": k} for k in keys[at : at + self._page]], "Quiet": True}
            body = {"Bucket": self.name, "Delete": listed}
            answer = self._do(f"delete {keys[at]} …", lambda c, body=body: c.delete_objects(**body))
            refused = answer.get("Errors", ())
            if refused:
                first = f"{refused[0].get('Key')}: {refused[0].get('Code')} {refused[0].get('Message')}"
                raise StorageError(f"{len(refused)} objects were not deleted, such as {first}", remedy=RESUME)

    def uploads(self, prefix: str) -> Iterator[Upload]:
        """Uploads in parts under ``prefix`` that were left open; empty where a store does not list them."""
        more: dict[str, str] = {}
        while True:
            asked = {"Bucket": self.name, "Prefix": prefix, **more}
            answer = self._do(
                f"list {prefix}", lambda c, asked=asked: c.list_multipart_uploads(**asked), {404: None, 501: None}
            )
            if answer is None:
                return
            now = _date(answer)
            for u in answer.get("Uploads", ()):
                age = (now or u["Initiated"]).timestamp() - u["Initiated"].timestamp()
                yield Upload(key=str(u["Key"]), id=str(u["UploadId"]), age=age)
            if not answer.get("IsTruncated"):
                return
            more = {"KeyMarker": answer["NextKeyMarker"], "UploadIdMarker": answer["NextUploadIdMarker"]}

    def abort(self, upload: Upload) -> None:
        """Drop an upload in parts."""
        drop = {"Bucket": self.name, "Key": upload.key, "UploadId": upload.id}
        self._do(f"abort the upload of {upload.key}", lambda c: c.abort_multipart_upload(**drop), {404: None})

    def _head(self, key: str) -> Any:
        return self._do(f"look at {key}", lambda c: c.head_object(Bucket=self.name, Key=key), {404: None})

    def _stream(self, key: str, path: Path = Path(os.devnull)) -> str | None:
        """Read an object, into ``path``; its sha256, or None when there is none."""

        def read(client: Any) -> Any:
            digest = hashlib.sha256()
            body = client.get_object(Bucket=self.name, Key=key)["Body"]
            with path.open("wb") as f:
                for chunk in body.iter_chunks(CHUNK):
                    digest.update(chunk)
                    f.write(chunk)
                    self.alive()
            return digest.hexdigest()

        return self._do(f"fetch {key}", read, {404: None})

    def _upload_whole(self, path: Path, key: str, sha256: str) -> str:
        data = path.read_bytes()
        _same(path, hashlib.sha256(data).hexdigest(), sha256)
        self.put(key, data)
        return hashlib.md5(data, usedforsecurity=False).hexdigest()

    def _upload_parts(self, path: Path, key: str, sha256: str) -> str:
        target = {"Bucket": self.name, "Key": key}
        id = str(self._do(f"upload {key}", lambda c: c.create_multipart_upload(**target))["UploadId"])
        # Should anything fail from here on, the upload stays open: `synthgen gc` drops it.
        parts: list[dict[str, Any]] = []
        digest, etag = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
        size = max(self._part, path.stat().st_size // PARTS + 1)
        with path.open("rb") as f:
            while data := f.read(size):
                digest.update(data)
                etag.update(hashlib.md5(data, usedforsecurity=False).digest())
                part = {"UploadId": id, "PartNumber": len(parts) + 1, "Body": data, "ContentMD5": _md5(data)}
                answer = self._do(f"upload {key}", lambda c, part=part: c.upload_part(**target, **part))
                parts.append({"PartNumber": part["PartNumber"], "ETag": answer["ETag"]})
        _same(path, digest.hexdigest(), sha256)
        failpoint("s3.parts")
        done = {"UploadId": id, "MultipartUpload": {"Parts": parts}}
        # 404: an earlier try got through while its answer was lost, and the upload is no more. The size is checked.
        self._do(f"complete {key}", lambda c: c.complete_multipart_upload(**target, **done), {404: None})
        return f"{etag.hexdigest()}-{len(parts)}"

    def _do(self, what: str, call: Callable[[Any], T], ends: Mapping[int, None] | None = None) -> T:
        """Call the client until it answers. ``ends``: statuses that are answers too, for which None comes back."""
        end: float | None = None
        wait = FIRST_WAIT
        while True:
            self.alive()
            try:
                return call(self._client())
            except Exception as error:
                found = meaning(error, f"s3://{self.name}: {what}")
                if isinstance(found, SynthgenError):
                    raise found from error
                if isinstance(found, int):
                    if ends is not None and found in ends:
                        return None  # type: ignore[return-value]
                    raise refused(f"s3://{self.name}: {what}", found) from error
                now = time.monotonic()
                end = now + self.patience if end is None else end
                if now + wait > end:
                    seconds = f"for {self.patience:.0f} s"
                    raise StorageError(f"s3://{self.name}: {what}: failed {seconds}: {error}", remedy=RESUME) from error
            time.sleep(
                wait * random.uniform(0.5, 1.0)
            )  # many workers that were refused at once come back at different times
            wait = min(2 * wait, LONGEST_WAIT)

    def _client(self) -> Any:
        """The client of this process: connections must not be shared over a fork."""
        client = self._clients.get(os.getpid())
        if client is None:
            client = self._clients[os.getpid()] = connect()
        return client


def _date(answer: Any) -> Any:
    """The server's clock when it answered, or None."""
    text = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    return parsedate_to_datetime(text) if text else None


def _md5(data: bytes) -> str:
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()


def _same(path: Path, found: str, wanted: str) -> None:
    if found != wanted:
        raise DamagedShardError(f"{path}: its sha256 differs from what was verified", remedy="check the disk")
