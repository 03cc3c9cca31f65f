"""A right that one process holds at a time, kept in an object store. It survives clocks that disagree.

The holder writes the object anew every few seconds. Who waits measures by its own clock how long the object has not
changed, and after a while replaces just that state of it (a put with ``If-Match``): of many who wait, one takes over.
"""

from __future__ import annotations

import os
import platform
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress

from synthgen.core.errors import StorageError, SynthgenError
from synthgen.store.files import dump, token
from synthgen.store.s3 import Bucket

RENEW = 10.0  # seconds
ABANDONED = 60.0  # seconds without a change after which the holder is taken for dead
LOOK = 1.0


class Lease:
    """The right kept at ``key``. ``renew`` and ``abandoned``: seconds, see the module."""

    def __init__(self, bucket: Bucket, key: str, *, renew: float = RENEW, abandoned: float = ABANDONED) -> None:
        self._bucket = bucket
        self._key = key
        self._renew = renew
        self._abandoned = abandoned
        self._etag = ""
        self._number = 0
        self._holder = token()
        self._over = threading.Event()
        self._lost = False

    @contextmanager
    def held(self) -> Generator[None]:
        """Wait for the right and hold it.

        Raises:
            StorageError: it was lost to another meanwhile (this process, or the network, stood still for a minute).
        """
        self._take()
        thread = threading.Thread(target=self._keep, daemon=True, name="lease")
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()
            if not self._lost:
                with suppress(SynthgenError):  # then it is taken for abandoned
                    self._bucket.delete([self._key])
        if self._lost:
            raise StorageError(
                f"{self._key}: another process took over meanwhile", remedy="run the same command again: it resumes"
            )

    def _take(self) -> None:
        seen, since = "", time.monotonic()
        while True:
            data = self._data()
            there = self._bucket.get(self._key)
            if there is None:
                if self._bucket.create(self._key, data):
                    there = self._bucket.get(self._key)
                    if there is not None and there[0] == data:
                        self._etag = there[1]
                        return
                continue
            if there[1] != seen:
                seen, since = there[1], time.monotonic()
            elif time.monotonic() - since > self._abandoned:
                etag = self._bucket.swap(self._key, data, seen)
                if etag is not None:
                    self._etag = etag
                    return
            time.sleep(min(LOOK, self._renew))

    def _keep(self) -> None:
        while not self._over.wait(self._renew):
            try:
                etag = self._bucket.swap(self._key, self._data(), self._etag)
            except SynthgenError:
                continue  # it may still be ours; the next try tells
            if etag is None:
                self._lost = True
                return
            self._etag = etag

    def _data(self) -> bytes:
        """Differs every time, and so does its ETag."""
        self._number += 1
        return dump({"holder": self._holder, "host": platform.node(), "pid": os.getpid(), "number": self._number})
