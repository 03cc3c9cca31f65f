"""The S3 client. Only this file and ``s3_errors`` know the library, which is an extra.

Its own retries are off: who repeats a conditional put must know that an earlier try may have got through while its
answer was lost.
"""

from __future__ import annotations

import importlib
import os
from typing import Any

from synthgen.core.errors import MachineError
from synthgen.store.s3_errors import CREDENTIALS

PATIENCE = 120.0  # seconds that one request is repeated
CONNECT, READ = 10.0, 60.0  # seconds of silence that a request may take


def connect() -> Any:
    """A client with what the environment says of endpoint, region and credentials.

    Raises:
        MachineError: the library is missing, or the environment makes no sense.
    """
    try:
        library: Any = importlib.import_module("boto3")
        config: Any = importlib.import_module("botocore.config")
        exceptions: Any = importlib.import_module("botocore.exceptions")
    except ImportError as error:
        raise MachineError(
            f"object stores need the package boto3 ({error})", remedy="pip install 'synthgen[s3]', on every node"
        ) from error
    settings = config.Config(
        connect_timeout=CONNECT,
        read_timeout=READ,
        retries={"total_max_attempts": 1},
        max_pool_connections=32,
        # Every request carries an MD5, which every store knows; the newer checksums not all do.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    try:
        return library.session.Session().client("s3", config=settings)
    except (exceptions.BotoCoreError, ValueError) as error:
        raise MachineError(f"object store: {error}", remedy=CREDENTIALS) from error


def patience_asked_for() -> float:
    """Seconds that one request is repeated.

    Raises:
        MachineError: ``$SYNTHGEN_S3_PATIENCE`` is no number.
    """
    text = os.environ.get("SYNTHGEN_S3_PATIENCE", "")
    try:
        return float(text) if text else PATIENCE
    except ValueError:
        raise MachineError(f"SYNTHGEN_S3_PATIENCE={text}: not a number of seconds") from None
